"""How long a grid would take where nothing like it was recorded: a few real updates, on real rows, are timed."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from bench.distill.feed import Feed, batch_order
from bench.distill.loop import distil
from bench.evaluation.selection import selection
from bench.experiment.launch import CellJob
from bench.experiment.parts import Parts
from bench.locks import WAITING
from bench.observer import Silent
from bench.settings import Settings
from bench.strategy import adversary_updates

# Updates and dev rows that are timed: on real tasks dev has thousands of rows, which take minutes.
_UPDATES, _DEV_ROWS = 4, 256


class _WaitsError(Exception):
    """Another command is making what was to be timed."""


class _Enough(Exception):
    """Training was watched long enough to know that all of ``phase`` takes ``seconds``."""

    def __init__(self, phase: str, seconds: float) -> None:
        super().__init__(phase)
        self.phase, self.seconds = phase, seconds


class _Stopwatch(Silent):
    """An observer that ends the training of a teacher or generator when its speed is seen."""

    def __init__(self) -> None:
        self._phase, self._first, self._start = "", 0, 0.0

    def note(self, text: str) -> None:
        """Raise _WaitsError where another command's work would be waited for."""
        if text.startswith(WAITING):
            raise _WaitsError

    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """Raise _Enough at the second report of one training."""
        if phase != self._phase:
            self._phase, self._first, self._start = phase, done, perf_counter()
        elif phase in ("teacher", "generator"):
            self._phase = ""
            raise _Enough(phase, (total - self._first) * (perf_counter() - self._start) / max(1, done - self._first))


class Calibration:
    """Times what a grid on the source of ``parts`` would train. Only caches of tokenised texts are written."""

    def __init__(self, parts: Parts, results: Path) -> None:
        # What is broken off at once leaves no checkpoint behind.
        recipe = dataclasses.replace(parts.settings.recipe, checkpoint_seconds=math.inf)
        settings = dataclasses.replace(parts.settings, recipe=recipe)
        self._parts = parts.under(settings, _Stopwatch())
        self._plain = parts.under(_untrained(self._parts), _Stopwatch())

    def generator(self) -> float | None:
        """Return the seconds that the generator's training will take; None where it is cached."""
        began = _now()
        seconds = self._parts.seconds_of_generator()
        return None if seconds is None else seconds * self._share(began)

    def teacher(self, task: str) -> float | None:
        """Return the seconds that the fine-tuning of the teacher of ``task`` will take; None where it is cached."""
        for parts in (self._parts, self._plain):
            began = _now()
            try:
                parts.teacher(task)
            except _WaitsError:
                return None
            except _Enough as enough:
                # A teacher that starts from a generator still to be trained is timed from an untrained one.
                if enough.phase == "teacher":
                    return enough.seconds * self._share(began)
            else:
                break
        return None

    def cell(self, job: CellJob) -> float | None:
        """Return the seconds of the cell's updates and evaluations; None for those that rewrite texts first."""
        strategy, task, recipe = job.cell.strategy.create(), job.cell.task, job.cell.settings.recipe
        if strategy.rewriters():
            return None
        splits = self._plain.encoded(task.name)
        train, dev = splits["train"], splits["dev"].first(_DEV_ROWS)
        per_epoch = batch_order(train.lengths, recipe, 0).per_epoch
        models = self._plain.untrained(task)
        logits = np.zeros((len(train), task.n_outputs), np.float32) if "teacher" in strategy.needs else None
        began = _now()
        distil(
            models,
            strategy,
            dataclasses.replace(recipe, epochs=_UPDATES / per_epoch, evaluate_every=1e6),
            selection("last"),
            Feed(train, logits, device=models.accelerator.device, cost=models.cost),
            {"dev": dev},
            seed=0,
            observer=Silent(),
        )
        cost, every = models.cost, max(1, round(recipe.evaluate_every * per_epoch))
        seconds = job.updates * cost.seconds["student"] / cost.student_updates
        if cost.adversary_updates:
            seconds += adversary_updates(strategy, job.updates) * cost.seconds["adversary"] / cost.adversary_updates
        # Dev at every evaluation, and once more where not the last student is reported; the other splits once.
        evaluations = math.ceil(job.updates / every) + (selection(recipe.selection).chooses is not None)
        rows = evaluations * len(splits["dev"])
        rows += sum(len(split) for name, split in splits.items() if name not in ("train", "dev"))
        seconds += rows * cost.seconds["evaluate"] / len(dev)
        return seconds * self._share(began)

    def _share(self, began: tuple[float, float]) -> float:
        """Return the share of the time since ``began`` that this process was at work, where the CPU does the work.

        On a busy machine that is the estimate for an idle one: how busy it will be, nobody knows.
        """
        if self._parts.accelerator.device.type != "cpu":
            return 1.0
        waited, worked = (now - before for now, before in zip(_now(), began, strict=True))
        return min(1.0, worked / max(waited, 1e-9))


def _now() -> tuple[float, float]:
    """Return the time by the clock and this process's own, of all its threads."""
    return perf_counter(), process_time()


def _untrained(parts: Parts) -> Settings:
    """Return the settings with what starts from the trained generator started from that generator's own start."""
    settings = parts.settings
    for role in ("teacher", "student"):
        if parts.origin(role) == "generator":
            own = dataclasses.replace(
                getattr(settings, role), model=settings.generator.model, shape=dict(parts.shape(role))
            )
            settings = dataclasses.replace(settings, **{role: own})
    return settings
