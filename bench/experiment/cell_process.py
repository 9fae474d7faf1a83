"""A process that runs cells, from the side of the one that started it: orders go in, messages and records come out."""

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
from dataclasses import replace
from multiprocessing.connection import Pipe
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.errors import BenchError
from bench.experiment import worker
from bench.experiment.launch import CellJob, Sweep
from bench.mirror import reduced
from bench.registry import imported_files

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


class CellProcess:
    """One process. It ends with the one that started it, however that ends, and is started anew after it died."""

    def __init__(self, start: bytes) -> None:
        self._start_with = start
        self._start()

    def _start(self) -> None:
        self.connection, theirs = Pipe()
        # What libraries print would tear the progress display; the last line says why a process died.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        code = f"import sys; sys.path[:] = {sys.path}; from {worker.__name__} import serve; "
        self._process = subprocess.Popen(
            [sys.executable, "-c", code + f"serve({theirs.fileno()})"],
            stdin=subprocess.PIPE,  # ends with this process, however that ends
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for this process, which then ends its workers
        )
        theirs.close()
        self._send(self._start_with)

    def send(self, order: bytes) -> None:
        """Hand out a cell by its pickled ``order``, to a new process where this one died idle."""
        if self._process.poll() is not None:
            self.close()
            self._start()
        self._send(order)

    def hear(self) -> tuple[Any, ...]:
        """Return the next message: its kind and what it says. Of a process that died it is the last."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return DIED, self._last_words(), self._process.returncode

    def _send(self, what: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a dead process is noticed in hear()
            self.connection.send_bytes(what)

    def _last_words(self) -> str:
        code = self._process.wait()
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

    def terminate(self) -> None:
        """Ask the process to put away what it has in hand and end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for its end, no longer than that."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=max(0.0, seconds))

    def close(self) -> None:
        """End the process at once, and all that it has started."""
        if self._log.closed:  # its number may be another process's by now
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with self._process, self.connection, self._log:  # waits for it
            pass


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
