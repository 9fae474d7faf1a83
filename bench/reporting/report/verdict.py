"""What a comparison comes to in one sentence, and in one more what that rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.reporting.leaderboard import PLAIN_KD, REFERENCE
from bench.reporting.points import plural
from bench.reporting.report.numbers import interval, kind, listed, number, points, probability
from bench.reporting.sheet import plain_rows

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison

_NAMED = 3
"""So many strategies are named in the sentence; of more, their number and the first."""


def against(baseline: str) -> str:
    """Return what the sentence calls the baseline."""
    return "plain distillation" if baseline == PLAIN_KD else baseline


def rivals(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the rows of the strategies that are held against the baseline, the largest gain first."""
    rows = [
        row
        for row in plain_rows(comparison.strategies)
        if row["strategy"] != comparison.baseline and row["base"] != REFERENCE
    ]
    return sorted(rows, key=lambda row: (row["gain"] is None, -(row["gain"] or 0.0)))


def seeds_of(comparison: Comparison) -> str:
    """Return how many seeds the differences are over, in words."""
    rows = comparison.tasks
    paired = rows.loc[(rows["strategy"] != comparison.baseline) & (rows["n_paired"] > 0), "n_paired"]
    if paired.empty:
        return "no shared seed"
    low, high = int(paired.min()), int(paired.max())
    return plural(low, "seed") if low == high else f"{low} to {high} seeds"


def tasks_of(comparison: Comparison) -> int:
    """Return on how many tasks the comparison stands."""
    return int(comparison.tasks["task"].nunique())


def headline(comparison: Comparison) -> str:
    """Return the one sentence: which strategies are better or worse than the baseline, or that none can be told."""
    rows, plain = rivals(comparison), against(comparison.baseline)
    on = f"with {seeds_of(comparison)} on {plural(tasks_of(comparison), 'task')}"
    judged = [row for row in rows if kind(row["verdict"])]
    if not judged:
        return f"Nothing stands beside {plain} here that could be held against it."
    by_kind = {name: [row for row in judged if kind(row["verdict"]) == name] for name in ("better", "worse")}
    better, worse = by_kind["better"], by_kind["worse"]
    if not better and not worse:
        if all(kind(row["verdict"]) == "unknown" for row in judged):
            where = f"{seeds_of(comparison)} on {plural(tasks_of(comparison), 'task')}"
            return f"{where} cannot tell {_whom(judged)} from {plain}."
        subject = f"{judged[0]['strategy']} cannot" if len(judged) == 1 else f"None of {len(judged)} strategies can"
        return f"{subject} be told from {plain} {on}."
    parts = []
    if better:
        parts.append(f"{_subject(better)} better than {plain} {on}")
    if worse:
        parts.append(f"{_subject(worse)} worse" + ("" if better else f" than {plain} {on}"))
    if len(judged) > len(better) + len(worse):
        rest = len(judged) - len(better) - len(worse)
        parts.append(f"the other {rest} cannot be told from it" if rest > 1 else "the other one cannot be told from it")
    return _upper("; ".join(parts)) + "."


def support(comparison: Comparison) -> str:
    """Return what the sentence rests on: the difference that would have been seen, and the largest gain."""
    judged = [row for row in rivals(comparison) if kind(row["verdict"])]
    parts = []
    seen = sorted(value for row in judged if (value := number(row["detectable"])) is not None)
    if judged and all(kind(row["verdict"]) == "unknown" for row in judged):
        least = [value for row in judged if (value := number(row["smallest_p"])) is not None]
        if least:
            parts.append(
                f"The smallest p that this set-up could reach, whatever the data, is {probability(min(least))}."
            )
    if seen:
        low, high = points(seen[0]), points(seen[-1])
        size = f"{low} points" if low == high else f"{low} to {high} points, by strategy"
        parts.append(f"Smallest difference that would have been seen: {size}.")
    if judged and number(judged[0]["gain"]) is not None:
        first = judged[0]
        gain = points(first["gain"], signed=True)
        within = interval(first["gain_low"], first["gain_high"])
        whose = f"Largest gain: {first['strategy']}, {gain}" if len(judged) > 1 else f"Gain: {gain}"
        parts.append(f"{whose} points (95 % interval {within}).")
    return " ".join(parts)


def _whom(rows: list[dict[str, Any]]) -> str:
    return str(rows[0]["strategy"]) if len(rows) == 1 else "any strategy"


def _subject(rows: list[dict[str, Any]]) -> str:
    """Return the strategies of ``rows`` with their verb."""
    names = [str(row["strategy"]) for row in rows]
    if len(names) > _NAMED:
        return f"{len(names)} strategies, {names[0]} first, are"
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'}"


def _upper(text: str) -> str:
    """Return a sentence with its first letter large, unless it begins with the name of a strategy."""
    first = text.partition(" ")[0]
    return text[:1].upper() + text[1:] if first in ("no", "the") else text
