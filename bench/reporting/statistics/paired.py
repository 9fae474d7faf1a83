"""The difference of two students on one task, with an interval from dev rows crossed with seeds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bench.errors import BenchError
from bench.reporting.statistics.pseudo_values import pseudo_values

LEVEL = 0.95
ROWS_AND_SEEDS, ROWS, SEEDS, NOTHING = "rows and seeds", "rows", "seeds", "nothing"


class Interval(NamedTuple):
    """A gain with its 95 % interval, as fractions; ``covers`` says which chance the interval takes in.

    Where nothing can be said (one seed without predictions) the interval, ``se`` and ``df`` are NaN.
    """

    gain: float
    low: float
    high: float
    se: float
    df: float
    covers: str


def paired_interval(
    strategy: np.ndarray,
    baseline: np.ndarray,
    labels: np.ndarray,
    metric: str = "accuracy",
    n_classes: int | None = None,
) -> Interval:
    """Return the gain of ``strategy`` over ``baseline`` in ``metric``, averaged over seeds, with its interval.

    Both are predictions of the same students' seeds on the same rows, [seeds, rows], for ``labels`` [rows]. Raises
    BenchError where shapes do not fit or numbers are not finite.
    """
    if np.shape(strategy) != np.shape(baseline):
        raise BenchError(f"predictions of shapes {np.shape(strategy)} and {np.shape(baseline)} cannot be paired")
    ours, theirs = (pseudo_values(part, labels, metric, n_classes) for part in (strategy, baseline))
    return crossed_interval(
        ours[1] - theirs[1], float(np.mean(ours[0] - theirs[0])), least_error(metric, ours[1], theirs[1])
    )


def least_error(metric: str, *values: np.ndarray) -> float:
    """Return the standard error below which none is believed: that of one row more that differs.

    Students that answer alike on every row seen may differ on the next. Of a correlation that is not defined for any
    of them (all pseudo-values [seeds, rows] are 0) it is that of independent answers, 1/√n.
    """
    rows = values[0].shape[1]
    undefined = metric not in ("accuracy", "f1") and not any(part.any() for part in values)
    return float(rows**-0.5 if undefined else 1 / rows)


def crossed_interval(differences: np.ndarray, gain: float | None = None, least: float = 0.0) -> Interval:
    """Return the interval of the mean of ``differences`` [seeds, rows], whose rows and seeds are both drawn.

    All seeds are scored on the same rows: the variance of the mean is (MS_seed + MS_row - MS_rest) / (seeds · rows)
    with the mean squares of the two-way layout, a part that comes out negative taken as zero. The seeds' part and the
    rows' each count with the t quantile of their own degrees of freedom, and the interval is never narrower than that
    of the seeds' means: with Satterthwaite's degrees of freedom in the place of both, three seeds whose means happen
    to lie close leave too narrow a one. ``df`` are those at which t · se is what comes out. ``gain`` is what the
    interval is put around, the mean by default; ``least`` is the smallest standard error. One seed gives the rows'
    part alone.
    """
    differences = np.atleast_2d(np.asarray(differences, float))
    seeds, rows = differences.shape
    of_seeds, of_rows, mean = differences.mean(axis=1), differences.mean(axis=0), float(differences.mean())
    row_square = seeds * float(np.sum((of_rows - mean) ** 2)) / (rows - 1)
    gain = mean if gain is None else gain
    if seeds == 1:
        return _interval(gain, max(math.sqrt(row_square / rows), least), rows - 1.0, ROWS)
    seed_square = rows * float(np.sum((of_seeds - mean) ** 2)) / (seeds - 1)
    left = float(np.sum((differences - mean) ** 2)) - (seeds - 1) * seed_square - (rows - 1) * row_square
    rest = max(left, 0.0) / ((seeds - 1) * (rows - 1))
    row_square = max(row_square, rest)
    from_seeds, cells = max(seed_square - rest, 0.0), seeds * rows
    se = max(math.sqrt((from_seeds + row_square) / cells), least)
    of_both = math.hypot(
        half_width(math.sqrt(from_seeds / cells), seeds - 1), half_width(math.sqrt(row_square / cells), rows - 1)
    )
    half = max(of_both, half_width(math.sqrt(seed_square / cells), seeds - 1), half_width(least, rows - 1))
    return Interval(gain, gain - half, gain + half, se, _degrees(half / se), ROWS_AND_SEEDS)


def seeds_interval(gains: np.ndarray) -> Interval:
    """Return the t interval of the mean of ``gains`` [seeds], for scores without predictions: rows are left out.

    NaN for one seed, and where all gains are equal: their spread says nothing then.
    """
    gains = np.asarray(gains, float)
    if len(gains) < 2 or np.ptp(gains) <= 1e-12:
        return Interval(float(np.mean(gains)), math.nan, math.nan, math.nan, math.nan, NOTHING)
    return _interval(float(np.mean(gains)), float(np.std(gains, ddof=1)) / len(gains) ** 0.5, len(gains) - 1.0, SEEDS)


def _interval(gain: float, se: float, df: float, covers: str) -> Interval:
    half = half_width(se, df)
    return Interval(gain, gain - half, gain + half, se, df, covers)


def _degrees(quantile: float) -> float:
    """Return the degrees of freedom at which t has this quantile."""
    from scipy import special

    return float(special.stdtridf((1 + LEVEL) / 2, quantile))


def two_sided_p(gain: float, se: float, df: float) -> float:
    """Return the two-sided p of no gain: the level at which its t interval reaches zero. NaN without an interval."""
    from scipy import special

    if math.isnan(se):
        return math.nan
    distance = abs(gain) / se if se > 0 else 0.0 if gain == 0 else math.inf
    return 2 * float(special.ndtr(-distance) if math.isinf(df) else special.stdtr(df, -distance))


def half_width(se: float, df: float, level: float = LEVEL) -> float:
    """Return half the width of a two-sided t interval, of a normal one for infinite ``df``."""
    from scipy import special

    tail = (1 + level) / 2
    return float(special.ndtri(tail) if math.isinf(df) else special.stdtrit(df, tail)) * se
