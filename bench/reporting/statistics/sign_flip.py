"""The primary test: do the gains of a strategy's (task, seed) cells keep their sign for a reason?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

RESAMPLES = 9_999
_BLOCK = 2**21
"""Signs that are held in memory at once."""


def sign_flips(gains: Sequence[Sequence[float]], resamples: int = RESAMPLES) -> np.ndarray:
    """Return, for each of several tests, the two-sided p of the mean of its ``gains`` among all flips of their signs.

    Exact up to 13 cells, above from ``resamples`` ways drawn with a fixed seed; never 0. NaN without a cell. As
    ``scipy.stats.permutation_test(permutation_type="samples")``, but with the same flips for all tests of as many
    cells: a field of sixty strategies has 1,770 pairs.

    What is assumed: if the strategy does nothing, its student and the baseline's of a cell are two draws from one
    distribution, so that their difference is as likely to have the other sign, whatever the cells of other seeds
    show. The dev rows and the teacher are held fixed: that all seeds of a task are scored on the same rows does not
    disturb this, but neither does the test say anything of other rows. That is the interval's part.
    """
    p = np.full(len(gains), np.nan)
    for cells in {len(one) for one in gains} - {0}:
        chosen = [number for number, one in enumerate(gains) if len(one) == cells]
        p[chosen] = _of_as_many(np.array([gains[number] for number in chosen], float), resamples)
    return p


def sign_flip(gains: Sequence[float], resamples: int = RESAMPLES) -> float:
    """Return the p of one test, as ``sign_flips``."""
    return float(sign_flips([gains], resamples)[0])


def _of_as_many(gains: np.ndarray, resamples: int) -> np.ndarray:
    """Return the p of each row of ``gains`` [tests, cells]."""
    cells = gains.shape[1]
    largest = np.abs(gains).max(axis=1, keepdims=True)
    # Whole numbers are summed without rounding, so that ties are ties.
    whole = np.rint(np.divide(gains, largest, out=np.zeros_like(gains), where=largest > 0) * 2**30)
    seen = np.abs(whole.sum(axis=1))
    if exact := 2**cells <= resamples:
        blocks = iter([np.array(list(itertools.product((-1.0, 1.0), repeat=cells)))])
    else:
        rng, size = np.random.default_rng(0), max(1, _BLOCK // cells)
        parts = (min(size, resamples - start) for start in range(0, resamples, size))
        blocks = (rng.integers(0, 2, (part, cells), dtype=np.int8) * 2.0 - 1 for part in parts)
    as_far = sum((np.abs(signs @ whole.T) >= seen).sum(axis=0) for signs in blocks)
    return np.asarray(as_far / 2**cells if exact else (as_far + 1) / (resamples + 1))


def smallest_p(cells: int, resamples: int = RESAMPLES) -> float:
    """Return the smallest p that ``sign_flip`` can give for so many cells, whatever they hold; NaN for none."""
    if cells < 1:
        return float("nan")
    return max(2.0 ** (1 - cells), 0.0 if 2.0**cells <= resamples else 1 / (resamples + 1))


def cells_needed(tests: int, alpha: float) -> int | None:
    """Return from how many cells on the smallest p can be ``alpha`` after a correction over ``tests``; None: never."""
    return next((cells for cells in range(1, 65) if tests * smallest_p(cells) <= alpha), None)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p adjusted for all that are there (Holm 1979); NaN stays NaN and counts for nothing.

    As statsmodels' ``multipletests(method="holm")``, which collects garbage at every call: a tenth of a second for
    each strategy of a field.
    """
    adjusted = np.array(p, float)
    there = np.flatnonzero(~np.isnan(adjusted))
    order = there[np.argsort(adjusted[there], kind="stable")]
    steps = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return adjusted
