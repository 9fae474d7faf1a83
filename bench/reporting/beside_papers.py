"""Numbers of papers and our own side by side, with the points in which the two came about differently."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench.data.tasks import GLUE
from bench.reporting.averages import ALL_TASKS, WITHOUT_WNLI
from bench.reporting.kinds import BUDGET, kind
from bench.reporting.leaderboard import task_order
from bench.reporting.points import ABSENT, gain_with_bounds
from bench.reporting.published import AVERAGE, TEACHER, Published
from bench.reporting.schema import Done, Record
from bench.reporting.sheet import Sheet
from bench.reporting.statistics.over_tasks import average

if TYPE_CHECKING:
    import pandas as pd

# fmt: off
COLUMNS = (
    "preset", "source", "paper_setting", "task", "method", "strategy", "setting_number", "metric", "split",
    "paper", "ours", "difference", "paper_gain", "our_gain", "our_gain_low", "our_gain_high", "n_seeds", "differs",
)
# fmt: on
_AVERAGES = {"mean of nine tasks": ALL_TASKS, "mean of eight tasks": WITHOUT_WNLI}
_OTHER_ROWS = {"mini": "generated rows, not GLUE's", "file": "rows of the user's own, not GLUE's"}
_TOLD = 4  # tasks that are named of many


def beside(
    frame: pd.DataFrame, means: pd.DataFrame, records: Iterable[Record], papers: list[Published]
) -> pd.DataFrame:
    """Return one row per published number and result of ours on the same task by the same method; see ``COLUMNS``.

    ``frame`` is the leaderboard with its intervals, ``means`` its averages, ``records`` what they were made of.
    ``paper`` and ``ours`` are in points of 100, and ``difference`` is ours minus the paper's, null between two
    metrics, sets of tasks, or GLUE and what is not: across other models, which ``differs`` says in words, it is no
    gain. A gain is over plain distillation there (the method that is ``baseline`` here), and over the baseline here,
    each within its own protocol; null where one of the two numbers is missing. ``our_gain_low`` to ``our_gain_high``
    is the 95 % interval of ours, of an average's over its tasks as they are; papers give none.
    """
    import pandas as pd

    samples = {(r.preset, r.task, r.signature): r for r in records if isinstance(r, Done)}
    there = pd.DataFrame(list(map(asdict, papers)))
    there["number"] = range(len(there))
    plain = there[(there["ours"] == _baseline(frame)) & (there["recipe"] == "kd")]
    key = ["source", "setting", "task", "metric", "split"]
    there = there.merge(plain[[*key, "value"]].drop_duplicates(key), on=key, how="left", suffixes=("", "_plain"))
    gains = there["value"] - there["value_plain"]
    there["paper_gain"] = gains.where(~there["ours"].isin([_baseline(frame), TEACHER]) | (there["recipe"] != "kd"))
    both = there.merge(_ours(frame, means, samples), on=["task", "ours", "recipe"], suffixes=("", "_here"))
    if both.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    # Of one run the very metric and split of the paper, else what comes nearest.
    wanted = both["metric"].map(_AVERAGES).fillna(both["metric"])
    both["far"] = 2 * (wanted != both["metric_here"]) + (both["split"] != both["split_here"])
    both = both.sort_values(["far", "main_metric"], ascending=[True, False], kind="stable")
    both = both.drop_duplicates(["number", "preset", "strategy", "setting_number"])
    both["paper"], both["paper_setting"] = both["value"], both["setting"]
    both["differs"] = [_points(row) for row in both.to_dict("records")]
    others = ("tasks: ", "metric: ", *(f"data: there all of GLUE's; here {rows}" for rows in _OTHER_ROWS.values()))
    alike = [not any(point.startswith(others) for point in points) for points in both["differs"]]
    both["difference"] = (both["score"] - both["paper"]).where(alike)
    both = both.rename(columns={"score": "ours_score"}).drop(columns="ours").rename(columns={"ours_score": "ours"})
    both["order"] = both["task"].map(lambda task: (task == AVERAGE, *task_order(task)))
    both = both.sort_values(["preset", "order", "number", "setting_number", "strategy"], kind="stable")
    return both[list(COLUMNS)].reset_index(drop=True)


def _baseline(frame: pd.DataFrame) -> str:
    return str(frame["baseline"].iloc[0]) if len(frame) else ""


def _ours(frame: pd.DataFrame, means: pd.DataFrame, samples: Mapping[tuple[str, str, str], Done]) -> pd.DataFrame:
    """Return our scores, a row for every metric of every split, of students, teachers and averages."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    of_teachers: set[tuple[str, str, int]] = set()
    for row in frame.to_dict("records"):
        if kind(row, row["baseline"]) == BUDGET:
            continue  # no paper's: plain distillation for a multiple of the budget is not its plain distillation
        run = samples[row["preset"], row["task"], row["signature"]]
        here = {
            "preset": row["preset"],
            "task": row["task"],
            "recipe": _setting(run, "recipe").get("method", "kd"),
            "setting_number": row["setting_number"],
            "models": _models(run),
            "data": _data(run, row),
            "selection_here": row["selection"] + (" (optimistic)" if row["optimistic"] else ""),
            "averaged": (),
        }
        for name, value in row["metrics"].items():
            split, _, metric = name.rpartition(".")
            is_main = (split, metric) == (row["split"], row["metric"])
            gains = (row["difference"], row["gain_low"], row["gain_high"])
            rows.append(
                here
                | {"ours": row["base"], "strategy": row["strategy"], "metric": metric, "split": split}
                | {"score": 100 * value, "n_seeds": row["n_seeds"], "main_metric": is_main}
                | (_gain(*gains) if is_main and row["base"] != row["baseline"] else _gain())
            )
        place = (row["preset"], row["task"], row["setting_number"])
        if row["teacher"] == row["teacher"] and row["teacher"] is not None and place not in of_teachers:
            of_teachers.add(place)
            score = {"metric": row["metric"], "split": "dev", "score": 100 * row["teacher"], "main_metric": True}
            known = {"recipe": "kd", "selection_here": "last"}
            rows.append(here | known | score | _gain() | {"ours": TEACHER, "strategy": TEACHER, "n_seeds": 1})
    intervals = frame[frame["main"].astype(bool)].set_index(["preset", "strategy", "task"])
    by_place = {(row["preset"], row["task"], row["strategy"]): row for row in rows if row["setting_number"] == 1}
    for row in means.to_dict("records"):
        samples_of = [by_place.get((row["preset"], task, row["strategy"])) for task in row["tasks"]]
        like = next((sample for sample in samples_of if sample is not None), None)
        if like is not None:
            score = {"task": AVERAGE, "metric": row["average"], "split": "dev", "score": 100 * row["mean"]}
            data = "; ".join(dict.fromkeys(sample["data"] for sample in samples_of if sample and sample["data"]))
            its = intervals.loc[[(row["preset"], row["strategy"], task) for task in row["tasks"]]]
            over = average(its["difference"], its["gain_se"], its["gain_df"])
            # Of all tasks or of none: over some of them it is another quantity's.
            known = its["gain_se"].gt(0).all() and like["ours"] != row["baseline"]
            gain = _gain(row["difference"], over.low, over.high) if known else _gain()
            about = {"n_seeds": row["n_seeds"], "averaged": row["tasks"], "data": data, "main_metric": True}
            rows.append(like | score | about | gain)
    columns = ["preset", "task", "ours", "recipe", "setting_number", "strategy", "metric", "split", "score", *_gain()]
    columns += ["n_seeds", "main_metric", "models", "data", "selection_here", "averaged"]
    return pd.DataFrame(rows, columns=columns)


def _gain(gain: float | None = None, low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    """Return a gain of ours and its interval, given as fractions, as columns in points of 100."""
    columns = {"our_gain": gain, "our_gain_low": low, "our_gain_high": high}
    return {name: None if value is None or value != value else 100 * value for name, value in columns.items()}


def _setting(run: Done, section: str) -> dict[str, Any]:
    value = run.spec.get(section)
    return value if isinstance(value, dict) else {}


def _models(run: Done) -> str:
    """Return "TEACHER -> STUDENT" of a run, as papers have it."""
    teacher, student = _setting(run, "teacher"), _setting(run, "student")
    names = [str(teacher.get("finetuned") or teacher.get("model", "unknown")), str(student.get("model", "unknown"))]
    if names[1] == "teacher":
        names[1] = "the same"
    if student.get("layers"):
        names[1] += f" with {_layers(student['layers'])}"
    return " -> ".join("a tiny one from scratch" if name == "scratch" else name for name in names)


def _layers(kept: Any) -> str:
    return f"layers {', '.join(map(str, kept))}" if isinstance(kept, list) else f"{kept} layers"


def _data(run: Done, row: Mapping[str, Any]) -> str:
    """Return in what the rows of a run are not GLUE's, all of them; empty where they are."""
    lacks = []
    if run.data.source in ("mini", "file") or row["task"] not in GLUE:
        lacks.append(_OTHER_ROWS.get(run.data.source, _OTHER_ROWS["file"]))
    if row["partial"] == row["partial"] and row["partial"] is not None:
        lacks.append(str(row["partial"]))
    if row["max_train"] == row["max_train"] and row["max_train"] is not None:
        lacks.append(f"trained on {int(row['max_train']):,} rows")
    return ", ".join(lacks)


def _points(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the points in which a paper's number and ours came about differently, or may have."""
    is_average = row["task"] == AVERAGE
    points = []
    if _plain(row["setting"]) != _plain(row["models"]):
        points.append(f"models: there {row['setting'] or 'not said'}; here {row['models']}")
    if row["data"]:
        points.append(f"data: there all of GLUE's; here {row['data']}")
    if is_average:
        wanted = _AVERAGES.get(row["metric"], "")
        if wanted != row["metric_here"] or len(row["averaged"]) != {ALL_TASKS: 9, WITHOUT_WNLI: 8}.get(wanted, 0):
            points.append(f"tasks: there {row['metric']}; here {', '.join(row['averaged'])}")
    elif row["metric"] != row["metric_here"]:
        points.append(f"metric: there {row['metric']}; here {row['metric_here']}")
    if row["split"] != row["split_here"]:
        points.append(f"split: there {row['split']}; here {row['split_here']}")
    if row["ours"] != TEACHER and row["selection"] != row["selection_here"]:
        points.append(f"student reported: there {row['selection'] or 'not said'}; here {row['selection_here']}")
    if row["ours"] != TEACHER and row["seeds"] != str(row["n_seeds"]):
        points.append(f"seeds: there {row['seeds'] or 'not said'}; here {row['n_seeds']}")
    if row["note"]:
        points.append(f"of the paper's number: {row['note']}")
    return tuple(points)


def _plain(models: str) -> str:
    """Return a pair of models without what one model's names differ in."""
    return re.sub(r"[\w.-]+/|-(base-)?(un)?cased\b|-base\b|\s", "", models.lower())


def sheets(rows: pd.DataFrame, frame: pd.DataFrame, papers: Sequence[Published]) -> list[Sheet]:
    """Return a table for each preset and each setting of a paper: there, here, and how the two differ."""
    tables = []
    for preset, of_preset in frame.groupby("preset", sort=True):
        own = rows[rows["preset"] == preset]
        for (source, setting), part in own.groupby(["source", "paper_setting"], sort=False):
            numbers = [paper for paper in papers if (paper.source, paper.setting) == (source, setting)]
            tables.append(_sheet(str(preset), f"{source}{f', {setting}' if setting else ''}", part, of_preset, numbers))
        if own.empty:
            note = "none of its tasks and strategies has a published number here"
            tables.append(Sheet(str(preset), [("task", [])], [note]))
    return tables


def _sheet(preset: str, paper: str, part: pd.DataFrame, ours: pd.DataFrame, numbers: list[Published]) -> Sheet:
    shown = part.to_dict("records")
    columns: list[tuple[str, list[str]]] = [
        ("task", [_task(row) for row in shown]),
        ("method there", [row["method"] for row in shown]),
        ("strategy here", [_strategy(row) for row in shown]),
        ("there", [f"{row['paper']:.1f}" for row in shown]),
        ("here", [f"{row['ours']:.1f}" for row in shown]),
        *[
            (head, cells)
            for head, cells in (
                ("difference", [_signed(row["difference"]) for row in shown]),
                ("gain there", [_signed(row["paper_gain"]) for row in shown]),
                ("gain here [95 %]", [_gain_here(row) for row in shown]),
            )
            if {*cells} != {ABSENT}
        ],
    ]
    tasks_of: dict[str, list[str]] = defaultdict(list)
    for row in shown:
        for point in row["differs"]:
            if row["task"] not in tasks_of[point]:
                tasks_of[point].append(row["task"])
    tasks = list(dict.fromkeys(row["task"] for row in shown))
    notes = [point + ("" if where == tasks else f" ({_several(where)})") for point, where in tasks_of.items()]
    kinds = list(dict.fromkeys(point.partition(":")[0] for point in tasks_of if not point.startswith("of the paper")))
    lead = "as far as the paper says, both came about alike"
    if kinds:
        lead = f"not like for like, as {' and '.join([', '.join(kinds[:-1])] * (len(kinds) > 1) + kinds[-1:])} differ"
        said_of = "here minus there, which between two protocols is no gain of either"
        if part["difference"].isna().all():
            said_of = "none, as the two are different quantities"
        notes = [f"difference: {said_of}", *notes]
    if dict(columns).keys() - {"task", "method there", "strategy here", "there", "here", "difference"}:
        notes.append(
            f"gains: over {_baseline(ours)}, each within its own protocol; papers give theirs without an interval, "
            "and what ours are worth says bench compare"
        )
    notes += _missing(part, ours, numbers)
    return Sheet(preset, columns, notes, title=f"preset {preset} beside {paper}", lead=[lead], left=_LEFT)


_LEFT = frozenset({"method there", "strategy here"})


def _task(row: Mapping[str, Any]) -> str:
    return row["task"] if row["task"] == AVERAGE else f"{row['task']} ({row['metric']})"


def _strategy(row: Mapping[str, Any]) -> str:
    return row["strategy"] + ("" if row["setting_number"] == 1 else f", setting {row['setting_number']}")


def _signed(value: float | None) -> str:
    return ABSENT if value is None or value != value else f"{value:+.1f}"


def _gain_here(row: Mapping[str, Any]) -> str:
    gain, low, high = (None if row[key] is None or row[key] != row[key] else row[key] / 100 for key in _gain())
    return gain_with_bounds(gain, low, high)


def _several(names: Sequence[str]) -> str:
    more = len(names) - _TOLD
    return ", ".join(names[:_TOLD]) + (f" and {more} more" if more > 0 else "")


def _missing(part: pd.DataFrame, ours: pd.DataFrame, numbers: list[Published]) -> list[str]:
    """Return what has a number on one side only, in words."""
    met = {(row["method"], row["task"]) for row in part.to_dict("records")}
    only_there: dict[str, list[str]] = defaultdict(list)
    for paper in numbers:
        if (paper.method, paper.task) not in met:
            only_there[paper.method].append(paper.task)
    here: dict[str, list[str]] = defaultdict(list)
    there = {(strategy, task) for strategy, task in zip(part["strategy"], part["task"], strict=True)}
    for row in ours.to_dict("records"):
        if (row["strategy"], row["task"]) not in there and row["task"] not in here[row["strategy"]]:
            here[row["strategy"]].append(row["task"])
    notes = []
    if only_there:
        unknown = {paper.method for paper in numbers if not paper.ours}
        lines = [
            f"{method} on {_several(tasks)}" + (" (no strategy here is that)" if method in unknown else "")
            for method, tasks in only_there.items()
        ]
        notes.append(f"there and not here: {'; '.join(lines)}")
    if here := {strategy: tasks for strategy, tasks in here.items() if tasks}:
        notes.append(f"here and not there: {'; '.join(f'{name} on {_several(tasks)}' for name, tasks in here.items())}")
    return notes
