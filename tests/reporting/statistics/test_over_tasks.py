"""Gains over tasks, against arithmetic done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import norm
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.proportion import proportion_confint

from bench.reporting.statistics.over_tasks import average, improvability, meta_analysis, on_front, won
from bench.reporting.statistics.paired import crossed_interval
from bench.reporting.statistics.sign_flip import sign_flip
from bench.reporting.statistics.verdict import detectable, seeds_in_words, verdict

T_1, T_2, T_7, T_8, Z = 12.706205, 4.302653, 2.364624, 2.306004, 1.959964  # t and normal quantiles 0.975


def test_equal_errors_weigh_alike():
    # Gains 0, 2, 4 points, errors of 1: their variance is 4 = 1 + tau², so tau is √3 and the standard error √(4/3),
    # both by their spread and by 1 + tau².
    found = meta_analysis([0.0, 0.02, 0.04], [0.01] * 3)
    assert found.gain == pytest.approx(0.02)
    assert found.tau == pytest.approx(0.01 * 3**0.5, rel=1e-4)
    assert found.high - found.gain == pytest.approx(T_2 * 0.01 * (4 / 3) ** 0.5, rel=1e-4)
    assert found.prediction_high - found.gain == pytest.approx(T_1 * 0.01 * (3 + 4 / 3) ** 0.5, rel=1e-4)
    # Q = (4 + 0 + 4) / 1 = 8 on 2 degrees of freedom: I² = 1 - 2/8.
    assert found.i2 == pytest.approx(0.75)


def test_an_exact_task_weighs_more():
    # No more spread than errors: weights 1, 1/4 and 1/4 of errors 1, 2 and 2. (1 + 3/4 - 1/4) / 1.5 = 1.
    found = meta_analysis([0.01, 0.03, -0.01], [0.01, 0.02, 0.02])
    assert found.tau == 0
    assert found.gain == pytest.approx((0.01 + 0.03 / 4 - 0.01 / 4) / 1.5)


@pytest.mark.parametrize("gain", [0.01, 0.0])
def test_equal_gains_keep_the_width_of_their_errors(gain):
    """The trap: their spread is 0, and tau² by DerSimonian and Laird's formula is below it."""
    found = meta_analysis([gain] * 9, [0.03] * 9)  # an error of the mean of 1 point
    assert (found.tau, found.i2) == (0, 0)
    assert found.gain == pytest.approx(gain)
    assert found.high - found.gain == pytest.approx(Z * 0.01, rel=1e-6)
    # For a new task the width is as if it were t's of 8 degrees of freedom.
    assert found.prediction_high - found.gain == pytest.approx(T_7 * Z * 0.01 / T_8, rel=1e-5)
    assert found.p == pytest.approx(2 * norm.sf(gain / 0.01))


def test_the_average_is_of_these_tasks_and_counts_each_alike():
    # Errors 3 and 4 points: the average has √(9 + 16) / 2 = 2.5; Satterthwaite: 25² / (81/4 + 256/4) = 7.418.
    found = average([0.01, 0.03], [0.03, 0.04], [4, 4])
    assert found.gain == pytest.approx(0.02)
    assert found.se == pytest.approx(0.025)
    assert found.df == pytest.approx(625 / (337 / 4))
    assert found.p == pytest.approx(2 * stats.t.sf(0.02 / 0.025, 625 / (337 / 4)))
    assert found.high - found.gain == pytest.approx(0.025 * stats.t.ppf(0.975, 625 / (337 / 4)))
    # However much tasks differ, it is sure of the average where each task is: a meta-analysis is not, nor of two tasks.
    apart = [0.0, 0.2, 0.4]
    assert average(apart, [0.01] * 3, [100] * 3).p < 1e-10
    assert meta_analysis(apart, [0.01] * 3).p > 0.2
    assert np.isnan(meta_analysis([0.01, 0.03], [0.03, 0.04])).all()


def test_tasks_without_an_interval_are_left_out():
    assert average([0.01, 0.5], [0.02, math.nan], [5, math.nan]).gain == 0.01
    assert meta_analysis([0.01] * 3 + [0.5], [0.02] * 3 + [math.nan]).gain == pytest.approx(0.01)
    assert np.isnan(average([0.5], [math.nan], [math.nan])).all()
    assert np.isnan(average([], [], [])).all()


def test_cells_won():
    # Wilson at 3 of 4 with z = 1.96: (0.75 + z²/8 ± z √(0.1875/4 + z²/64)) / (1 + z²/4).
    share, low, high = won([0.1, 0.2, -0.1, 0.0, 0.0, 0.3, 0.1, 0.1])
    z = 1.959964
    centre, half = 0.75 + z**2 / 16, z * (0.1875 / 8 + z**2 / 256) ** 0.5
    assert share == 6 / 8
    assert (low, high) == pytest.approx(((centre - half) / (1 + z**2 / 8), (centre + half) / (1 + z**2 / 8)), rel=1e-6)
    assert np.isnan(won([])).all()


def test_both_are_those_of_statsmodels():
    rng = np.random.default_rng(0)
    for tasks in range(3, 12):
        gains, errors = rng.normal(0.01, 0.02, tasks), rng.uniform(0.002, 0.02, tasks)
        theirs = combine_effects(gains, errors**2, method_re="iterated", use_t=True)
        ours = meta_analysis(gains, errors)
        half = max(stats.t.ppf(0.975, tasks - 1) * theirs.sd_eff_w_re_hksj, Z * theirs.sd_eff_w_re)
        assert (ours.gain, ours.tau) == pytest.approx((theirs.mean_effect_re, theirs.tau2**0.5), rel=1e-9)
        assert ours.high - ours.gain == pytest.approx(half, rel=1e-6)
        assert ours.i2 == pytest.approx(max(0, theirs.i2))
        low, high = proportion_confint(int((gains > 0).sum()), tasks, method="wilson")
        assert won(gains)[1:] == pytest.approx((low, high), abs=1e-12)


def test_improvability_is_the_share_of_the_error():
    assert improvability(0.8, 0.9) == pytest.approx(0.5)
    assert improvability(-0.25, 0.5) == pytest.approx(0.6)  # Matthews
    assert improvability(1.0, 1.0) == 0


def test_the_front():
    costs, gains = [1, 2, 2, 3, math.nan, 4], [0.0, 0.1, 0.05, 0.1, 0.9, math.nan]
    assert on_front(costs, gains).tolist() == [True, True, False, False, False, False]
    assert on_front([1, 1], [0.1, 0.1]).tolist() == [True, True]


@pytest.mark.parametrize(
    ("p", "smallest", "low", "high", "said"),
    [
        (0.04, 0.01, 0.001, 0.02, "better"),
        (0.04, 0.01, -0.02, -0.001, "worse"),
        (0.04, 0.01, -0.001, 0.02, "not distinguishable"),  # the rows do not bear it
        (0.06, 0.01, 0.001, 0.02, "not distinguishable"),
        (0.06, 0.06, 0.001, 0.02, "cannot tell with 5 seeds"),
        (0.01, 0.01, math.nan, math.nan, "cannot tell with 5 seeds"),
        (math.nan, math.nan, math.nan, math.nan, "cannot tell with 5 seeds"),
    ],
)
def test_verdicts(p, smallest, low, high, said):
    assert verdict(p, smallest, low, high, "5 seeds") == said


def test_seeds_in_words():
    assert [seeds_in_words(counts) for counts in ([1, 1], [3], [1, 5], [])] == [
        "1 seed",
        "3 seeds",
        "1 to 5 seeds",
        "0 seeds",
    ]


def test_what_would_have_been_detected():
    # t_0.975 and t_0.8 at 8 degrees of freedom.
    assert detectable(0.01, 8) == pytest.approx(0.01 * (T_8 + 0.888890), rel=1e-5)
    # Of ten tests the first step of Holm's correction asks for p below 0.005: t_0.9975 is 3.832519.
    assert detectable(0.01, 8, 10) == pytest.approx(0.01 * (3.832519 + 0.888890), rel=1e-5)


def test_false_alarms_of_a_verdict():
    """No strategy gains anything, rows are drawn anew: the test alone speaks too often, with the interval it does not.

    The long version is tests/benchmarks/coverage.py.
    """
    rng, alone, both = np.random.default_rng(0), [], []
    for _ in range(150):
        tasks = [rng.normal(0, 1, 20) + rng.normal(0, 1, (5, 20)) for _ in range(8)]  # [seeds, rows], half the row's
        intervals = [crossed_interval(differences) for differences in tasks]
        p = sign_flip([cell for differences in tasks for cell in differences.mean(axis=1)], 1999)
        whole = average(*([getattr(one, key) for one in intervals] for key in ("gain", "se", "df")))
        alone.append(p <= 0.05)
        both.append(max(p, whole.p) <= 0.05)
    assert np.mean(alone) > 0.15
    assert np.mean(both) < 0.09  # 5 % and two standard errors
