"""What a row of the page is, a strategy or what strategies are held beside, and how many there are of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.reporting import kinds
from bench.reporting.leaderboard import PLAIN_KD
from bench.reporting.marks import ON_SCORES
from bench.reporting.report.numbers import listed

STRATEGIES = (kinds.STRATEGY, kinds.OTHER_TASKS)
"""Kinds of rows that the verdict is about; all others are there to be held beside them."""
_BUDGET, _ANOTHER = ON_SCORES["budget"]
_COUNTED = {
    kinds.STRATEGY: ("strategy", "strategies"),
    kinds.BUDGET: ("row of another budget", "rows of other budgets"),
    kinds.CONTROL: ("control", "controls"),
    kinds.REFERENCES: ("reference", "references"),
}


def is_strategy(row: Mapping[str, Any]) -> bool:
    """Return whether a row of ``summary.ordered`` is a strategy."""
    return row["kind"] in STRATEGIES


def tag(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what stands by a row's name where it is no strategy: a word or two, and what they mean."""
    if row["kind"] == kinds.BUDGET:
        return f"{_BUDGET} other budget", ("plain distillation under " if row["base"] == PLAIN_KD else "") + _ANOTHER
    return {
        kinds.BASELINE: ("baseline", "all differences are taken to it"),
        kinds.CONTROL: ("control", "no text that could help: what is not above it does not work by its texts"),
        kinds.REFERENCES: ("reference", "the student without a teacher; no strategy"),
    }.get(row["kind"])


def counted(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return ``"8 strategies, 1 row of another budget and 3 controls"``, the baseline not counted."""
    alike = [kinds.STRATEGY if is_strategy(row) else row["kind"] for row in rows]
    numbers = {what: alike.count(what) for what in _COUNTED}
    words = [f"{n:,} {_COUNTED[what][n != 1]}" for what, n in numbers.items() if n]
    return listed(words) if words else ""
