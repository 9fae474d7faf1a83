"""Scores of predictions by GLUE's metrics, through the ``evaluate`` module shipped beside this file."""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bench.data.tasks import Task
from bench.errors import BenchError

MODULE = Path(__file__).with_name("glue_metrics") / "glue_metrics.py"
"""The ``evaluate`` module: ``evaluate.load(str(MODULE), "classes")`` or ``"scores"``."""

Labels: TypeAlias = "Sequence[int | float | None] | np.ndarray"
"""The labels of a split, one per row."""


def score(task: Task, logits: np.ndarray, labels: Labels) -> dict[str, float]:
    """Return every metric of ``task``, as fractions, for ``logits`` of shape [n, n_outputs].

    A class is the argmax of its row; a score is column 0, unclipped.
    """
    logits = np.asarray(logits)
    if logits.shape != (len(labels), task.n_outputs):
        raise BenchError(
            f"{task.name}: logits have shape {logits.shape}, but {(len(labels), task.n_outputs)} was expected"
        )
    if not np.isfinite(logits).all():
        rows = int((~np.isfinite(logits)).any(axis=1).sum())
        raise BenchError(
            f"{task.name}: {rows} of {len(logits)} rows of logits are not finite: training diverged; "
            "try a lower learning rate or another precision"
        )
    return compute(task, logits[:, 0] if task.is_regression else logits.argmax(axis=1), labels)


def compute(task: Task, predictions: np.ndarray, labels: Labels) -> dict[str, float]:
    """Return every metric of ``task``, as fractions, for ``predictions`` of shape [n]: classes or scores.

    A metric that is not defined (one class only, constant scores) is 0.0; f1 is that of class 1, or the
    macro average where a task has more than two classes.
    """
    if len(predictions) != len(labels) or not len(labels):
        sizes = f"{len(predictions)} predictions for {len(labels)} labels"
        raise BenchError(f"{task.name}: {sizes} cannot be scored")
    # Rows without a label are None in examples, -1 or nan in tokenised splits; None becomes nan here.
    references = np.asarray(labels, np.float64)
    scored = np.isfinite(references) if task.is_regression else np.isin(references, range(len(task.labels)))
    if not scored.all():
        raise BenchError(
            f"{task.name}: {int((~scored).sum())} of {len(labels)} rows have no label to score against (a test split?)"
        )
    kind = np.float64 if task.is_regression else np.int64
    result: dict[str, float] = _module("scores" if task.is_regression else "classes").compute(
        predictions=np.asarray(predictions, kind),
        references=references.astype(kind),
        metrics=list(task.metrics),
        n_classes=len(task.labels),
    )
    return result


def against_constant(task: Task, logits: np.ndarray, labels: Labels) -> dict[str, float]:
    """Return what the best constant answer scores ("constant"), and the standard error of the gain over it.

    ``logits`` [n, n_outputs] are a model's. Of accuracy and F1 the "standard_error" is that of the mean paired
    difference of what each row contributes, with one more row that differs: two answers that differ on a single
    row do not differ by more than a standard error. Correlations are 0 for any constant, and have a standard error
    of 1/sqrt(n) where answers and labels are independent.
    """
    n, values = len(labels), np.asarray(labels)
    if task.main_metric not in ("accuracy", "f1"):
        return {"constant": 0.0, "standard_error": n**-0.5}
    scores = [compute(task, np.full(n, answer), labels)[task.main_metric] for answer in range(len(task.labels))]
    best = int(np.argmax(scores))
    answers = np.asarray(logits).argmax(axis=1), np.full(n, best)
    gains = np.subtract(*(_contributions(task, given, values) for given in answers))
    return {"constant": scores[best], "standard_error": float(((gains.var() + 1 / n) / n) ** 0.5)}


def _contributions(task: Task, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what each row contributes to the main metric, [n]: of a ratio like F1 to first order (delta method)."""
    if task.main_metric == "accuracy":
        return (answers == labels).astype(float)
    rows = []
    for label in [1] if len(task.labels) == 2 else range(len(task.labels)):
        answered, right = (answers == label).astype(float), labels == label
        either, both = answered + right, 2 * answered * right
        rows.append((both - both.sum() / max(1.0, either.sum()) * either) / max(1 / len(labels), either.mean()))
    return np.mean(rows, axis=0)


@functools.cache
def _module(configuration: str) -> Any:
    """Return the loaded metric module: importing ``evaluate`` takes seconds, so once a process."""
    import evaluate

    # Data stay in memory, and the folder that evaluate makes all the same is this process's own: runs side by side
    # cannot meet, and nothing is written beside the user's cached models. It is gone at once, and not when the process
    # ends, as one that runs cells is ended by a signal.
    with tempfile.TemporaryDirectory(prefix="bench-metrics-") as folder:
        options = {"cache_dir": folder, "keep_in_memory": True}
        try:
            return evaluate.load(str(MODULE), configuration, **options)
        except OSError:
            # evaluate copies a module's script into HF_HOME before importing it; here that is read-only.
            usual, evaluate.config.HF_MODULES_CACHE = evaluate.config.HF_MODULES_CACHE, Path(folder)
            sys.path.insert(0, folder)
            try:
                return evaluate.load(str(MODULE), configuration, **options)
            finally:
                sys.path.remove(folder)
                evaluate.config.HF_MODULES_CACHE = usual
