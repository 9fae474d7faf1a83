"""What a comparison does not show unless asked: probabilities with a region of equivalence, ranks of a shortlist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.errors import unknown
from bench.reporting.statistics.equivalence import Probabilities, probabilities
from bench.reporting.statistics.ranks import Ranks, mean_ranks

if TYPE_CHECKING:
    import pandas as pd

    from bench.reporting.comparison import Comparison


def equivalence(comparison: Comparison, within: float) -> pd.DataFrame:
    """Return the probability that each strategy is worse than, the same as, and better than each other.

    Same is a gain of less than ``within``, a fraction: 0.005 is half a point. One row per ordered pair, with
    ``strategy, other, gain, worse, same, better``; NaN where a pair has no interval.
    """
    import pandas as pd

    pairs = comparison.pairwise
    rows = [probabilities(gain, se, df, within) for gain, se, df in pairs[["gain", "se", "df"]].to_numpy(float)]
    probability = pd.DataFrame(rows, columns=list(Probabilities._fields), index=pairs.index)
    return pairs[["strategy", "other", "gain"]].join(probability)


def shortlist(comparison: Comparison, names: Sequence[str]) -> Ranks:
    """Return the mean ranks of the strategies ``names``, three to ten, over the tasks of the comparison."""
    rows = comparison.tasks[comparison.tasks["main"].astype(bool)]
    for name in names:
        if name not in set(rows["strategy"]):
            raise unknown("strategy among these results:", name, sorted(set(rows["strategy"])))
    chosen = rows[rows["strategy"].isin(names)]
    return mean_ranks(chosen.pivot(index="task", columns="strategy", values="mean")[list(dict.fromkeys(names))])
