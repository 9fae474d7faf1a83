"""One process at a time: a lock on what is made once, whose owner is named and whose owner's death frees it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import printable
from bench.files import cannot_write, is_whole
from bench.observer import Observer
from bench.remote import mirror

WAITING = "waiting for"
"""How a note begins that says what of another process's is waited for."""
_POLL_SECONDS = 0.2
_ASK_STORE_SECONDS = 2.0


class Lock:
    """The lock of ``path``, a file or folder that one process at a time may make: a hidden file beside it.

    The operating system holds it for a living process (``flock``), and lets go when that dies, however it dies. Where
    a file system knows no such locks there is none: what is made stays whole, but may be made twice. In the mirror of
    an object store it is a lease there as well, as other machines have other mirrors.
    """

    def __init__(self, path: Path) -> None:
        # Imported here: it takes longer than all else in the ground.
        from filelock import FileLock

        self._file = path.with_name(f".{path.name}.lock")
        self._says = path.with_name(f".{path.name}.owner")
        self._lock = FileLock(str(self._file))
        self._mirror = mirror.of(path)
        self._lease = None if self._mirror is None else self._mirror.lease(path)

    def take(self, *, wait: bool) -> bool:
        """Take the lock and return True; False where another process has it and ``wait`` is not asked for."""
        if not self._take_here(wait):
            return False
        try:
            if not self._take_lease(wait):
                self._lock.release()
                return False
        except BaseException:
            self._lock.release()
            raise
        with contextlib.suppress(OSError):  # for people: who has it
            self._says.unlink(missing_ok=True)
            # "x": where a link has been put there, nothing is written to where it leads.
            with self._says.open("x") as file:
                file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        return True

    def _take_lease(self, wait: bool) -> bool:
        if self._mirror is None or self._lease is None:
            return True
        # Whoever has a lease from this mirror had the lock, and is dead if we have that now.
        while not self._lease.take(ours_is_dead=self._lock.is_locked):
            if not wait:
                return False
            time.sleep(_ASK_STORE_SECONDS)
        self._mirror.leases.add(self._lease)
        return True

    def _take_here(self, wait: bool) -> bool:
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
        return True

    def release(self) -> None:
        """Let go; files of locks stay, as another process may wait at them."""
        if self._mirror is not None and self._lease is not None and self._lease in self._mirror.leases:
            self._mirror.flush()
            self._mirror.leases.discard(self._lease)
            self._lease.release()
        if self._lock.is_locked:
            with contextlib.suppress(OSError):
                self._says.unlink()
            self._lock.release()

    def owner(self) -> str:
        """Return who has the lock, as a person reads it."""
        if self._lease is not None and self._lease.holder:
            return self._lease.holder
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
