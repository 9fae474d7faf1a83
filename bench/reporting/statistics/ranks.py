"""Mean ranks over tasks with Nemenyi's critical difference, for a shortlist: a wide field has none worth drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    import pandas as pd

MOST, FEWEST = 10, 3
"""Strategies of a shortlist: with 8 tasks the critical difference is 4.3 ranks of 9, but 38.9 of 65."""


@dataclass(frozen=True)
class Ranks:
    """Mean ranks (1 is best), what they must differ by, and the tests behind it."""

    ranks: pd.Series  # by strategy, best first
    critical_difference: float  # mean ranks that differ by less are not distinguishable at 5 %
    friedman_p: float  # of the hypothesis that all strategies rank alike
    nemenyi_p: pd.DataFrame  # strategies by strategies
    tasks: int  # tasks that the ranks are over


def mean_ranks(scores: pd.DataFrame) -> Ranks:
    """Return the ranks of strategies (columns) over tasks (index) from ``scores`` without holes; higher is better.

    Raises UsageError for fewer than three or more than ten strategies, fewer than two tasks, or a missing score.
    """
    from scipy import stats

    tasks, strategies = scores.shape
    if not FEWEST <= strategies <= MOST:
        raise UsageError(
            f"{strategies} strategies cannot be told apart by ranks; name a shortlist of {FEWEST} to {MOST}, "
            "or read the pairwise matrix"
        )
    if tasks < 2:
        raise UsageError(f"ranks over {tasks} task say nothing; at least two tasks are needed")
    if scores.isna().any(axis=None):
        task, strategy = scores.isna().stack().idxmax()
        raise UsageError(f"{strategy} has no score on {task}; name strategies with the same tasks")
    try:
        from scikit_posthocs import posthoc_nemenyi_friedman
    except ImportError as error:
        raise BenchError("ranks need scikit-posthocs; type: pip install 'distil-augment-bench[report]'") from error
    ranks = scores.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    quantile = float(stats.studentized_range.ppf(0.95, strategies, float("inf"))) / 2**0.5
    critical = quantile * (strategies * (strategies + 1) / (6 * tasks)) ** 0.5
    all_tied = scores.nunique(axis=1).eq(1).all()  # what the test divides by is zero then
    friedman = 1.0 if all_tied else float(stats.friedmanchisquare(*(scores[name] for name in scores)).pvalue)
    pairs = posthoc_nemenyi_friedman(scores.reset_index(drop=True))
    pairs = pairs.set_axis(scores.columns, axis=0).set_axis(scores.columns, axis=1)
    return Ranks(ranks, critical, friedman, pairs, tasks)
