"""A process that runs cells, from the side of the one that started it: orders go in, messages and records come out."""

from __future__ import annotations

import contextlib
import copyreg
import io
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.child import Child
from bench.errors import BenchError
from bench.experiment import worker
from bench.experiment.launch import CellJob, Sweep
from bench.registry import imported_files
from bench.remote.mirror import reduced

DIED = "died"
"""The kind of message that says with what last words and exit code the process died; there is no more from it."""


def start_of(threads: int) -> bytes:
    """Return what a process is told first, for a share of ``threads`` of the machine's cores."""
    return pickled(worker.Start(imported_files(), sys.argv, threads, Path.cwd()))


def order_of(
    job: CellJob, sweep: Sweep, rewriters: int, *, wait: bool = False, known: dict[Any, Any] | None = None
) -> worker.Order:
    """Return the order to run ``job``, with so many ``rewriters``; orders that are sent together share ``known``."""
    parts = job.parts
    workers = rewriters if parts.workers is None else parts.workers
    made_of = (parts.settings, parts.source, parts.cache.parent, workers)
    # What was worked out about the cell is not sent.
    cell = replace(job.cell, known={} if known is None else known)
    return worker.Order(cell, job.cell.id, id(parts), made_of, sweep.results, job.keep, sweep.redo, sweep.track, wait)


class CellProcess(Child):
    """One process. It ends with the one that started it, however that ends, and is started anew after it died."""

    def __init__(self, start: bytes) -> None:
        super().__init__(worker.serve)
        self._start_with = start
        self.tell(start)

    def send(self, order: bytes) -> None:
        """Hand out a cell by its pickled ``order``, to a new process where this one died idle."""
        if not self.is_alive():
            self.kill()
            self._start()
            self.tell(self._start_with)
        self.tell(order)

    def hear(self) -> tuple[Any, ...]:
        """Return the next message: its kind and what it says. Of a process that died it is the last."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            code, how, last = self.last_words()
        advice = "the same command tries it again, from its checkpoint if it had one"
        if code == -signal.SIGKILL:
            advice = (
                "a system short of memory does that: fewer cells at once (--jobs N) or rows at once (--set "
                f"recipe.accumulate=2); {advice}"
            )
        return DIED, f"its process died ({how}{f': {last}' if last else ''}); {advice}", code

    def terminate(self) -> None:
        """Ask the process to put away what it has in hand and end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for its end, no longer than that."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=max(0.0, seconds))


def _copied(view: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return worker.read_only, (dict(view),)


def pickled(what: Any) -> bytes:
    """Return ``what`` as bytes that a process of this program takes; BenchError where it cannot be sent."""
    content = io.BytesIO()
    try:
        pickler = pickle.Pickler(content)
        pickler.dispatch_table = {**copyreg.dispatch_table, MappingProxyType: _copied, type(Path()): reduced}
        pickler.dump(what)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BenchError(
            f"a cell cannot be sent to a process of its own ({type(error).__name__}: {error}); run the cells in this "
            "one: --jobs 1"
        ) from error
    return content.getvalue()
