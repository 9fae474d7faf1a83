"""The launcher ``ray``: cells on the machines of a Ray cluster, which share the storage of the results folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench
from bench.errors import BenchError, UsageError
from bench.experiment.cell_process import DIED, CellProcess, start_of
from bench.experiment.launch import CellJob, Finished, Sweep
from bench.experiment.launcher_options import RayOptions
from bench.experiment.processes import GRACE_SECONDS
from bench.experiment.progress import Progress
from bench.experiment.seats import Heard, Seat, take_turns

_LOOK_EVERY_SECONDS = 30.0
_MOST_LOSSES = 3
"""How many machines a cell may lose before it counts as what ends them."""


@dataclass(frozen=True)
class RayCluster:
    """Runs jobs on a Ray cluster, at most ``count`` at a time; by default as many as it has room for at the start.

    On each machine a cell runs in a process of its own, as under ``--jobs N``. Where a machine is lost, its cells go
    on elsewhere from their checkpoints.
    """

    asked: RayOptions
    count: int | None = None
    silence: float | None = None

    def __call__(self, jobs: Sequence[CellJob], sweep: Sweep) -> Iterator[Finished]:
        """Run every one of ``jobs`` and yield what became of it, as it ends."""
        ray = _ray()
        with _connected(ray, self.asked.address), _marker(sweep.results) as marker:
            room = ray.cluster_resources()
            gpus = min(1.0, room.get("GPU", 0.0)) if self.asked.gpus is None else self.asked.gpus
            fit = [room.get("CPU", 0.0) // self.asked.cpus, *([room.get("GPU", 0.0) // gpus] if gpus else [])]
            count = max(1, min(int(min(fit)), self.count or len(jobs), len(jobs)))
            host = ray.remote(num_cpus=self.asked.cpus, num_gpus=gpus, max_concurrency=2, max_restarts=0)(_Host)
            start, losses = start_of(self.asked.cpus), Counter[int]()
            seats = list[_Seat]()
            lacking = f"{self.asked.cpus} cores" + (f" and {gpus:g} GPUs" if gpus else "")

            def ready() -> list[_Seat]:
                return [one for one in seats if one.number is None and one.is_there]

            def listen() -> list[_Seat]:
                by_reference = {one.awaited: one for one in seats if one.awaited is not None}
                limit = min(_LOOK_EVERY_SECONDS, self.silence or _LOOK_EVERY_SECONDS)
                spoke, _ = ray.wait(list(by_reference), timeout=limit)
                if not spoke and not any(one.is_there for one in seats):
                    sweep.progress.note(f"waiting for a machine of the cluster with {lacking} free for a cell")
                heard = [by_reference[each] for each in spoke]
                return heard + [one for one in seats if one not in heard and one.is_silent()]

            try:
                for progress in sweep.progress.seats(count):
                    seats.append(_Seat(ray, host, (start, bench.__version__, marker), losses, progress, self.silence))
                yield from take_turns(seats, ready, listen, jobs, sweep, self.asked.cpus)
            finally:
                _end(ray, seats)


class _Host:
    """A Ray actor: one process that runs cells, on whichever machine Ray puts it."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._process: CellProcess | None = None

    def check(self, version: str, marker: str) -> str:
        """Return the machine's name; BenchError where cells cannot run here as where they were sent from."""
        name = socket.gethostname()
        if bench.__version__ != version:
            raise BenchError(
                f"{name} has version {bench.__version__} of distil-augment-bench, not {version}: install the same"
            )
        if not Path(marker).exists():
            raise BenchError(
                f"{name} does not see the results folder {Path(marker).parent}: give --results DIR on storage that all "
                "machines share under one name"
            )
        return name

    def run(self, order: bytes) -> Iterator[tuple[Any, ...]]:
        """Run a cell, yielding what its process tells, to the record or the process's end."""
        if self._process is None:
            self._process = CellProcess(self._start)
        self._process.send(order)
        while True:
            message = self._process.hear()
            yield message
            if message[0] == DIED:
                self._process.close()
            if message[0] in ("record", DIED):
                return

    def end(self) -> None:
        """End the process; the cell that it is at may put away what it has in hand."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(GRACE_SECONDS)
            self._process.close()


class _Seat(Seat):
    """An actor with the cell that it has; ``awaited`` is where its next message comes from, None while it is idle."""

    def __init__(
        self,
        ray: Any,
        host: Any,
        told: tuple[bytes, str, Path],
        losses: Counter[int],
        progress: Progress,
        silence: float | None,
    ) -> None:
        super().__init__(progress, silence)
        self._ray, self._host, self._told, self._losses = ray, host, told, losses
        self._begin()

    def _begin(self) -> None:
        start, version, marker = self._told
        self.is_there = False
        self.actor = self._host.remote(start)
        self.awaited: Any = self.actor.check.remote(version, str(marker))
        self.progress.doing("waiting for a machine")

    def hand_over(self, order: bytes) -> None:
        self.awaited = self.actor.run.options(num_returns="streaming").remote(order)

    def hear(self) -> Heard:
        if self.is_there and self.is_silent():
            return self.hung()
        try:
            if not self.is_there:
                self.name = self._ray.get(self.awaited)
                self.is_there, self.awaited = True, None
                self.progress.idle()
                return "more"
            kind, *what = self._ray.get(next(self.awaited))
        except self._ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None
        except (self._ray.exceptions.RayError, StopIteration) as error:
            return self._lost(error)
        if kind in ("record", DIED):
            self.awaited = None
        return self.understand(kind, what)

    def _lost(self, error: BaseException) -> Heard:
        """The actor is no more, with its machine or by itself, or cannot be reached; then it shall not go on."""
        self._ray.kill(self.actor)
        if self.number is None:
            self._begin()
            return "more"
        self._losses[self.number] += 1
        said = f"{self.name} was lost ({type(error).__name__})"
        if self._losses[self.number] < _MOST_LOSSES:
            self.progress.note(f"{said}; the cell goes on from its checkpoint on another machine")
            self._begin()
            return "lost"
        return self.failed(f"{said}: {_MOST_LOSSES} machines were lost with this cell")

    def close(self) -> None:
        # Of an actor whose process died by itself another process takes the next cell; of all else another actor.
        if self.awaited is not None:
            self._ray.kill(self.actor)
            self._begin()


def _ray() -> Any:
    # Usage reports go nowhere unless the user wants them to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UsageError("--launcher ray needs Ray: pip install 'distil-augment-bench[ray]'") from None
    return ray


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Connect to the cluster, or start one here, and leave it in the end as it was found."""
    if ray.is_initialized():
        yield
        return
    on_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = address or os.environ.get("RAY_ADDRESS") or "on this machine"
        raise BenchError(f"no Ray cluster {where}: {' '.join(str(error).split()):.300}") from error
    finally:
        if on_main:
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own there, which leaves nothing in order
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _marker(results: Path) -> Iterator[Path]:
    """Yield a file in ``results`` by which another machine knows that it sees the same folder."""
    path = results.resolve() / f".seen-{uuid.uuid4().hex}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _end(ray: Any, seats: Sequence[_Seat]) -> None:
    at_work = [one.actor.end.remote() for one in seats if one.number is not None and one.is_there]
    if at_work:
        ray.wait(at_work, num_returns=len(at_work), timeout=GRACE_SECONDS + 5)
    for one in seats:
        ray.kill(one.actor)
