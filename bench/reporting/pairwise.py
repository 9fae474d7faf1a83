"""Every strategy against every other, where a field is too wide for ranks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

from bench.reporting.statistics.over_tasks import combine
from bench.reporting.statistics.sign_flip import holm, sign_flip, smallest_p
from bench.reporting.statistics.verdict import BETTER, WORSE, seeds_in_words, verdict
from bench.reporting.students import Students, gain

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("strategy", "other", "n_tasks", "n_cells", "gain", "low", "high", "p", "p_holm", "verdict")


def pairwise(tasks: Mapping[str, Mapping[str, Students]]) -> pd.DataFrame:
    """Return the gain of each strategy over each other from {task: {strategy: students}}, one row per ordered pair.

    Over the tasks and seeds that both have; Holm over all pairs.
    """
    import pandas as pd

    names = sorted({name for students in tasks.values() for name in students})
    rows: list[dict[str, Any]] = []
    for one, other in combinations(names, 2):
        shared = [students for students in tasks.values() if one in students and other in students]
        gains = [found for students in shared if (found := gain(students[one], students[other])) is not None]
        if not gains:
            continue
        cells = [cell for found in gains for cell in found.cells]
        whole = combine(*([getattr(found.interval, key) for found in gains] for key in ("gain", "se", "df")))
        rows.append(
            {
                "strategy": one,
                "other": other,
                "n_tasks": len(gains),
                "n_cells": len(cells),
                "gain": whole.gain,
                "low": whole.low,
                "high": whole.high,
                "p": sign_flip(cells),
                "smallest": smallest_p(len(cells)),
                "seeds": seeds_in_words([len(found.cells) for found in gains]),
            }
        )
    adjusted, possible = (holm([row[key] for row in rows]) for key in ("p", "smallest"))
    for row, p, least in zip(rows, adjusted, possible, strict=True):
        row |= {"p_holm": float(p), "verdict": verdict(p, least, row["low"], row["high"], row["seeds"])}
    mirrored = [
        row
        | {"strategy": row["other"], "other": row["strategy"], "gain": -row["gain"]}
        | {"low": -row["high"], "high": -row["low"]}
        | {"verdict": {BETTER: WORSE, WORSE: BETTER}.get(row["verdict"], row["verdict"])}
        for row in rows
    ]
    return pd.DataFrame([*rows, *mirrored], columns=list(COLUMNS))
