"""Running a grid: check everything first, skip what is done, go on after a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.source import doubts
from bench.errors import BenchError, UsageError
from bench.experiment.cell import run_cell
from bench.experiment.grid import Cell
from bench.experiment.parts import Parts
from bench.experiment.progress import Progress
from bench.reporting.records import read_record, set_aside_record
from bench.spec import lacking, missing


@dataclass(frozen=True)
class Job:
    """A cell to run, and what it is assembled from."""

    cell: Cell
    parts: Parts


@dataclass(frozen=True)
class Plan:
    """The records that are there already, and the cells that are to run."""

    done: list[dict[str, Any]]
    missing: list[Cell]


def plan(cells: Sequence[Cell], results: Path, *, redo: bool, progress: Progress) -> Plan:
    """Return what of ``cells`` is missing: all without a record of a finished run."""
    done, missing = [], []
    for cell in cells:
        if redo:
            # A checkpoint of the run before would be gone on from.
            shutil.rmtree(cell.folder(results) / "checkpoint", ignore_errors=True)
        record = None if redo else _existing(cell, results, progress)
        # What a cell lacked when it was skipped may be there now; what its strategy does not support stays so.
        is_settled = record is not None and record["status"] == "skipped" and cell.made.supports(cell.task) is not None
        if record is None or (record["status"] != "done" and not is_settled):
            missing.append(cell)
        else:
            done.append(record)
    return Plan(done, missing)


def _existing(cell: Cell, results: Path, progress: Progress) -> dict[str, Any] | None:
    folder = cell.folder(results)
    try:
        return read_record(folder)
    except BenchError as error:
        progress.note(f"{error}; {set_aside_record(results, folder / 'record.json')}, the cell runs again")
        return None


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
    if parts.source.name == "file" and parts.settings.teacher.model == "scratch":
        progress.note(
            f"preset {parts.settings.preset} trains tiny models from nothing, which shows how it works and not what "
            f"strategies do to real text: for {', '.join(tasks)} give --preset minilm"
        )
    runnable = [cell for cell in cells if not missing(cell.made)]
    for strategy in {str(cell.strategy): cell.strategy for cell in cells}.values():
        if lacks := lacking(strategy.create()):
            progress.note(f"{strategy} will be skipped: {lacks}")
    parts.check({role for cell in runnable for role in (*cell.made.needs, *cell.made.reads())}, tasks)


def launch(jobs: Sequence[Job], results: Path, progress: Progress) -> list[dict[str, Any]]:
    """Run ``jobs`` one after another and return their records."""
    records = []
    for number, job in enumerate(jobs, 1):
        progress.cell(number, len(jobs), str(job.cell))
        record = run_cell(job.cell, job.parts, results, progress)
        progress.note(f"[{number}/{len(jobs)}] {job.cell}: {_outcome(record)}")
        records.append(record)
    return records


def _outcome(record: dict[str, Any]) -> str:
    if record["status"] != "done":
        return f"{record['status']}: {record['reason']}"
    main, cost = record["main"], record["cost"]
    return f"{main['metric']} {main['value']:.3f} in {cost['train_seconds']:.0f} s of training"
