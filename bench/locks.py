"""One process at a time: a lock on what is made once, whose owner is named and whose owner's death frees it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import printable
from bench.files import cannot_write, is_whole
from bench.observer import Observer

WAITING = "waiting for"
"""How a note begins that says what of another process's is waited for."""
_POLL_SECONDS = 0.2


class Lock:
    """The lock of ``path``, a file or folder that one process at a time may make: a hidden file beside it.

    The operating system holds it for a living process (``flock``), and lets go when that dies, however it dies. Where
    a file system knows no such locks there is none: what is made stays whole, but may be made twice.
    """

    def __init__(self, path: Path) -> None:
        # Imported here: it takes longer than all else in the ground.
        from filelock import FileLock

        self._file = path.with_name(f".{path.name}.lock")
        self._says = path.with_name(f".{path.name}.owner")
        self._lock = FileLock(str(self._file))

    def take(self, *, wait: bool) -> bool:
        """Take the lock and return True; False where another process has it and ``wait`` is not asked for."""
        from filelock import Timeout

        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=-1 if wait else 0, poll_interval=_POLL_SECONDS)
        except Timeout:
            return False
        except NotImplementedError:  # the file system has no locks
            return True
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                return True
            raise cannot_write(self._file, error) from error
        with contextlib.suppress(OSError):  # for people: who has it
            self._says.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        return True

    def release(self) -> None:
        """Let go; files of locks stay, as another process may wait at them."""
        if self._lock.is_locked:
            with contextlib.suppress(OSError):
                self._says.unlink()
            self._lock.release()

    def owner(self) -> str:
        """Return who has the lock, as a person reads it."""
        try:
            owner = json.loads(self._says.read_text())
            return printable(f"process {owner['pid']} on {owner['host']}")
        except (OSError, ValueError, KeyError, TypeError):  # taken this very moment, or let go
            return "another process"


@contextmanager
def alone(path: Path, observer: Observer, what: str) -> Iterator[None]:
    """Hold the lock of ``path`` through the block; where another process has it, say that ``what`` is waited for."""
    lock = Lock(path)
    if not lock.take(wait=False):
        observer.note(f"{WAITING} {what}: {lock.owner()} makes it")
        lock.take(wait=True)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def missing(home: Path, observer: Observer, what: str) -> Iterator[bool]:
    """Yield whether the folder ``home`` is to be made in the block, which holds its lock if so.

    Of several processes that miss it one makes it, and the others wait for it. Made by one that died, it is made anew.
    """
    if is_whole(home, observer):
        yield False
        return
    with alone(home, observer, what):
        yield not is_whole(home, observer)
