"""Averages over tasks, and what keeps two of them from being compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.tasks import GLUE

if TYPE_CHECKING:
    import pandas as pd

ALL_TASKS, WITHOUT_WNLI = "average", "average without WNLI"
# fmt: off
COLUMNS = (
    "preset", "average", "strategy", "baseline", "n_tasks", "n_seeds", "n_paired", "mean", "sd", "difference",
    "passes_ratio", "cost_ratio", "same_tasks", "same_seeds", "tasks", "missing", "extra",
)
# fmt: on
_AVERAGE = ["preset", "average"]
_ROW, _YARDSTICK = [*_AVERAGE, "strategy"], [*_AVERAGE, "yardstick"]


def averages(frame: pd.DataFrame) -> pd.DataFrame:
    """Return averages over tasks, of GLUE's with and without WNLI, one row per (preset, average, strategy).

    They are over the tasks whose main setting the strategy has without a failed seed. ``same_tasks`` says
    whether these are the baseline's own (without a baseline: the largest set); only then are two averages
    comparable, and only then is there a ``difference``, the mean of the tasks' own; ``missing`` and ``extra`` say how
    they differ. ``same_seeds`` says whether each task has the baseline's seeds: where not, means differ by seeds, too.
    ``sd`` is of the seeds' own averages, where all tasks have the same two or more seeds.
    """
    import pandas as pd

    whole = _by_kind(frame[frame["main"].astype(bool) & frame["complete"].astype(bool)])
    if whole.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    groups = whole.groupby(_ROW)
    means = groups.agg(
        baseline=("baseline", "first"),
        n_tasks=("task", "size"),
        n_seeds=("n_seeds", "min"),
        n_paired=("n_paired", "min"),
        mean=("mean", "mean"),
    )
    for name in ("difference", "passes_ratio", "cost_ratio"):
        means[name] = groups[name].mean().where(groups[name].count() == means["n_tasks"])
    means["sd"] = _sd_of_averages(whole)
    means["tasks"] = groups["task"].agg(tuple)
    means = means.reset_index()
    means = means.merge(_yardsticks(means), on=_AVERAGE)
    means["same_tasks"] = means["tasks"] == means["usual"]
    means["difference"] = means["difference"].where(means["same_tasks"])
    means = means.merge(_same_seeds(whole, means), on=_ROW)
    for name, one, other in (("missing", "usual", "tasks"), ("extra", "tasks", "usual")):
        pairs = zip(means[one], means[other], strict=True)
        means[name] = pd.Series([tuple(task for task in own if task not in its) for own, its in pairs], dtype=object)
    return means[list(COLUMNS)]


def _by_kind(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` once for each average that they are in, which ``average`` names."""
    import pandas as pd

    is_wnli, presets = rows["task"] == "wnli", rows["preset"]
    with_glue = presets[rows["task"].isin(GLUE) & ~is_wnli].unique()
    with_all = {*presets} - {*with_glue} | {*presets[is_wnli]}
    kinds = {ALL_TASKS: presets.isin(list(with_all)), WITHOUT_WNLI: presets.isin(with_glue) & ~is_wnli}
    return pd.concat([rows[own].assign(average=kind) for kind, own in kinds.items()])


def _sd_of_averages(rows: pd.DataFrame) -> pd.Series:
    """Return the standard deviation of the seeds' own averages over tasks, where all have the same seeds."""
    same = rows.groupby(_ROW)["seeds"].nunique() == 1
    by_seed = rows[[*_ROW, "seeds", "scores"]].explode(["seeds", "scores"]).astype({"scores": "float64"})
    return by_seed.groupby([*_ROW, "seeds"])["scores"].mean().groupby(_ROW).std().where(same)


def _yardsticks(means: pd.DataFrame) -> pd.DataFrame:
    """Return for each average whose tasks are the usual ones: the baseline's, or else those of who has most."""
    ranked = means.assign(first=means["strategy"] == means["baseline"])
    ranked = ranked.sort_values(["first", "n_tasks"], ascending=False, kind="stable").drop_duplicates(_AVERAGE)
    return ranked[[*_AVERAGE, "strategy", "tasks"]].rename(columns={"strategy": "yardstick", "tasks": "usual"})


def _same_seeds(rows: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return for each average of a strategy whether each of its tasks has the seeds that the yardstick has there."""
    cells = rows[[*_ROW, "task", "seeds"]]
    its = means[[*_AVERAGE, "yardstick"]].drop_duplicates().merge(cells, left_on=_YARDSTICK, right_on=_ROW)
    both = cells.merge(its[[*_AVERAGE, "task", "seeds"]], on=[*_AVERAGE, "task"], how="left", suffixes=("", " there"))
    both["same_seeds"] = both["seeds there"].isna() | (both["seeds"] == both["seeds there"])
    return both.groupby(_ROW, as_index=False)["same_seeds"].all()
