"""What attacks on finished students work with: the sample of dev, the same for all students, and the masked LM."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.source import Source, TaskData
from bench.data.tasks import Example, Task
from bench.errors import BenchError, UsageError
from bench.experiment.again import settings_of, source_of
from bench.observer import Observer
from bench.reporting.schema import Done


@dataclass(frozen=True)
class Settings:
    """How students are attacked: ``rows`` of dev, at most ``budget`` questions each, in so many ``workers``."""

    rows: int
    budget: int
    workers: int | None = None
    data_dir: Path | None = None
    task_file: Path | None = None
    redo: bool = False

    @cached_property
    def device(self) -> str:
        """The kind of device that students are asked on."""
        from bench.models.accelerator import PreciseAccelerator

        return PreciseAccelerator().device.type


@dataclass(frozen=True)
class Sample:
    """The rows of dev under attack, in their order, of how many, and where they come from."""

    task: Task
    rows: Sequence[Example]
    of: int
    source: str
    fingerprint: str


class Samples:
    """The samples of the tasks of runs, each drawn once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[tuple[Any, ...], Sample] = {}

    def of(self, run: Done) -> Sample:
        """Return the sample of the dev rows that ``run`` was scored on; UsageError where these are no longer there."""
        given = run.spec.get("fingerprint")
        key = (run.task, run.spec.get("source"), given, run.preset if given is None else None)
        if key not in self._known:
            try:
                self._known[key] = self._drawn(run)
            except BenchError as error:
                raise UsageError(f"the dev rows of run {run.id} ({run.preset} · {run.task}): {error}") from error
        return self._known[key]

    def _drawn(self, run: Done) -> Sample:
        source = _source(run, self._settings)
        if run.task not in source.tasks:
            raise UsageError(f"there is no task {run.task!r} in {source.name}")
        now, then = source.fingerprint(run.task), run.spec.get("fingerprint")
        if then is not None and now != then:
            raise UsageError(f"they are others than then (fingerprint {now}, then {then}): give --data-dir DIR")
        data: TaskData = source.load(run.task)
        labelled = [row for row in data.splits["dev"] if row.label is not None]
        chosen = np.sort(np.random.default_rng(0).permutation(len(labelled))[: self._settings.rows])
        return Sample(data.task, [labelled[row] for row in chosen], len(labelled), data.source, data.fingerprint)


def _source(run: Done, settings: Settings) -> Source:
    return source_of(run, settings_of(run), settings.data_dir, settings.task_file)


def generators(results: Path, settings: Settings, observer: Observer) -> Callable[[Done], tuple[str, str]]:
    """Return what gives the folder and digest of the masked LM of a run's setting, made where it is not there yet."""
    known: dict[str, tuple[str, str]] = {}

    def of(run: Done) -> tuple[str, str]:
        own = settings_of(run)
        source = _source(run, settings)
        key = json.dumps([own.to_dict(), source.name, run.spec.get("source")], sort_keys=True, default=str)
        if key not in known:
            from bench.experiment.parts import Parts

            parts = Parts(own, source, results, observer, settings.workers)
            known[key] = str(parts.generator_folder()), str(parts.generator.card["hash"])
        return known[key]

    return of
