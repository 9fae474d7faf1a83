"""The launcher of ``--jobs N``: N cells at a time on this machine, each in a process of its own."""

from __future__ import annotations

import contextlib
import copyreg
import io
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Pipe, wait
from types import MappingProxyType
from typing import Any

from bench.errors import BenchError
from bench.experiment import worker
from bench.experiment.cell import failed_record
from bench.experiment.launch import CellJob, Finished, Launcher, Sweep, in_process
from bench.experiment.parts import Parts
from bench.experiment.progress import Progress
from bench.registry import imported_files

GRACE_SECONDS = 20.0
"""How long a cell may take to put away what it has in hand when all end."""


def launcher(count: int) -> Launcher:
    """Return what runs ``count`` cells at a time on this machine: of one it is this process."""
    return in_process if count == 1 else Processes(count)


@dataclass(frozen=True)
class Processes:
    """Runs jobs in ``count`` processes, each for one cell after another, its threads an equal share of this process's.

    A process that dies fails the cell that it had, and is replaced. All end with this process, however it ends.
    """

    count: int

    def __call__(self, jobs: Sequence[CellJob], sweep: Sweep) -> Iterator[Finished]:
        """Run every one of ``jobs`` and yield what became of it, as it ends."""
        import torch

        count = min(self.count, len(jobs))
        threads = max(1, torch.get_num_threads() // count)
        rewriters = max(1, (os.cpu_count() or 1) // count)
        queue, workers = _Queue(jobs), list[_Worker]()
        try:
            workers += (_Worker(seat, count, threads, rewriters) for seat in sweep.progress.seats(count))
            while queue.unfinished:
                for one in workers:
                    if one.number is None and (number := queue.next()) is not None:
                        one.send(number, queue, sweep)
                busy: list[Any] = [one.connection for one in workers if one.number is not None]
                for ready in wait(busy):
                    one = next(each for each in workers if each.connection is ready)
                    if (record := one.hear()) is None:
                        continue
                    number, one.number = one.number, None
                    assert number is not None
                    if record == {}:
                        queue.later(number)
                        continue
                    queue.done(number)
                    one.seat.idle()
                    yield Finished(number, record, time.monotonic() - one.began)
        finally:
            _end(workers)


class _Queue:
    """The cells still to run, and which of them may run now."""

    def __init__(self, jobs: Sequence[CellJob]) -> None:
        self.jobs, self.unfinished = jobs, set(range(len(jobs)))
        self.waiting, self._busy_elsewhere = list(range(len(jobs))), set[int]()
        self._prepared: set[tuple[int, str]] = set()

    def next(self) -> int | None:
        """Take the number of the next cell; None where what is left has to wait for cells that run.

        Of a task whose teacher is being trained for another cell none is taken while there are other tasks. Tasks
        without a teacher come first, and long cells before short ones, so that no process is long alone at the end.
        """
        unfinished = {self.jobs[number].cell.id for number in self.unfinished}
        able = [n for n in self.waiting if not unfinished & {cell.id for cell in self.jobs[n].cell.compared()}]
        running = {self._place(n) for n in self.unfinished - set(self.waiting)} - self._prepared
        if not able:
            return None

        def order(number: int) -> tuple[bool, bool, bool, int]:
            place = self._place(number)
            prepared = place in self._prepared
            return number in self._busy_elsewhere, place in running, prepared, -self.jobs[number].updates

        first = min(able, key=order)
        self.waiting.remove(first)
        return first

    def later(self, number: int) -> None:
        """Put back a cell that another command is running: it is waited for when nothing else is left."""
        self.waiting.append(number)
        self._busy_elsewhere.add(number)

    def waits(self, number: int) -> bool:
        """Return whether a cell that another command is running is waited for now."""
        return number in self._busy_elsewhere

    def done(self, number: int) -> None:
        """Take note that the cell has a record."""
        self.unfinished.remove(number)
        self._prepared.add(self._place(number))

    def _place(self, number: int) -> tuple[int, str]:
        return id(self.jobs[number].parts), self.jobs[number].cell.task.name


class _Worker:
    """One process from this side; ``number`` is the cell that it has, ``began`` when it got that."""

    def __init__(self, seat: Progress, count: int, threads: int, rewriters: int) -> None:
        self.seat, self._count, self._threads, self._rewriters = seat, count, threads, rewriters
        self.number: int | None = None
        self.began = 0.0
        self._start()

    def _start(self) -> None:
        self.connection, theirs = Pipe()
        self._known: dict[int, int] = {}
        # What libraries print would tear the progress display; the last line says why a process died.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        code = f"import sys; sys.path[:] = {sys.path}; from {worker.__name__} import serve; "
        self.process = subprocess.Popen(
            [sys.executable, "-c", code + f"serve({theirs.fileno()})"],
            stdin=subprocess.PIPE,  # ends with this process, however that ends
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for this process, which then ends its workers
        )
        theirs.close()
        self._send(worker.Start(imported_files(), sys.argv, self._threads))

    def send(self, number: int, queue: _Queue, sweep: Sweep) -> None:
        """Hand out cell ``number``."""
        job = queue.jobs[number]
        if self.process.poll() is not None:  # died idle
            self.close()
            self._start()
        self.number, self.began, self._job, self._sweep = number, time.monotonic(), job, sweep
        waiting = [queue.jobs[other] for other in queue.waiting]
        self.seat.cell(number + 1, len(queue.jobs), str(job.cell), partial(_left, sweep, job, waiting, self._count))
        key = id(job.parts)
        made_of = None if key in self._known else _made_of(job.parts, self._rewriters)
        self._known[key] = key
        order = worker.Order(
            replace(job.cell), key, made_of, sweep.results, job.keep, sweep.redo, sweep.track, queue.waits(number)
        )
        self._send(order)

    def hear(self) -> dict[str, Any] | None:
        """Take one message: return the cell's record, {} if another command runs it, None while there is more to come.

        Of a process that died the cell has failed; another one takes its place.
        """
        try:
            kind, *what = self.connection.recv()
        except (EOFError, OSError):
            reason = self._last_words()
            self.close()
            self._start()
            return failed_record(self._job.cell, self._sweep.results, reason)
        if kind == "record":
            return what[0] or {}
        getattr(self.seat, kind)(*what)
        return None

    def _send(self, what: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a dead process is noticed in hear()
            self.connection.send_bytes(_pickled(what))

    def _last_words(self) -> str:
        code = self.process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        advice = "the same command tries it again, from its checkpoint if it had one"
        if code == -signal.SIGKILL:
            advice = (
                "a system short of memory does that: fewer cells at once (--jobs N) or rows at once (--set "
                f"recipe.accumulate=2); {advice}"
            )
        return f"its process died ({how}{f': {last:.200}' if last else ''}); {advice}"

    def close(self) -> None:
        """End the process at once, and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with self.process, self.connection, self._log:  # waits for it
            pass


def _end(workers: Sequence[_Worker]) -> None:
    """End ``workers``: those at work may put away what they have in hand, and none outlives a while."""
    for one in workers:
        if one.number is not None:
            one.process.terminate()
    until = time.monotonic() + GRACE_SECONDS
    for one in workers:
        if one.number is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(timeout=max(0.0, until - time.monotonic()))
        one.close()


def _left(
    sweep: Sweep, job: CellJob, waiting: Sequence[CellJob], count: int, phase: str, left: float, per_step: float
) -> float | None:
    """Return the seconds left of the grid, ``waiting`` shared by ``count`` processes."""
    total = sweep.pace.left([job, *waiting], 0, phase, left, per_step)
    return None if total is None else left + (total - left) / count


def _made_of(parts: Parts, rewriters: int) -> tuple[Any, ...]:
    workers = rewriters if parts.workers is None else parts.workers
    return parts.settings, parts.source, parts.cache.parent, workers


def _copied(view: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return worker.read_only, (dict(view),)


def _pickled(what: Any) -> bytes:
    content = io.BytesIO()
    try:
        pickler = pickle.Pickler(content)
        pickler.dispatch_table = {**copyreg.dispatch_table, MappingProxyType: _copied}
        pickler.dump(what)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BenchError(
            f"a cell cannot be sent to a process of its own ({type(error).__name__}: {error}); run the cells in this "
            "one: --jobs 1"
        ) from error
    return content.getvalue()
