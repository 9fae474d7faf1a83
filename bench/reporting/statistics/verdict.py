"""What a reader may take away: better, worse, not distinguishable, or that the runs cannot tell."""

from __future__ import annotations

import math

ALPHA, POWER = 0.05, 0.8
BETTER, WORSE, SAME, CANNOT_TELL = "better", "worse", "not distinguishable", "cannot tell"


def verdict(p: float, smallest: float, low: float, high: float, seeds: str) -> str:
    """Return the verdict on a gain with the interval ``low`` to ``high``.

    ``p``, the larger of the sign-flip test's and the interval's, and ``smallest``, the smallest that the test could
    have given, are both adjusted for all that is tested. Better or worse takes both: the test holds the dev rows
    fixed, the interval does not but takes seeds and tasks for normal. ``seeds`` says how many there were.
    """
    if not smallest <= ALPHA or math.isnan(low):
        return f"{CANNOT_TELL} with {seeds}"
    if p <= ALPHA and (low > 0 or high < 0):
        return BETTER if low > 0 else WORSE
    return SAME


def seeds_in_words(counts: list[int]) -> str:
    """Return ``"1 seed"``, ``"3 seeds"`` or ``"1 to 5 seeds"``."""
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{low} to {high} seeds" if low != high else f"{high} seed{'' if high == 1 else 's'}"


def detectable(se: float, df: float, tests: int = 1) -> float:
    """Return the gain that would have been told from zero with 80 % power by an interval of this standard error.

    (t_{1 - 0.025/tests} + t_0.8) · se at ``df`` degrees of freedom: the first step of Holm's correction, so that what
    gains so much is found whatever the other ``tests`` give.
    """
    from scipy import special

    return float(special.stdtrit(df, 1 - ALPHA / 2 / tests) + special.stdtrit(df, POWER)) * se
