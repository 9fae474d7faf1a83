"""How long cells take, from runs that were measured: those recorded here, and those that this grid finished."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cost import waited
from bench.errors import BenchError
from bench.experiment.provenance import provenance
from bench.experiment.waiting import place
from bench.reporting.records import read_record
from bench.reporting.schema import Done, record_of

if TYPE_CHECKING:
    from bench.experiment.grid import Cell
    from bench.experiment.launch import CellJob

# What must be equal for an update to take as long, by section of the settings.
_MODELS = ("model", "layers", "shape")
_ALIKE = {
    "data": ("max_length",),
    "teacher": (*_MODELS, "precision"),
    "student": _MODELS,
    "generator": _MODELS,
    "recipe": ("batch_size", "batch_tokens", "precision", "accumulate", "recompute", "compile", "method", "device"),
}


class Pace:
    """Seconds per student update of strategies on tasks, evaluation and rewriting included, and what follows."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._measured: dict[tuple[int, str, str], list[float]] = {}
        self._preparations: list[float] = []
        self._prepared: set[tuple[int, str]] = set()
        self._peaks: dict[tuple[int, str, str], int] = {}
        # Medians are asked for at every step that is shown, and change when a cell ends.
        self._typical: dict[tuple[int, str, str], float] = {}
        self._typical_of: dict[str, float] = {}

    def like(self, job: CellJob) -> list[float]:
        """Return the seconds per student update of every run like ``job``: same models, batches and hardware."""
        key = (*place(job), str(job.cell.strategy))
        if key not in self._measured:
            self._measured[key], self._peaks[key] = self._recorded(job.cell)
        return self._measured[key]

    def memory(self, jobs: Iterable[CellJob]) -> int | None:
        """Return the most memory in MB that a process had in any recorded run like one of ``jobs``; None without one.

        That is the processor's memory, not a GPU's.
        """
        for job in jobs:
            self.like(job)
        return max(self._peaks.values(), default=0) or None

    def learn(self, job: CellJob, record: dict[str, Any], seconds: float) -> None:
        """Take in what ``job`` took: ``seconds`` in all, of which the first on a task has a teacher to train."""
        own = waited(record["cost"]["seconds"]) if record["status"] == "done" else None
        if own is not None:
            self.like(job).append(own / record["cost"]["student_updates"])
            self._typical.clear()
            self._typical_of.clear()
            if place(job) not in self._prepared:
                self._preparations.append(seconds - own)
        self._prepared.add(place(job))

    def left(
        self, job: CellJob, later: Iterable[tuple[CellJob, int]], phase: str, left: float, per_step: float
    ) -> float | None:
        """Return the seconds left of ``job``, which has ``left`` in ``phase``, and of the cells that come ``later``.

        Those are told by one of each kind and the updates of all of the kind. None while not measured. A strategy
        that was not measured on a task counts as on the tasks where it was, and a task's preparation as that of
        others.
        """
        total, later = left, list(later)
        now = {str(job.cell.strategy): per_step} if phase == "student" else {}
        for other, updates in later if phase == "student" else [(job, job.updates), *later]:
            if (rate := self._rate(other) or now.get(str(other.cell.strategy))) is None:
                return None
            total += rate * updates
        unprepared = {place(other) for other, _ in later} - self._prepared - {place(job)}
        if unprepared and not self._preparations:
            return None
        return total + len(unprepared) * statistics.median(self._preparations or [0.0])

    def _rate(self, job: CellJob) -> float | None:
        """Return the seconds per update of runs like ``job``, else of its strategy on any task; None without one."""
        strategy = str(job.cell.strategy)
        key = (*place(job), strategy)
        if key not in self._typical and (rates := self.like(job)):
            self._typical[key] = statistics.median(rates)
        if key in self._typical:
            return self._typical[key]
        if strategy not in self._typical_of:
            rates = [rate for (*_, name), rates in self._measured.items() if name == strategy for rate in rates]
            if not rates:
                return None
            self._typical_of[strategy] = statistics.median(rates)
        return self._typical_of[strategy]

    def _recorded(self, cell: Cell) -> tuple[list[float], int]:
        rates, peak = [], 0
        for path in cell.folder(self._results).parent.glob("*/record.json"):
            try:
                record = read_record(path.parent)
            except BenchError:
                # Said, and set aside, by whoever runs that cell or compares it.
                continue
            run = None if record is None else record_of(record)
            if isinstance(run, Done) and run.cost.student_updates and _is_alike(run, cell):
                rates.append(waited(run.cost.seconds) / run.cost.student_updates)
                peak = max(peak, int(run.cost.peak_memory_mb.get("process", 0)))
        return rates, peak


def _is_alike(run: Done, cell: Cell) -> bool:
    if run.provenance.hardware != provenance()["hardware"]:
        return False
    # As JSON has it: a tuple is a list there.
    asked = json.loads(json.dumps(cell.settings.to_dict()))
    had = {section: settings for section, settings in run.spec.items() if isinstance(settings, dict)}
    return all(
        had.get(section, {}).get(key) == asked[section].get(key) for section, keys in _ALIKE.items() for key in keys
    )
