"""The leaderboard's lines and the cells of the table by task, each as its texts and the numbers it is sorted by."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bench.errors import printable
from bench.reporting.leaderboard import REFERENCE
from bench.reporting.marks import ON_COSTS, ON_SCORES, ON_TASKS, ON_TEACHERS
from bench.reporting.report.field import Field, Row
from bench.reporting.report.numbers import (
    interval,
    kind,
    number,
    points,
    probability,
    share,
    sign,
    times,
    word,
)
from bench.reporting.signs import LESS_DATA, NO_BASELINE, ONE_SEED, OPTIMISTIC, on_every_task, signs, warned

MARKS = {**ON_SCORES, **ON_TASKS, **ON_TEACHERS}
_BY_SIGN = {sign: (sign, f"{meaning}, on every task") for sign, meaning in ON_SCORES.values()}
_TAGGED = ON_SCORES["budget"][0]
"""The mark that a row's tag says already."""


def scale(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the ends of the scale on which the table draws intervals; the widest ones may reach beyond it."""
    gains = [abs(value) for row in rows if (value := number(row["gain"])) is not None]
    ends = sorted(abs(v) for row in rows for key in ("gain_low", "gain_high") if (v := number(row[key])) is not None)
    usual = ends[math.ceil(0.85 * (len(ends) - 1))] if ends else 0.0
    reach = 1.1 * max([0.002, *gains, usual])
    return -reach, reach


def line(field: Field, row: Row, ends: tuple[float, float]) -> dict[str, Any]:
    """Return a line of the leaderboard, drawn on a scale with these ends."""
    is_baseline, is_reference = row["strategy"] == field.baseline, row["base"] == REFERENCE
    judged = not is_baseline and not is_reference
    gain, low, high = (None if is_baseline else number(row[key]) for key in ("gain", "gain_low", "gain_high"))
    return {
        "strategy": row["strategy"],
        "flags": _flags(field, row),
        "baseline": is_baseline,
        "kind": kind(row["verdict"]) if judged else "",
        "sign": sign(row["verdict"]) if judged else "",
        "verdict": word(row["verdict"]) if judged else "",
        "bar": _bar(gain, low, high, ends),
        "gain": (points(gain, signed=True), gain),
        "interval": interval(low, high),
        "p_holm": (probability(row["p_holm"]), number(row["p_holm"])),
        "won": (_won(row), number(row["won"])),
        "passes": (times(row["passes_ratio"]), number(row["passes_ratio"])),
        "seconds": (times(row["cost_ratio"]) + _on_costs(field, row["strategy"]), number(row["cost_ratio"])),
        "mean": (points(row["mean"]), number(row["mean"])),
        "like": (_like(row), number(row["like_gain"])),
        "prediction": (interval(row["prediction_low"], row["prediction_high"]), number(row["prediction_low"])),
        "tau": (points(row["tau"]), number(row["tau"])),
        "detectable": (points(row["detectable"]), number(row["detectable"])),
        "improvability": (share(row["improvability"]), number(row["improvability"])),
        "tasks": (str(row["n_tasks"]), row["n_tasks"]),
        "front": bool(row["on_front"]),
        "partial": not row["same_tasks"],
    }


def _like(row: Row) -> str:
    """Return what tasks like these would gain, with its interval."""
    within = interval(row["like_low"], row["like_high"])
    return " ".join(part for part in (points(row["like_gain"], signed=True), within) if part)


def _flags(field: Field, row: Row) -> list[tuple[str, str]]:
    """Return what keeps a line from being like the others: (a short word, why)."""
    flags = [field.tags[row["strategy"]]] if row["strategy"] in field.tags else []
    of_all = on_every_task([cell for cell in field.rows if cell["strategy"] == row["strategy"]])
    flags += [_BY_SIGN[sign] for sign in of_all.get(row["strategy"], "") if sign != _TAGGED]
    own = row["tasks"] or ()
    if not row["same_tasks"]:
        missing = [task for task in field.tasks if task not in own]
        words = (
            f"complete runs are missing on {', '.join(missing)}" if missing else f"other tasks than {field.baseline}"
        )
        flags.append((f"‡ {len(own)} of {len(field.tasks)} tasks", words))
    if not row["same_seeds"]:
        flags.append(("other seeds", f"over other seeds than {field.baseline}"))
    return flags


def _on_costs(field: Field, name: str) -> str:
    """Return the marks of a strategy's training seconds."""
    return signs(ON_COSTS, (field.cells[name, task] for task in field.tasks if (name, task) in field.cells))


def _won(row: Row) -> str:
    low, high = number(row["won_low"]), number(row["won_high"])
    if number(row["won"]) is None or low is None or high is None:
        return share(row["won"])
    return f"{share(row['won'])} ({100 * low:.0f}–{100 * high:.0f})"


def _bar(gain: float | None, low: float | None, high: float | None, ends: tuple[float, float]) -> dict[str, Any] | None:
    """Return where an interval is drawn, in percent of the scale's width, and on which sides it is cut."""
    if gain is None:
        return None
    low, high = gain if low is None else low, gain if high is None else high
    left, dot, right = (100 * (value - ends[0]) / (ends[1] - ends[0]) for value in (low, gain, high))
    kept = [min(max(place, 0.0), 100.0) for place in (left, dot, right)]
    return {
        "left": round(kept[0], 1),
        "dot": round(kept[1], 1),
        "width": round(kept[2] - kept[0], 1),
        "cut_left": left < 0,
        "cut_right": right > 100,
    }


def cells(field: Field, name: str) -> list[dict[str, Any]]:
    """Return a strategy's cells of the table by task; a hole says why it is one."""
    return [_cell(field, name, task) for task in field.tasks]


def _cell(field: Field, name: str, task: str) -> dict[str, Any]:
    row = field.cells.get((name, task))
    if row is None:
        lost = [f for f in field.comparison.failures if f["strategy"] == name and f["task"] == task]
        why = f"{lost[0]['status']}: {lost[0]['reason']}" if lost else "not run"
        return {"hole": lost[0]["status"] if lost else "not run", "why": printable(why), "marks": []}
    is_baseline = name == field.baseline
    gain = None if is_baseline else number(row["difference"])
    score = points(row["mean"]) + ("" if number(row["sd"]) is None else f" ± {points(row['sd'])}")
    return {
        "hole": "",
        "value": number(row["mean"]) if is_baseline else gain,
        "main": score if gain is None else points(gain, signed=True),
        "interval": "" if gain is None else interval(row["gain_low"], row["gain_high"]),
        "score": score,
        "seeds": int(row["n_seeds"]),
        "kind": "" if gain is None else kind(row["verdict"]),
        "verdict": "" if gain is None else word(row["verdict"]),
        "marks": _marks(field, row),
        "key": f"{name}\n{task}",
        "metric": row["metric"],
    }


def _marks(field: Field, row: Row) -> list[tuple[str, str, str]]:
    """Return (mark, what it means, with what figures) of all that makes a score mean less than it seems."""
    # Those on costs stand by the costs.
    marks = [(*MARKS[key], str(figures)) for key, figures in warned(row).items() if key not in ON_COSTS]
    if row["optimistic"]:
        marks.append((OPTIMISTIC, "chosen on the very data reported, so optimistic", f"selection {row['selection']}"))
    if row["partial"] or row["max_train"] is not None:
        figures = row["partial"] or f"at most {int(row['max_train']):,} training rows"
        marks.append((LESS_DATA, "official rows are missing: not comparable with published scores", figures))
    if not row["complete"]:
        marks.append(("✗", "a seed failed: in no average", ""))
    if not row["comparable"]:
        marks.append((NO_BASELINE, f"no run of {field.baseline} of the same setting to compare with", ""))
    elif row["n_paired"] == 1 and row["gain_low"] is not None:
        marks.append((ONE_SEED, "a single seed: the interval leaves out the seeds", ""))
    return marks


def legend(field: Field, grid: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[tuple[str, str, str]]:
    """Return (mark, what it means, where it stands) of every mark in the table by task."""
    where: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    there: dict[str, int] = defaultdict(int)
    for name, line_ in grid:
        for task, cell in zip(field.tasks, line_, strict=True):
            there[name] += not cell["hole"]
            for mark, meaning, _ in cell["marks"]:
                where[mark, meaning][name].append(task)
    marks = []
    for (mark, meaning), strategies in where.items():
        full = [name for name, tasks in strategies.items() if len(tasks) == there[name]]
        if len(full) == len(grid):
            marks.append((mark, meaning, "everywhere"))
            continue
        places = [
            f"{name}, on {'every task' if name in full and len(tasks) > 1 else ', '.join(tasks)}"
            for name, tasks in strategies.items()
        ]
        more = f"; and {len(places) - 5} more" if len(places) > 5 else ""
        marks.append((mark, meaning, "; ".join(places[:5]) + more))
    return marks
