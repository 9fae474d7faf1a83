"""Regions of equivalence, and ranks of a shortlist."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.errors import UsageError
from bench.reporting.statistics.equivalence import probabilities
from bench.reporting.statistics.ranks import mean_ranks


def test_probabilities_of_a_region():
    # One standard error above 0 at 1 degree of freedom (Cauchy): 1/2 - 1/4 below 0. The region ± 1: -2 to 0 errors
    # from the gain, so 1/2 above it and 1/2 - arctan(2)/π below.
    assert probabilities(0.01, 0.01, 1, 0.0) == pytest.approx((0.25, 0, 0.75))
    below = 0.5 - np.arctan(2) / np.pi
    assert probabilities(0.01, 0.01, 1, 0.01) == pytest.approx((below, 0.5 - below, 0.5))


def test_no_standard_error_no_probability():
    assert np.isnan(probabilities(0.01, np.nan, np.nan, 0.01)).all()
    with pytest.raises(UsageError, match=r"± -1; give a fraction"):
        probabilities(0.01, 0.01, 3, -1)


def test_ranks_and_their_critical_difference():
    scores = pd.DataFrame(
        {"none": [0.5, 0.5, 0.5, 0.5], "eda": [0.6, 0.6, 0.6, 0.5], "mlm": [0.7, 0.7, 0.7, 0.7]}, index=list("abcd")
    )
    found = mean_ranks(scores)
    # On the last task none and eda share 2 and 3.
    assert found.ranks.to_dict() == {"mlm": 1, "eda": 2.125, "none": 2.875}
    # Demšar's q for three at 5 % is 2.343: 2.343 √(3 · 4 / (6 · 4)).
    assert found.critical_difference == pytest.approx(2.343 * 0.5**0.5, abs=1e-3)
    assert found.friedman_p == stats.friedmanchisquare(*scores.T.to_numpy()).pvalue
    assert found.nemenyi_p.loc["mlm", "none"] < found.nemenyi_p.loc["mlm", "eda"]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((8, 11)), "11 strategies cannot be told apart by ranks; name a shortlist of 3 to 10"),
        (np.zeros((1, 3)), "ranks over 1 task"),
        (np.array([[1, 1, np.nan], [1, 1, 1]]), "2 has no score on 0"),
    ],
)
def test_what_has_no_ranks(scores, message):
    with pytest.raises(UsageError, match=message):
        mean_ranks(pd.DataFrame(scores))
