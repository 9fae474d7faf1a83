"""Ctrl-C and SIGTERM in the middle of training: what is in hand is finished and put away first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """A SIGINT or SIGTERM, whichever ``number`` says."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interrupts:
    """While entered, a SIGINT or SIGTERM waits until ``obey`` is called, so that it comes between two steps of a loop.

    It is an Interrupted then. A second one does not wait, unless they are ``patient``. Signals that are ignored, as a
    shell has it for what runs in the background, stay so. In another thread than the main one, where Python handles
    none, nothing is changed.
    """

    last = signal.SIGINT
    """The signal that was raised last: code in between may make a plain KeyboardInterrupt of it."""

    def __init__(self, *, patient: bool = False) -> None:
        self.asked = 0
        self._patient = patient
        self._held = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def obey(self, asked: int | None = None) -> None:
        """Raise Interrupted where a signal has come, or for the one ``asked``, wherever that came (0: none)."""
        if number := self.asked if asked is None else asked:
            raise self._interrupted(number)

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let signals through within the block: for what may take minutes and leaves nothing half made.

        Where they are ``patient``, they wait here too.
        """
        if not self._patient:
            self.obey()
        self._held = self._patient
        try:
            yield
        finally:
            self._held = True

    def _receive(self, number: int, _: FrameType | None) -> None:
        if (self.asked and not self._patient) or not self._held:
            raise self._interrupted(number)
        self.asked = number

    @staticmethod
    def _interrupted(number: int) -> Interrupted:
        Interrupts.last = signal.Signals(number)
        return Interrupted(number)


@contextmanager
def terminable() -> Iterator[None]:
    """Have SIGTERM raise Interrupted within the block, so that it leaves as orderly as Ctrl-C does."""
    Interrupts.last = signal.SIGINT
    with Interrupts() as interrupts, interrupts.released():
        yield
