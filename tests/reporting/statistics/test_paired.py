"""Intervals of one task's gain, against arithmetic done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import World, pigeonhole

from bench.errors import BenchError
from bench.reporting.statistics.paired import crossed_interval, paired_interval, seeds_interval, two_sided_p

T_1, T_2, T_3 = 12.706205, 4.302653, 3.182446  # t quantiles 0.975 at 1, 2 and 3 degrees of freedom


def test_rows_and_seeds_are_crossed():
    """Two seeds by four rows: means of the seeds 1 and 0, of the rows 1, 1, 0 and 0, of all 0.5."""
    differences = np.array([[1.0, 2.0, 1.0, 0.0], [1.0, 0.0, -1.0, 0.0]])
    # MS_seed = 4 · (0.25 + 0.25) / 1 = 2; MS_row = 2 · (4 · 0.25) / 3 = 2/3. All squares about 0.5:
    # .25 + 2.25 + .25 + .25 + .25 + .25 + 2.25 + .25 = 6, which leaves 6 - 2 - 2 = 2 for the 3 of the rest: 2/3.
    # (2 + 2/3 - 2/3) / 8 = 0.25: the standard error is 0.5.
    found = crossed_interval(differences)
    assert (found.gain, found.covers) == (0.5, "rows and seeds")
    assert found.se == pytest.approx(0.5)
    # The seeds' own interval, T_1 · √(2 / 8), is wider than √(T_1² · (2 - 2/3) / 8 + T_3² · (2/3) / 8) = 5.27.
    assert found.high - 0.5 == pytest.approx(T_1 * 0.5, rel=1e-6)
    assert found.df == pytest.approx(1)


def test_each_part_has_its_own_quantile():
    # Means of the seeds 1 and -1, of the rows 3, 1, -1 and -3, nothing else: MS_seed = 4 · 2 / 1 = 8,
    # MS_row = 2 · 20 / 3 = 40/3, MS_rest = 0.
    differences = np.add.outer([1.0, -1.0], [3.0, 1.0, -1.0, -3.0])
    found = crossed_interval(differences)
    assert found.se == pytest.approx(((8 + 40 / 3) / 8) ** 0.5)
    assert found.high == pytest.approx((T_1**2 * 8 / 8 + T_3**2 * (40 / 3) / 8) ** 0.5, rel=1e-6)
    assert 1 < found.df < 3


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


def test_no_p_below_the_interval():
    # A gain of T_2 errors reaches zero at 5 %; none, with no error either, never leaves it.
    assert two_sided_p(-T_2, 1.0, 2) == pytest.approx(0.05, rel=1e-6)
    assert (two_sided_p(0.0, 0.0, 2), two_sided_p(0.1, 0.0, 2)) == (1, 0)
    assert np.isnan(two_sided_p(0.1, np.nan, np.nan))


def test_equal_gains_without_predictions_have_no_interval():
    found = seeds_interval(np.array([0.02, 0.02, 0.02]))
    assert found.covers == "nothing"
    assert np.isnan([found.low, found.high, found.se]).all()


@pytest.mark.parametrize("seeds", [1, 4])
def test_answers_that_are_alike_differ_by_a_row_perhaps(seeds):
    labels = np.array([0, 1] * 50)
    same = np.ones((seeds, 100), int)
    assert paired_interval(same, same, labels, "accuracy").se == 1 / 100
    # Both constant: Matthews is not defined, and independent answers would have an error of 1/√n.
    assert paired_interval(same, same, labels, "matthews").se == 1 / 10
    right = np.tile(labels, (seeds, 1))
    assert paired_interval(right, right, labels, "matthews").se == 1 / 100


def test_the_least_error_makes_no_interval_narrower_than_that_of_the_seeds():
    # One row more and one row fewer right: gains of -1, 1 and -1 of 148 rows, whose standard error is 2/3 of a row,
    # below the least; two degrees of freedom make it more.
    ours, theirs = np.zeros((3, 148), int), np.zeros((3, 148), int)
    ours[1, 1] = theirs[0, 0] = theirs[2, 2] = 1
    found = paired_interval(ours, theirs, np.ones(148, int), "accuracy")
    alone = seeds_interval(np.array([-1.0, 1.0, -1.0]) / 148)
    assert found.se == pytest.approx(1 / 148)
    assert (found.low, found.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    assert found.high - found.gain == pytest.approx(T_2 * found.se * 2 / 3)


def test_what_cannot_be_paired():
    with pytest.raises(BenchError, match=r"shapes \(2, 4\) and \(3, 4\) cannot be paired"):
        paired_interval(np.zeros((2, 4)), np.zeros((3, 4)), np.zeros(4))


@pytest.mark.parametrize("metric", ["accuracy", "matthews", "f1", "pearson"])
def test_it_is_about_as_wide_as_the_crossed_bootstrap(metric):
    rng = np.random.default_rng(3)
    students = World(metric, seed_sd=0.04).draw(rng, 10, 300)
    low, high = pigeonhole(*students, metric, 300, rng)
    found = paired_interval(*students, metric)
    assert (found.high - found.low) / (high - low) == pytest.approx(1, abs=0.2)
    assert abs((low + high) / 2 - found.gain) < 0.2 * (high - low)


@pytest.mark.parametrize(
    ("metric", "rows", "seeds", "seed_sd"),
    [
        ("accuracy", 277, 2, 0.04),
        ("accuracy", 277, 10, 0.012),
        ("matthews", 277, 3, 0.04),
        ("f1", 872, 5, 0.04),
        ("pearson", 277, 5, 0.04),
        ("spearman", 277, 3, 0.012),
    ],
)
def test_coverage(metric, rows, seeds, seed_sd):
    """The long version is tests/benchmarks/coverage.py; 400 repeats are within 2.2 points of the truth."""
    world, rng = World(metric, seed_sd=seed_sd), np.random.default_rng(0)
    truth, repeats = world.truth(), 400
    found = [paired_interval(*world.draw(rng, seeds, rows), metric) for _ in range(repeats)]
    assert 0.93 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.99
