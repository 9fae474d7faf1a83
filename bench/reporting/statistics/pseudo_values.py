"""Scores of predictions, and what each row contributes to them: jackknife pseudo-values."""

from __future__ import annotations

import numpy as np

from bench.errors import BenchError

CLASSES = ("accuracy", "f1", "matthews")
SCORES = ("pearson", "spearman")


def pseudo_values(
    predictions: np.ndarray, labels: np.ndarray, metric: str, n_classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each seed, [seeds], and each row's pseudo-value of it, [seeds, rows].

    ``predictions`` [seeds, rows] and ``labels`` [rows] are classes, or scores for Pearson's and Spearman's
    correlation. A pseudo-value is n·score - (n-1)·(score without the row) (Tukey's jackknife): for accuracy 1 where
    the row is right and 0 elsewhere; for other metrics their mean is the score up to terms of order 1/n, and their
    spread over rows is the score's own times √n. Spearman's are without terms of order 1/n. F1 is that of class 1
    where there are two classes, else the macro average over the classes that occur. ``metric`` may be several, with
    ``+`` between them: their mean. A score that is not defined is 0, as in the tables.
    """
    predictions, labels = np.atleast_2d(np.asarray(predictions)), np.asarray(labels)
    if labels.ndim != 1 or predictions.shape[1:] != labels.shape or len(labels) < 2 or not len(predictions):
        raise BenchError(
            f"predictions of shape {predictions.shape} do not fit labels of shape {labels.shape}; "
            "[seeds, rows] and [rows], of at least two rows, are wanted"
        )
    if not (np.isfinite(predictions).all() and np.isfinite(labels).all()):
        raise BenchError("predictions or labels are not finite numbers; leave out the runs that diverged")
    if "+" in metric:
        parts = [pseudo_values(predictions, labels, part, n_classes) for part in metric.split("+")]
        return np.mean([score for score, _ in parts], axis=0), np.mean([values for _, values in parts], axis=0)
    if metric in CLASSES:
        return _of_classes(predictions, labels, metric, n_classes)
    if metric in SCORES:
        of_one = _pearson if metric == "pearson" else _spearman
        pairs = [of_one(row, labels.astype(float)) for row in predictions.astype(float)]
        return np.array([score for score, _ in pairs]), np.array([values for _, values in pairs])
    raise BenchError(f"there is no pseudo-value of metric {metric!r}; these have one: {', '.join(CLASSES + SCORES)}")


def _jackknife(score: np.ndarray | float, without: np.ndarray, n: int) -> np.ndarray:
    return n * np.asarray(score)[..., None] - (n - 1) * without


def _of_classes(
    predictions: np.ndarray, labels: np.ndarray, metric: str, n_classes: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """A row's score without it depends on its label and prediction alone: k² scores a seed, however many rows."""
    seeds, n = predictions.shape
    if not (np.equal(np.mod(predictions, 1), 0).all() and np.equal(np.mod(labels, 1), 0).all()):
        raise BenchError("classes that are no whole numbers cannot be scored")
    predictions, labels = predictions.astype(np.int64), labels.astype(np.int64)
    if min(predictions.min(), labels.min()) < 0:
        raise BenchError("classes below 0 cannot be scored: rows without a label (a test split?)")
    k = max(2, n_classes or 0, int(predictions.max()) + 1, int(labels.max()) + 1)
    if metric == "accuracy":
        right = (predictions == labels).astype(float)
        return right.mean(axis=1), right
    cells = predictions * k + labels
    offsets = np.arange(seeds)[:, None] * k * k
    counts = np.bincount((cells + offsets).ravel(), minlength=seeds * k * k).reshape(seeds, k, k).astype(float)
    measure = _matthews if metric == "matthews" else _f1
    without = measure(counts[:, None] - np.eye(k * k).reshape(k * k, k, k))
    score = measure(counts)
    return score, _jackknife(score, np.take_along_axis(without, cells, axis=1), n)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return the quotient, 0 where it is not defined."""
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)


def _matthews(counts: np.ndarray) -> np.ndarray:
    """Matthews correlation of counts [..., predicted, true], for any number of classes (Gorodkin's R_K)."""
    n, right = counts.sum(axis=(-2, -1)), np.trace(counts, axis1=-2, axis2=-1)
    predicted, true = counts.sum(axis=-1), counts.sum(axis=-2)
    both = (n**2 - (predicted**2).sum(-1)) * (n**2 - (true**2).sum(-1))
    return _ratio(right * n - (predicted * true).sum(-1), np.sqrt(np.maximum(both, 0)))


def _f1(counts: np.ndarray) -> np.ndarray:
    either = counts.sum(axis=-1) + counts.sum(axis=-2)
    scores = _ratio(2 * np.diagonal(counts, axis1=-2, axis2=-1), either)
    return scores[..., 1] if counts.shape[-1] == 2 else _ratio(scores.sum(-1), (either > 0).sum(-1).astype(float))


def _pearson(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    n = len(x)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0, np.zeros(n)
    x, y = x - x.mean(), y - y.mean()
    left = n / (n - 1)  # what the sums of squares lose with a row, its part in the means included
    xx, yy, xy = x @ x - left * x * x, y @ y - left * y * y, x @ y - left * x * y
    score = float(x @ y / np.sqrt((x @ x) * (y @ y)))
    return score, _jackknife(score, _ratio(xy, np.sqrt(np.maximum(xx * yy, 0))), n)


def _spearman(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """A row that leaves lowers by one every rank above its own, so its part in the score is more than its own ranks."""
    n = len(x)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0, np.zeros(n)
    (r, r_group, r_sizes), (s, s_group, s_sizes) = _ranks(x), _ranks(y)
    # Sum of products of ranks without the row; the rows above it in both, of order n beside n³, are left out.
    products = r @ s - r * s - _above(r, s_group, s_sizes) - _above(s, r_group, r_sizes)
    spread = np.sqrt(_spread(n - 1, r_group, r_sizes) * _spread(n - 1, s_group, s_sizes))
    score = float(np.corrcoef(r, s)[0, 1])
    return score, _jackknife(score, _ratio(products - (n - 1) * (n / 2) ** 2, spread), n)


def _ranks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ranks (ties share theirs), each row's group of equal values, and the groups' sizes."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2)[group], group, sizes


def _above(weights: np.ndarray, group: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return, for each row, the sum of ``weights`` over rows of higher groups and half of that over its own."""
    sums = np.bincount(group, weights, minlength=len(sizes))
    return (sums.sum() - np.cumsum(sums) + sums / 2)[group] - weights / 2


def _spread(n: int, group: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the sum of squares of ranks about their mean, for each row that leaves."""
    ties = sizes.astype(float) ** 3 - sizes
    fewer = (sizes - 1.0) ** 3 - (sizes - 1.0)
    return (n**3 - n - (ties.sum() - ties + fewer)[group]) / 12
