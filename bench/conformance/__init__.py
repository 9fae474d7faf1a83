"""What `bench check` checks, and how a check says what it saw."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import BenchError
from bench.rewriting.job import in_a_line

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


def error_line(error: Exception) -> str:
    """Return ``error`` in a line, with the place in the code that raised it where it is no message for people."""
    if isinstance(error, BenchError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{in_a_line(error)} ({Path(last.filename).name}:{last.lineno})"


def shortened(text: str, most: int = 160) -> str:
    """Return ``text``, shortened to what fits a line."""
    return text if len(text) <= most else f"{text[:most]}…"
