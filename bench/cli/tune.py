"""`bench tune`: the same search of options for every strategy, on rows held out of train."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from bench.cli.choices import Choices, training_options
from bench.errors import BenchError, UsageError
from bench.experiment.launchers import Launching

if TYPE_CHECKING:
    from bench.experiment.tuning import Chosen


@click.command(epilog="Example: bench tune --strategy mate-kd,eda,mlm --tasks cola,rte --trials 8")
@click.option("--strategy", "strategies", required=True, help="Strategies, comma-separated; 'nlpaug:*'; ready; all.")
@click.option(
    "--tasks", default="all", show_default=True, help="Task names and globs, comma-separated; all; ./FILE.toml."
)
@click.option("--trials", type=click.IntRange(2, 1000), default=8, show_default=True, help="Settings tried of each.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="Seeds that each trial is trained with."
)
@click.option("--replace", is_flag=True, help="Choose anew where another search has chosen before.")
@training_options
def tune(
    strategies: str,
    tasks: str,
    trials: int,
    seed: int,
    seeds: int,
    replace: bool,
    workers: int | None,
    launching: Launching,
    dry_run: bool,
    choices: Choices,
) -> None:
    """Try settings of strategies' options, as many of each strategy, and keep the best for `bench run --tuned`.

    The first trial is the strategy as it is; the others are drawn from the ranges that its options declare, the same
    strengths for all. They are trained on nine tenths of the training rows and scored on the last; dev is never
    read. The same command again does only what is missing. There is one choice for a strategy on a task: another
    search needs --replace, or another --results.
    """
    from bench.cli.dry_run import estimate, overview
    from bench.data.custom import by_source
    from bench.data.held_out import HeldOut
    from bench.experiment.grid import choose_tasks, make_grid
    from bench.experiment.progress import watching
    from bench.experiment.tuning import TRIALS, Search, chosen_before, keep, searchable
    from bench.spec import parse_list, split_list

    settings, source = choices.open()
    specs, notes = searchable(parse_list(strategies, settings.strategies))
    search, runs = Search(trials, seed, tuple(range(seeds))), choices.results / TRIALS
    grids, whole = [], []
    for where, names in by_source(split_list(tasks), source).items():
        chosen, left_out = choose_tasks(names, where)
        notes += left_out
        held_out = HeldOut(where)
        grids.append((held_out, search.cells(settings, held_out, chosen, specs)))
        whole += make_grid(settings, where, chosen, specs, [0])
    before = chosen_before(whole, search, choices.results)
    if before and not (replace or dry_run):
        raise UsageError(
            f"another search has chosen before: {'; '.join(before)}; give --replace to choose anew, or --results DIR "
            f"to keep both"
        )
    notes += [f"to be replaced: {one}" for one in before]
    with watching(scored="held-out") as progress:
        from bench.experiment.launch import launch, prepare
        from bench.experiment.parts import Parts

        progress.doing("reading data")
        for note in notes:
            progress.note(note)
        assembled = [(Parts(settings, where, choices.results, progress, workers), cells) for where, cells in grids]
        done, to_run = prepare(assembled, runs, progress)
        if dry_run:
            click.echo(overview([str(cell) for cell, _ in done], to_run, runs, progress))
            return
        if len(to_run) > 1 and launching.is_here:
            progress.note(estimate(to_run, runs, progress, launching.at_once, trials=True))
        fresh = launch(to_run, runs, progress, launcher=launching.open())
    records = [*(record for _, record in done), *fresh]
    best = [search.choose(cell, (run for run in records if run["task"] == cell.task.name)) for cell in whole]
    choices_made = [one for one in best if one is not None]
    for one in choices_made:
        keep(one, choices.results)
    if choices_made:
        _show(choices_made, choices, tasks)
    if failed := sum(record["status"] == "failed" for record in fresh):
        raise BenchError(
            f"{failed} of {len(records)} trials failed (error.txt in its folder, in {runs}, says where); "
            "the same command tries them again"
        )


def _show(chosen: Sequence[Chosen], choices: Choices, tasks: str) -> None:
    """Print what was chosen, and the command that uses it."""
    from bench.experiment.tuning import CHOSEN
    from bench.reporting import sheet

    def points(score: float | None) -> str:
        return "–" if score is None else f"{100 * score:.1f}"

    columns: list[tuple[str, list[str]]] = [
        ("task", [one.task for one in chosen]),
        ("strategy", [one.strategy for one in chosen]),
        ("chosen", [one.chosen if one.chosen != one.strategy else "as it is" for one in chosen]),
        ("as it is", [points(one.tuned.as_shipped) for one in chosen]),
        ("best", [points(one.tuned.score) for one in chosen]),
        ("rows", [f"{one.tuned.held_out:,}" for one in chosen]),
    ]
    notes = [
        "scores: points of 100 on rows held out of train, the mean over training seeds; the best of "
        f"{chosen[0].tuned.trials} trials, and so better than it will be on dev",
    ]
    table = sheet.Sheet(chosen[0].preset, columns, notes)
    to_terminal = sys.stdout.isatty()
    click.echo(sheet.text([table], sheet.page_width(to_terminal), to_terminal))
    named = dict.fromkeys(one.strategy for one in chosen)
    click.echo(
        f"kept in {choices.results / CHOSEN}; use it: bench run --tuned --strategy "
        f"'none,{','.join(named)}' --tasks {shlex.quote(tasks)}{choices.spelled()}"
    )
