"""`bench evaluate`: kept students of finished runs, scored on sets beyond their own dev."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.brackets import split_list
from bench.cli.choices import format_option, results_option
from bench.cli.found import Wanted, chosen_runs, plain_evaluations, runs_options, say_lacking
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.experiment.evaluating import Made


@click.command(
    epilog="""\b
Examples:
  bench evaluate --list
  bench evaluate --on hans,paws,advglue,ax,imdb --ood-dir ood
  bench evaluate --on ./mine.toml --strategy 'none,mate-kd*' 0a1b2c3d
then: bench compare --on hans
"""
)
@click.option("--on", "on", help="Sets, comma-separated: names, all, or your own ./FILE.toml.")
@click.option(
    "--ood-dir",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with sets as their authors give them. Repeatable. Without: the hub, for those that are there.",
)
@runs_options
@click.option("--max-rows", type=click.IntRange(2), help="Of larger sets, a fixed sample of this many rows.")
@click.option("--redo", is_flag=True, help="Evaluate again what is there already.")
@click.option("--list", "list_sets", is_flag=True, help="List the sets that there are, and whose students fit them.")
@format_option
@results_option
def evaluate(
    wanted: Wanted,
    on: str | None,
    folders: tuple[Path, ...],
    max_rows: int | None,
    redo: bool,
    list_sets: bool,
    form: str,
    results: Path,
) -> None:
    """Score the students that finished runs keep on sets beyond their own dev: all runs, or those of the IDs.

    A set is tried on the students of the tasks that it belongs to. Scores, and what the student said of each row, lie
    beside the record in evaluations/. The same command again does only what is missing, or what a change of the set
    or of the student has outdated.
    """
    from bench.data.beyond.sets import chosen_sets

    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise UsageError(f"no such folder of sets: {missing[0]}")
    if list_sets:
        click.echo(_listing(folders))
        return
    if on is None:
        raise UsageError("which sets? --on hans,paws, or --on all; see: bench evaluate --list")
    sets = chosen_sets(split_list(on))
    chosen = chosen_runs(results, wanted)
    from bench.experiment.progress import watching

    with watching() as progress:
        from bench.experiment.evaluating import evaluate_runs

        evaluations = evaluate_runs(results, chosen, sets, folders, progress, most=max_rows, redo=redo)
    if form == "json":
        click.echo(json.dumps(plain_evaluations(evaluations), indent=1))
    else:
        click.echo(_table(evaluations))
    say_lacking(evaluations, everything=bool(wanted.ids))


def _table(scored: Made) -> str:
    """Return a line for each evaluation, with dev beside it, and what the rows are not."""
    lines: list[str] = []
    notes: dict[str, None] = {}
    for run, e in sorted(scored.evaluations, key=lambda pair: (pair[1].name, pair[0].task, pair[0].strategy)):
        one = "  one answer for every row" if e.most_predicted == 1 else ""
        value, dev = (None if v is None else 100 * v for v in (e.main.value, run.main.value))
        lines.append(
            f"{e.name:<12} {run.task:<6} {run.strategy:<32} seed {run.seed}  {e.main.metric} {_points(value)}  "
            f"(dev {run.main.metric} {_points(dev)}){one}"
        )
        if e.variant:
            notes[f"{e.name}: {e.variant}"] = None
        if e.official is not None and e.rows != e.official:
            notes[f"{e.name} for {run.task}: {e.rows:,} of {e.official:,} rows"] = None
    names = list(dict.fromkeys(e.name for _, e in scored.evaluations))
    there = len(scored.evaluations) - scored.fresh
    end = f"{scored.fresh} evaluations made, {there} were there already"
    further = [f"all seeds and strategies, with intervals: bench compare --on {names[0]}"] if names else []
    return "\n".join([*lines, *notes, end, *further])


def _points(value: float | None) -> str:
    return " nan" if value is None else f"{value:5.1f}"


def _listing(folders: tuple[Path, ...]) -> str:
    """Return the sets there are, one to three lines each."""
    from bench.data.beyond.reading import present
    from bench.data.beyond.sets import registry

    blocks = []
    for name, by_task in registry().items():
        first = next(iter(by_task.values()))
        pairs = [task for task, entry in by_task.items() if entry.glue_x]
        place = present(first, folders)
        where = "hub" if place is None and first.hub else "not here" if place is None else str(place)
        rows = ", ".join(f"{entry.rows:,}" for entry in by_task.values() if entry.rows) if first.key else first.rows
        blocks.append(
            f"{name}: {first.about}\n"
            f"  for {', '.join(by_task)}"
            + (f" (a pair of GLUE-X with {', '.join(pairs)})" if pairs else "")
            + f"; rows {rows}; {', '.join(first.metrics)}; {where}\n"
            f"  {first.citation}; licence: {first.licence}; {first.url}"
        )
    return "\n".join(blocks) + "\nyour own: bench evaluate --on ./FILE.toml, see bench docs beyond"
