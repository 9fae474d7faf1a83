"""What each strategy gains over its tasks: one row per strategy, with the primary test and its verdict."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.reporting.averages import averages
from bench.reporting.leaderboard import REFERENCE
from bench.reporting.sheet import plain_rows
from bench.reporting.statistics.over_tasks import average, meta_analysis, on_front, won
from bench.reporting.statistics.sign_flip import holm, sign_flips, smallest_p
from bench.reporting.statistics.verdict import CANNOT_TELL, detectable, seeds_in_words, verdict
from bench.reporting.students import Gain
from bench.reporting.task_gains import BASELINE, Row

if TYPE_CHECKING:
    import pandas as pd

# fmt: off
COLUMNS = (
    "strategy", "base", "n_tasks", "n_cells", "gain", "gain_low", "gain_high", "gain_se", "gain_df", "p",
    "p_interval", "p_holm", "smallest_p", "detectable", "verdict", "standard_gain", "standard_low", "standard_high",
    "like_gain", "like_low", "like_high", "like_p", "like_p_holm", "tau", "i2", "prediction_low", "prediction_high",
    "won", "won_low", "won_high", "improvability", "passes_ratio", "cost_ratio", "on_front", "mean", "tasks",
    "same_tasks", "same_seeds",
)
# fmt: on


def overall(
    frame: pd.DataFrame, rows: Sequence[Row], gains: Mapping[tuple[str, str, str], Gain], baseline: str
) -> list[Row]:
    """Return one row per strategy with ``COLUMNS``, over the tasks whose main setting it has without a failed seed.

    ``frame`` is the leaderboard, ``rows`` the same with what ``task_gains.complete`` puts there. ``gain`` is the plain
    average over the tasks, ``gain_low`` to ``gain_high`` its interval, rows and seeds drawn and tasks as they are;
    ``standard_gain`` is the same in standard deviations. ``p`` is of one sign-flip test over all (task, seed) cells,
    ``p_interval`` the interval's, ``p_holm`` the larger of both after Holm over the strategies, ``smallest_p`` what
    the test could have reached in this set-up, ``detectable`` the smallest gain that the interval would have told from
    zero with 80 % power after as strict a correction, NaN where the set-up cannot tell. ``like_gain`` to
    ``prediction_high`` are a meta-analysis about tasks like these, ``like_p_holm`` the larger of its p and the test's
    after Holm. ``on_front``: no other strategy on the baseline's tasks gains as much with fewer passes.
    """
    means: dict[str, Row] = {}
    for mean in plain_rows(averages(frame)) if len(frame) else []:
        means.setdefault(mean["strategy"], mean)  # the first is over all tasks
    table, cells, seeds = [], [], []
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_name[row["strategy"]].append(row)
    for name, own in by_name.items():
        counted = [row for row in own if row["main"] and row["complete"]]
        pairs = [(row, gains[key]) for row in counted if (key := (row["task"], row["setting"], name)) in gains]
        cells.append([cell for _, one in pairs for cell in one.cells])
        seeds.append([len(one.cells) for _, one in pairs])
        of_means = {key: means.get(name, {}).get(key) for key in ("mean", "cost_ratio", "same_tasks", "same_seeds")}
        # A gain over fewer tasks than the score is not to be held beside the others.
        of_means["same_tasks"] = of_means["same_tasks"] and len(pairs) in (0, len(counted))
        table.append(
            {"strategy": name, "base": own[0]["base"], "n_tasks": len(pairs) or len(counted), "n_cells": len(cells[-1])}
            | _over_tasks(pairs, cells[-1])
            | of_means
            | {"tasks": tuple(row["task"] for row in counted)}
            | {key: _mean([row.get(key) for row in counted]) for key in ("passes_ratio", "improvability")}
        )
    tests, least = sign_flips(cells), [smallest_p(len(one)) for one in cells]
    both, like = (holm(np.fmax(tests, [row[key] for row in table])) for key in ("p_interval", "like_p"))
    # An interval is of one task at least, the test of one seed: what has neither is not tested.
    tested = int(np.sum(~np.isnan(both)))
    columns = zip(table, tests, both, like, least, holm(least), seeds, strict=True)
    for row, p, adjusted, elsewhere, smallest, possible, counts in columns:
        row |= {"p": float(p), "p_holm": float(adjusted), "smallest_p": smallest}
        row["like_p_holm"] = math.nan if math.isnan(row["like_p"]) else float(elsewhere)
        words = verdict(adjusted, possible, row["gain_low"], row["gain_high"], seeds_in_words(counts))
        row["verdict"] = BASELINE if row["strategy"] == baseline else words
        silent = words.startswith(CANNOT_TELL)
        row["detectable"] = math.nan if silent else detectable(row["gain_se"], row["gain_df"], tested)
    _mark_front(table, baseline)
    return table


def _over_tasks(pairs: Sequence[tuple[Row, Gain]], cells: Sequence[float]) -> Row:
    intervals = [one.interval for _, one in pairs]
    gains, errors, dfs = ([getattr(one, key) for one in intervals] for key in ("gain", "se", "df"))
    mean, like = average(gains, errors, dfs), meta_analysis(gains, errors)
    unit = average(*([row[key] for row, _ in pairs] for key in ("standard_gain", "standard_se", "gain_df")))
    plain, share = sum(one.gain for one in intervals) / len(intervals) if intervals else math.nan, won(cells)
    return {
        "gain": plain if math.isnan(mean.gain) else mean.gain,
        "gain_low": mean.low,
        "gain_high": mean.high,
        "gain_se": mean.se,
        "gain_df": mean.df,
        "p_interval": mean.p,
        "like_gain": like.gain,
        "like_low": like.low,
        "like_high": like.high,
        "like_p": like.p,
        "tau": like.tau,
        "i2": like.i2,
        "prediction_low": like.prediction_low,
        "prediction_high": like.prediction_high,
        "standard_gain": unit.gain,
        "standard_low": unit.low,
        "standard_high": unit.high,
        "won": share[0],
        "won_low": share[1],
        "won_high": share[2],
    }


def _mean(values: Sequence[Any]) -> float | None:
    """Return the mean, or None where one is missing."""
    there = [value for value in values if value is not None and value == value]
    return sum(there) / len(there) if there and len(there) == len(values) else None


def _mark_front(table: Iterable[Row], baseline: str) -> None:
    table = list(table)
    costs = [math.nan if row["passes_ratio"] is None else row["passes_ratio"] for row in table]
    gains = [0.0 if row["strategy"] == baseline else row["gain"] for row in table]
    comparable = [
        gain if row["same_tasks"] and row["base"] != REFERENCE else math.nan
        for row, gain in zip(table, gains, strict=True)
    ]
    for row, front in zip(table, on_front(costs, comparable), strict=True):
        row["on_front"] = bool(front)
