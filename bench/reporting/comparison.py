"""One comparison per preset: what every strategy gains over the baseline, how sure that is, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from bench.reporting import strategy_gains, task_gains
from bench.reporting.common_ground import caveats, same_for_all, unlike
from bench.reporting.pairwise import pairwise
from bench.reporting.sheet import plain_rows
from bench.reporting.students import Predicted, Students, by_run, students_of
from bench.reporting.task_gains import Line

if TYPE_CHECKING:
    import pandas as pd


class _WhenRead:
    """A frame that is made when it is first read: a field of sixty strategies has 1,770 pairs."""

    def __get__(self, instance: Comparison | None, owner: type[Comparison]) -> pd.DataFrame:
        if instance is None:
            raise AttributeError("no default")
        table = vars(instance)["pairwise"]
        if callable(table):
            table = vars(instance)["pairwise"] = table()
        return table

    def __set__(self, instance: Comparison, value: pd.DataFrame | Callable[[], pd.DataFrame]) -> None:
        vars(instance)["pairwise"] = value


@dataclass
class Comparison:
    """What renderers show of one preset. Gains and scores are fractions: 0.012 is 1.2 points."""

    preset: str  # its title
    baseline: str
    tasks: pd.DataFrame  # the leaderboard's rows with intervals and verdicts of the task alone: task_gains.complete
    strategies: pd.DataFrame  # one row per strategy, over its tasks: strategy_gains.overall
    pairwise: _WhenRead = _WhenRead()  # one row per ordered pair of strategies: pairwise.pairwise
    failures: list[dict[str, Any]] = field(default_factory=list)
    signature: dict[str, str] = field(default_factory=dict)  # what is the same for all rows, in words
    notes: list[str] = field(default_factory=list)


def compare(
    frame: pd.DataFrame,
    predictions: pd.DataFrame | Mapping[tuple[str, str], Predicted] | None = None,
    baseline: str = "none",
    failures: Sequence[dict[str, Any]] = (),
) -> list[Comparison]:
    """Return a comparison for each preset of ``frame``, what ``leaderboard`` returns for ``baseline``.

    ``predictions`` has a row per (run, split, row) with ``id, split, row, label, prediction``, or is what ``answers``
    returns; without it intervals are from seeds alone. Where strategies were tuned, a preset has two: as shipped,
    and tuned, with those of which nothing can be tuned and the baseline in both.
    """
    predicted = by_run(predictions)
    comparisons = []
    for preset in sorted({*frame["preset"], *(failure["preset"] for failure in failures)}):
        rows = frame[frame["preset"] == preset]
        lost = [failure for failure in failures if failure["preset"] == preset]
        tuned = [isinstance(one, dict) for one in rows["tuned"]]
        if not any(tuned) and not any(failure["tuned"] for failure in lost):
            comparisons.append(_comparison(preset, rows, lost, predicted, baseline))
            continue
        both = [
            own or (isinstance(searched, list | tuple) and not len(searched)) or strategy == baseline
            for own, searched, strategy in zip(tuned, rows["searched"], rows["strategy"], strict=True)
        ]
        for title, mask in ((f"{preset}, as shipped", [not own for own in tuned]), (f"{preset}, tuned", both)):
            own_failures = [failure for failure in lost if failure["tuned"] == (mask is both)]
            comparisons.append(_comparison(title, rows[mask], own_failures, predicted, baseline))
    return comparisons


def _comparison(
    title: str,
    frame: pd.DataFrame,
    failures: list[dict[str, Any]],
    predicted: Mapping[tuple[str, str], Predicted],
    baseline: str,
) -> Comparison:
    import pandas as pd

    notes: list[str] = []
    rows = plain_rows(frame)
    students: dict[Line, dict[str, Students]] = {
        line: students_of(list(own), predicted, notes)
        for line, own in groupby(rows, key=lambda row: (row["task"], row["setting"]))
    }
    gains = task_gains.gains_of(rows, students, baseline)
    task_gains.complete(rows, students, gains, baseline)
    strategies = strategy_gains.overall(frame, rows, gains, baseline)
    counted = {(row["task"], row["setting"], row["strategy"]) for row in rows if row["main"] and row["complete"]}
    field_of = {
        line: {name: one for name, one in of_line.items() if (*line, name) in counted}
        for line, of_line in students.items()
    }
    return Comparison(
        title,
        baseline,
        pd.DataFrame(rows, columns=list(dict.fromkeys((*frame.columns, *task_gains.COLUMNS)))),
        pd.DataFrame(strategies, columns=list(strategy_gains.COLUMNS)),
        partial(pairwise, field_of),
        failures,
        same_for_all(rows),
        [*caveats(rows, strategies, baseline), *unlike(rows), *notes],
    )
