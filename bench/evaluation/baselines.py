"""What simple models score that cannot read a task as meant: what a score on it has to be compared with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.tasks import Example, Task
from bench.evaluation.metrics import against_constant, compute

if TYPE_CHECKING:
    from scipy.sparse import spmatrix

    Features = Callable[[Sequence[Example], Sequence[Example]], tuple[Any, Any]]
    """From the rows to fit on and those to score, the two feature matrices, one row each."""


def majority(task: Task, dev: Sequence[Example]) -> float:
    """Return what the best constant answer scores on ``dev``, in the task's main metric."""
    labels = [row.label for row in dev]
    return against_constant(task, np.zeros((len(dev), task.n_outputs)), np.asarray(labels, float))["constant"]


def baselines(
    task: Task, train: Sequence[Example], dev: Sequence[Example], most: int | None = None
) -> dict[str, float]:
    """Return the score on ``dev``, in the task's main metric, of what is fitted on ``train``, or ``most`` rows of it.

    "majority" is the best constant answer. Of pairs, "first text" and "second text" see a bag of the words of that text
    alone (Poliak et al. 2018 call it the hypothesis-only baseline), and "overlap" sees four numbers: the Jaccard
    overlap of the two texts' words, the share of the second's words that the first has not, and both lengths. Of single
    texts, "words" sees a bag of words and "bigrams" one of words and neighbouring words. Classes are told apart by
    logistic regression, scores are predicted by ridge regression.
    """
    kinds: dict[str, Features]
    if len(task.texts) == 1:
        kinds = {"words": _bag(0), "bigrams": _bag(0, 2)}
    else:
        kinds = {"first text": _bag(0), "second text": _bag(1), "overlap": _overlaps}
    chosen = np.sort(np.random.default_rng(0).permutation(len(train))[:most])
    fitted = [train[row] for row in chosen]
    return {"majority": majority(task, dev)} | {
        name: _score(task, features, fitted, dev) for name, features in kinds.items()
    }


def _score(task: Task, features: Features, train: Sequence[Example], dev: Sequence[Example]) -> float:
    from sklearn.linear_model import LogisticRegression, Ridge

    seen, unseen = features(train, dev)
    labels = np.asarray([row.label for row in train])
    if len(set(labels.tolist())) == 1:  # nothing to tell apart
        predictions = np.full(len(dev), labels[0])
    else:
        model = Ridge(alpha=1.0) if task.is_regression else LogisticRegression(max_iter=1000)
        predictions = model.fit(seen, labels).predict(unseen)
    return compute(task, predictions, [row.label for row in dev])[task.main_metric]


def _bag(text: int, n: int = 1) -> Features:
    """Return what counts the runs of up to ``n`` words in text number ``text`` of each row."""

    def features(train: Sequence[Example], dev: Sequence[Example]) -> tuple[spmatrix, spmatrix]:
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(ngram_range=(1, n), token_pattern=r"\w+|[^\w\s]", binary=True)
        seen, unseen = ([row.texts[text] for row in rows] for rows in (train, dev))
        return counter.fit_transform(seen), counter.transform(unseen)

    return features


def _overlaps(train: Sequence[Example], dev: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    seen, unseen = (np.asarray([_overlap(*row.texts) for row in rows]) for rows in (train, dev))
    return scaler.fit_transform(seen), scaler.transform(unseen)


def _overlap(first: str, second: str) -> tuple[float, float, int, int]:
    one, two = (re.findall(r"\w+", text.lower()) for text in (first, second))
    a, b = set(one), set(two)
    return len(a & b) / max(1, len(a | b)), len(b - a) / max(1, len(b)), len(one), len(two)
