"""Numbers from papers: read from a table, each with its source, and checked line by line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.data.tables import Table, read_csv
from bench.data.tasks import GLUE
from bench.errors import BenchError, UsageError, quoted, unknown
from bench.reporting.schema import MAY_BE_NEGATIVE

FILE = Path(__file__).with_name("published.csv")
"""The numbers that come with the package; ``results/published.csv`` of a checkout leads here."""
AVERAGE, TEACHER = "average", "teacher"
NEEDED = ("source", "method", "task", "metric", "value", "split")
OPTIONAL = ("setting", "ours", "recipe", "selection", "seeds", "note")
_SPLITS = ("dev", "test")
_RECIPES = ("kd", "annealing", "continuation")


@dataclass(frozen=True)
class Published:
    """One number of a paper, in points of 100, and what the paper says of how it came about; "" where it does not.

    ``ours`` is the strategy of this suite that the method is, "teacher", or "" where it has none; ``recipe`` what an
    update minimises. ``setting`` is "TEACHER -> STUDENT", ``selection`` which student is reported.
    """

    source: str
    method: str
    task: str
    metric: str
    value: float
    split: str
    setting: str = ""
    ours: str = ""
    recipe: str = "kd"
    selection: str = ""
    seeds: str = ""
    note: str = ""


def read(path: Path = FILE) -> list[Published]:
    """Return the numbers in the CSV file at ``path``; UsageError, with its line and value, for what makes no sense.

    Without a column ``ours`` a method is the strategy of its name in small letters, with hyphens.
    """
    table = read_csv(path)
    for column in table.columns:
        if column not in (*NEEDED, *OPTIONAL):
            raise unknown(f"column of {path}:", column, [*NEEDED, *OPTIONAL])
    places = {column: table.index(column) for column in (*NEEDED, *OPTIONAL) if column in (*NEEDED, *table.columns)}
    rows: list[Published] = []
    seen: dict[tuple[str, ...], str] = {}
    for number, cells in table.rows:
        row = _row(table, number, {column: str(cells[place]).strip() for column, place in places.items()})
        key = (row.source, row.setting, row.method, row.task, row.metric, row.split)
        where = table.where(number)
        if key in seen:
            raise UsageError(f"{where}: {row.method} on {row.task} stands there already: {seen[key]}")
        seen[key] = where
        rows.append(row)
    if not rows:
        raise UsageError(f"{path} has no row below its header")
    return rows


def _row(table: Table, number: int, cells: Mapping[str, str]) -> Published:
    where = table.where(number)
    for column in NEEDED:
        if not cells[column]:
            raise UsageError(f"{where}: {column} is empty")
    task, metric, split = cells["task"], cells["metric"], cells["split"]
    recipe = cells.get("recipe") or "kd"
    try:
        if re.fullmatch(r"[a-z0-9][a-z0-9_-]*", task) is None:
            raise UsageError(f"task is {quoted(task)}: write {AVERAGE}, or a task's name in small letters (cola)")
        if task in GLUE and metric not in GLUE[task].metrics:
            raise unknown(f"metric of {task}:", metric, GLUE[task].metrics)
        if split not in _SPLITS:
            raise unknown("split:", split, _SPLITS)
        if recipe not in _RECIPES:
            raise unknown("recipe:", recipe, _RECIPES)
        value = _points(cells["value"], metric)
    except BenchError as error:
        raise UsageError(f"{where}: {error}") from error
    ours = cells.get("ours", re.sub(r"[^a-z0-9]+", "-", cells["method"].lower()).strip("-"))
    given = {key: cells.get(key, "") for key in ("setting", "selection", "seeds", "note")}
    return Published(cells["source"], cells["method"], task, metric, value, split, ours=ours, recipe=recipe, **given)


def _points(text: str, metric: str) -> float:
    lowest = -100 if metric in MAY_BE_NEGATIVE else 0
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not lowest <= value <= 100:
        raise UsageError(f"value is {quoted(text)}: a number of points is meant, {lowest} to 100")
    return value
