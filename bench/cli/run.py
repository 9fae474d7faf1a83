"""`bench run`: teacher, student, record, for every cell of a grid."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bench.cli.choices import Choices, training_options
from bench.errors import BenchError, UsageError
from bench.experiment.launchers import Launching
from bench.startup import leads, processes


@click.command(
    epilog="Example: bench run --strategy none,mate-kd --tasks cola,rte --seeds 3 --preset minilm --data-dir glue"
)
@click.option(
    "--strategy",
    "strategies",
    default="none,mate-kd",
    show_default=True,
    help="Strategies, comma-separated; options in brackets: mate-kd[rho=0.4]; your own: ./file.py:Class; several: "
    "'nlpaug:*', ready (all that lack nothing here), all.",
)
@click.option(
    "--tasks",
    default="all",
    show_default=True,
    help="Task names and globs, comma-separated; all; or your own task: ./task.toml.",
)
@click.option(
    "--strength", type=float, help="Share of the words or tokens changed, for every strategy that has an option for it."
)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="forwards|seconds[=STRATEGY]",
    help="Also run the controls given for the passes or the time that STRATEGY takes (if none is named, each of the "
    "others). Repeatable.",
)
@click.option("--tuned", is_flag=True, help="Run every strategy with the options that `bench tune` chose for it.")
@click.option("--seeds", type=click.IntRange(1, 1000), help="How many seeds, from 0 on.  [default: 1]")
@click.option("--seed", "given", type=click.IntRange(0, 2**31 - 1), multiple=True, help="This seed. Repeatable.")
@click.option(
    "--train-rows",
    default="all",
    show_default=True,
    help="Also train on few rows: numbers of rows per class (of scores in all), comma-separated, as 8,64,512,all.",
)
@click.option(
    "--track",
    type=click.Choice(["tensorboard", "wandb", "mlflow"]),
    help="Also hand losses and dev scores to this tracker, which has to be installed.",
)
@click.option("--redo", is_flag=True, help="Run cells again that have a record.")
@click.option(
    "--keep-students",
    type=click.Choice(["auto", "all", "last-seed", "none"]),
    default="auto",
    show_default=True,
    help="Which trained students to keep. auto: all, if they take at most 10 GB and a quarter of the free space; else "
    "those of the last seed; else none.",
)
@click.option("--quick", is_flag=True, help="A smoke run on one embedded task in a minute: preset quick, task wnli.")
@training_options
def run(dry_run: bool, choices: Choices, **asked: Any) -> None:
    """Train and score strategies on tasks, all from the same teacher on the same budget.

    The teacher of each task is fine-tuned first, and cached. The same command again does only what is
    missing; a run that was cut off goes on from its checkpoint.
    """
    done, fresh = trained(choices=choices, dry_run=dry_run, **asked)
    if dry_run or not leads():
        return
    _show([*done, *fresh], choices.results, len(fresh))
    if failed := failed_cells(done, fresh):
        raise failed


@click.command(
    epilog="Example: bench plan --strategy none,mate-kd --tasks all --seeds 5",
    help="Say which cells `bench run` with these options would run, what is cached, and the time and memory of it all: "
    "from runs like them, else from a few updates. It is `bench run --dry-run`.",
    params=[one for one in run.params if one.name != "dry_run"],
)
def plan(**asked: Any) -> None:
    """Say what ``bench run`` would do."""
    run.callback(dry_run=True, **asked)  # type: ignore[misc]  # it is a function


def trained(
    strategies: str,
    tasks: str,
    strength: float | None,
    budgets: tuple[str, ...],
    tuned: bool,
    seeds: int | None,
    given: tuple[int, ...],
    train_rows: str,
    workers: int | None,
    launching: Launching,
    redo: bool,
    keep_students: str,
    track: str | None,
    quick: bool,
    dry_run: bool,
    choices: Choices,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run what the options of ``run`` ask for; return the records that were there, and those of what was run now."""
    from bench.cli.dry_run import estimate, overview
    from bench.data.custom import by_source
    from bench.experiment.few import at_sizes
    from bench.experiment.followers import Followers
    from bench.experiment.grid import choose_tasks, make_grid
    from bench.experiment.progress import watching
    from bench.experiment.tuning import as_tuned
    from bench.spec import at_strength, parse_list, split_list, with_budgets

    if quick:
        choices, tasks = _smoke_run(choices, tasks)
    if seeds is not None and given:
        raise UsageError("--seeds says how many, --seed which: give one of the two")
    if strength is not None and tuned:
        raise UsageError("--strength sets what --tuned has chosen: give one of the two")
    if budgets and tuned:
        raise UsageError(
            "--budget is worked out from runs as shipped, which --tuned does not make: give one of the two"
        )
    settings, source = choices.open()
    specs, notes = at_strength(parse_list(strategies, settings.strategies), strength)
    specs = with_budgets(specs, budgets)
    grids = []
    which = list(dict.fromkeys(given)) or range(seeds or 1)
    sized = at_sizes(settings, train_rows, which)
    for where, names in by_source(split_list(tasks), source).items():
        chosen, left_out = choose_tasks(names, where)
        notes += left_out
        for own, its_seeds in sized:
            cells = make_grid(own, where, chosen, specs, its_seeds)
            if tuned:
                cells, on_tuning = as_tuned(cells, choices.results)
                notes += on_tuning
            grids.append((own, where, cells))

    followers, together = Followers(), processes() > 1
    if together and (launching.at_once > 1 or not launching.is_here or launching.silence or dry_run):
        raise UsageError(
            f"{processes()} processes train one cell together: --jobs, --launcher, --timeout and --dry-run go with one"
        )
    if not leads():
        from bench.experiment.following import follow

        follow(grids, choices.results)
        return [], []
    with watching() as progress:
        # Only now what takes seconds to import: a misspelt name is answered at once.
        from bench.experiment.keeping import keeping
        from bench.experiment.launch import launch, prepare
        from bench.experiment.parts import Parts
        from bench.experiment.tracking import check_tracker

        if track is not None:
            check_tracker(track)
        progress.doing("reading data")
        for note in dict.fromkeys(notes):
            progress.note(note)
        assembled = [
            (Parts(own, where, choices.results, progress, workers, followers), cells) for own, where, cells in grids
        ]
        done, to_run = prepare(assembled, choices.results, progress, redo=redo)
        to_run = keeping(to_run, keep_students, choices.results, progress)
        if dry_run:
            click.echo(overview([str(cell) for cell, _ in done], to_run, choices.results, progress))
            return [record for _, record in done], []
        if len(to_run) > 1 and launching.is_here and not together:
            progress.note(estimate(to_run, choices.results, progress, launching.at_once))
        fresh = launch(to_run, choices.results, progress, redo=redo, track=track, launcher=launching.open())
        followers.dismiss()
    return [record for _, record in done], fresh


def failed_cells(done: Sequence[dict[str, Any]], fresh: Sequence[dict[str, Any]]) -> BenchError | None:
    """Return the error that cells of ``fresh`` failed; None where none did."""
    if failed := sum(record["status"] == "failed" for record in fresh):
        return BenchError(
            f"{failed} of {len(done) + len(fresh)} cells failed (error.txt in its folder says where); "
            "the same command tries them again"
        )
    return None


def _smoke_run(choices: Choices, tasks: str) -> tuple[Choices, str]:
    """Return what --quick chooses: the preset of that name, and a task that is learned fast unless tasks are named."""
    context = click.get_current_context()
    if context.get_parameter_source("preset") is not ParameterSource.DEFAULT or choices.data_dir is not None:
        raise UsageError("--quick is a preset of its own, on embedded tasks: leave --preset and --data-dir out")
    return dataclasses.replace(choices, preset="quick"), "wnli" if tasks == "all" else tasks


def _show(records: list[dict[str, Any]], results: Path, ran: int) -> None:
    """Print the leaderboard of this command's cells and where their files are."""
    from bench.remote.mirror import bring, shown
    from bench.reporting import sheet
    from bench.reporting.comparison import compare
    from bench.reporting.leaderboard import failures, leaderboard
    from bench.reporting.predictions import answers
    from bench.reporting.records import RUNS
    from bench.reporting.runs import written
    from bench.reporting.tables import tables

    bring(results / RUNS)  # of cells that ran on other machines
    runs = written(records)
    frame, to_terminal = leaderboard(runs), sys.stdout.isatty()
    predictions, _ = answers(results, runs, {*frame["split"]})
    width = sheet.page_width(to_terminal)
    compared = compare(frame, predictions, failures=failures(runs))
    sheets = [each for comparison in compared for each in tables(comparison, width)]
    click.echo(sheet.text(sheets, width, to_terminal))
    done_before = f", {len(records) - ran} were there already" if ran < len(records) else ""
    skipped = sum(record["status"] == "skipped" for record in records[len(records) - ran :])
    left_out = f" ({skipped} of them skipped)" if skipped else ""
    click.echo(f"{ran} cells run{left_out}{done_before}; records and predictions: {shown(results / 'runs')}")
    click.echo(
        "all results so far: bench compare" + (f" --results {shown(results)}" if str(results) != "results" else "")
    )
