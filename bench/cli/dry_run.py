"""`bench run --dry-run`: what a grid's cells would do, what is cached, and how long it would take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.observer import clock_time
from bench.spec import lacking, models_read

if TYPE_CHECKING:
    from bench.experiment.launch import Job
    from bench.experiment.progress import Progress


def overview(done: Sequence[str], jobs: Sequence[Job], results: Path, progress: Progress) -> str:
    """Return a line per cell (``done``, or of ``jobs``) and per model to train, and the time of all."""
    from bench.experiment.calibration import Calibration
    from bench.experiment.pace import Pace

    start, pace = time.monotonic(), Pace(results)
    lines = [(cell, "done") for cell in done]
    measured: dict[tuple[str, str], float | None] = {}
    calibrations = {id(job.parts): Calibration(job.parts, results) for job in jobs}
    seconds: list[float | None] = []
    wanted: dict[tuple[int, str], set[str]] = {}
    for job in jobs:
        made, calibration = job.cell.made, calibrations[id(job.parts)]
        if reason := made.supports(job.cell.task) or lacking(made):
            lines.append((str(job.cell), f"will be skipped: {reason}"))
            continue
        wanted.setdefault((id(job.parts), job.cell.task.name), set()).update((*made.needs, *models_read(made)))
        if rates := pace.like(job):
            seconds.append(statistics.median(rates) * job.updates)
            basis = f"from {len(rates)} run{'s' * (len(rates) > 1)} like it"
        else:
            key = (job.cell.task.name, str(job.cell.strategy))
            if key not in measured:
                progress.doing(f"timing a few updates of {key[1]} on {key[0]}")
                measured[key] = calibration.cell(job)
            seconds.append(measured[key])
            basis = "a few updates timed"
        known = seconds[-1]
        what = "unknown: it rewrites texts, and no run like it is here" if known is None else _about(known, basis)
        lines.append((str(job.cell), f"to run, {what}"))
    models: list[float | None] = []
    for (parts, task), roles in wanted.items():
        if "teacher" in roles:
            progress.doing(f"looking for the teacher of {task}")
            models.append(calibrations[parts].teacher(task))
            lines.append((f"teacher of {task}", _model(models[-1])))
    for parts, calibration in calibrations.items():
        if any("generator" in roles or _from_generator(jobs) for (place, _), roles in wanted.items() if place == parts):
            progress.doing("looking for the generator")
            models.append(calibration.generator())
            lines.append(("generator", _model(models[-1])))
    width = max((len(name) for name, _ in lines), default=0)
    known = sum(value for value in [*seconds, *models] if value is not None)
    rest = " and what is unknown" if None in seconds else ""
    return "\n".join(
        [
            *(f"{name:<{width}}  {what}" for name, what in lines),
            f"{len(seconds)} cells to run, {len(done)} done: about {clock_time(known)}{rest} "
            f"(this took {time.monotonic() - start:.0f} s)",
        ]
    )


def _about(seconds: float, basis: str) -> str:
    return f"about {clock_time(seconds)} ({basis})"


def _model(seconds: float | None) -> str:
    return f"to be trained, {_about(seconds, 'a few updates timed')}" if seconds is not None else "there already"


def _from_generator(jobs: Sequence[Job]) -> bool:
    return any(job.parts.origin(role) == "generator" for job in jobs for role in ("teacher", "student"))
