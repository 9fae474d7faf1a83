"""The students behind each row of the leaderboard: their scores by seed, and what each dev row gave to them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.errors import BenchError
from bench.evaluation.selection import SELECTIONS
from bench.reporting.statistics.paired import Interval, crossed_interval, least_error, seeds_interval
from bench.reporting.statistics.pseudo_values import pseudo_values

if TYPE_CHECKING:
    import pandas as pd

UNSEEN = "left out of the intervals"
"""What a note says of predictions that no interval takes in."""
_TOLERANCE = 1e-4
"""By how much a score may differ from that of the predictions beside it."""


class Predicted(NamedTuple):
    """What one run predicted on one split: [rows] each."""

    rows: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray


@dataclass
class Students:
    """One strategy's students of one task and setting, by seed."""

    scores: dict[int, float]
    metric: str
    values: dict[int, np.ndarray] = field(default_factory=dict)  # pseudo-values of the dev rows, [rows]

    def row_sd(self) -> float:
        """Return the standard deviation over rows of what a row gives to the score; NaN without predictions."""
        sds = [float(np.std(values, ddof=1)) for values in self.values.values()]
        return float(np.mean(sds)) if sds else float("nan")


class Gain(NamedTuple):
    """One strategy's gain over another on a task, with its interval, and the gain of each seed they share."""

    interval: Interval
    cells: tuple[float, ...]


def gain(ours: Students, theirs: Students) -> Gain | None:
    """Return the paired gain over the seeds that both have; None where they share none.

    The interval takes rows and seeds from the seeds that have predictions; if these are fewer than two of several,
    it takes the seeds' scores alone.
    """
    seeds = [seed for seed in ours.scores if seed in theirs.scores]
    if not seeds:
        return None
    cells = [ours.scores[seed] - theirs.scores[seed] for seed in seeds]
    seen = [seed for seed in seeds if seed in ours.values and seed in theirs.values]
    if len(seen) < min(2, len(seeds)):
        return Gain(seeds_interval(np.array(cells)), tuple(cells))
    mine, other = (np.stack([part.values[seed] for seed in seen]) for part in (ours, theirs))
    least = least_error(ours.metric, mine, other)
    return Gain(crossed_interval(mine - other, float(np.mean(cells)), least), tuple(cells))


def by_run(
    predictions: pd.DataFrame | Mapping[tuple[str, str], Predicted] | None,
) -> Mapping[tuple[str, str], Predicted]:
    """Return {(id of the run, split): what it predicted}, in the order of its rows; what is so already as it is."""
    if isinstance(predictions, Mapping):
        return predictions
    if predictions is None or predictions.empty:
        return {}
    answers = {}
    for (id, split), part in predictions.groupby(["id", "split"], sort=False, observed=True):
        columns = [part[name].to_numpy() for name in ("row", "label", "prediction")]
        order = np.argsort(columns[0], kind="stable")
        answers[str(id), str(split)] = Predicted(*(column[order] for column in columns))
    return answers


def students_of(
    rows: Iterable[Mapping[str, Any]], predicted: Mapping[tuple[str, str], Predicted], notes: list[str]
) -> dict[str, Students]:
    """Return {strategy: its students} of the rows of the leaderboard of one task and setting.

    Predictions that are of other rows than most, or do not give the score of their record, are left out; ``notes``
    gets a line for each reason.
    """
    by_strategy, refused = {}, defaultdict(list)
    runs = [(row, seed, id) for row in rows for seed, id in zip(row["seeds"], row.get("ids") or (), strict=False)]
    usual = Counter(_shape(predicted[id, row["split"]]) for row, _, id in runs if (id, row["split"]) in predicted)
    for row in rows:
        students = Students(dict(zip(row["seeds"], row["scores"], strict=True)), row["metric"])
        for seed, id in zip(row["seeds"], row.get("ids") or (), strict=False):
            one = predicted.get((id, row["split"]))
            if one is None:
                refused["no predictions"].append((row, seed))
            elif _shape(one) != usual.most_common(1)[0][0]:
                refused["predictions of other rows than the other runs'"].append((row, seed))
            else:
                try:
                    score, values = _scored(one, row)
                except BenchError as error:
                    refused[str(error)].append((row, seed))
                    continue
                if abs(score - students.scores[seed]) > _TOLERANCE:
                    refused["predictions that do not give the recorded score"].append((row, seed))
                else:
                    students.values[seed] = values
        by_strategy[row["strategy"]] = students
    for reason, where in refused.items():
        names = Counter(row["strategy"] for row, _ in where)
        runs_of = ", ".join(f"{name} ({count})" for name, count in names.items())
        notes.append(f"{where[0][0]['task']}: {reason}, {UNSEEN}: {runs_of}")
    return by_strategy


def _shape(one: Predicted) -> tuple[int, int]:
    """Return what is equal for predictions of the same rows with the same labels."""
    return hash(one.rows.tobytes()), hash(np.asarray(one.labels, float).tobytes())


def _scored(one: Predicted, row: Mapping[str, Any]) -> tuple[float, np.ndarray]:
    """Return the score on the rows that are reported, and each one's pseudo-value."""
    labels, predictions = one.labels, one.predictions
    if row["split"] == "dev" and row["selection"] in SELECTIONS:
        reported = SELECTIONS[row["selection"]].rows_to_report(len(labels))
        labels, predictions = labels[reported], predictions[reported]
    score, values = pseudo_values(predictions, labels, row["metric"])
    return float(score[0]), values[0]
