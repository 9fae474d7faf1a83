"""What a grid's cells would do, what is cached, and how long it would take: `bench run --dry-run`, and before a run."""

from __future__ import annotations

import dataclasses
import heapq
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.observer import clock_time
from bench.spec import lacking, models_read

if TYPE_CHECKING:
    from bench.experiment.launch import CellJob
    from bench.experiment.parts import Parts
    from bench.experiment.progress import Progress
    from bench.settings import Settings

_TIMED = "a few updates timed"
_AT_ONCE = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class _Line:
    """A cell or a model, what would become of it, and the seconds of that; None where they are not known."""

    name: str
    what: str
    seconds: float | None = 0.0


def overview(done: Sequence[str], jobs: Sequence[CellJob], results: Path, progress: Progress) -> str:
    """Return a line per cell (``done``, or of ``jobs``) and per model to train, and the time of all."""
    start, view = time.monotonic(), _View(results, progress)
    to_run = [job for job in jobs if not _reason(job)]
    rows = [_Line(cell, "done") for cell in done]
    rows += [_Line(str(job.cell), f"will be skipped: {reason}") for job in jobs if (reason := _reason(job))]
    rows += [view.cell(job) for job in to_run]
    rows += view.models(to_run)
    width = max(len(row.name) for row in rows)
    total = f"{len(to_run)} cells to run, {len(done)} done: {_total(rows)}"
    lines = [f"{row.name:<{width}}  {row.what}" for row in rows]
    lines += [f"{total} (this took {time.monotonic() - start:.0f} s)", *_at_once(rows, view.memory(to_run))]
    return "\n".join(lines)


def estimate(
    jobs: Sequence[CellJob], results: Path, progress: Progress, at_once: int = 1, *, trials: bool = False
) -> str:
    """Return in a line how long ``jobs`` will take, so many ``at_once``; what is timed on one task counts for all.

    Of ``trials``, which differ in options alone, one counts for all of its strategy.
    """
    view = _View(results, progress, once=True, trials=trials)
    to_run = [job for job in jobs if not _reason(job)]
    rows = [*map(view.cell, to_run), *view.models(to_run)]
    lanes = max(1, min(at_once, len(to_run)))
    shared = f", {lanes} at a time" if lanes > 1 else ""
    return f"{len(to_run)} cells to run{shared}: {_total(rows, lanes)} (from a few updates; cell by cell: --dry-run)"


def _total(rows: Sequence[_Line], lanes: int = 1) -> str:
    seconds = _makespan(rows, lanes)
    rest = ", plus the cells of unknown time" if any(row.seconds is None for row in rows) else ""
    return f"about {clock_time(seconds)}{rest}"


def _at_once(rows: Sequence[_Line], memory: int) -> list[str]:
    """Return lines that say what ``rows`` would take, so many at a time, of which each takes ``memory`` MB."""
    counts = [count for count in _AT_ONCE if count <= sum(bool(row.seconds) for row in rows)]
    if len(counts) < 2:
        return []
    cells = {
        "cells at a time": [str(count) for count in counts],
        "time, about": [clock_time(_makespan(rows, count)) for count in counts],
        "memory, GB": [f"{count * memory / 1024:.1f}" for count in counts],
    }
    width = max(map(len, cells)) + 2
    lines = [f"{head:<{width}}" + "".join(f"{cell:>10}" for cell in row) for head, row in cells.items()]
    return ["", *lines, "(--jobs N, or workers elsewhere; each with cores of its own, or it takes longer)"]


def _makespan(rows: Sequence[_Line], lanes: int) -> float:
    """Return when the last of ``lanes`` is done, where the longest of ``rows`` left goes to whichever is free first."""
    free = [0.0] * lanes
    for one in sorted((row.seconds for row in rows if row.seconds), reverse=True):
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def _reason(job: CellJob) -> str | None:
    return job.cell.instance.supports(job.cell.task) or lacking(job.cell.instance) or None


class _View:
    """Looks cells up among the runs recorded, or has a few updates timed: on each task, or ``once`` for all."""

    def __init__(self, results: Path, progress: Progress, *, once: bool = False, trials: bool = False) -> None:
        from bench.experiment.calibration import Calibration
        from bench.experiment.pace import Pace

        self._progress, self._pace = progress, Pace(results)
        self._calibration = cache(lambda parts: Calibration(parts, results))
        self._once, self._trials = once, trials
        self._timed: dict[tuple[str, str], float | None] = {}  # seconds per update

    def cell(self, job: CellJob) -> _Line:
        """Return what ``job`` would do, and how long it would take."""
        if rates := self._pace.like(job):
            runs = "1 run" if len(rates) == 1 else f"{len(rates)} runs"
            return _to_do(str(job.cell), "to run", statistics.median(rates) * job.updates, f"from {runs} like it")
        strategy = job.cell.strategy.as_shipped() if self._trials else job.cell.strategy
        kind = ("" if self._once else job.cell.task.name, str(strategy))
        if kind not in self._timed:
            self._progress.doing(f"timing a few updates of {job.cell.strategy} on {job.cell.task.name}")
            self._timed[kind] = self._per_update(job)
        if (rate := self._timed[kind]) is None:
            return _Line(str(job.cell), "to run, time unknown until it has run once: it rewrites texts", None)
        return _to_do(str(job.cell), "to run", rate * job.updates, _TIMED)

    def memory(self, jobs: Sequence[CellJob]) -> int:
        """Return the MB that a process of ``jobs`` takes at most: of runs like them, else of the updates timed here."""
        from bench.cost import peak_memory_mb

        return self._pace.memory(jobs) or peak_memory_mb()["process"]

    def _per_update(self, job: CellJob) -> float | None:
        try:
            seconds = self._calibration(job.parts).cell(job)
        except (Exception, SystemExit):
            if not self._once:
                raise
            return None  # before a run: what a strategy does wrong is its cells' failure, and recorded there
        return None if seconds is None else seconds / job.updates

    def models(self, jobs: Sequence[CellJob]) -> Iterator[_Line]:
        """Yield the teachers and generators that ``jobs`` need, and how long their training would take."""
        teachers: dict[tuple[str, str], Parts] = {}
        generators: dict[str, Parts] = {}
        for job in jobs:
            roles = {*job.cell.instance.needs, *models_read(job.cell.instance), "student"}
            if "teacher" in roles:
                few = job.cell.settings.teacher.rows == "few"
                key = repr(job.cell.settings) if few else _without_size(job.cell.settings)
                teachers.setdefault((key, job.cell.task.name), job.parts)
            starts_from_it = any(job.parts.origin(role) == "generator" for role in roles & {"teacher", "student"})
            if "generator" in roles or starts_from_it:
                generators.setdefault(_without_size(job.cell.settings), job.parts)
        per_row: dict[Parts, float] = {}
        for (_, task), parts in teachers.items():
            rows = parts.source.count(task)["train"]
            if self._once and parts in per_row:
                seconds: float | None = per_row[parts] * rows
            else:
                self._progress.doing(f"timing a few updates of the teacher of {task}")
                seconds = self._calibration(parts).teacher(task)
            if seconds is not None:
                per_row[parts] = seconds / rows
            yield _model(f"teacher of {task}", seconds)
        for parts in generators.values():
            self._progress.doing("timing a few updates of the generator")
            yield _model("generator", self._calibration(parts).generator())


def _without_size(settings: Settings) -> str:
    """Return what makes a model that has all rows, however few its students have: the same for all their sizes."""
    return repr(dataclasses.replace(settings, data=dataclasses.replace(settings.data, train_rows=None, sample_seed=0)))


def _to_do(name: str, what: str, seconds: float, basis: str) -> _Line:
    return _Line(name, f"{what}, about {clock_time(seconds)} ({basis})", seconds)


def _model(name: str, seconds: float | None) -> _Line:
    return _Line(name, "there already") if seconds is None else _to_do(name, "to be trained", seconds, _TIMED)
