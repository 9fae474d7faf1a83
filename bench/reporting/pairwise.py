"""Every strategy against every other, where a field is too wide for ranks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.reporting.statistics.over_tasks import average
from bench.reporting.statistics.sign_flip import RESAMPLES, holm, sign_flips, smallest_p
from bench.reporting.statistics.verdict import ALPHA, BETTER, WORSE, seeds_in_words, verdict
from bench.reporting.students import Students, gain

if TYPE_CHECKING:
    import pandas as pd

_WIDE = 400
"""Pairs from which on Holm's first step asks for a smaller p than ``RESAMPLES`` flips can give."""

# fmt: off
COLUMNS = (
    "strategy", "other", "n_tasks", "n_cells", "gain", "low", "high", "se", "df", "p", "p_interval", "p_holm",
    "verdict",
)
# fmt: on


def pairwise(lines: Mapping[Any, Mapping[str, Students]]) -> pd.DataFrame:
    """Return the gain of each strategy over each other from {line: {strategy: students}}, one row per ordered pair.

    A line is a task in its main setting. Gains are plain averages over the tasks, of the seeds, that
    both have; Holm over all pairs.
    """
    import pandas as pd

    names = sorted({name for students in lines.values() for name in students})
    rows: list[dict[str, Any]] = []
    cells: list[list[float]] = []
    for one, other in combinations(names, 2):
        shared = [students for students in lines.values() if one in students and other in students]
        gains = [one_gain for students in shared if (one_gain := gain(students[one], students[other])) is not None]
        if not gains:
            continue
        cells.append([cell for one_gain in gains for cell in one_gain.cells])
        whole = average(*([getattr(one_gain.interval, key) for one_gain in gains] for key in ("gain", "se", "df")))
        rows.append(
            {
                "strategy": one,
                "other": other,
                "n_tasks": len(gains),
                "n_cells": len(cells[-1]),
                "gain": whole.gain,
                "low": whole.low,
                "high": whole.high,
                "se": whole.se,
                "df": whole.df,
                "p_interval": whole.p,
                "seeds": seeds_in_words([len(one_gain.cells) for one_gain in gains]),
            }
        )
    resamples = RESAMPLES if len(rows) <= _WIDE else 10 * RESAMPLES
    tests, own = sign_flips(cells), np.array([row["p_interval"] for row in rows])
    if resamples > RESAMPLES:
        # Where the interval holds zero no flip changes the verdict.
        close = np.flatnonzero(own <= ALPHA)
        tests[close] = sign_flips([cells[number] for number in close], resamples)
    least, both = [smallest_p(len(one), resamples) for one in cells], np.fmax(tests, own)
    for row, p, adjusted, possible in zip(rows, tests, holm(both), holm(least), strict=True):
        row |= {"p": float(p), "p_holm": float(adjusted)}
        row["verdict"] = verdict(adjusted, possible, row["low"], row["high"], row["seeds"])
    mirrored = [
        row
        | {"strategy": row["other"], "other": row["strategy"], "gain": -row["gain"]}
        | {"low": -row["high"], "high": -row["low"]}
        | {"verdict": {BETTER: WORSE, WORSE: BETTER}.get(row["verdict"], row["verdict"])}
        for row in rows
    ]
    return pd.DataFrame([*rows, *mirrored], columns=list(COLUMNS))
