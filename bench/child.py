"""A process that this one starts: messages go to it and come from it, it ends with this one, and leaves last words."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Pipe


class Child:
    """A new interpreter in which ``function(handle, *arguments)`` runs, with ``environment`` besides this one's.

    ``function`` is found by its module and name; it gives ``handle`` to ``attend``. ``connection`` is this side of
    what they tell each other. The process ends with this one, however that ends.
    """

    def __init__(
        self, function: Callable[..., None], *arguments: float, environment: Mapping[str, str] | None = None
    ) -> None:
        self._function, self._arguments, self._environment = function, arguments, environment or {}
        self._start()

    def _start(self) -> None:
        self.connection, theirs = Pipe()
        # What libraries print would tear the progress display; the last line says why a process died.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in kill()
        name, given = self._function.__name__, ", ".join(map(repr, (theirs.fileno(), *self._arguments)))
        code = f"import sys; sys.path[:] = {sys.path}; from {self._function.__module__} import {name}; {name}({given})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, **self._environment},
            stdin=subprocess.PIPE,  # ends with this process, however that ends
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for this process, which then ends the other and all it has started
        )
        theirs.close()

    def is_alive(self) -> bool:
        """Return whether the process is still there."""
        return self._process.poll() is None

    def tell(self, message: bytes) -> None:
        """Send ``message``; that the process is dead is noticed in hearing from it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(message)

    def last_words(self) -> tuple[int, str, str]:
        """Wait for its end and return the exit code, the same in words, and the last line that it printed, if any."""
        code = self._process.wait()
        self._log.seek(0)
        last = last_line(self._log.read().decode(errors="replace"))
        return code, f"exit code {code}" if code >= 0 else signal.Signals(-code).name, f"{last:.200}"

    def kill(self) -> None:
        """End the process at once, and all that it has started."""
        if self._log.closed:  # its number may be another process's by now
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with self._process, self.connection, self._log:  # waits for it
            pass


def last_line(text: str) -> str:
    """Return the last line of ``text`` that holds anything, without spaces around it; nothing where none does."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def attend(handle: int) -> Connection:
    """Return, in a process that a ``Child`` is of, its side of the connection; from now on it ends with the other."""
    os.set_inheritable(handle, False)
    threading.Thread(target=_end_with_parent, args=(os.dup(0),), daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return Connection(handle)


def _end_with_parent(standard_input: int) -> None:
    os.read(standard_input, 1)
    os.killpg(0, signal.SIGKILL)
