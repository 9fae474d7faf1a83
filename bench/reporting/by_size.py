"""Gains against the number of training rows: what each strategy gains over the baseline at every size, per task."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.reporting.common_ground import left_out_by_intervals
from bench.reporting.leaderboard import task_order
from bench.reporting.notes import more_seeds
from bench.reporting.points import gain_with_bounds, has_interval, points
from bench.reporting.sheet import Cell, Sheet, plain_rows
from bench.reporting.statistics.verdict import BETTER, CANNOT_TELL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from bench.reporting.comparison import Comparison

COLUMNS = (
    "preset", "task", "strategy", "metric", "split", "train_rows", "mean", "difference", "gain_low", "gain_high",
    "interval_covers", "n_seeds", "n_paired", "p_holm", "verdict",
)  # fmt: skip
"""Of a row for a program; ``train_rows`` is per class, of scores in all, and missing where all rows were used."""


def by_size(comparisons: Sequence[Comparison]) -> tuple[list[Sheet], pd.DataFrame]:
    """Return a table for each task of each comparison, sizes as columns, and the same as rows for a program.

    A cell is the gain over the baseline with its 95 % interval, of the baseline its score; nothing is averaged over
    sizes. BenchError where no run was made on few rows.
    """
    import pandas as pd

    tables = [of_task for comparison in comparisons for of_task in sized(comparison)]
    if not tables:
        raise BenchError("no run was made on few rows; make some: bench run --train-rows 8,64,512,all --seeds 3")
    sheets, rows = [sheet for sheet, _ in tables], [row for _, own in tables for row in own]
    frame = pd.DataFrame([{name: row.get(name) for name in COLUMNS} for row in rows], columns=list(COLUMNS))
    return sheets, frame.astype({"train_rows": "Int64"})


def sized(comparison: Comparison) -> list[tuple[Sheet, list[dict[str, Any]]]]:
    """Return the table of each task that was trained on few rows, and its rows; none where no task was.

    What has all rows alone stands in no curve, and is left out, but for the baseline.
    """
    tables = []
    rows = [row | {"train_rows": size_of(row["signature"])} for row in plain_rows(comparison.tasks)]
    few = {(row["task"], row["strategy"]) for row in rows if row["train_rows"] is not None}
    for task in sorted({task for task, _ in few}, key=task_order):
        names = {comparison.baseline, *(strategy for other, strategy in few if other == task)}
        own, left_out = _one_setting_each([row for row in rows if row["task"] == task and row["strategy"] in names])
        tables.append((_sheet(comparison, task, own, left_out), own))
    return tables


def size_of(signature: str) -> int | None:
    """Return how many rows per class a run with this ``signature`` was trained on; None for all."""
    match = re.search(r"(?:^|\|)train_rows=(\d+)(?:\||$)", signature)
    return None if match is None else int(match[1])


def _one_setting_each(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Return the rows of one setting at each size, that of the lowest number, and how many others there are."""
    setting: dict[int | None, int] = {}
    for row in rows:
        size = row["train_rows"]
        setting[size] = min(setting.get(size, row["setting_number"]), row["setting_number"])
    kept = [row for row in rows if row["setting_number"] == setting[row["train_rows"]]]
    return sorted(kept, key=lambda row: (_order(row["train_rows"]), row["strategy"])), len(rows) - len(kept)


def _order(size: int | None) -> float:
    return float("inf") if size is None else size


def _sheet(comparison: Comparison, task: str, rows: list[dict[str, Any]], left_out: int) -> Sheet:
    baseline = comparison.baseline
    strategies = sorted({row["strategy"] for row in rows}, key=lambda name: (name != baseline, name))
    columns: list[tuple[str, list[str | Cell]]] = [("strategy", [*strategies])]
    for size in sorted({row["train_rows"] for row in rows}, key=_order):
        at = {row["strategy"]: row for row in rows if row["train_rows"] == size}
        columns.append((_in_words(size), [_cell(at.get(name), baseline) for name in strategies]))
    seeds = sorted({row["n_seeds"] for row in rows})
    notes = [
        f"{baseline}: its score; others: gain over it at the same size with a 95 % interval, bold where better",
        f"rows per class, of scores in all; every seed has its own sample; seeds: {', '.join(map(str, seeds))}",
    ]
    for size in sorted({row["train_rows"] for row in rows}, key=_order):
        own = [row for row in rows if row["train_rows"] == size and row["n_paired"] and row["strategy"] != baseline]
        notes += (f"{_in_words(size)}: {line}" for line in left_out_by_intervals(own))
    notes += _too_few_seeds(comparison, rows)
    if left_out:
        notes.append(f"{left_out} rows of other settings are left out")
    title = f"preset {comparison.preset}, {task} ({rows[0]['metric']}) by training rows"
    return Sheet(comparison.preset, columns, notes, title=title)


def _too_few_seeds(comparison: Comparison, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield why a gain is not bold whose interval leaves out 0, where no gain could be: the seeds are too few."""
    unsaid = [row for row in rows if row["verdict"].startswith(CANNOT_TELL)]
    bounds = [(row, row["gain_low"], row["gain_high"]) for row in unsaid]
    silent = [row for row, low, high in bounds if has_interval(low, high) and low * high > 0]
    if not silent:
        return
    tests = int(max((comparison.tasks["strategy"] == row["strategy"]).sum() for row in silent))
    where = "; ".join(f"{size}: {', '.join(names)}" for size, names in _by_size(silent))
    yield (
        "too few seeds to be bold, though the interval leaves out 0, after correction over a strategy's "
        f"{tests} cells: {where}{more_seeds(tests, 1)}"
    )


def _by_size(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Yield each size in words with the strategies that have a row there."""
    for size in sorted({row["train_rows"] for row in rows}, key=_order):
        yield _in_words(size), [row["strategy"] for row in rows if row["train_rows"] == size]


def _in_words(size: int | None) -> str:
    return "all" if size is None else str(size)


def _cell(row: dict[str, Any] | None, baseline: str) -> str | Cell:
    if row is None or row["strategy"] == baseline:
        return points(None if row is None else row["mean"])
    text = gain_with_bounds(row["difference"], row["gain_low"], row["gain_high"])
    return Cell(text, row["verdict"] == BETTER)
