"""The launcher ``ray``: cells on the machines of a Ray cluster, which share the storage of the results folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from bench.files import remove, whole_file
from bench.registry import imported_files
from bench.remote.mirror import fetch_file, reduced

_LOOK_EVERY_SECONDS = 30.0
Marker = tuple[Callable[..., Path], tuple[Any, ...]]
"""A file in the results as ``reduced`` returns it: on an object store another machine has it in a folder of its own."""
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
        with _connected(ray, self.asked.address) as may_grow, _marker(sweep.results) as path:
            places, gpus = _places(self.asked, ray.cluster_resources(), may_grow=may_grow)
            count = min(places, self.count or len(jobs), len(jobs))
            host = ray.remote(num_cpus=self.asked.cpus, num_gpus=gpus, max_concurrency=2, max_restarts=0)(_Host)
            cluster = _Cluster(ray, host, start_of(self.asked.cpus), reduced(path))
            seats = list[_Seat]()
            lacking = f"{self.asked.cpus} cores" + (f" and {gpus:g} GPUs" if gpus else "")

            def ready() -> list[_Seat]:
                return [one for one in seats if one.number is None and one.is_there]

            def listen() -> list[_Seat]:
                by_reference = {one.awaited: one for one in seats if one.awaited is not None}
                limit = min(_LOOK_EVERY_SECONDS, self.silence or _LOOK_EVERY_SECONDS)
                if not by_reference:
                    raise BenchError("no machine of the cluster can run cells any more: the notes above say why")
                spoke, _ = ray.wait(list(by_reference), timeout=limit)
                # All that have spoken by now: the first in the list would be heard most.
                spoke, _ = ray.wait(list(by_reference), num_returns=len(by_reference), timeout=0)
                if not spoke and not any(one.is_there for one in seats):
                    sweep.progress.note(f"waiting for a machine of the cluster with {lacking} free for a cell")
                for one in seats:
                    one.has_spoken = one.awaited is not None and one.awaited in spoke
                return [one for one in seats if one.has_spoken or one.is_silent()]

            try:
                for progress in sweep.progress.seats(count):
                    seats.append(_Seat(cluster, progress, self.silence))
                yield from take_turns(seats, ready, listen, jobs, sweep, self.asked.cpus)
            finally:
                _end(ray, seats)


@dataclass
class _Cluster:
    """What the seats have in common. ``losses`` counts the machines that each cell has lost."""

    ray: Any
    host: Any
    start: bytes
    marker: Marker
    losses: Counter[int] = field(default_factory=Counter)
    works: bool = False
    """Whether any machine has run a cell."""


class _Host:
    """A Ray actor: one process that runs cells, on whichever machine Ray puts it."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._process: CellProcess | None = None

    def check(self, version: str, marker: Marker, needed: Sequence[Path]) -> str:
        """Return the machine's name; BenchError where cells cannot run here as where they were sent from."""
        name = socket.gethostname()
        if bench.__version__ != version:
            raise BenchError(
                f"{name} has version {bench.__version__} of distil-augment-bench, not {version}: install the same"
            )
        make, given = marker
        path = make(*given)
        fetch_file(path)
        if not path.exists():
            raise BenchError(
                f"{name} does not see the results folder {path.parent}: give --results DIR on storage that all "
                "machines share under one name, or on an object store"
            )
        if lacking := [str(path) for path in needed if not path.exists()]:
            raise BenchError(f"{name} does not see {', '.join(lacking)}: it must be there under the same name")
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
                self._process.kill()
            if message[0] in ("record", DIED):
                return

    def end(self) -> None:
        """End the process; the cell that it is at may put away what it has in hand."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(GRACE_SECONDS)
            self._process.kill()


class _Seat(Seat):
    """An actor with the cell that it has; ``awaited`` is where its next message comes from, None while it is idle."""

    def __init__(self, cluster: _Cluster, progress: Progress, silence: float | None) -> None:
        super().__init__(progress, silence)
        self._cluster, self._ray = cluster, cluster.ray
        self.has_spoken = self.is_there = False
        self._starts, self._was_heard = 0, False
        self.actor: Any = None
        self._begin()

    def _begin(self) -> None:
        """Ask for a machine."""
        self._starts += 1
        self.is_there = False
        self.actor = self._cluster.host.remote(self._cluster.start)
        needed = [Path.cwd(), *imported_files()]
        self.awaited: Any = self.actor.check.remote(bench.__version__, self._cluster.marker, needed)
        self.progress.doing("waiting for a machine")

    def hand_over(self, order: bytes) -> None:
        self._was_heard = False
        self.awaited = self.actor.run.options(num_returns="streaming").remote(order)

    def hear(self) -> Heard:
        if not self.has_spoken:
            return self.hung()
        try:
            if not self.is_there:
                self.name = self._ray.get(self.awaited)
                self.is_there, self.awaited, self._starts = True, None, 0
                self.progress.idle()
                return "more"
            kind, *what = self._ray.get(next(self.awaited))
        except self._ray.exceptions.RayTaskError as error:
            return self._unfit(error.cause)
        except (self._ray.exceptions.RayError, StopIteration) as error:
            return self._lost(error)
        self._was_heard = self._cluster.works = True
        if kind in ("record", DIED):
            self.awaited = None
        return self.understand(kind, what)

    def _unfit(self, error: BaseException) -> Heard:
        """The machine cannot run cells: the end where none has, else of this seat alone."""
        if not self._cluster.works:
            raise error if isinstance(error, BenchError) else BenchError(f"no cell can run on the cluster: {error}")
        self.progress.note(f"{error}; no more cells go there")
        self.rest()
        return "more" if self.number is None else "lost"

    def _lost(self, error: BaseException) -> Heard:
        """The actor is no more, with its machine or by itself, or cannot be reached; then it shall not go on."""
        self._ray.kill(self.actor)
        if self.number is None:
            if self._starts >= _MOST_LOSSES:
                raise BenchError(
                    f"cells cannot start on the cluster's machines, of which each needs distil-augment-bench "
                    f"{bench.__version__}: {' '.join(str(error).split()):.300}"
                )
            self._begin()
            return "more"
        # One that died idle, before it was given this cell, says nothing of the cell.
        self._cluster.losses[self.number] += self._was_heard
        loss = f"{self.name} was lost ({type(error).__name__})"
        if self._cluster.losses[self.number] >= _MOST_LOSSES:
            return self.failed(f"{loss}: {_MOST_LOSSES} machines were lost with this cell")
        self.progress.note(f"{loss}; the cell goes on from its checkpoint on another machine")
        self._begin()
        return "lost"

    def close(self) -> None:
        # Of an actor whose process died by itself another process takes the next cell; of all else another actor.
        if self.awaited is not None:
            self._ray.kill(self.actor)
            self._begin()

    def rest(self) -> None:
        if self.actor is not None:
            self._ray.kill(self.actor)
        self.actor = self.awaited = None
        self.is_there = False


def _places(asked: RayOptions, room: Mapping[str, float], *, may_grow: bool) -> tuple[int, float]:
    """Return for how many cells a cluster has ``room``, one at least, and how many GPUs each has.

    UsageError where there is none for a single one, nor ever will be.
    """
    gpus = min(1.0, room.get("GPU", 0.0)) if asked.gpus is None else asked.gpus
    for name, unit, each, of in (("cpus", "CPU", asked.cpus, "cores"), ("gpus", "GPU", gpus, "GPUs")):
        there = room.get(unit, 0.0)
        if each > there and not may_grow:
            raise UsageError(
                f"a cell asks for {each:g} {of}, and the cluster started on this machine has {there:g}: give "
                f"'ray[{name}={there:g}]' or less, or a cluster's address, 'ray[address=HOST:6379]'"
            )
    fit = [room.get("CPU", 0.0) // asked.cpus, *([room.get("GPU", 0.0) // gpus] if gpus else [])]
    return max(1, int(min(fit))), gpus


def _ray() -> Any:
    # Usage reports go nowhere unless the user wants them to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    return ray


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[bool]:
    """Connect to the cluster, or start one here, and leave it in the end as it was found.

    Yields whether machines may join it: not one that was started here.
    """
    if ray.is_initialized():
        yield True
        return
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    if where.startswith("ray://"):
        raise UsageError(
            f"{where} is of a Ray client, which cannot follow cells: give HOST:PORT, on a machine of the cluster"
        )
    on_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        started = {"include_dashboard": False} if where == "local" else {}
        ray.init(address=where, log_to_driver=False, logging_level="ERROR", **started)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BenchError(f"no Ray cluster at {where}: {' '.join(str(error).split()):.300}") from error
    finally:
        if on_main:
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own there, which leaves nothing in order
    try:
        yield where != "local"
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _marker(results: Path) -> Iterator[Path]:
    """Yield a file in ``results`` by which another machine knows that it sees the same folder."""
    path = results.resolve() / "seen" / uuid.uuid4().hex
    with whole_file(path) as part:
        part.touch()
    try:
        yield path
    finally:
        remove(path)
        with contextlib.suppress(OSError):  # another command's is there
            path.parent.rmdir()


def _end(ray: Any, seats: Sequence[_Seat]) -> None:
    there = [one for one in seats if one.actor is not None]
    at_work = [one.actor.end.remote() for one in there if one.number is not None and one.is_there]
    if at_work:
        ray.wait(at_work, num_returns=len(at_work), timeout=GRACE_SECONDS + 5)
    for one in there:
        ray.kill(one.actor)
