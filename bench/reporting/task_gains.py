"""What each strategy gains on each task alone: intervals, marks, how far it is from the task's best."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from bench.reporting.statistics.over_tasks import improvability
from bench.reporting.statistics.paired import two_sided_p
from bench.reporting.statistics.sign_flip import holm, sign_flips, smallest_p
from bench.reporting.statistics.verdict import seeds_in_words, verdict
from bench.reporting.students import Gain, Students, gain

BASELINE = "baseline"
"""The verdict of the baseline's own rows."""

Row: TypeAlias = dict[str, Any]
Line: TypeAlias = tuple[str, str]
"""A task and a setting: what the rows of one line of the table share."""

# fmt: off
COLUMNS = (
    "gain_low", "gain_high", "gain_se", "gain_df", "interval_covers", "standard_gain", "standard_se", "improvability",
    "p", "p_interval", "p_holm", "smallest_p", "verdict",
)
# fmt: on


def gains_of(
    rows: Sequence[Row], students: Mapping[Line, Mapping[str, Students]], baseline: str
) -> dict[tuple[str, str, str], Gain]:
    """Return {(task, setting, strategy): gain} over the baseline's students of the same line, where there are any."""
    gains = {}
    for row in rows:
        of_line = students[row["task"], row["setting"]]
        if row["strategy"] != baseline and baseline in of_line:
            one = gain(of_line[row["strategy"]], of_line[baseline])
            if one is not None:
                gains[row["task"], row["setting"], row["strategy"]] = one
    return gains


def complete(
    rows: Sequence[Row],
    students: Mapping[Line, Mapping[str, Students]],
    gains: Mapping[tuple[str, str, str], Gain],
    baseline: str,
) -> None:
    """Put ``COLUMNS`` into every row of the leaderboard.

    ``gain_low`` to ``gain_high`` is the 95 % interval of ``difference``, ``interval_covers`` the chance it takes in.
    ``standard_gain`` and ``standard_se`` are in standard deviations, over rows, of what a row gives to the baseline's
    score (Glass's delta): the same unit for every metric. ``p`` is of the sign-flip test over the task's own seeds,
    ``p_interval`` the interval's, ``p_holm`` the larger of both after Holm over the tasks of the strategy, ``verdict``
    from that.
    """
    best: dict[Line, float] = defaultdict(lambda: -math.inf)
    for row in rows:
        line = row["task"], row["setting"]
        best[line] = max(best[line], row["mean"])
    of_rows = [gains.get((row["task"], row["setting"], row["strategy"])) for row in rows]
    tests = sign_flips([one.cells if one else () for one in of_rows])
    for row, one, p in zip(rows, of_rows, tests, strict=True):
        line = row["task"], row["setting"]
        row |= dict.fromkeys(COLUMNS, math.nan) | {"interval_covers": None, "p": float(p)}
        row["improvability"] = improvability(row["mean"], best[line])
        if one is not None:
            _, low, high, se, df, covers = one.interval
            row |= {"gain_low": low, "gain_high": high, "gain_se": se, "gain_df": df, "interval_covers": covers}
            row["p_interval"] = two_sided_p(one.interval.gain, se, df)
            row["smallest_p"] = smallest_p(len(one.cells))
            sd = students[line][baseline].row_sd()
            if sd > 0:
                row |= {"standard_gain": one.interval.gain / sd, "standard_se": se / sd}
    by_strategy = defaultdict(list)
    for row in rows:
        by_strategy[row["strategy"]].append(row)
    for strategy, own in by_strategy.items():
        both = [np.fmax(row["p"], row["p_interval"]) for row in own]
        adjusted, possible = holm(both), holm([row["smallest_p"] for row in own])
        for row, p, least in zip(own, adjusted, possible, strict=True):
            row["p_holm"] = float(p)
            words = seeds_in_words([row["n_paired"]])
            row["verdict"] = (
                BASELINE
                if strategy == baseline
                else verdict(row["p_holm"], least, row["gain_low"], row["gain_high"], words)
            )
