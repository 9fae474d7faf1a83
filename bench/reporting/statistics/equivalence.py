"""How probable it is that one strategy is better, worse, or as good as another within a region of equivalence."""

from __future__ import annotations

import math
from typing import NamedTuple

from bench.errors import UsageError


class Probabilities(NamedTuple):
    """What adds up to 1: the gain is below the region, inside it, or above; NaN where there is no standard error."""

    worse: float
    same: float
    better: float


def probabilities(gain: float, se: float, df: float, within: float) -> Probabilities:
    """Return the probabilities that the true gain is below -``within``, between, and above ``within`` (fractions).

    The posterior of a gain under a flat prior is Student's t with ``df`` degrees of freedom around ``gain``, scaled by
    ``se``. That is the Bayesian t test for correlated scores (Corani and Benavoli 2015, which baycomp computes) with
    the crossed standard error in the place of its correction for overlapping folds: students share dev rows here,
    they are no folds. Raises UsageError where ``within`` is no size of a gain.
    """
    from scipy import special

    if not 0 <= within < math.inf:
        raise UsageError(f"the region of equivalence is ± {within}; give a fraction from 0, as 0.005 for half a point")
    if not (se > 0 and df > 0):
        return Probabilities(math.nan, math.nan, math.nan)
    worse = float(special.stdtr(df, (-within - gain) / se))
    better = float(special.stdtr(df, (gain - within) / se))
    return Probabilities(worse, max(0.0, 1 - worse - better), better)
