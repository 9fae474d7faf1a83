"""Students made up with a known true gain: predictions whose rows and seeds are both drawn, for tests of intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from bench.reporting.statistics.pseudo_values import pseudo_values


@dataclass(frozen=True)
class World:
    """Two strategies on one task; all that differs between repeats is drawn from here.

    A row is right when its ease exceeds a normal draw. Of the variance of that draw ``shared`` belongs to the row
    alone, ``own`` to the row under one strategy, the rest to the row under one strategy and seed. A seed moves all
    rows of a student by ``seed_sd`` (for scores: its error's logarithm). ``ease`` has one value per class.
    """

    metric: str
    ease: tuple[float, float] = (1.1, 0.8)
    lead: float = 0.08
    seed_sd: float = 0.025
    shared: float = 0.83
    own: float = 0.13
    positive: float = 0.6

    def draw(self, rng: np.random.Generator, seeds: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the predictions of strategy and baseline, [seeds, rows] each, and the labels, [rows]."""
        rest = 1 - self.shared - self.own
        row = rng.standard_normal(rows, np.float32) * self.shared**0.5
        scores = self.metric in ("pearson", "spearman")
        labels = rng.standard_normal(rows) if scores else (rng.random(rows) < self.positive).astype(np.int64)
        students = []
        for lead in (self.lead, 0.0):
            noise = row + rng.standard_normal(rows, np.float32) * self.own**0.5
            noise = noise + rng.standard_normal((seeds, rows), np.float32) * rest**0.5
            shift = rng.normal(0, self.seed_sd, (seeds, 1))
            if scores:
                students.append(labels + np.exp(shift - lead) * 0.6 * noise)
            else:
                right = noise < np.array(self.ease)[labels] + shift + lead
                students.append(np.where(right, labels, 1 - labels))
        return students[0], students[1], labels

    def truth(self) -> float:
        """Return the gain over all rows and seeds there could be, by quadrature over the seeds' shift."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        shifts = nodes * self.seed_sd
        both = [float(np.sum(weights * self._score(shifts, lead)) / weights.sum()) for lead in (self.lead, 0.0)]
        return both[0] - both[1]

    def seed_sd_of_score(self) -> float:
        """Return the standard deviation over seeds of the baseline's score, were there rows without end."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        values, weights = self._score(nodes * self.seed_sd, 0.0), weights / weights.sum()
        return float(np.sqrt(weights @ values**2 - (weights @ values) ** 2))

    def _score(self, shift: np.ndarray, lead: float) -> np.ndarray:
        if self.metric in ("pearson", "spearman"):
            pearson = 1 / np.sqrt(1 + (0.6 * np.exp(shift - lead)) ** 2)
            return pearson if self.metric == "pearson" else 6 / np.pi * np.arcsin(pearson / 2)
        p = self.positive
        tn, tp = ((1 - p) * norm.cdf(self.ease[0] + shift + lead), p * norm.cdf(self.ease[1] + shift + lead))
        fp, fn = 1 - p - tn, p - tp
        if self.metric == "accuracy":
            return tn + tp
        if self.metric == "f1":
            return 2 * tp / (2 * tp + fp + fn)
        return (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def pigeonhole(
    strategy: np.ndarray, baseline: np.ndarray, labels: np.ndarray, metric: str, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the gain by the crossed bootstrap (Owen 2007), for any metric.

    Rows are drawn once a replicate, for all seeds and both strategies; seeds are drawn independently of them.
    """
    seeds, rows = strategy.shape
    gains = []
    for _ in range(draws):
        drawn, some = rng.integers(rows, size=rows), rng.integers(seeds, size=seeds)
        scores = [pseudo_values(part[:, drawn], labels[drawn], metric)[0][some] for part in (strategy, baseline)]
        gains.append(float(np.mean(scores[0] - scores[1])))
    low, high = np.quantile(gains, (0.025, 0.975))
    return float(low), float(high)
