"""Metrics against scikit-learn, scipy and hand-computed values."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from bench.data.tasks import GLUE, Task
from bench.errors import BenchError
from bench.evaluation.metrics import MODULE, against_constant, compute, score

MANY = Task("many", "many", ("text",), ("a", "b", "c", "d"), ("f1", "accuracy", "matthews"), {})
BINARY = Task("two", "two", ("text",), ("a", "b"), ("f1", "accuracy", "matthews"), {})


def test_classes_equal_scikit_learn():
    rng = np.random.default_rng(0)
    for task, average in ((BINARY, "binary"), (MANY, "macro")):
        logits = rng.normal(size=(500, task.n_outputs))
        labels = rng.integers(task.n_outputs, size=500)
        predicted = logits.argmax(axis=1)
        assert score(task, logits, labels.tolist()) == {
            "f1": f1_score(labels, predicted, average=average),
            "accuracy": accuracy_score(labels, predicted),
            "matthews": matthews_corrcoef(labels, predicted),
        }


def test_values_computed_by_hand():
    # One true positive, one false negative, two false positives, one true negative.
    predictions, labels = np.array([1, 0, 1, 1, 0]), [1, 1, 0, 0, 0]
    result = compute(BINARY, predictions, labels)
    assert result["accuracy"] == pytest.approx(2 / 5)
    assert result["f1"] == pytest.approx(2 * 1 / (2 * 1 + 2 + 1))
    assert result["matthews"] == pytest.approx((1 * 1 - 2 * 1) / np.sqrt(3 * 2 * 3 * 2))


def test_scores_equal_scipy():
    rng = np.random.default_rng(1)
    labels = np.round(rng.uniform(0, 5, size=300), 1)
    logits = (labels + rng.normal(size=300))[:, None]
    result = score(GLUE["stsb"], logits.astype(np.float32), labels)
    assert result["pearson"] == pytest.approx(pearsonr(logits[:, 0], labels).statistic, abs=1e-6)
    assert result["spearman"] == pytest.approx(spearmanr(logits[:, 0], labels).statistic, abs=1e-6)
    assert list(result) == ["pearson", "spearman"]


def test_degenerate_cases_are_zero():
    ones = np.ones(6, dtype=int)
    labels = [0, 1, 0, 1, 1, 0]
    assert compute(GLUE["cola"], ones, labels) == {"matthews": 0.0}
    assert compute(BINARY, 0 * ones, labels) == {"f1": 0.0, "accuracy": 0.5, "matthews": 0.0}
    constant = {"pearson": 0.0, "spearman": 0.0}
    assert compute(GLUE["stsb"], np.full(6, 2.5), [float(label) for label in labels]) == constant
    assert compute(GLUE["stsb"], np.arange(6.0), [3.0] * 6) == constant
    assert compute(GLUE["stsb"], np.array([1.0]), [3.0]) == constant


def logits(*classes, outputs=2):
    return np.eye(outputs)[list(classes)]


def test_the_best_constant_answer_is_the_best_on_these_very_labels():
    assert against_constant(GLUE["rte"], logits(0, 1, 0, 0), [0, 1, 0, 0])["constant"] == 0.75
    assert against_constant(GLUE["mrpc"], logits(1, 1, 1, 0), [1, 1, 1, 0])["constant"] == pytest.approx(6 / 7)
    three = against_constant(GLUE["mnli"], logits(0, 1, 2, 2, outputs=3), np.array([2, 1, 0, 2]))
    assert three["constant"] == 0.5
    assert against_constant(GLUE["cola"], logits(1, 0), [1, 0])["constant"] == 0.0
    assert against_constant(GLUE["stsb"], np.array([[0.5], [1.5]]), [0.0, 3.0])["constant"] == 0.0


def test_the_standard_error_is_of_the_paired_gain():
    # Right where the constant is wrong on 2 rows, wrong where it is right on 1, alike on the other 7: mean 0.1.
    labels, answers = [0] * 6 + [1] * 4, [1] + [0] * 5 + [1, 1] + [0, 0]
    found = against_constant(GLUE["rte"], logits(*answers), labels)
    assert found["standard_error"] == pytest.approx(math.sqrt((0.3 - 0.1**2 + 0.1) / 10))
    for task, answer in (("cola", logits(*answers)), ("stsb", np.arange(10.0)[:, None])):
        assert against_constant(GLUE[task], answer, labels)["standard_error"] == pytest.approx(10**-0.5)


@pytest.mark.parametrize(("rows", "enough"), [(0, False), (1, False), (2, True)])
def test_one_row_better_than_the_constant_is_within_a_standard_error(rows, enough):
    labels = [0] * 390 + [1] * 236
    answers = [0] * 390 + [1] * rows + [0] * (236 - rows)
    found = against_constant(GLUE["rte"], logits(*answers), labels)
    assert (
        score(GLUE["rte"], logits(*answers), labels)["accuracy"] - found["constant"] > found["standard_error"]
    ) == enough


def test_the_standard_error_of_f1_is_that_of_f1_s_gain_and_not_of_accuracy_s():
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.68).astype(int)
    answers = np.where(labels == 1, rng.random(400) < 0.93, rng.random(400) < 0.7).astype(int)

    def gain(rows):
        right, there = labels[rows], answers[rows]
        return 2 * (right & there).sum() / (right.sum() + there.sum()) - 2 * right.sum() / (right.sum() + len(rows))

    drawn = [gain(rng.integers(0, 400, 400)) for _ in range(2000)]
    error = against_constant(GLUE["mrpc"], logits(*answers), labels)["standard_error"]
    assert error == pytest.approx(np.std(drawn), rel=0.08)
    assert 1.4 * error < against_constant(GLUE["rte"], logits(*answers), labels)["standard_error"]
    four = rng.integers(4, size=400)
    answers, best = np.where(rng.random(400) < 0.4, four, rng.integers(4, size=400)), np.bincount(four).argmax()

    def macro(rows):
        one, other = (f1_score(four[rows], given[rows], average="macro") for given in (answers, np.full(400, best)))
        return one - other

    drawn = [macro(rng.integers(0, 400, 400)) for _ in range(500)]
    error = against_constant(MANY, logits(*answers, outputs=4), four)["standard_error"]
    assert error == pytest.approx(np.std(drawn), rel=0.12)


def test_what_cannot_be_scored_is_refused():
    rte, stsb = GLUE["rte"], GLUE["stsb"]
    with pytest.raises(BenchError, match=r"rte: logits have shape \(3, 3\), but \(3, 2\) was expected"):
        score(rte, np.zeros((3, 3)), [0, 1, 0])
    with pytest.raises(BenchError, match="1 of 2 rows of logits are not finite"):
        score(rte, np.array([[0.0, 1.0], [np.nan, 0.0]]), [0, 1])
    for task, unlabelled in ((rte, [0, None]), (rte, [-1, 0]), (stsb, [1.0, None]), (stsb, [np.nan, 1.0])):
        with pytest.raises(BenchError, match="1 of 2 rows have no label"):
            compute(task, np.zeros(2), unlabelled)
    with pytest.raises(BenchError, match="0 predictions for 0 labels"):
        score(rte, np.zeros((0, 2)), [])
    # A refusal leaves nothing behind for the next call.
    assert score(rte, np.array([[0.0, 1.0]]), [1]) == {"accuracy": 1.0}


def test_the_module_is_an_evaluate_metric(tmp_path):
    import evaluate

    metric = evaluate.load(str(MODULE), "classes", cache_dir=str(tmp_path), keep_in_memory=True)
    result = metric.compute(predictions=[0, 1, 1], references=[0, 1, 0], metrics=["accuracy"])
    assert result == {"accuracy": pytest.approx(2 / 3)}
    with pytest.raises(ValueError, match="not one of classes, scores"):
        evaluate.load(str(MODULE), "rte", cache_dir=str(tmp_path))


def test_processes_side_by_side_without_a_writable_cache_score_and_leave_no_folder(tmp_path):
    (tmp_path / "file").write_text("HF_HOME below a file cannot be made, whoever runs this")
    code = (
        "import os, tempfile; import numpy as np; from bench.data.tasks import GLUE;"
        "from bench.evaluation.metrics import compute;"
        "print([compute(GLUE['rte'], np.arange(2), [0, 0])['accuracy'] for _ in range(20)] == [0.5] * 20,"
        "round(compute(GLUE['stsb'], np.arange(3.0), [0, 2, 4])['pearson'], 6), os.listdir(tempfile.gettempdir()))"
    )
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    environment = {**os.environ, "HF_HOME": str(tmp_path / "file" / "home"), "OMP_NUM_THREADS": "1"}
    for name in ("HF_MODULES_CACHE", "HF_EVALUATE_CACHE", "HF_METRICS_CACHE", "HF_DATASETS_CACHE"):
        environment.pop(name, None)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**environment, "TMPDIR": str(tmp_path / folder)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder in ("one", "two")
    ]
    assert [process.communicate(timeout=600)[0].strip() for process in running] == ["True 1.0 []"] * 2
