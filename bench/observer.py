"""Who watches long work: the terminal's progress display, a test, or nobody."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Who watches a run: the terminal's progress display, or nobody."""

    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """``done`` of ``total`` are made: student updates in the phases "student" and "adversary", else ``phase``."""

    def evaluated(self, metric: str, value: float) -> None:
        """The student scored ``value`` on dev."""

    def note(self, text: str) -> None:
        """Something a person should know happened."""


class Silent:
    """Nobody watches."""

    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """Say nothing."""

    def evaluated(self, metric: str, value: float) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


def clock_time(seconds: float) -> str:
    """Return ``seconds`` as a person reads a clock: 1:34, or 2:10:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
