"""What a task is, and GLUE's tasks, which are in ``glue.toml``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bench.errors import UsageError, unknown
from bench.toml import read_entries

CLASS_METRICS = ("accuracy", "f1", "matthews")
"""Metrics a classification task may name (``bench.evaluation.metrics`` computes them)."""

SCORE_METRICS = ("pearson", "spearman")
"""Metrics a regression task may name."""


@dataclass(frozen=True)
class Example:
    """One row of a task: its id within the split, one or two texts, and a label.

    ``label`` is a class index into ``Task.labels``, a float score for regression, or None where the
    split has no labels (GLUE's test sets).
    """

    id: int
    texts: tuple[str, ...]
    label: int | float | None = None


@dataclass(frozen=True)
class Task:
    """What must be known of a task to train on it and score it.

    ``labels`` empty means regression; a class is its index into ``labels``. ``metrics`` are names known
    to ``bench.evaluation.metrics``; the first is the main one. ``rows`` maps every split to the official
    row count (None: no official count). ``submission_labels`` is how each class is written in GLUE's own files.
    ``trained_on`` names the task whose model predicts this one (AX is predicted by MNLI's model). ``directed``
    tasks ask whether the second text follows from, or answers, the first.
    """

    name: str
    title: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: Mapping[str, int | None]
    label_column: str = "label"
    about: str = ""
    submission_labels: tuple[str, ...] = ()
    majority_is_hard: bool = False
    trained_on: str | None = None
    score_range: tuple[float, float] | None = None
    directed: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError where the task's parts do not fit each other."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", self.name):
            raise UsageError(f"name is {self.name!r}; use lower-case letters, digits, - and _, 60 at most")
        for key, names in {"texts": self.texts, "labels": self.labels, "metrics": self.metrics}.items():
            if len(set(names)) < len(names):
                raise UsageError(f"{key} names something twice: {', '.join(names)}")
        if not self.texts:
            raise UsageError("texts names no column")
        if len(self.labels) == 1:
            raise UsageError("labels has one class; name at least two, or leave labels out for regression")
        kind, possible = ("regression", SCORE_METRICS) if self.is_regression else ("classification", CLASS_METRICS)
        for metric in self.metrics:
            if metric not in possible:
                raise unknown(f"{kind} metric", metric, possible)
        ends = self.score_range
        if ends is not None and (self.labels or len(ends) != 2 or not -math.inf < ends[0] < ends[1] < math.inf):
            raise UsageError(f"score_range is {list(ends)}; [low, high] is possible, for regression only")

    @property
    def is_regression(self) -> bool:
        """Whether the label is a score (mean squared error) rather than a class."""
        return not self.labels

    @property
    def n_outputs(self) -> int:
        """Number of logits a model of this task has: one per class, or one for a score."""
        return max(1, len(self.labels))

    @property
    def changeable(self) -> tuple[int, ...]:
        """Which of a row's texts a perturbation may change: of a directed pair, the second only."""
        return (1,) if self.directed else tuple(range(len(self.texts)))

    def label_name(self, label: int | float | None) -> str:
        """Return how a person reads ``label``: the class's name, or the score."""
        return f"{label:g}" if self.is_regression or label is None else self.labels[int(label)]

    @property
    def main_metric(self) -> str:
        """The metric the leaderboard shows."""
        return self.metrics[0]

    @property
    def required_splits(self) -> tuple[str, ...]:
        """Splits without which the task cannot be used: its own train and dev, or only test."""
        return ("test",) if self.trained_on else ("train", "dev")


GLUE: Mapping[str, Task] = MappingProxyType(
    {name: Task(name, **entry) for name, entry in read_entries(Path(__file__).with_name("glue.toml")).items()}
)
"""GLUE's tasks by name, in the order tables show them."""
