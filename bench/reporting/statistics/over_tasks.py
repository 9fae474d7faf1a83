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
    fixed, tau2 = 1 / se**2, _between(effects, se**2)
    weights = 1 / (se**2 + tau2)
    mean = float(weights @ effects / weights.sum())
    spread = float(np.sqrt(weights @ (effects - mean) ** 2 / weights.sum() / (k - 1)))
    own = float(weights.sum() ** -0.5)
    q = float(fixed @ (effects - fixed @ effects / fixed.sum()) ** 2)
    half = max(half_width(spread, k - 1), half_width(own, math.inf))
    p = max(two_sided_p(mean, spread, k - 1), two_sided_p(mean, own, math.inf))
    error = half / half_width(1.0, k - 1)
    wide = half_width(math.hypot(math.sqrt(tau2), error), k - 2)
    i2 = max(0.0, 1 - (k - 1) / q) if q > 0 else 0.0
    return Combined(
        mean, mean - half, mean + half, error, k - 1, p, math.sqrt(tau2), i2, mean - wide, mean + wide, TASKS_LIKE_THESE
    )


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
