"""Whose turn it is among machines that share an object store alone: a lease, which its owner renews while it lives.

An object ``leases/<name>/<n>`` is created by whoever takes the n-th lease, which the store lets one do, and written
over by its owner: with a count that goes up, then with the word that it is free. The highest n counts and stays, so no
n is given out twice. No machine's clock is compared with another's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import time
import uuid
from typing import Any

from bench.errors import UsageError, printable, quoted
from bench.remote.store import Store, StoreError

SILENCE = "BENCH_LEASE_SECONDS"
"""The environment variable that says after how many seconds without a word a machine counts as dead."""
_SILENCE_SECONDS = 90.0
_SHORTEST, _LONGEST = 1.0, 86400.0
_BEATS = 9
"""How often an owner renews its lease within those."""
_held: set[Lease] = set()
_renewing: list[threading.Thread] = []
_lock = threading.Lock()


class Lost(StoreError):
    """Another machine has taken a lease over, having heard nothing of this one: what it is for is no longer ours."""


class Lease:
    """The lease of ``name`` on ``store``, for the machine whose mirror folder has the identity ``mirror``."""

    def __init__(self, store: Store, name: str, mirror: str) -> None:
        self.name = name
        self.holder = ""
        """Who had the lease when that was last asked, as a person reads it."""
        self._store, self._mirror = store, mirror
        self._number, self._said = 0, dict[str, Any]()
        self._heard: tuple[int, Any] = (0, None)
        self._since = 0.0
        self._writing = threading.Lock()

    def take(self, *, ours_is_dead: bool) -> bool:
        """Take the lease and return True; False where another machine has it, which was heard of meanwhile.

        Its silence is timed from call to call. ``ours_is_dead``: who holds a lease from this mirror is known to be
        dead, as the caller has the local lock.
        """
        numbers = self._numbers()
        last = max(numbers, default=0)
        if last and not self._is_free(last, ours_is_dead):
            return False
        self._number = last + 1
        self._said = {"mirror": self._mirror, "host": socket.gethostname(), "pid": os.getpid(), "silence": silence()}
        self._said |= {"token": uuid.uuid4().hex, "beat": 0}
        if not self._store.create(self._at(self._number), self._content()):
            return False
        self._store.delete(map(self._at, numbers))
        with _lock:
            _held.add(self)
            if not _renewing:
                _renewing.append(threading.Thread(target=_renew, daemon=True))
                _renewing[0].start()
        return True

    def check(self) -> None:
        """Raise Lost where another machine has taken the lease over."""
        last = max(self._numbers(), default=0)
        if last != self._number:
            with contextlib.suppress(FileNotFoundError):
                self._hear(last)
            raise Lost(
                f"{self.holder or 'another machine'} has taken over {self.name}, having heard nothing of this one for "
                f"{self._said['silence']:g} s; what it makes counts"
            )

    def renew(self) -> None:
        """Tell the other machines that this one lives."""
        with self._writing:
            self._said["beat"] += 1
            # Of a number that does not count any more nobody takes notice.
            self._store.write(self._at(self._number), self._content())

    def release(self) -> None:
        """Let go; where the store cannot be reached, others wait until the silence is over."""
        with _lock:
            _held.discard(self)
        with self._writing, contextlib.suppress(StoreError):
            self._said["free"] = True
            self._store.write(self._at(self._number), self._content())

    def _is_free(self, last: int, ours_is_dead: bool) -> bool:
        try:
            claim = self._hear(last)
        except FileNotFoundError:
            return False  # the next has just been taken
        if claim["free"] or (ours_is_dead and claim["mirror"] == self._mirror):
            return True
        heard = (last, claim["beat"])
        if heard != self._heard:
            self._heard, self._since = heard, time.monotonic()
        return time.monotonic() - self._since > claim["silence"]

    def _hear(self, number: int) -> dict[str, Any]:
        claim = _understood(self._store.read(self._at(number)))
        self.holder = printable(f"process {claim['pid']} on {claim['host']}")
        return claim

    def _numbers(self) -> list[int]:
        folder = f"leases/{self.name}"
        ends = (name.removeprefix(f"{folder}/") for name in self._store.find(folder))
        return [int(end) for end in ends if re.fullmatch("[1-9][0-9]*", end)]

    def _at(self, number: int) -> str:
        return f"leases/{self.name}/{number}"

    def _content(self) -> bytes:
        return json.dumps(self._said).encode()


def _understood(content: bytes) -> dict[str, Any]:
    """Return what a lease says, whoever wrote it: one that cannot be read is of an owner of whom nothing is heard."""
    try:
        claim = json.loads(content)
    except (ValueError, RecursionError):
        claim = None
    claim = claim if isinstance(claim, dict) else {}
    pid, host, beat, asked = (claim.get(key) for key in ("pid", "host", "beat", "silence"))
    # NaN equals nothing.
    seconds = asked if isinstance(asked, int | float) and asked == asked else _SILENCE_SECONDS
    return {
        "pid": pid if type(pid) is int else "?",
        "host": host[:80] if isinstance(host, str) and host else "another machine",
        "mirror": claim.get("mirror"),
        "free": claim.get("free") is True,
        "beat": beat if type(beat) is int else None,
        "silence": min(max(seconds, _SHORTEST), _LONGEST),
    }


def silence() -> float:
    """Return after how many seconds without a word others may count this machine as dead; UsageError for no number."""
    text = os.environ.get(SILENCE) or str(_SILENCE_SECONDS)
    with contextlib.suppress(ValueError):
        if _SHORTEST <= (seconds := float(text)) <= _LONGEST:
            return seconds
    raise UsageError(f"{SILENCE}={quoted(text)}: give seconds, between {_SHORTEST:g} and {_LONGEST:g}")


def _renew() -> None:
    """Renew all leases that this process holds, for as long as it lives."""
    due = dict[Lease, float]()
    while True:
        time.sleep(0.2)
        with _lock:
            held = set(_held)
        for lease in held:
            if time.monotonic() >= due.get(lease, 0.0):
                with contextlib.suppress(StoreError):  # said where something is sent
                    lease.renew()
                due[lease] = time.monotonic() + lease._said["silence"] / _BEATS
        due = {lease: when for lease, when in due.items() if lease in held}
