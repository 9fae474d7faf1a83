"""What a comparison comes to in one sentence, and in a few more what that rests on and what stands above it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.reporting import kinds
from bench.reporting.leaderboard import PLAIN_KD
from bench.reporting.points import plural
from bench.reporting.report.numbers import interval, kind, listed, number, points, probability
from bench.reporting.report.standing import counted, is_strategy
from bench.reporting.statistics.verdict import ALPHA
from bench.reporting.summary import ordered

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison

Rows = Sequence[dict[str, Any]]

_NAMED = 3
"""So many strategies are named in the sentence; of more, their number and the first."""


def against(baseline: str) -> str:
    """Return what the sentence calls the baseline."""
    return "plain distillation" if baseline == PLAIN_KD else baseline


def judged(comparison: Comparison) -> tuple[Rows, Rows]:
    """Return the rows with a verdict, the largest gain first: the strategies', and those they are held beside.

    These are controls, the reference and runs of other budgets: no verdict on a strategy speaks of them.
    """
    rows = [row for row in ordered(comparison) if row["kind"] != kinds.BASELINE and kind(row["verdict"])]
    rows.sort(key=lambda row: (row["gain"] is None, -(row["gain"] or 0.0)))
    return [row for row in rows if is_strategy(row)], [row for row in rows if not is_strategy(row)]


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
    (rows, beside), plain = judged(comparison), against(comparison.baseline)
    on = f"with {seeds_of(comparison)} on {plural(tasks_of(comparison), 'task')}"
    if not rows and beside:
        return f"No strategy stands beside {plain} here, only {counted(beside)}."
    if not rows:
        return f"Nothing stands beside {plain} here that could be held against it."
    by_kind = {name: [row for row in rows if kind(row["verdict"]) == name] for name in ("better", "worse")}
    better, worse = by_kind["better"], by_kind["worse"]
    if not better and not worse:
        if all(kind(row["verdict"]) == "unknown" for row in rows):
            where = f"{seeds_of(comparison)} on {plural(tasks_of(comparison), 'task')}"
            return f"{where} cannot tell {_whom(rows)} from {plain}."
        subject = f"{rows[0]['strategy']} cannot" if len(rows) == 1 else f"None of {len(rows)} strategies can"
        return f"{subject} be told from {plain} {on}."
    parts = []
    if better:
        parts.append(f"{_subject(better)} better than {plain} {on}")
    if worse:
        parts.append(f"{_subject(worse)} worse" + ("" if better else f" than {plain} {on}"))
    if len(rows) > len(better) + len(worse):
        rest = len(rows) - len(better) - len(worse)
        parts.append(f"the other {rest} cannot be told from it" if rest > 1 else "the other one cannot be told from it")
    return _upper("; ".join(parts)) + "."


def support(comparison: Comparison) -> str:
    """Return what the sentence rests on: the difference that would have been seen, the largest gain, what is above."""
    rows, beside = judged(comparison)
    parts = []
    seen = sorted(value for row in rows if (value := number(row["detectable"])) is not None)
    if rows and all(kind(row["verdict"]) == "unknown" for row in rows):
        least = [value for row in rows if (value := number(row["smallest_p"])) is not None]
        if least:
            n = len(_tested(comparison))
            holm = f", after Holm's correction over {n} rows {probability(min(1.0, n * min(least)))}" if n > 1 else ""
            reached = f"{probability(min(least))}{holm}"
            parts.append(f"The smallest p that this set-up could reach, whatever the data, is {reached}.")
    if seen:
        low, high = points(seen[0]), points(seen[-1])
        size = f"{low} points" if low == high else f"{low} to {high} points, by strategy"
        parts.append(f"Smallest difference that would have been seen: {size}.")
    # A gain over other tasks is not held beside the others where there are any.
    alike = [row for row in rows if row["kind"] == kinds.STRATEGY] or rows
    first = alike[0] if alike and number(alike[0]["gain"]) is not None else None
    if first is not None:
        whose = f"Largest gain of a strategy: {first['strategy']}, " if len(rows) > 1 else "Gain: "
        where = "" if first["kind"] == kinds.STRATEGY else ", over other tasks than the baseline"
        gain, within = points(first["gain"], signed=True), interval(first["gain_low"], first["gain_high"])
        parts.append(f"{whose}{gain} points (95 % interval {within}){where}.")
    if apart := [row for row in rows if kind(row["verdict"]) in ("better", "worse") and number(row["like_gain"])]:
        also = [str(row["strategy"]) for row in apart if row["like_p_holm"] <= ALPHA]
        parts.append(f"For other tasks like these it is shown of {listed(also) if also else 'none of them'}.")
    return " ".join([*parts, *_above(beside, None if first is None else first["gain"])])


def corrected_over(comparison: Comparison) -> str:
    """Return over how many rows the p values are corrected, and what these are; empty for fewer than two."""
    rows = _tested(comparison)
    return f"all {len(rows)} rows tested: {counted(rows)}" if len(rows) > 1 else ""


def _tested(comparison: Comparison) -> Rows:
    """Return the rows that Holm's correction is over."""
    return [row for row in ordered(comparison) if row["kind"] != kinds.BASELINE and number(row["p_holm"]) is not None]


def _above(beside: Rows, most: float | None) -> Iterator[str]:
    """Yield of each kind of rows beside strategies the one that gains most, where no strategy gains as much."""
    kinds_named = set()
    for row in beside:
        gain = number(row["gain"])
        if row["kind"] in kinds_named or gain is None or not row.get("same_tasks", True):
            continue
        kinds_named.add(row["kind"])
        if most is not None and gain <= most:
            continue
        name, p = row["strategy"], probability(row.get("p_holm"))
        subject = {
            kinds.BUDGET: f"Plain distillation on another budget, {name},"
            if row["base"] == PLAIN_KD
            else f"On another budget {name}",
            kinds.REFERENCES: f"The reference {name}, a student without a teacher,",
        }.get(row["kind"], f"The control {name}")
        does = "gains" if most is None else "gains more"
        within = interval(row["gain_low"], row["gain_high"])
        yield (
            f"{subject} {does}: {points(gain, signed=True)} points (95 % interval {within}; {row['verdict']}, p {p})."
        )


def _whom(rows: Rows) -> str:
    return str(rows[0]["strategy"]) if len(rows) == 1 else "any strategy"


def _subject(rows: Rows) -> str:
    """Return the strategies of ``rows`` with their verb."""
    names = [str(row["strategy"]) for row in rows]
    if len(names) > _NAMED:
        return f"{len(names)} strategies, {names[0]} first, are"
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'}"


def _upper(text: str) -> str:
    """Return a sentence with its first letter large, unless it begins with the name of a strategy."""
    first = text.partition(" ")[0]
    return text[:1].upper() + text[1:] if first in ("no", "the") else text
