"""`bench rerun`: a recorded cell again, and whether it comes out the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from bench.cli.choices import RESULTS, results_option
from bench.cli.entries import paragraph
from bench.errors import BenchError, UsageError

AGAIN = "again"


@click.command(epilog="Example: bench rerun 38464ef1")
@click.argument("run")
@results_option
@click.option(
    "--into",
    type=RESULTS,
    help="Results of the new run; those of --results themselves: written over.  [default: a folder again in --results]",
)
@click.option("--fresh", is_flag=True, help="Make teacher, generator and texts anew as well, in the caches of --into.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="GLUE folder, where it is no longer where it was.")
@click.option("--task-file", type=click.Path(path_type=Path), help="Task file, where it is no longer where it was.")
@click.option("--anyway", is_flag=True, help="Run it although code or data have changed since, and compare.")
@click.option("--workers", type=click.IntRange(1), help="Processes that rewrite texts.  [default: one per core]")
@click.pass_context
def rerun(
    ctx: click.Context,
    run: str,
    results: Path,
    into: Path | None,
    fresh: bool,
    data_dir: Path | None,
    task_file: Path | None,
    anyway: bool,
    workers: int | None,
) -> None:
    """Run the very cell of a record again, and say whether scores and predictions are equal.

    RUN is named by the first digits of its id or by its folder. Settings, strategy, options and seed are those of the
    record, and so is the number of threads on a CPU; teacher and generator come from the caches if they are there. Exit
    code 1 if something differs.
    """
    import torch

    from bench.cli.found import found, title
    from bench.experiment.again import cell_again, departures
    from bench.experiment.progress import watching

    old = found(results, run)
    if old.record.status != "done":
        raise UsageError(
            f"run {old.record.id} has no score to come out again: it {old.record.status}; bench run tries it"
        )
    cell, source = cell_again(old.record, data_dir, task_file)
    if reasons := list(departures(cell, old.record)):
        if not anyway:
            raise UsageError(
                f"run {old.record.id} cannot be run again as it was: {'; '.join(reasons)}; --anyway runs it"
            )
        click.echo(f"not the very cell: {'; '.join(reasons)}", err=True)
    target = into or results / AGAIN
    kept = _Kept(old.folder)
    if threads := re.search(r" CPU, (\d{1,4}) threads", old.record.provenance.hardware or ""):
        torch.set_num_threads(int(threads[1]))  # on another number sums are added up in another order
    with watching() as progress:
        from bench.experiment.launch import CellJob, launch, preflight
        from bench.experiment.parts import Parts

        parts = Parts(cell.settings, source, target if fresh else results, progress, workers)
        preflight([cell], parts, target, progress)
        (record,) = launch([CellJob(cell, parts)], target, progress, redo=True)
    if record["status"] != "done":
        raise BenchError(f"this time the run {record['status']}: {record['reason']}")
    click.echo(f"{title(old)}\nnew run: {cell.folder(target)}")
    lines, is_equal = kept.beside(old.tree, record, cell.folder(target))
    for line in lines:
        click.echo(paragraph(line, 2, 2))
    click.echo("it came out the same" if is_equal else "it came out differently")
    ctx.exit(0 if is_equal else 1)


class _Kept:
    """What a run predicted, copied away before another may be written over it."""

    def __init__(self, folder: Path) -> None:
        import shutil
        import tempfile

        self._folder = tempfile.TemporaryDirectory()
        if (folder / "predictions").is_dir():
            shutil.copytree(folder / "predictions", Path(self._folder.name) / "predictions")

    def beside(self, old: dict[str, Any], new: dict[str, Any], folder: Path) -> tuple[list[str], bool]:
        """Return in lines what is equal and what is not, and whether all is."""
        from bench.cli.diff import in_words
        from bench.reporting.differing import MADE_BY, differences, predictions

        scores = differences(old, new, ("metrics",))
        lines = [f"{each.field.removeprefix('metrics.')}: {each.one} then, {each.other} now" for each in scores] or [
            "scores: equal"
        ]
        compared, silent = predictions(Path(self._folder.name), folder)
        lines += [*map(in_words, compared), *silent]
        is_equal = not scores and not silent and all(each.equal for each in compared)
        if not is_equal:
            lines += [f"{each.field}: {each.one} then, {each.other} now" for each in differences(old, new, MADE_BY)]
        return lines, is_equal
