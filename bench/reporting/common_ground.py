"""What all rows of a comparison share, and what its intervals and verdicts leave out, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from bench.reporting.leaderboard import task_order
from bench.reporting.marks import ON_SCORES
from bench.reporting.points import points
from bench.reporting.statistics.paired import NOTHING, ROWS, SEEDS
from bench.reporting.statistics.verdict import ALPHA
from bench.reporting.task_gains import Row

_BUDGET = "budget"
MADE_WITH = ("teacher", "student", "recipe")
_WORDS = {"bench": "suite", "max_length": "word pieces a row at most"}
"""Parts of a signature that read as they are; the others are hashes, or said below in words."""
_ORDER = (
    *("suite", "data", "training rows at most", "word pieces a row at most", "teacher", "teacher's weights"),
    *(
        "teacher's score",
        "student",
        "recipe",
        "student updates",
        "student selected by",
        "scored on",
        "seeds",
        "hardware",
        "libraries",
        "commits",
    ),
)


def same_for_all(rows: Sequence[Row]) -> dict[str, str]:
    """Return what the rows of the main settings share: {what: value in words}; what differs among them is left out."""
    rows = [row for row in rows if row["main"]]
    if not rows:
        return {}
    by_row = _by_row(rows)
    shared: dict[str, Any] = {what: _single(values) for what, values in by_row.items()}
    shared["training rows at most"] = _single(row["max_train"] or "all" for row in rows)
    shared["student updates"] = _single(f"{row['student_updates']:,}" for row in rows if _BUDGET not in row["warnings"])
    if names := of_other_budgets(rows):
        # Their settings hold the recipe's epochs, which their budget takes the place of.
        but = f"but {', '.join(names)} for the updates of another budget ({ON_SCORES[_BUDGET][0]})"
        shared |= {what: f"{value}, {but}" for what in ("recipe", "student updates") if (value := shared.get(what))}
    shared["seeds"] = _single(", ".join(map(str, row["seeds"])) for row in rows)
    hashes, scores = _by_task(rows, "teacher_hashes"), _by_task(rows, "teacher")
    if all(len(own) == 1 for own in hashes.values()):
        shared["teacher's weights"] = "one set per task, for every strategy and seed"
        means = {task: own[0] for task, own in scores.items() if own}
        shared["teacher's score"] = ", ".join(f"{task} {points(means[task])}" for task in sorted(means, key=task_order))
    return {what: str(shared[what]) for what in _ORDER if shared.get(what)}


def of_other_budgets(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the strategies whose runs were not as long as the recipe says."""
    return list(dict.fromkeys(row["strategy"] for row in rows if _BUDGET in row["warnings"]))


def unlike(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what is not the same for all rows of the main settings, a line each, and what it is where."""
    rows = [row for row in rows if row["main"]]
    for what, values in _by_row(rows).items():
        if len(different := list(dict.fromkeys(value for value in values if value is not None))) < 2:
            continue
        own = {one: [row for row, value in zip(rows, values, strict=True) if value == one] for one in different}
        tasks = {one: sorted({row["task"] for row in there}, key=task_order) for one, there in own.items()}
        names = {one: list(dict.fromkeys(row["strategy"] for row in there)) for one, there in own.items()}
        by = next((by for by in (tasks, names) if sum(map(len, by.values())) == len({*chain(*by.values())})), None)
        where = {one: ", ".join(by[one]) if by else f"{len(own[one])} of {len(rows)} rows" for one in different}
        yield f"not the same for all rows, {what}: " + "; ".join(f"{one} ({where[one]})" for one in different)


def _by_row(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return what a row was run with, row by row, as texts, None where its record does not say."""
    parts = [dict(piece.partition("=")[::2] for piece in row["signature"].split("|")) for row in rows]
    columns: dict[str, list[Any]] = {word: [part.get(key) for part in parts] for key, word in _WORDS.items()}
    columns["data"] = [part.get("data", "").partition(":")[0] or None for part in parts]
    for name in MADE_WITH:
        columns[name] = [(row.get("made_with") or {}).get(name) for row in rows]
    columns["student selected by"] = [row["selection"] + " (optimistic)" * bool(row["optimistic"]) for row in rows]
    columns["scored on"] = [row["split"] for row in rows]
    for column, between in (("hardware", ", "), ("libraries", "; "), ("commits", ", ")):
        columns[column] = [between.join(filter(None, row[column])) or None for row in rows]
    return columns


def _by_task(rows: Sequence[Row], column: str) -> dict[str, list[Any]]:
    """Return the different values that the rows of each task have, those of a row with several apart."""
    by_task: dict[str, dict[Any, None]] = {}
    for row in rows:
        value = row.get(column)
        own = value if isinstance(value, tuple) else () if value is None else (value,)
        by_task.setdefault(row["task"], {}).update(dict.fromkeys(own))
    return {task: list(values) for task, values in by_task.items()}


def _single(values: Iterable[Any]) -> Any:
    """Return the one value that all are, or None."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def caveats(rows: Sequence[Row], strategies: Sequence[Mapping[str, Any]], baseline: str) -> Iterator[str]:
    """Yield what a reader of the intervals and verdicts must know, a line each."""
    main = [row for row in rows if row["main"] and row["strategy"] != baseline]
    if rows and not any(row["comparable"] and row["strategy"] == baseline for row in rows):
        yield f"no run of the baseline {baseline}: there are no gains; run it, or name another baseline"
        return
    apart = [row for row in main if row["comparable"] and not row["n_paired"]]
    if apart:
        yield f"no seed in common with {baseline}, no gain: {_named(apart)}"
    paired = [row for row in main if row["n_paired"]]
    yield from left_out_by_intervals(paired)
    if judged := [row for row in strategies if row["strategy"] != baseline and row["gain_low"] == row["gain_low"]]:
        yield "gains and verdicts are of these tasks; " + _elsewhere(judged)
    if paired:
        yield "every interval is given these teachers: another teacher is one more draw that none takes in"


def left_out_by_intervals(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what the intervals of ``rows`` do not take in, and whose; all of them share seeds with the baseline."""
    for covers, words in (
        (ROWS, "one seed: the interval takes in dev rows and leaves out seeds"),
        (SEEDS, "predictions are missing: the interval takes in seeds and leaves out dev rows"),
        (NOTHING, "no interval: neither predictions nor seeds that differ"),
    ):
        if chosen := [row for row in rows if row["interval_covers"] == covers]:
            yield f"{words}: {'all rows' if len(chosen) == len(rows) else _named(chosen)}"


def _elsewhere(strategies: Sequence[Mapping[str, Any]]) -> str:
    """Return of which strategies anything is known for other tasks than those they were run on."""
    known = [row for row in strategies if not math.isnan(row["like_gain"])]
    shown = [row["strategy"] for row in known if row["like_p_holm"] <= ALPHA]
    few = [row["strategy"] for row in strategies if math.isnan(row["like_gain"])]
    words = []
    if known:
        words.append(f"on tasks like these a gain other than 0 is shown of {', '.join(shown) if shown else 'none'}")
    if few:
        words.append("fewer than three say nothing of others" + (f" ({', '.join(few)})" if known else ""))
    return "; ".join(words)


def _named(rows: Sequence[Row]) -> str:
    """Return ``"mate-kd (rte, cola), eda (rte)"``."""
    tasks: dict[str, list[str]] = {}
    for row in rows:
        tasks.setdefault(row["strategy"], []).append(row["task"])
    return ", ".join(f"{name} ({', '.join(dict.fromkeys(own))})" for name, own in tasks.items())
