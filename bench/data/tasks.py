"""Tasks as rows of data: GLUE's nine and its diagnostic set, exactly."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bench.errors import UsageError, unknown

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
    """What must be known of a task to train on it, score it and submit it.

    ``labels`` empty means regression; a class is its index into ``labels``. ``metrics`` are names known
    to ``bench.evaluation.metrics``; the first is the main one. ``rows`` maps every split to the official
    row count (None: no official count). ``submission`` maps a test split to its file in a GLUE
    submission, and ``submission_labels`` is how each class is written there and in GLUE's own files.
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
    submission: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
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
        kind, known = ("regression", SCORE_METRICS) if self.is_regression else ("classification", CLASS_METRICS)
        for metric in self.metrics:
            if metric not in known:
                raise unknown(f"{kind} metric", metric, known)
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


_NLI3 = ("entailment", "neutral", "contradiction")
_NLI2 = ("entailment", "not_entailment")
_DIGITS = ("0", "1")

# Class names and text columns are the hub's (nyu-mll/glue). GLUE's own files write the binary classes of
# CoLA, SST-2, MRPC, QQP and WNLI as 0 and 1, in the same order.
_TASKS = (
    Task(
        name="cola",
        title="CoLA",
        about="is the sentence acceptable English?",
        texts=("sentence",),
        labels=("unacceptable", "acceptable"),
        metrics=("matthews",),
        rows={"train": 8551, "dev": 1043, "test": 1063},
        submission={"test": "CoLA.tsv"},
        submission_labels=_DIGITS,
    ),
    Task(
        name="sst2",
        title="SST-2",
        about="is the film review positive?",
        texts=("sentence",),
        labels=("negative", "positive"),
        metrics=("accuracy",),
        rows={"train": 67349, "dev": 872, "test": 1821},
        submission={"test": "SST-2.tsv"},
        submission_labels=_DIGITS,
    ),
    Task(
        name="mrpc",
        title="MRPC",
        about="do the two news sentences mean the same?",
        texts=("sentence1", "sentence2"),
        labels=("not_equivalent", "equivalent"),
        metrics=("f1", "accuracy"),
        rows={"train": 3668, "dev": 408, "test": 1725},
        submission={"test": "MRPC.tsv"},
        submission_labels=_DIGITS,
    ),
    Task(
        name="stsb",
        title="STS-B",
        about="how similar are the two sentences, from 0 to 5?",
        texts=("sentence1", "sentence2"),
        labels=(),
        metrics=("pearson", "spearman"),
        rows={"train": 5749, "dev": 1500, "test": 1379},
        submission={"test": "STS-B.tsv"},
        score_range=(0.0, 5.0),
    ),
    Task(
        name="qqp",
        title="QQP",
        about="do the two questions ask the same?",
        texts=("question1", "question2"),
        labels=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1"),
        rows={"train": 363846, "dev": 40430, "test": 390965},
        submission={"test": "QQP.tsv"},
        submission_labels=_DIGITS,
    ),
    Task(
        name="mnli",
        title="MNLI",
        about="does the premise entail, leave open or contradict the hypothesis? (dev: matched genres)",
        texts=("premise", "hypothesis"),
        labels=_NLI3,
        metrics=("accuracy",),
        rows={"train": 392702, "dev": 9815, "dev_mismatched": 9832, "test": 9796, "test_mismatched": 9847},
        submission={"test": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
        submission_labels=_NLI3,
        directed=True,
    ),
    Task(
        name="qnli",
        title="QNLI",
        about="does the sentence answer the question?",
        texts=("question", "sentence"),
        labels=_NLI2,
        metrics=("accuracy",),
        rows={"train": 104743, "dev": 5463, "test": 5463},
        submission={"test": "QNLI.tsv"},
        submission_labels=_NLI2,
        directed=True,
    ),
    Task(
        name="rte",
        title="RTE",
        about="does the first text entail the second?",
        texts=("sentence1", "sentence2"),
        labels=_NLI2,
        metrics=("accuracy",),
        rows={"train": 2490, "dev": 277, "test": 3000},
        submission={"test": "RTE.tsv"},
        submission_labels=_NLI2,
        directed=True,
    ),
    Task(
        name="wnli",
        title="WNLI",
        about="does the sentence with its pronoun resolved follow? (few models beat the majority)",
        texts=("sentence1", "sentence2"),
        labels=("not_entailment", "entailment"),
        metrics=("accuracy",),
        rows={"train": 635, "dev": 71, "test": 146},
        submission={"test": "WNLI.tsv"},
        submission_labels=_DIGITS,
        majority_is_hard=True,
        directed=True,
    ),
    Task(
        name="ax",
        title="AX",
        about="GLUE's diagnostic set, predicted by the MNLI model",
        texts=("premise", "hypothesis"),
        labels=_NLI3,
        metrics=("matthews",),
        rows={"test": 1104},
        submission={"test": "AX.tsv"},
        submission_labels=_NLI3,
        trained_on="mnli",
        directed=True,
    ),
)

GLUE: Mapping[str, Task] = MappingProxyType({task.name: task for task in _TASKS})
"""GLUE's tasks by name, in the order tables show them."""
