"""Intervals of one task's gain, against arithmetic done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.reporting.statistics.paired import crossed_interval, seeds_interval

T_2 = 4.302653  # t quantile 0.975 at 2 degrees of freedom


def test_rows_and_seeds_are_crossed():
    """Two seeds by four rows, the mean squares worked out by hand.

    Means of seeds 1 and 0, of rows 1, 1, 0, 0, of all 0.5. Seeds: 4 · (0.25 + 0.25) / 1 = 2. Rows:
    2 · (4 · 0.25) / 3 = 2/3. All squares: 8 · 0.25 + what is left; see below.
    """
    differences = np.array([[1.0, 2.0, 1.0, 0.0], [1.0, 0.0, -1.0, 0.0]])
    # Squares about 0.5: .25 + 2.25 + .25 + .25 + .25 + .25 + 2.25 + .25 = 6; the rest 6 - 2 - 2 = 2 on 3, 2/3.
    # (2 + 2/3 - 2/3) / 8 = 0.25, so the standard error is 0.5.
    # Satterthwaite: 2² / (2²/1 + (2/3)²/3 + (2/3)²/3) = 4 / (4 + 8/27) = 27/29.
    found = crossed_interval(differences)
    assert found.gain == 0.5
    assert found.se == pytest.approx(0.5)
    assert found.df == pytest.approx(27 / 29)
    assert found.covers == "rows and seeds"


def test_one_seed_leaves_seeds_out():
    # Rows 1, 0, 0, 1: their variance is 1/3, that of their mean 1/12.
    found = crossed_interval(np.array([[1.0, 0.0, 0.0, 1.0]]))
    assert (found.gain, found.df, found.covers) == (0.5, 3, "rows")
    assert found.se == pytest.approx((1 / 12) ** 0.5)


def test_without_predictions_the_interval_is_of_seeds():
    # Gains 1, 2, 3 points: sd 1, standard error 1/√3.
    found = seeds_interval(np.array([0.01, 0.02, 0.03]))
    assert found.covers == "seeds"
    assert found.gain == pytest.approx(0.02)
    assert found.high - found.gain == pytest.approx(T_2 * 0.01 / 3**0.5)
