"""One comparison per preset: what every strategy gains over the baseline, how sure that is, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from bench.reporting.averages import averages
from bench.reporting.pairwise import pairwise
from bench.reporting.sheet import plain_rows
from bench.reporting.statistics.over_tasks import combine, improvability, on_front, won
from bench.reporting.statistics.sign_flip import holm, sign_flip, smallest_p
from bench.reporting.statistics.verdict import detectable, seeds_in_words, verdict
from bench.reporting.students import Gain, Students, by_run, gain, students_of

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "baseline"
"""The verdict of the baseline's own rows."""


@dataclass
class Comparison:
    """What renderers show of one preset. Gains and scores are fractions: 0.012 is 1.2 points."""

    preset: str  # its title
    baseline: str
    tasks: pd.DataFrame  # the leaderboard's rows with intervals and verdicts of the task alone
    strategies: pd.DataFrame  # one row per strategy, over its tasks
    pairwise: pd.DataFrame  # one row per ordered pair of strategies
    failures: list[dict[str, Any]] = field(default_factory=list)
    signature: dict[str, str] = field(default_factory=dict)  # what is the same for all rows, in words
    notes: list[str] = field(default_factory=list)


# fmt: off
TASK_COLUMNS = (
    "gain_low", "gain_high", "gain_se", "gain_df", "interval_covers", "standard_gain", "standard_se", "improvability",
    "p", "p_holm", "smallest_p", "verdict",
)
STRATEGY_COLUMNS = (
    "strategy", "base", "n_tasks", "n_cells", "gain", "gain_low", "gain_high", "gain_about", "tau", "i2",
    "prediction_low", "prediction_high", "plain_gain", "standard_gain", "standard_low", "standard_high", "p", "p_holm",
    "smallest_p", "detectable", "verdict", "won", "won_low", "won_high", "improvability", "passes_ratio", "cost_ratio",
    "on_front", "mean", "tasks", "same_tasks", "same_seeds",
)
# fmt: on


def compare(
    frame: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    baseline: str = "none",
    failures: Sequence[dict[str, Any]] = (),
) -> list[Comparison]:
    """Return a comparison for each preset of ``frame``, what ``leaderboard`` returns for ``baseline``.

    ``predictions`` has a row per (run, split, row) with ``id, split, row, label, prediction``; without it intervals
    are from seeds alone. Where strategies were tuned, a preset has two: as shipped, and tuned.
    """
    predicted = by_run(predictions)
    found = []
    for preset in sorted({*frame["preset"], *(failure["preset"] for failure in failures)}):
        rows = frame[frame["preset"] == preset]
        lost = [failure for failure in failures if failure["preset"] == preset]
        tuned = [bool(one) for one in rows["tuned"]] if len(rows) else []
        if not any(tuned) and not any(failure["tuned"] for failure in lost):
            found.append(_comparison(preset, rows, lost, predicted, baseline))
            continue
        both = [
            own or searched == [] or strategy == baseline
            for own, searched, strategy in zip(tuned, rows["searched"], rows["strategy"], strict=True)
        ]
        for title, mask in ((f"{preset}, as shipped", [not own for own in tuned]), (f"{preset}, tuned", both)):
            own_failures = [failure for failure in lost if failure["tuned"] == (mask is both)]
            found.append(_comparison(title, rows[mask], own_failures, predicted, baseline))
    return found


def _comparison(
    title: str, frame: pd.DataFrame, failures: list[dict[str, Any]], predicted: Mapping[Any, Any], baseline: str
) -> Comparison:
    import pandas as pd

    notes: list[str] = []
    rows = plain_rows(frame)
    students: dict[tuple[str, str], dict[str, Students]] = {}
    for (task, setting), own in groupby(rows, key=lambda row: (row["task"], row["setting"])):
        students[task, setting] = students_of(list(own), predicted, notes)
    gains = {}
    for row in rows:
        of_task = students[row["task"], row["setting"]]
        if row["strategy"] != baseline and baseline in of_task:
            gains[row["task"], row["setting"], row["strategy"]] = gain(of_task[row["strategy"]], of_task[baseline])
    _of_tasks(rows, students, gains, baseline)
    strategies = _of_strategies(frame, rows, gains, baseline)
    if rows and not any(row["comparable"] for row in rows):
        notes.insert(0, f"no run of the baseline {baseline}: there are no gains; run it, or name another baseline")
    main = {(row["task"], row["setting"]) for row in rows if row["main"]}
    complete = {(row["task"], row["strategy"]) for row in rows if row["main"] and row["complete"]}
    fields = {
        task: {name: one for name, one in of_task.items() if (task, name) in complete}
        for (task, setting), of_task in students.items()
        if (task, setting) in main
    }
    table = pd.DataFrame(rows, columns=list(dict.fromkeys((*frame.columns, *TASK_COLUMNS))))
    overall = pd.DataFrame(strategies, columns=list(STRATEGY_COLUMNS))
    return Comparison(title, baseline, table, overall, pairwise(fields), failures, {}, notes)


def _of_tasks(
    rows: Sequence[dict[str, Any]],
    students: Mapping[tuple[str, str], Mapping[str, Students]],
    gains: Mapping[tuple[str, str, str], Gain | None],
    baseline: str,
) -> None:
    """Put into every row what is known of its gain on its task alone; tests are Holm's over its strategy's tasks."""
    best: dict[tuple[str, str], float] = {}
    for row in rows:
        key = row["task"], row["setting"]
        best[key] = max(best.get(key, -math.inf), row["mean"])
    for row in rows:
        key = row["task"], row["setting"]
        row["improvability"] = improvability(row["mean"], best[key])
        found = gains.get((*key, row["strategy"]))
        row |= dict.fromkeys(TASK_COLUMNS[:7])
        row |= {"p": math.nan, "smallest_p": math.nan}
        if found is None:
            continue
        _, low, high, se, df, covers = found.interval
        row |= {"gain_low": low, "gain_high": high, "gain_se": se, "gain_df": df, "interval_covers": covers}
        sd = students[key][baseline].row_sd()
        if sd > 0:
            row |= {"standard_gain": found.interval.gain / sd, "standard_se": se / sd}
        row |= {"p": sign_flip(found.cells), "smallest_p": smallest_p(len(found.cells))}
    for own in _by_strategy(rows):
        adjusted, possible = (holm([row[key] for row in own]) for key in ("p", "smallest_p"))
        for row, p, least in zip(own, adjusted, possible, strict=True):
            row["p_holm"] = float(p)
            row["verdict"] = _verdict(row, baseline, least, row["n_paired"], (row["gain_low"], row["gain_high"]))


def _verdict(row: Mapping[str, Any], baseline: str, least: float, seeds: Any, interval: Any) -> str:
    if row["strategy"] == baseline:
        return BASELINE
    low, high = (math.nan if end is None else end for end in interval)
    return verdict(row["p_holm"], least, low, high, seeds_in_words(seeds if isinstance(seeds, list) else [seeds]))


def _by_strategy(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["strategy"], []).append(row)
    yield from found.values()


def _of_strategies(
    frame: pd.DataFrame,
    rows: Sequence[dict[str, Any]],
    gains: Mapping[tuple[str, str, str], Gain | None],
    baseline: str,
) -> list[dict[str, Any]]:
    means: dict[str, dict[str, Any]] = {}
    for row in plain_rows(averages(frame)) if len(frame) else []:
        means.setdefault(row["strategy"], row)  # the first is over all tasks
    table = []
    for own in _by_strategy(rows):
        name = own[0]["strategy"]
        counted = [row for row in own if row["main"] and row["complete"]]
        found = [(row, gains.get((row["task"], row["setting"], name))) for row in counted]
        pairs = [(row, one) for row, one in found if one is not None]
        row = {"strategy": name, "base": own[0]["base"], "n_tasks": len(counted), **_over_tasks(pairs)}
        for key in ("mean", "cost_ratio", "same_tasks", "same_seeds", "tasks"):
            row[key] = means[name][key] if name in means else None
        row["passes_ratio"] = _mean([one.get("passes_ratio") for one in counted])
        row["improvability"] = _mean([one["improvability"] for one in counted])
        row["seeds"] = [one["n_paired"] for one, _ in pairs]
        table.append(row)
    adjusted, possible = (holm([row[key] for row in table]) for key in ("p", "smallest_p"))
    for row, p, least in zip(table, adjusted, possible, strict=True):
        row["p_holm"] = float(p)
        row["verdict"] = _verdict(row, baseline, least, row["seeds"], (row["gain_low"], row["gain_high"]))
        if row["verdict"].startswith("cannot tell"):
            row["detectable"] = math.nan
    costs = [math.nan if row["passes_ratio"] is None else row["passes_ratio"] for row in table]
    values = [
        math.nan if row["same_tasks"] is not True else 0.0 if row["strategy"] == baseline else row["gain"]
        for row in table
    ]
    for row, front in zip(table, on_front(costs, values), strict=True):
        row["on_front"] = bool(front)
    return table


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean, or None where one is missing."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there and len(there) == len(values) else None


def _over_tasks(pairs: Sequence[tuple[Mapping[str, Any], Gain]]) -> dict[str, Any]:
    """Return what a strategy gains over its tasks."""
    intervals = [one.interval for _, one in pairs]
    cells = [cell for _, one in pairs for cell in one.cells]
    found = combine(*([getattr(one, key) for one in intervals] for key in ("gain", "se", "df")))
    standard = [
        (row["standard_gain"], row["standard_se"], row["gain_df"])
        for row, _ in pairs
        if row["standard_gain"] is not None
    ]
    unit = combine(*(zip(*standard, strict=True) if standard else ((), (), ())))
    share, low, high = won(cells)
    return {
        "n_cells": len(cells),
        "gain": found.gain,
        "gain_low": found.low,
        "gain_high": found.high,
        "gain_about": found.about,
        "tau": found.tau,
        "i2": found.i2,
        "prediction_low": found.prediction_low,
        "prediction_high": found.prediction_high,
        "plain_gain": sum(one.gain for one in intervals) / len(intervals) if intervals else math.nan,
        "standard_gain": unit.gain,
        "standard_low": unit.low,
        "standard_high": unit.high,
        "p": sign_flip(cells),
        "smallest_p": smallest_p(len(cells)),
        "detectable": detectable(found.se, found.df),
        "won": share,
        "won_low": low,
        "won_high": high,
    }
