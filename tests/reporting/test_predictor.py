from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from made_records import leaderboard, run

from bench.reporting.predictor import correlations, note, spearman

GAINS = (0.05, 0.01, 0.04, 0.02, 0.03, 0.0)
STDDEVS = (0.020, 0.025, 0.022, 0.024, 0.021, 0.023)


def records(task="rte", gains=GAINS, stddevs=STDDEVS):
    made = [run(task, value=0.5, text_quality=None)]
    for number, (gain, stddev) in enumerate(zip(gains, stddevs, strict=True)):
        made.append(run(task, f"strategy {number}", value=0.5 + gain, text_quality={"teacher_stddev": stddev}))
    return made


def by_hand(one, other):
    """Spearman's formula for ranks without ties."""
    ranks = [[sorted(values).index(value) for value in values] for values in (one, other)]
    n = len(one)
    return 1 - 6 * sum((a - b) ** 2 for a, b in zip(*ranks, strict=True)) / (n * (n * n - 1))


def test_the_correlation_is_that_of_ranks_with_fisher_s_interval():
    found = correlations(leaderboard(records()))["mini"]["rte"]
    rho = by_hand(GAINS, STDDEVS)
    assert (found.n, found.rho) == (6, pytest.approx(rho))
    error = math.sqrt((1 + rho**2 / 2) / 3)
    expected = [math.tanh(math.atanh(rho) + sign * 1.959964 * error) for sign in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(expected)


def test_the_interval_holds_the_true_correlation_as_often_as_it_says():
    rng = np.random.default_rng(0)
    true, held = 0.6, 0
    spearman_s = 6 / math.pi * math.asin(true / 2)  # of normal variables with this correlation
    for _ in range(400):
        one, other = rng.multivariate_normal([0, 0], [[1, true], [true, 1]], 12).T
        found = spearman(list(one), list(other))
        held += found.low <= spearman_s <= found.high
    assert 0.92 <= held / 400 <= 0.99


def test_below_five_strategies_it_cannot_tell():
    for n, told in (
        (1, "cannot tell from 1 strategy, 5 are needed"),
        (4, "cannot tell from 4 strategies, 5 are needed"),
    ):
        assert str(correlations(leaderboard(records(gains=GAINS[:n], stddevs=STDDEVS[:n])))["mini"]["rte"]) == told
    assert str(spearman([1.0] * 6, GAINS)) == "cannot tell from 6 strategies, all alike"
    assert correlations(leaderboard([run()])) == {}


def test_a_perfect_order_still_has_an_interval():
    found = spearman(range(6), range(6))
    assert found.rho == pytest.approx(1)
    assert 0 < found.low < 1
    orders = itertools.permutations(range(6))
    assert pytest.approx(sorted({by_hand(range(6), order) for order in orders})[-2]) == 1 - 12 / (6 * 35)


def test_over_tasks_a_strategy_counts_once_with_the_mean_of_its_ranks():
    found = correlations(leaderboard(records() + records("cola", GAINS[::-1], STDDEVS[::-1])))["mini"]
    assert set(found) == {"rte", "cola", "all tasks"}
    assert found["all tasks"].n == 6
    # The same order in other units: no task's unit counts.
    same = correlations(leaderboard(records() + records("cola", [g / 9 for g in GAINS], [9 * s for s in STDDEVS])))[
        "mini"
    ]
    assert same["all tasks"].rho == pytest.approx(same["rte"].rho) == pytest.approx(same["cola"].rho)


def test_the_line_below_the_table_names_the_tasks():
    line = note(correlations(leaderboard(records()))["mini"], "none")
    assert line.startswith(
        "T stddev (--full) against the gain over 'none', Spearman's rank correlation and 95 % interval"
    )
    assert line.endswith("rte -0.77 [-0.98, +0.26], 6 strategies")
