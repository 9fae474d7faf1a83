"""The primary test: do the gains of a strategy's (task, seed) cells keep their sign for a reason?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 9_999


def sign_flip(gains: Sequence[float] | np.ndarray, resamples: int = RESAMPLES) -> float:
    """Return the two-sided p of the mean of ``gains`` [cells] among all ways of flipping their signs.

    Exact up to 13 cells, above from ``resamples`` ways drawn with a fixed seed; never 0. NaN without a cell.

    What is assumed: if the strategy does nothing, its student and the baseline's of a cell are two draws from one
    distribution, so that their difference is as likely to have the other sign, whatever the cells of other seeds
    show. The dev rows and the teacher are held fixed: that all seeds of a task are scored on the same rows does not
    disturb this, but neither does the test say anything of other rows. That is the interval's part.
    """
    from scipy import stats

    gains = np.asarray(gains, float)
    largest = float(np.abs(gains).max(initial=0.0))
    if not len(gains):
        return float("nan")
    if largest == 0 or len(gains) == 1:
        return 1.0
    # Whole numbers are summed without rounding, so that ties are ties.
    whole = np.rint(gains / largest * 2**30)
    tested = stats.permutation_test(
        (whole,),
        lambda x, axis: np.sum(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        random_state=np.random.default_rng(0),
    )
    return float(tested.pvalue)


def smallest_p(cells: int, resamples: int = RESAMPLES) -> float:
    """Return the smallest p that ``sign_flip`` can give for so many cells, whatever they hold; NaN for none."""
    if cells < 1:
        return float("nan")
    return max(2.0 ** (1 - cells), 0.0 if 2.0**cells <= resamples else 2 / (resamples + 1))


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p adjusted for all that are there (Holm); NaN stays NaN and counts for nothing."""
    from statsmodels.stats.multitest import multipletests

    adjusted = np.array(p, float)
    there = ~np.isnan(adjusted)
    if there.any():
        adjusted[there] = multipletests(adjusted[there], method="holm")[1]
    return adjusted
