"""What a run's training looks like, handed on to a tracker of experiments through accelerate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import BenchError, UsageError, unknown
from bench.experiment.grid import Cell
from bench.observer import Observer
from bench.resources import python_package

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
"""From a tracker's name to the package that it wants."""
PROJECT = "distil-augment-bench"
FOLDER = "tracking"
"""Where, in the results, trackers write that keep files."""
_ITS_PHASES = ("student", "adversary")


def check_tracker(name: str) -> None:
    """Raise UsageError for a tracker that is not known or not installed."""
    if name not in TRACKERS:
        raise unknown("tracker", name, TRACKERS)
    package = python_package(name, TRACKERS[name])
    if not package.ready():
        raise UsageError(f"--track {name} wants a package that is not installed: {package.command}")


class Tracked:
    """An observer that hands a run's losses and dev scores to ``accelerator``'s trackers, and all on to ``observer``.

    Steps are student updates. What a teacher's or a generator's own training says is no part of the run. A tracker
    that fails while the run goes on is told of once, and costs the run nothing.
    """

    def __init__(self, observer: Observer, accelerator: Any) -> None:
        self._observer, self._accelerator = observer, accelerator
        self._phase, self._step = "", 0

    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """Hand on the loss of the run's own phases."""
        self._phase, self._step = phase, done
        if loss is not None and phase in _ITS_PHASES:
            self.log({f"{phase}/loss": loss})
        self._observer.update(phase, done, total, loss)

    def evaluated(self, metric: str, value: float) -> None:
        """Hand on the student's score on dev."""
        if self._phase in _ITS_PHASES:
            self.log({f"dev/{metric}": value})
        self._observer.evaluated(metric, value)

    def note(self, text: str) -> None:
        """Hand on what a person should know."""
        self._observer.note(text)

    def log(self, values: Mapping[str, float]) -> None:
        """Give ``values`` to the trackers, at the student update last seen."""
        self._given(lambda accelerator: accelerator.log(dict(values), step=self._step))

    def _given(self, work: Callable[[Any], None]) -> None:
        """Do ``work`` with the trackers, where there are any that still work."""
        if self._accelerator is None:
            return
        try:
            work(self._accelerator)
        except Exception as error:  # noqa: BLE001 - of a tracker's own kind, an unreachable server say
            self._accelerator = None
            self.note(f"tracking ends here, the run goes on: {type(error).__name__}: {error}")

    def finish(self, record: Mapping[str, Any]) -> None:
        """Give the record's scores and cost, and end the trackers' run."""
        if record["status"] == "done":
            scores = {
                f"reported/{split}.{metric}": value
                for split, values in record["metrics"].items()
                for metric, value in values.items()
                if value is not None
            }
            self.log(scores | {"reported/train_seconds": record["cost"]["train_seconds"]})
        self._given(lambda accelerator: accelerator.end_training())


@contextmanager
def tracking(name: str | None, cell: Cell, results: Path, observer: Observer) -> Iterator[Tracked | None]:
    """Yield an observer that also feeds the tracker ``name`` (None: there is none), for the run of ``cell``.

    BenchError where the tracker does not start: it is asked for, so that a run without it is not what was wanted.
    """
    if name is None:
        yield None
        return
    from accelerate import Accelerator

    run = cell.folder(Path()).relative_to("runs").as_posix()
    own = {
        "tensorboard": {},
        "wandb": {
            "name": run,
            "group": f"{cell.settings.preset}/{cell.task.name}/{cell.strategy}",
            "dir": str(results),
        },
        "mlflow": {"run_name": run},
    }[name]
    try:
        accelerator = Accelerator(log_with=name, project_dir=str(results / FOLDER))
        # Tensorboard's "project" is the folder of one run, that of the others what holds all runs.
        project = run if name == "tensorboard" else PROJECT
        accelerator.init_trackers(project, config=_flat(cell), init_kwargs={name: own})
    except Exception as error:  # of a tracker's own kind: no login, an unreachable server
        raise BenchError(f"--track {name} does not start: {type(error).__name__}: {error}") from error
    yield Tracked(observer, accelerator)


def _flat(cell: Cell) -> dict[str, Any]:
    """Return what the run was asked for as plain values by name, as trackers take them."""
    tree: dict[str, Any] = {
        "task": cell.task.name,
        "strategy": str(cell.strategy),
        "seed": cell.seed,
        "id": cell.id,
        "signature": cell.signature,
    }
    for section, values in cell.settings.to_dict().items():
        for key, value in values.items() if isinstance(values, dict) and section != "strategies" else ():
            tree[f"{section}.{key}"] = value
    return {key: value if isinstance(value, bool | int | float) else str(value) for key, value in tree.items()}
