"""A student's answers to the rows of an evaluation set, and what they score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bench.data.beyond.reading import LoadedSet
from bench.data.encode import encode
from bench.data.tasks import Task
from bench.errors import UsageError
from bench.evaluation.metrics import against_constant, compute
from bench.evaluation.predict import predict


@dataclass(frozen=True)
class Answered:
    """What a student said of a set's N rows, and its scores.

    ``labels`` [N] and ``predictions`` [N] are classes that are scored, or scores; ``logits`` [N, C] the student's
    own. ``groups`` is the main metric within each group of rows, with their number. ``constant`` is what the best
    constant answer scores, ``most_predicted`` the share of rows that get the most frequent answer.
    """

    classes: tuple[str, ...]
    ids: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    logits: np.ndarray
    metrics: dict[str, float]
    groups: dict[str, tuple[float, int]]
    constant: float
    most_predicted: float
    truncated: int


def answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    own: tuple[str, ...],
    data: LoadedSet,
    accelerator: Any,
    max_length: int,
) -> Answered:
    """Return what ``model``, whose classes are ``own`` (none: scores), says of ``data``, read as in its training.

    The answer is the model's most probable class; only then is it mapped to the set's classes, as the authors of HANS
    do, so that no probability of two classes outweighs a third that is the answer.
    """
    scoring = data.entry.scored(own)
    task = data.entry.scoring_task(scoring)
    encoded = encode(data.examples, tokenizer, max_length, is_regression=task.is_regression)
    logits = predict(model, encoded, accelerator)
    labels: np.ndarray
    if task.is_regression:
        predictions, labels = logits[:, 0], encoded.labels
    else:
        predictions = np.asarray(scoring.of_answer)[logits.argmax(axis=1)]
        labels = np.asarray([scoring.of_label[name] for name in data.classes])[encoded.labels]
    metrics = compute(task, predictions, labels)
    counts = np.unique(predictions, return_counts=True)[1]
    return Answered(
        classes=task.labels,
        ids=encoded.example_ids,
        labels=labels,
        predictions=predictions,
        logits=logits,
        metrics=metrics,
        groups=_by_group(task, data, predictions, labels),
        constant=_constant(task, predictions, labels),
        most_predicted=float(counts.max() / len(predictions)),
        truncated=encoded.truncated,
    )


def _constant(task: Task, predictions: np.ndarray, labels: np.ndarray) -> float:
    if task.is_regression:
        return 0.0
    # Only the answers count there, and they are classes already.
    return against_constant(task, np.eye(task.n_outputs)[predictions], labels)["constant"]


def _by_group(task: Task, data: LoadedSet, predictions: np.ndarray, labels: np.ndarray) -> dict[str, tuple[float, int]]:
    """Return the main metric within each group of two rows or more; where that is accuracy, also by class."""
    rows: dict[str, list[int]] = {}
    for row, names in enumerate(data.groups):
        for name in names:
            rows.setdefault(name, []).append(row)
    if task.main_metric == "accuracy":
        for number, name in enumerate(task.labels):
            rows[f"label: {name}"] = np.flatnonzero(labels == number).tolist()
    return {
        name: (compute(task, predictions[which], labels[which])[task.main_metric], len(which))
        for name, which in sorted(rows.items())
        if len(which) > 1
    }


def check_task(data: LoadedSet, texts: int, task: str) -> None:
    """Raise UsageError where models of ``task``, which read ``texts`` texts a row, cannot read the set's rows."""
    if len(data.entry.texts) != texts:
        raise UsageError(
            f"set {data.entry.name} has {len(data.entry.texts)} text(s) a row, students of {task} read {texts}"
        )
