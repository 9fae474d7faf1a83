"""The marks of a table: which stand where, so that none is repeated in every cell of a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.reporting.kinds import CONTROLS
from bench.reporting.marks import ON_SCORES, ON_TASKS

OPTIMISTIC, NO_BASELINE, LESS_DATA, ONE_SEED, SEEDS_ALONE, ON_FRONT = "*", "†", "§", "°", "~", "◆"
COVERS = {"rows": ONE_SEED, "seeds": SEEDS_ALONE}
"""What an interval leaves out is marked by what it covers."""

Rows = Sequence[Mapping[str, Any]]


def warned(row: Mapping[str, Any]) -> dict[str, str]:
    """Return what a reader is warned of in a row, {mark: figures}: a control is meant to change no text."""
    return {k: figures for k, figures in row["warnings"].items() if k != "unchanged" or row["base"] not in CONTROLS}


def signs(marks: Mapping[str, tuple[str, str]], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the signs of those of ``marks`` that any of ``rows`` is warned of."""
    there = {key for row in rows for key in warned(row)}
    return "".join(sign for key, (sign, _) in marks.items() if key in there)


def on_every_task(rows: Rows) -> dict[str, str]:
    """Return {strategy: the signs that all its scores have}, which stand beside its name and not in its cells."""
    own: dict[str, list[set[str]]] = defaultdict(list)
    for row in rows:
        own[row["strategy"]].append({*warned(row)})
    shared = {strategy: set.intersection(*warnings) for strategy, warnings in own.items()}
    return {s: "".join(sign for key, (sign, _) in ON_SCORES.items() if key in keys) for s, keys in shared.items()}


def covered_alike(rows: Rows) -> bool:
    """Return whether all intervals of ``rows`` leave out the same, so that a note says it and no mark is needed."""
    return len({row["interval_covers"] for row in rows if row["interval_covers"] in ("rows and seeds", *COVERS)}) < 2


def on_head(rows: Rows, all_rows: Rows) -> str:
    """Return the marks of a task, whose ``rows`` are among ``all_rows``: of what holds for all its scores."""
    marks = signs(ON_TASKS, rows)
    if any(row["optimistic"] for row in rows):
        marks += OPTIMISTIC
    if not any(row["comparable"] for row in rows) and any(row["comparable"] for row in all_rows):
        marks += NO_BASELINE
    if any(row["partial"] is not None or row["max_train"] is not None for row in rows):
        marks += LESS_DATA
    return marks


def with_signs(name: str, marks: str) -> str:
    """Return a name with the marks that stand beside it."""
    return f"{name} {marks}" if marks else name
