"""A strategy over tasks: on these, on others like them, the share of cells it won, how far it is from the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.reporting.statistics.paired import half_width, two_sided_p

_FEWEST = 3
"""Tasks from which on a spread over tasks can be told from none."""


class Average(NamedTuple):
    """The mean gain of some tasks, as fractions; NaN where there is nothing to say. ``p`` is of no gain, two-sided."""

    gain: float = math.nan
    low: float = math.nan
    high: float = math.nan
    se: float = math.nan
    df: float = math.nan
    p: float = math.nan


class MetaAnalysis(NamedTuple):
    """What tasks like some would gain, as fractions; NaN where there is nothing to say. ``p`` is of no gain."""

    gain: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    tau: float = math.nan
    i2: float = math.nan
    prediction_low: float = math.nan
    prediction_high: float = math.nan


def average(gains: Sequence[float], errors: Sequence[float], dfs: Sequence[float]) -> Average:
    """Return the plain average over these very tasks from each one's gain, standard error and degrees of freedom.

    Each task counts alike; degrees of freedom after Welch and Satterthwaite. It says nothing of other tasks. Tasks
    without a standard error are left out.
    """
    effects, se, df = _known(gains, errors, dfs)
    if not len(effects):
        return Average()
    variances = (se / len(effects)) ** 2
    error, df_all = float(np.sqrt(variances.sum())), float(variances.sum() ** 2 / np.sum(variances**2 / df))
    mean, half = float(effects.mean()), half_width(error, df_all)
    return Average(mean, mean - half, mean + half, error, df_all, two_sided_p(mean, error, df_all))


def meta_analysis(gains: Sequence[float], errors: Sequence[float]) -> MetaAnalysis:
    """Return what tasks like these would gain, from each one's gain and standard error; NaN for fewer than three.

    A random-effects meta-analysis: Paule and Mandel's tau², the interval of Hartung, Knapp, Sidik and Jonkman, or that
    of the tasks' own errors with the normal quantile where it is wider (Jackson et al. 2017): equal gains would else
    have one of no width. ``prediction_low`` to ``prediction_high`` is where a new task's gain is expected (Higgins et
    al. 2009, t with k - 2 degrees of freedom). Tasks without a standard error are left out.
    """
    effects, se = _known(gains, errors)
    k = len(effects)
    if k < _FEWEST:
        return MetaAnalysis()
    fixed, tau2 = 1 / se**2, _between(effects, se**2)
    weights = 1 / (se**2 + tau2)
    mean = float(weights @ effects / weights.sum())
    spread = float(np.sqrt(weights @ (effects - mean) ** 2 / weights.sum() / (k - 1)))
    own = float(weights.sum() ** -0.5)
    q = float(fixed @ (effects - fixed @ effects / fixed.sum()) ** 2)
    half = max(half_width(spread, k - 1), half_width(own, math.inf))
    p = max(two_sided_p(mean, spread, k - 1), two_sided_p(mean, own, math.inf))
    wide = half_width(math.hypot(math.sqrt(tau2), half / half_width(1.0, k - 1)), k - 2)
    i2 = max(0.0, 1 - (k - 1) / q) if q > 0 else 0.0
    return MetaAnalysis(mean, mean - half, mean + half, p, math.sqrt(tau2), i2, mean - wide, mean + wide)


def _known(gains: Sequence[float], errors: Sequence[float], *others: Sequence[float]) -> np.ndarray:
    """Return all of them as [2 or more, tasks], without the tasks that have no standard error."""
    table = np.array([gains, errors, *others], float)
    known: np.ndarray = table[:, np.isfinite(table).all(axis=0) & (table[1] > 0)]
    return known


def _between(effects: np.ndarray, variances: np.ndarray) -> float:
    """Return tau²: how much effects vary beyond their own ``variances`` (Paule and Mandel 1982); never below 0.

    As statsmodels' ``combine_effects(method_re="iterated")``, whose import takes longer than a table of 10,000 runs.
    """
    tau2, n = 0.0, len(effects) - 1
    for _ in range(50):
        weights = 1 / (variances + tau2)
        squares = (effects - weights @ effects / weights.sum()) ** 2
        over = float(weights @ squares) - n
        if over < 0:
            return 0.0
        if over <= 1e-5:
            break
        tau2 += over / float(weights**2 @ squares)
    return tau2


def won(gains: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Return the share of cells with a gain, and its 95 % interval (Wilson); a tie is half a win. NaN without cells.

    As statsmodels' ``proportion_confint(method="wilson")``, without its import.
    """
    gains = np.asarray(gains, float)
    if not len(gains):
        return (math.nan,) * 3
    n, z = len(gains), half_width(1.0, math.inf)
    share = float(np.sum(gains > 0) + np.sum(gains == 0) / 2) / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return share, max(0.0, middle - half), min(1.0, middle + half)


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
