"""What `bench check` checks, and how a check says what it saw."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from bench.errors import BenchError

T = TypeVar("T")


class Failed(BenchError):
    """The strategy does not satisfy a check; the message says what was seen and what to do."""


class Skipped(Exception):
    """A check does not apply to the strategy; the message says why."""


def once(method: Callable[[Any], T]) -> cached_property[T]:
    """Return ``method`` as a property computed once; where that failed, asking again raises Skipped."""

    def compute(self: Any) -> T:
        tried = vars(self).setdefault("_tried", set())
        if method in tried:
            raise Skipped("it needs what failed above")
        tried.add(method)
        return method(self)

    compute.__doc__ = method.__doc__
    return cached_property(compute)


def shortened(text: str, most: int = 160) -> str:
    """Return ``text``, shortened to what fits a line."""
    return text if len(text) <= most else f"{text[:most]}…"
