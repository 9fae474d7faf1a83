"""Running a grid: check everything first, skip what is done, go on after a failure.

A launcher is a function over a list of jobs; here is the one that runs them one after another in this process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

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
from bench.experiment.waiting import Remaining
from bench.files import remove
from bench.locks import Lock
from bench.observer import Observer
from bench.remote import mirror
from bench.remote.leases import Lost
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
        if record is not None and stays(record["status"], cell):
            done.append((cell, record))
        else:
            missing.append(cell)
    return Plan(done, missing)


def stays(status: str, cell: Cell) -> bool:
    """Return whether a record is of a run that is over."""
    # What a cell lacked when it was skipped may be there now; what its strategy does not support stays so.
    return status == "done" or (status == "skipped" and cell.instance.supports(cell.task) is not None)


def _make_way(cell: Cell, results: Path, redo: bool, observer: Observer) -> None:
    """Clear the cell's folder of what would be in the way of running it again."""
    folder = cell.folder(results)
    if redo and (folder / "record.json").exists():
        # A checkpoint of the run before would be gone on from. Where this is cut off, the next command does go on from
        # its own: it finds no record.
        remove(folder / "checkpoint")
        remove(folder / "record.json")
    try:
        read_record(folder)
    except BenchError as error:
        observer.note(f"{error}; {set_aside_record(results, folder / 'record.json')}, the cell runs again")


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
    for cell in {(cell.task.name, cell.strategy): cell for cell in cells}.values():
        cell.instance.supports(cell.task)  # what is wrong with a strategy's own code is said before any work
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
    for path, reason in mirror.bring(results):
        progress.note(f"left out, {mirror.shown(path)}: {reason}")
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


class Finished(NamedTuple):
    """A job, by its place in the list, that has its record now, and the seconds from its start to that."""

    number: int
    record: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Sweep:
    """What jobs have in common: where results go, who watches, whether records are made anew, and how fast it goes."""

    results: Path
    progress: Progress
    redo: bool
    pace: Pace
    track: str | None = None
    """The tracker that sees each cell train."""


Launcher = Callable[[Sequence[CellJob], Sweep], Iterator[Finished]]
"""Runs each of the jobs once, wherever that is, and yields them as they finish, in any order.

A cell that gets its budget from others' runs (``Cell.compared``) must come after them.
"""


def launch(
    jobs: Sequence[CellJob],
    results: Path,
    progress: Progress,
    *,
    redo: bool = False,
    track: str | None = None,
    launcher: Launcher | None = None,
) -> list[dict[str, Any]]:
    """Run ``jobs`` by ``launcher`` (by default one after another, here) and return their records, in their order.

    ``track`` names a tracker that sees each train.
    """
    if not jobs:
        return []
    if (there := mirror.of(results)) is not None:
        there.try_out()
    records: dict[int, dict[str, Any]] = {}
    sweep = Sweep(results, progress, redo, Pace(results), track)
    for number, record, seconds in (launcher or in_process)(jobs, sweep):
        records[number] = record
        if record["status"] == "failed":
            jobs[number].parts.followers.regroup()
        sweep.pace.learn(jobs[number], record, seconds)
        progress.note(f"[{len(records)}/{len(jobs)}] {jobs[number].cell}: {_outcome(record)}")
    return [records[number] for number in range(len(jobs))]


def in_process(jobs: Sequence[CellJob], sweep: Sweep) -> Iterator[Finished]:
    """Run ``jobs`` one after another in this process; those that another command is running come last."""
    elsewhere: list[int] = []
    remaining = Remaining(jobs)
    for wait in (False, True):
        for number in elsewhere if wait else range(len(jobs)):
            job, start = jobs[number], time.monotonic()
            if not wait:
                remaining.remove(job)
            left = partial(sweep.pace.left, job, remaining)
            sweep.progress.cell(number + 1, len(jobs), str(job.cell), left)
            record = run_job(job, sweep.results, sweep.progress, redo=sweep.redo, track=sweep.track, wait=wait)
            if record is None:
                elsewhere.append(number)
            else:
                yield Finished(number, record, time.monotonic() - start)


def run_job(
    job: CellJob,
    results: Path,
    observer: Observer,
    *,
    redo: bool = False,
    track: str | None = None,
    wait: bool = True,
) -> dict[str, Any] | None:
    """Run the cell of ``job`` and return its record; that of another command, if one runs it at this moment.

    None, where another command does and ``wait`` is not asked for, or where one on another machine has taken it over.
    """
    cell = job.cell
    lock = Lock(cell.folder(results))
    free = lock.take(wait=False)
    if not free:
        if not wait:
            observer.note(f"{cell}: {lock.owner()} is running it; it comes later")
            return None
        observer.note(f"{cell}: waiting for {lock.owner()}, which is running it")
        lock.take(wait=True)
    try:
        mirror.bring(cell.folder(results))
        # One that was not free, or that waited its turn, may have been run by another command since it was planned.
        if not redo and (done := plan([cell], results, redo=False).done):
            observer.note(f"{cell}: another command has run it meanwhile")
            return done[0][1]
        _make_way(cell, results, redo, observer)
        with tracking(track, cell, results, observer) as tracked:
            record = run_cell(cell, job.parts, results, tracked or observer, keep=job.keep)
            if tracked is not None:
                tracked.finish(record)
        return record
    except Lost as error:
        observer.note(f"{cell}: {error}; it comes later")
        return None
    finally:
        lock.release()


def _outcome(record: dict[str, Any]) -> str:
    if record["status"] != "done":
        return f"{record['status']}: {record['reason']}"
    main, cost = record["main"], record["cost"]
    return f"{main['metric']} {main['value']:.3f} in {cost['train_seconds']:.0f} s of training"
