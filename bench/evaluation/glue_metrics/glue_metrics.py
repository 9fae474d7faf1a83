"""GLUE's metrics as an ``evaluate`` module that is loaded from this file, without a network."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

_DESCRIPTION = """\
accuracy, f1, matthews (configuration "classes"); pearson, spearman (configuration "scores"): fractions.
"""

_INPUTS = """
Args:
    predictions: class numbers, or scores.
    references: the true class numbers, or scores.
    metrics: names of the metrics to compute.
    n_classes: number of classes of the task. With two, f1 is that of class 1; with more, it is the macro
        average over the classes that occur among predictions or references.
Returns:
    The value of each metric by name. Where one is not defined it is 0.0: f1 without any true or
    predicted class 1, matthews with one class only in predictions or references, and correlations where
    one side is constant or there are fewer than two rows.
"""

_CITATION = """\
@inproceedings{wang2019glue,
  title = {{GLUE}: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding},
  author = {Wang, Alex and Singh, Amanpreet and Michael, Julian and Hill, Felix and Levy, Omer and
            Bowman, Samuel R.},
  booktitle = {ICLR},
  year = {2019}
}
"""


class GlueMetrics(evaluate.Metric):
    """Accuracy, F1 and Matthews correlation of classes; Pearson and Spearman correlation of scores."""

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in ("classes", "scores"):
            raise ValueError(f"configuration {self.config_name!r} is not one of classes, scores")
        kind = datasets.Value("int64" if self.config_name == "classes" else "float64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": kind, "references": kind}),
            format="numpy",
        )

    def _compute(
        self, predictions: np.ndarray, references: np.ndarray, metrics: list[str], n_classes: int = 2
    ) -> dict[str, float]:
        compute = {
            "accuracy": lambda: accuracy_score(references, predictions),
            "f1": lambda: _f1(predictions, references, n_classes),
            "matthews": lambda: matthews_corrcoef(references, predictions),
            "pearson": lambda: _correlation(pearsonr, predictions, references),
            "spearman": lambda: _correlation(spearmanr, predictions, references),
        }
        return {name: float(compute[name]()) for name in metrics}


def _f1(predictions: np.ndarray, references: np.ndarray, n_classes: int) -> float:
    average = "binary" if n_classes == 2 else "macro"
    return f1_score(references, predictions, average=average, zero_division=0)


def _correlation(measure, predictions: np.ndarray, references: np.ndarray) -> float:
    if len(predictions) < 2 or np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return 0.0
    return measure(predictions, references).statistic
