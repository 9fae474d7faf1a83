"""The pooled test, against counting by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bench.reporting.statistics.sign_flip import holm, sign_flip, sign_flips, smallest_p


@pytest.mark.parametrize(("seeds", "p"), [(1, 1), (3, 0.25), (5, 0.0625), (6, 0.03125), (9, 0.00390625)])
def test_the_smallest_p_of_a_few_seeds(seeds, p):
    assert smallest_p(seeds) == p
    assert sign_flip([0.01] * seeds) == p


def test_flips_are_counted():
    # Of 8 flips of 1, 2, -4 the sums are ±7, ±5, ±3, ±1; the gains' own is -1, and all are as far from 0.
    assert sign_flip([1, 2, -4]) == 1
    # 1, 2, 4: only ±7. 3, 2, -1: 4 of {±6, ±4, ±2, ±0}: ±6 and ±4.
    assert sign_flips([[1, 2, 4], [3, 2, -1]]).tolist() == [0.25, 0.5]


def test_sums_that_are_equal_are_ties():
    # 0.1 + 0.2 - 0.3 is 5.6e-17 for a computer; it is 0, and every flip is as far away.
    assert sign_flip([0.1, 0.2, -0.3]) == 1


def test_nothing_gained_and_nothing_there():
    assert sign_flip([0.0] * 20) == 1
    assert np.isnan(sign_flip([]))
    assert np.isnan(smallest_p(0))


def test_p_is_never_zero():
    assert sign_flip([1.0] * 60) == smallest_p(60) == 1e-4


def test_it_is_scipys_permutation_test():
    rng = np.random.default_rng(0)
    fields = [rng.normal(0.3, 1, cells) for cells in (4, 9, 13, 24)]
    expected = [
        stats.permutation_test((x,), np.mean, permutation_type="samples", vectorized=True, n_resamples=20_000).pvalue
        for x in fields
    ]
    assert sign_flips(fields)[:3] == pytest.approx(expected[:3])
    assert sign_flips(fields)[3] == pytest.approx(expected[3], abs=0.015)  # four standard errors at p = .1
    assert sign_flips(fields)[3] == sign_flip(fields[3])


def test_holm_leaves_out_what_is_not_there():
    # Sorted .01, .02, .04: times 3, 2, 1.
    assert holm([0.04, np.nan, 0.01, 0.02])[[0, 2, 3]] == pytest.approx([0.04, 0.03, 0.04])
    assert np.isnan(holm([0.04, np.nan])[1])
    assert holm([]).tolist() == []
    p = np.random.default_rng(0).random(20) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
