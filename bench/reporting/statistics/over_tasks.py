"""A strategy over tasks: random-effects meta-analysis, the share of cells it won, how far it is from the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.reporting.statistics.paired import half_width, two_sided_p

THESE_TASKS, TASKS_LIKE_THESE = "these tasks", "tasks like these"
_FEWEST = 3
"""Tasks from which on a spread over tasks can be told from none."""


@dataclass(frozen=True)
class Combined:
    """Gains of several tasks in one; NaN where there is nothing to say. All as the gains are, ``i2`` a fraction."""

    gain: float = math.nan
    low: float = math.nan
    high: float = math.nan
    se: float = math.nan
    df: float = math.nan
    p: float = math.nan  # of no gain, two-sided, as the interval has it
    tau: float = math.nan
    i2: float = math.nan
    prediction_low: float = math.nan
    prediction_high: float = math.nan
    about: str = ""


def combine(gains: Sequence[float], errors: Sequence[float], dfs: Sequence[float]) -> Combined:
    """Return the gain over tasks from each task's gain, standard error and degrees of freedom.

    From three tasks on, a random-effects meta-analysis (Paule and Mandel's tau², the interval of Hartung, Knapp, Sidik
    and Jonkman): about tasks like these. The interval is the wider of that and of the one with the tasks' own errors
    and the normal quantile (Jackson et al. 2017): equal gains would else have one of no width. ``se`` is what t with
    ``df`` makes the interval of. ``prediction_low`` to ``prediction_high`` is where a new task's
    gain is expected (Higgins et al. 2009, t with k - 2 degrees of freedom). One or two tasks say nothing of others:
    their plain average, with their own errors, about these tasks. Tasks without a standard error are left out.
    """
    table = np.array([gains, errors, dfs], float)
    effects, se, df = table[:, np.isfinite(table).all(axis=0) & (table[1] > 0)]
    k = len(effects)
    if k == 0:
        return Combined()
    if k < _FEWEST:
        variances = (se / k) ** 2
        error, df_all = float(np.sqrt(variances.sum())), float(variances.sum() ** 2 / np.sum(variances**2 / df))
        mean, half = float(effects.mean()), half_width(error, df_all)
        p = two_sided_p(mean, error, df_all)
        return Combined(mean, mean - half, mean + half, error, df_all, p, about=THESE_TASKS)
    from statsmodels.stats.meta_analysis import combine_effects

    # "dl" and "chi2" leave a negative tau² as it is; "iterated" ends at zero.
    with np.errstate(divide="ignore", invalid="ignore"):  # equal gains: its own I², which is not used
        found = combine_effects(effects, se**2, method_re="iterated", use_t=True)
    mean, tau2 = float(found.mean_effect_re), float(found.tau2)
    spread, own = float(found.sd_eff_w_re_hksj), float(found.sd_eff_w_re)
    half = max(half_width(spread, k - 1), half_width(own, math.inf))
    p = max(two_sided_p(mean, spread, k - 1), two_sided_p(mean, own, math.inf))
    error = half / half_width(1.0, k - 1)
    wide = half_width(math.hypot(math.sqrt(tau2), error), k - 2)
    i2 = max(0.0, 1 - (k - 1) / found.q) if found.q > 0 else 0.0
    return Combined(
        mean, mean - half, mean + half, error, k - 1, p, math.sqrt(tau2), i2, mean - wide, mean + wide, TASKS_LIKE_THESE
    )


def won(gains: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Return the share of cells with a gain, and its 95 % interval (Wilson); a tie is half a win. NaN without cells."""
    from statsmodels.stats.proportion import proportion_confint

    gains = np.asarray(gains, float)
    if not len(gains):
        return (math.nan,) * 3
    wins = float(np.sum(gains > 0) + np.sum(gains == 0) / 2)
    low, high = proportion_confint(wins, len(gains), method="wilson")
    return wins / len(gains), float(low), float(high)


def improvability(score: float, best: float) -> float:
    """Return by which share of its error (1 - score) a strategy would have to improve to be the task's best.

    As TabArena has it (arXiv 2506.16791): 0 for the best, near 1 where almost all of the error could go.
    """
    return (best - score) / (1 - score) if score < 1 else 0.0


def on_front(costs: Sequence[float], gains: Sequence[float]) -> np.ndarray:
    """Return which of the points [n] no other beats: at most its cost, at least its gain, and one of them better.

    A point with a NaN is not on the front.
    """
    cost, gain = np.asarray(costs, float), np.asarray(gains, float)
    no_worse = (cost[:, None] <= cost) & (gain[:, None] >= gain)
    beaten = no_worse & ((cost[:, None] < cost) | (gain[:, None] > gain))
    return np.isfinite(cost) & np.isfinite(gain) & ~beaten.any(axis=0)
