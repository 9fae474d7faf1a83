"""Running a grid: check everything first, skip what is done, go on after a failure."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.source import Source, doubts
from bench.distill.loop import batch_order, total_updates
from bench.errors import BenchError, UsageError
from bench.experiment.cell import run_cell
from bench.experiment.few import prolonged
from bench.experiment.grid import Cell
from bench.experiment.pace import Pace
from bench.experiment.parts import Parts
from bench.experiment.progress import Progress
from bench.experiment.tracking import tracking
from bench.reporting.records import read_record, set_aside_record
from bench.spec import lacking, missing, models_read


@dataclass(frozen=True)
class CellJob:
    """A cell to run, and what it is assembled from."""

    cell: Cell
    parts: Parts
    keep: bool = False
    """Whether the trained student is kept in the run's folder."""

    @cached_property
    def updates(self) -> int:
        """How many student updates the cell makes: the budget."""
        recipe, name = self.cell.settings.recipe, self.cell.task.name
        rows = _training_rows(self.parts.source, name)  # type: ignore[arg-type]  # a source hashes by identity
        lengths = np.zeros(min(rows, self.cell.settings.data.max_train or rows))
        few = self.cell.settings.data.train_rows is not None
        if recipe.batch_tokens is not None:
            lengths = self.parts.encoded(name)["train"].lengths
        elif few:
            lengths = np.zeros(len(self.parts.data(name).splits["train"]))
        per_epoch = batch_order(lengths, recipe, 0).per_epoch
        return total_updates(per_epoch, prolonged(recipe, per_epoch) if few else recipe)


@cache
def _training_rows(source: Source, task: str) -> int:
    return source.count(task)["train"]


@dataclass(frozen=True)
class Plan:
    """The records that are there already, and the cells that are to run."""

    done: list[tuple[Cell, dict[str, Any]]]
    missing: list[Cell]


def plan(cells: Sequence[Cell], results: Path, *, redo: bool) -> Plan:
    """Return what of ``cells`` is missing: all without a record of a finished run. Nothing is changed by it."""
    done, missing = [], []
    for cell in cells:
        try:
            record = None if redo else read_record(cell.folder(results))
        except BenchError:
            record = None  # corrupt: said and set aside before the cell runs again
        # What a cell lacked when it was skipped may be there now; what its strategy does not support stays so.
        stays = {"done": True, "skipped": cell.instance.supports(cell.task) is not None}
        if record is not None and stays.get(record["status"], False):
            done.append((cell, record))
        else:
            missing.append(cell)
    return Plan(done, missing)


def _make_way(cell: Cell, results: Path, redo: bool, progress: Progress) -> None:
    """Clear the cell's folder of what would be in the way of running it again."""
    folder = cell.folder(results)
    if redo:
        # A checkpoint of the run before would be gone on from.
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    try:
        read_record(folder)
    except BenchError as error:
        progress.note(f"{error}; {set_aside_record(results, folder / 'record.json')}, the cell runs again")


def preflight(cells: Sequence[Cell], parts: Parts, results: Path, progress: Progress) -> None:
    """Check before any work what can be checked: the results folder, the data, the models' vocabularies."""
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the results folder {results}: {error.strerror}; give --results DIR") from error
    if not os.access(results, os.W_OK):
        raise UsageError(f"the results folder {results} is not writable; give another: --results DIR")
    tasks = {cell.task.name: None for cell in cells}
    for name in tasks:
        for doubt in doubts(parts.source.load(name)):
            progress.note(f"{name}: {doubt}")
    models = {getattr(parts.settings, role).model for role in ("teacher", "student", "generator")}
    if parts.source.name == "file" and "scratch" in models:
        progress.note(
            f"preset {parts.settings.preset} trains tiny models from nothing, which shows how it works and not what "
            f"strategies do to real text: for {', '.join(tasks)} give --preset minilm"
        )
    runnable = [cell for cell in cells if not missing(cell.instance)]
    for strategy in {str(cell.strategy): cell.strategy for cell in cells}.values():
        if reason := lacking(strategy.create()):
            progress.note(f"{strategy} will be skipped: {reason}")
    parts.check({role for cell in runnable for role in (*cell.instance.needs, *models_read(cell.instance))}, tasks)


def prepare(
    grids: Iterable[tuple[Parts, Sequence[Cell]]], results: Path, progress: Progress, *, redo: bool = False
) -> tuple[list[tuple[Cell, dict[str, Any]]], list[CellJob]]:
    """Check ``grids`` before any work, and return the cells with a record in ``results`` and those that are to run."""
    done, jobs, checked = [], [], set()
    grids = list(grids)
    for parts, cells in grids:
        # Grids of one source differ in how many of its rows they train on, and need one look.
        if id(parts.source) not in checked:
            checked.add(id(parts.source))
            of_source = [cell for other, more in grids if other.source is parts.source for cell in more]
            preflight(of_source, parts, results, progress)
        planned = plan(cells, results, redo=redo)
        done += planned.done
        jobs += [CellJob(cell, parts) for cell in planned.missing]
    return done, jobs


def launch(
    jobs: Sequence[CellJob], results: Path, progress: Progress, *, redo: bool = False, track: str | None = None
) -> list[dict[str, Any]]:
    """Run ``jobs`` one after another and return their records; ``track`` names a tracker that sees each train."""
    records, pace = [], Pace(results)
    for number, job in enumerate(jobs, 1):
        start = time.monotonic()
        progress.cell(number, len(jobs), str(job.cell), partial(pace.left, jobs, number - 1))
        _make_way(job.cell, results, redo, progress)
        with tracking(track, job.cell, results, progress) as tracked:
            record = run_cell(job.cell, job.parts, results, tracked or progress, keep=job.keep)
            if tracked is not None:
                tracked.finish(record)
        pace.learn(job, record, time.monotonic() - start)
        progress.note(f"[{number}/{len(jobs)}] {job.cell}: {_outcome(record)}")
        records.append(record)
    return records


def _outcome(record: dict[str, Any]) -> str:
    if record["status"] != "done":
        return f"{record['status']}: {record['reason']}"
    main, cost = record["main"], record["cost"]
    return f"{main['metric']} {main['value']:.3f} in {cost['train_seconds']:.0f} s of training"
