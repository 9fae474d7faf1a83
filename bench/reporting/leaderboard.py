"""From the tidy frame to the leaderboard: means over seeds, paired differences, what may be compared."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from bench.data.tasks import GLUE
from bench.errors import UsageError, printable, unknown
from bench.reporting.adversary import adversary_means
from bench.reporting.labels import NAMED_BY, labels
from bench.reporting.made_with import made_with
from bench.reporting.marks import constant_of, trusted, warnings
from bench.reporting.quality import quality_means
from bench.reporting.records import uncollected
from bench.reporting.schema import TunedSection
from bench.reporting.setting import differences, settings

if TYPE_CHECKING:
    import pandas as pd

PLAIN_KD = "none"
REFERENCE = "finetune"

# fmt: off
COLUMNS = (
    "preset", "task", "strategy", "metric", "split", "n_seeds", "mean", "sd", "baseline",
    "baseline_mean", "difference", "n_paired", "passes_ratio", "cost_ratio", "passes", "train_seconds",
    "student_updates", "adversary_updates", "teacher", "constant", "selection", "optimistic", "partial", "max_train",
    "signature", "setting", "setting_number", "differs", "comparable", "main", "complete", "reference",
    "base", "options", "hardware", "metrics", "seeds", "ids", "scores", "text_quality", "warnings",
    "teacher_hashes", "adversary", "preset_options", "tuned", "searched", "made_with", "libraries", "commits",
    "run_again",
)
# fmt: on
_PLACE = ["preset", "task", "setting"]
"""What tells the places apart where strategies are compared."""
_TUNED = ("strategy", *(f"tuned.{name}" for name in TunedSection.__struct_fields__))


def task_order(task: str) -> tuple[int, str]:
    """Return the sorting key of a task: GLUE's own order, then everything else by name."""
    names = list(GLUE)
    return (names.index(task) if task in names else len(names), task)


@uncollected()
def leaderboard(frame: pd.DataFrame, baseline: str = PLAIN_KD) -> pd.DataFrame:
    """Return one row for each (preset, task, strategy with its options, setting) that has a score.

    ``frame`` is what ``bench.results`` returns, or some runs of it. UsageError where it is not, and where ``baseline``
    is in none of its runs.

    A ``setting`` stands for everything in ``Setting``; nothing is pooled over settings. A row is
    ``comparable`` if ``baseline`` has a row of the same task and setting. ``mean`` and ``sd`` (ddof 1;
    null for one seed) are over seeds, as fractions; ``difference`` is over the ``n_paired`` seeds that
    the row and its baseline share, and ``baseline_mean`` is the baseline's mean over these; both are null
    where the two may not be compared. ``seeds``, ``scores`` and ``ids`` go together. ``passes`` are the rows forward
    through all models, a row backward counted as two and no model weighed by its size, and ``passes_ratio`` is their
    sum over that of plain distillation in the same setting and with the same seeds. ``cost_ratio`` is the same of
    training seconds, over the seeds that both were timed with on one kind of machine, not busy with other work; null
    where there are none. Where one seed was run twice, the run that finished
    last counts. ``main`` marks the one setting of each task that averages are made of, number 1; ``differs`` says in
    words what the others have and it has not. ``complete`` marks the rows without a failed seed. ``text_quality``
    holds means of what the strategy did to the texts, null where it makes none; ``adversary`` of what an adversary
    that learns was worth; ``made_with`` teacher, student and recipe in words; ``warnings`` what makes the score
    mean less than it seems. Runs without a score are in ``failures``.
    """
    import pandas as pd

    runs = named_runs(frame)
    if baseline != PLAIN_KD and not (runs["label"] == baseline).any():
        raise unknown("baseline", baseline, map(printable, runs["label"]))
    scored = _scored(runs)
    if scored.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    quality, adversary = mappings(quality_means(scored)), mappings(adversary_means(scored))
    rows = _rows(scored).join(_against(scored, baseline)).join(_costs(scored))
    rows["n_paired"] = rows["n_paired"].fillna(0).astype("int64")
    marks = warnings(scored, quality, adversary)
    for group in rows.index[rows.pop("machines").eq(True)]:
        marks[group]["machines"] = ", ".join(rows.at[group, "hardware"])
    for name, values in {
        "metrics": _metrics(frame, scored),
        "text_quality": quality,
        "adversary": adversary,
        "warnings": marks,
    }.items():
        rows[name] = pd.Series(values, dtype=object)
    rows["baseline"] = baseline
    rows["complete"] = ~rows.index.isin(_incomplete(runs, scored))
    rows["comparable"] = rows["place"].isin(rows.loc[rows["strategy"] == baseline, "place"])
    rows = rows.join(_numbers(rows, scored), on="place")
    order = {task: place for place, task in enumerate(sorted(rows["task"].unique(), key=task_order))}
    rows = rows.assign(order=rows["task"].map(order))
    return rows.sort_values(["preset", "order", "setting_number", "strategy"], ignore_index=True)[list(COLUMNS)]


def failures(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the runs of the tidy frame that gave no score: preset, task, strategy, seed, status and reason."""
    names = ["folder", "main", "value", "status", "reason", "seed", "preset", "task", *NAMED_BY]
    runs = named_runs(frame[list(dict.fromkeys(name for name in names if name in frame))])
    lost = runs[runs["value"].isna()]
    is_done, reason = lost["status"] == "done", lost["reason"].fillna("").replace("", "no reason recorded")
    failed = lost[["preset", "task", "label", "seed"]].rename(columns={"label": "strategy"})
    failed["tuned"] = lost["tuned.strategy"].notna().astype(bool)
    failed["status"] = lost["status"].mask(is_done, "failed")
    failed["reason"] = reason.mask(is_done, "the score is not a finite number")
    return failed.to_dict("records")


def named_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per run of the tidy frame, its main score's, with its name in tables as ``label``.

    Where the frame has this column, they are runs of a larger frame and keep the names that they have there.
    """
    if missing := [name for name in ("folder", "main", "value") if name not in frame]:
        raise UsageError(
            f"a frame without {', '.join(missing)} is none of runs; give what bench.results(FOLDER) returns"
        )
    runs = frame[frame["main"] | (frame["status"] != "done")].drop_duplicates("folder")
    return runs if "label" in runs else runs.assign(label=labels(runs))


def _scored(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with a score, those of one row of the leaderboard as one ``group``, in the order of their seeds.

    Groups, and places, of which each is a setting of a task, are numbered from 0. Of a seed that was run twice stays
    the run that finished last.
    """
    runs = runs[runs["value"].notna()]
    setting = settings(runs)
    short = setting.map({one: one.short() for one in setting.unique()}).astype(runs["task"].dtype)
    runs = runs.assign(setting=short, settings=setting)
    by_row = runs.groupby([*_PLACE, "label"], sort=False)
    runs = runs.assign(group=by_row.ngroup(), place=runs.groupby(_PLACE, sort=False).ngroup())
    runs = runs.sort_values(["group", "seed", "provenance.finished"], kind="stable", na_position="first")
    return runs.assign(again=runs.duplicated(["group", "seed"])).drop_duplicates(["group", "seed"], keep="last")


def _rows(scored: pd.DataFrame) -> pd.DataFrame:
    """Return the figures of each group of runs, which differ in nothing but the seed, by its number."""
    import pandas as pd

    groups = scored.groupby("group")
    first = scored.drop_duplicates("group").set_index("group")
    n_seeds = groups.size()

    def made(values: Iterable[Any]) -> pd.Series:
        return pd.Series([*values], index=first.index, dtype=object)

    def read(column: str, change: Callable[..., Any], *others: str) -> pd.Series:
        return made(map(cache(change), *(first[name].tolist() for name in (column, *others))))

    there = scored[scored["teacher.hash"].notna()]
    text = dict.fromkeys(("preset", "task", "metric", "split", "setting", "signature"))
    return pd.DataFrame(
        {
            **{name: first[name].astype(object) for name in text},
            "strategy": first["label"].astype(object),
            "place": first["place"],
            "n_seeds": n_seeds,
            "mean": groups["value"].mean(),
            "sd": groups["value"].std(),
            "passes": groups["passes"].mean(),
            "train_seconds": groups["cost.train_seconds"].mean(),
            "student_updates": first["cost.student_updates"].astype("int64"),
            "adversary_updates": groups["cost.adversary_updates"].mean().astype("float64"),
            "teacher": groups["teacher.dev"].mean(),
            "constant": constant_of(scored).groupby(scored["group"]).mean(),
            "selection": first["selection.rule"].astype(object),
            "optimistic": first["selection.optimistic"].astype(bool),
            "partial": read("data.rows", _partial, "data.official", "data.max_train"),
            "max_train": first["data.max_train"],
            "base": made(name.partition("[")[0] for name in first["strategy"]),
            "reference": first["strategy"].str.partition("[")[0].astype(object) == REFERENCE,
            "options": read("strategy_options", msgspec.json.decode),
            "hardware": made(_sets(scored.assign(hardware=scored["provenance.hardware"].fillna("None")), "hardware")),
            "libraries": made(_sets(scored.assign(libraries=_libraries(scored)), "libraries")),
            "commits": made(_sets(scored.assign(commit=_commits(scored)), "commit")),
            "run_again": made(_sets(scored[scored["again"]], "seed", len(first))),
            "seeds": made(_tuples(scored["seed"], n_seeds)),
            "scores": made(_tuples(scored["value"], n_seeds)),
            "ids": made(_tuples(scored["id"], n_seeds)),
            "teacher_hashes": made(_sets(there, "teacher.hash", len(first))),
            "preset_options": read("spec", _preset_options, "strategy"),
            "made_with": read("spec", made_with),
            "tuned": made(map(_tuned, first[[*_TUNED]].to_dict("records"))),
            "searched": read("searched", lambda text: msgspec.json.decode(text) if isinstance(text, str) else None),
        }
    )


def _libraries(runs: pd.DataFrame) -> list[str]:
    """Return for each run the versions of the two libraries that decide most of its numbers."""

    def words(packages: str) -> str:
        there = msgspec.json.decode(packages)
        return ", ".join(f"{name} {there[name]}" for name in ("torch", "transformers") if name in there)

    return [*map(cache(words), runs["provenance.packages"].fillna("{}"))]


def _commits(runs: pd.DataFrame) -> pd.Series:
    """Return for each run the commit of its checkout, and whether that had changes; empty outside one."""
    changed = runs["provenance.git_dirty"].fillna(False).map({True: " with changes", False: ""})
    return runs["provenance.git_commit"].fillna("").str[:7] + changed


def _tuples(values: pd.Series, sizes: Iterable[int]) -> Iterator[tuple[Any, ...]]:
    """Yield ``values`` in tuples of ``sizes``."""
    whole = iter(values.tolist())
    return (tuple(islice(whole, size)) for size in sizes)


def _sets(runs: pd.DataFrame, column: str, groups: int | None = None) -> Iterator[tuple[Any, ...]]:
    """Yield the different values that each group has, in order, for ``groups`` of them, also where it has none."""
    pairs = runs[["group", column]].drop_duplicates().sort_values(["group", column])
    sizes = pairs.groupby("group").size()
    return _tuples(pairs[column], sizes if groups is None else sizes.reindex(range(groups), fill_value=0))


def _against(scored: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return what each group has over the runs of ``baseline`` in its place, over the seeds that both have."""
    pairs = _paired(scored, baseline, ["value"])
    pairs = pairs.assign(difference=pairs["value"] - pairs["value of it"])
    return pairs.groupby("group").agg(
        baseline_mean=("value of it", "mean"), difference=("difference", "mean"), n_paired=("seed", "size")
    )


def _costs(scored: pd.DataFrame) -> pd.DataFrame:
    """Return what each group took over what plain distillation took in its place, over the seeds that both have."""
    import pandas as pd

    own = scored.assign(trusted=trusted(scored), machine=scored["provenance.hardware"].fillna(""))
    pairs = _paired(own, PLAIN_KD, ["passes", "cost.train_seconds", "trusted", "machine"])
    counted = pairs["passes"].notna() & pairs["passes of it"].notna()
    alike = pairs["machine"] == pairs["machine of it"]
    timed = alike & pairs["trusted"] & pairs["trusted of it"]
    columns = {"machines": (~alike).groupby(pairs["group"]).any()}
    for name, cost, which in (("passes_ratio", "passes", counted), ("cost_ratio", "cost.train_seconds", timed)):
        sums = pairs[which].groupby("group")[[cost, f"{cost} of it"]].sum()
        columns[name] = sums[cost] / sums[f"{cost} of it"].where(sums[f"{cost} of it"] > 0)
    return pd.DataFrame(columns)


def _paired(scored: pd.DataFrame, strategy: str, columns: list[str]) -> pd.DataFrame:
    """Return the runs that ``strategy`` has one beside, of the same place and seed, whose values are those "of it"."""
    its = scored.loc[scored["label"] == strategy, ["place", "seed", *columns]]
    return scored[["group", "place", "seed", *columns]].merge(its, on=["place", "seed"], suffixes=("", " of it"))


def _metrics(frame: pd.DataFrame, scored: pd.DataFrame) -> list[dict[str, float]]:
    """Return for each group the means of the metrics that all of its runs have: {"split.metric": mean}."""
    own = frame.loc[frame["value"].notna(), ["folder", "split", "metric", "value"]]
    own = own.drop_duplicates(["folder", "split", "metric"]).merge(scored[["folder", "group"]], on="folder")
    means = own.groupby(["group", "split", "metric"], sort=False)["value"].agg(["mean", "size"])
    means = means[means["size"] == scored["group"].value_counts().reindex(means.index, level="group")]
    of_groups: list[dict[str, float]] = [{} for _ in range(scored["group"].nunique())]
    for (group, split, metric), mean in means["mean"].items():
        of_groups[group][f"{split}.{metric}"] = mean
    return of_groups


def _incomplete(runs: pd.DataFrame, scored: pd.DataFrame) -> pd.Series:
    """Return the groups that lack a seed which failed, under their name and signature."""
    key = ["preset", "task", "label", "signature"]
    failed = runs.loc[runs["value"].isna() & (runs["status"] != "skipped"), [*key, "seed"]]
    lost = scored.drop_duplicates("group")[["group", *key]].merge(failed, on=key)
    there = lost.merge(scored[["group", "seed"]].drop_duplicates(), on=["group", "seed"], how="left", indicator=True)
    return there.loc[there["_merge"] == "left_only", "group"]


def _numbers(rows: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
    """Return for each place its setting's number, the main one's 1, and what sets it apart from the main one.

    The main setting of a task is one with a baseline before one without, then the one with most rows. Of the settings
    that differ in how many rows were trained on, those of one number are main in a preset (all, else the largest), so
    that nothing is averaged over numbers; a task without it has no main setting.
    """
    import pandas as pd

    by_place = rows.groupby("place")
    places = by_place[["preset", "task", "setting"]].first()
    rank = by_place.agg(comparable=("comparable", "any"), rows=("n_seeds", "size"), seeds=("n_seeds", "sum"))
    places = places.join(rank)
    size = scored.drop_duplicates("place").set_index("place")["data.train_rows"].astype("float64").fillna(math.inf)
    places["of_size"] = size == size.groupby(places["preset"]).transform("max")
    places = places.sort_values(["of_size", "comparable", "rows", "seeds", "setting"], ascending=False)
    number = places.groupby(["preset", "task"], sort=False).cumcount() + 1
    sample = scored.drop_duplicates("place").set_index("place")[["settings", "spec"]].loc[places.index]
    main = places[["preset", "task"]].join(sample)[number == 1].set_index(["preset", "task"])
    main = main.loc[pd.MultiIndex.from_frame(places[["preset", "task"]])]
    apart = map(differences, sample["settings"], sample["spec"], main["settings"], main["spec"])
    return pd.DataFrame(
        {
            "setting_number": number,
            "main": (number == 1) & places["of_size"],
            "differs": pd.Series([*apart], places.index, dtype=object),
        }
    )


def mappings(means: pd.DataFrame) -> list[dict[str, float] | None]:
    """Return the rows of ``means`` as mappings of what is there, None for a row of nothing."""
    keys = list(means)
    rows = means.to_numpy(dtype="float64").tolist()
    return [{key: value for key, value in zip(keys, row, strict=True) if value == value} or None for row in rows]


def _tuned(search: dict[str, Any]) -> dict[str, Any] | None:
    """Return the search that chose a row's options, from its columns of the tidy frame; None where there was none."""
    if not isinstance(search["tuned.strategy"], str):
        return None
    seeds = msgspec.json.decode(search["tuned.training_seeds"])
    score = search["tuned.as_shipped"]
    plain = {name.removeprefix("tuned."): value for name, value in search.items() if name != "strategy"}
    return {
        "chosen": search["strategy"],
        **plain,
        "training_seeds": seeds,
        "as_shipped": None if score != score else score,
    }


def _preset_options(spec: str, strategy: str) -> dict[str, Any]:
    """Return {strategy: options} of what the preset gave to the strategies of a run in the place of defaults."""
    given, names = _specification(spec).get("strategies"), re.split(r"[+()\[\]]", strategy)
    return {name: options for name, options in given.items() if name in names} if isinstance(given, dict) else {}


@lru_cache
def _specification(spec: str) -> dict[str, Any]:
    return msgspec.json.decode(spec)


def _partial(rows: str, official: str, max_train: Any) -> str | None:
    """Return ``"dev 7600 of 40430"`` and the like for splits that lack official rows, or None."""
    used, published = msgspec.json.decode(rows), msgspec.json.decode(official)
    sampled = {"train"} if isinstance(max_train, int) and used.get("train") == max_train else set()
    short = [
        f"{split} {count} of {published[split]}"
        for split, count in used.items()
        if count != published.get(split, count) and split not in sampled
    ]
    return ", ".join(short) or None
