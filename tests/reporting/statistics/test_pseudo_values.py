"""Pseudo-values against the metric computed anew without each row."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from bench.errors import BenchError
from bench.reporting.statistics.pseudo_values import pseudo_values

RNG = np.random.default_rng(0)
BINARY, THREE = (RNG.integers(0, k, 60) for k in (2, 3))
SCORES = np.round(RNG.normal(size=60), 1)  # with ties, as STS-B's labels


def guesses(labels):
    return np.where(RNG.random((2, len(labels))) < 0.7, labels, RNG.permutation(labels))


@pytest.mark.parametrize(
    ("metric", "labels", "predictions", "reference", "tolerance"),
    [
        ("accuracy", THREE, guesses(THREE), accuracy_score, 1e-9),
        ("matthews", BINARY, guesses(BINARY), matthews_corrcoef, 1e-9),
        ("matthews", THREE, guesses(THREE), matthews_corrcoef, 1e-9),
        ("f1", BINARY, guesses(BINARY), f1_score, 1e-9),
        ("f1", THREE, guesses(THREE), lambda *both: f1_score(*both, average="macro"), 1e-9),
        ("pearson", SCORES, SCORES + RNG.normal(size=(2, 60)), lambda *both: pearsonr(*both).statistic, 1e-9),
        # Without terms of order 1/n, which are 12/n and a little.
        ("spearman", SCORES, SCORES + RNG.normal(size=(2, 60)), lambda *both: spearmanr(*both).statistic, 15 / 60),
    ],
)
def test_they_are_the_jackknife(metric, labels, predictions, reference, tolerance):
    score, values = pseudo_values(predictions, labels, metric)
    rows = np.arange(60)
    for seed in range(2):
        whole = reference(labels, predictions[seed])
        without = [reference(labels[rows != i], predictions[seed][rows != i]) for i in rows]
        assert score[seed] == pytest.approx(whole)
        assert values[seed] == pytest.approx(60 * whole - 59 * np.array(without), abs=tolerance)


def test_spearmans_spread_is_that_of_its_jackknife():
    predictions = SCORES + RNG.normal(size=60)
    rows = np.arange(60)
    without = [spearmanr(SCORES[rows != i], predictions[rows != i]).statistic for i in rows]
    assert pseudo_values(predictions, SCORES, "spearman")[1].std() == pytest.approx(59 * np.std(without), rel=0.03)


def test_the_mean_of_metrics_has_the_mean_of_their_values():
    predictions = SCORES + RNG.normal(size=(2, 60))
    parts = [pseudo_values(predictions, SCORES, metric) for metric in ("pearson", "spearman")]
    score, values = pseudo_values(predictions, SCORES, "pearson+spearman")
    assert score == pytest.approx((parts[0][0] + parts[1][0]) / 2)
    assert values == pytest.approx((parts[0][1] + parts[1][1]) / 2)


@pytest.mark.parametrize(("metric", "constant"), [("matthews", 1), ("pearson", 2.5), ("spearman", 2.5)])
def test_a_constant_answer_has_no_correlation(metric, constant):
    labels = BINARY if metric == "matthews" else SCORES
    score, values = pseudo_values(np.full((1, 60), constant), labels, metric)
    assert score.tolist() == [0.0]
    assert not values.any()


def test_what_cannot_be_scored_is_said():
    with pytest.raises(BenchError, match=r"shape \(2, 59\) do not fit labels of shape \(60,\)"):
        pseudo_values(np.zeros((2, 59)), BINARY, "accuracy")
    with pytest.raises(BenchError, match="not finite"):
        pseudo_values(np.full((1, 60), np.nan), SCORES, "pearson")
    with pytest.raises(BenchError, match="'rouge'; these have one: accuracy, f1"):
        pseudo_values(np.zeros((1, 60)), BINARY, "rouge")
    with pytest.raises(BenchError, match="without a label"):
        pseudo_values(np.zeros((1, 60)), BINARY - 1, "accuracy")
