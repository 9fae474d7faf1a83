"""Averages over tasks, and what keeps two of them from being compared."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.data.tasks import GLUE

if TYPE_CHECKING:
    import pandas as pd

ALL_TASKS, WITHOUT_WNLI = "average", "average without WNLI"
# fmt: off
COLUMNS = (
    "preset", "average", "strategy", "baseline", "n_tasks", "n_seeds", "n_paired", "mean", "sd", "difference",
    "cost_ratio", "same_tasks", "same_seeds", "tasks", "missing", "extra",
)
# fmt: on


def averages(frame: pd.DataFrame) -> pd.DataFrame:
    """Return averages over tasks, of GLUE's with and without WNLI, one row per (preset, average, strategy).

    They are over the tasks whose main setting the strategy has without a failed seed. ``same_tasks`` says
    whether these are the baseline's own (without a baseline: the largest set); only then are two averages
    comparable, and only then is there a ``difference``, the mean of the tasks' own; ``missing`` and ``extra`` say how
    they differ. ``same_seeds`` says whether each task has the baseline's seeds: where not, means differ by seeds, too.
    ``sd`` is of the seeds' own averages, where all tasks have the same two or more seeds.
    """
    import pandas as pd

    rows = []
    whole = frame[frame["main"].astype(bool) & frame["complete"].astype(bool)]
    for preset, of_preset in whole.groupby("preset", sort=True):
        tasks = set(of_preset["task"])
        kinds = [WITHOUT_WNLI] if tasks & GLUE.keys() - {"wnli"} else []
        if "wnli" in tasks or not kinds:
            kinds = [ALL_TASKS, *kinds]
        for kind in kinds:
            chosen = of_preset if kind == ALL_TASKS else of_preset[of_preset["task"] != "wnli"]
            groups = {strategy: group.to_dict("records") for strategy, group in chosen.groupby("strategy", sort=True)}
            yardstick = groups.get(frame["baseline"].iloc[0]) or max(groups.values(), key=len)
            rows += [{"preset": preset, "average": kind, **_average(group, yardstick)} for group in groups.values()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _average(group: Sequence[Mapping[str, Any]], yardstick: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one strategy's average over the tasks of ``group``, held against the tasks and seeds of ``yardstick``."""
    seeds, usual = ({row["task"]: row["seeds"] for row in rows} for rows in (group, yardstick))
    differences, ratios = ([row[key] for row in group] for key in ("difference", "cost_ratio"))
    same = list(seeds) == list(usual)
    return {
        "strategy": group[0]["strategy"],
        "baseline": group[0]["baseline"],
        "n_tasks": len(group),
        "n_seeds": min(row["n_seeds"] for row in group),
        "n_paired": min(row["n_paired"] for row in group),
        "mean": statistics.fmean(row["mean"] for row in group),
        "sd": _sd_of_averages(group),
        "difference": _mean_of_all(differences) if same else None,
        "cost_ratio": _mean_of_all(ratios),
        "same_tasks": same,
        "same_seeds": all(usual.get(task, own) == own for task, own in seeds.items()),
        "tasks": tuple(seeds),
        "missing": tuple(task for task in usual if task not in seeds),
        "extra": tuple(task for task in seeds if task not in usual),
    }


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    """Return the mean, or None where one is missing (None, or the NaN that pandas makes of it)."""
    present = [value for value in values if value is not None and value == value]
    return statistics.fmean(present) if len(present) == len(values) else None


def _sd_of_averages(group: Sequence[Mapping[str, Any]]) -> float | None:
    seeds = group[0]["seeds"]
    if len(seeds) < 2 or any(row["seeds"] != seeds for row in group):
        return None
    return statistics.stdev(statistics.fmean(scores) for scores in zip(*(row["scores"] for row in group), strict=True))
