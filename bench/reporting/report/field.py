"""One comparison made ready for the page: its rows in their order, and how much of it a page can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.reporting.leaderboard import REFERENCE, task_order
from bench.reporting.report.numbers import number
from bench.reporting.sheet import plain_rows

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison

LINES, PANELS = 150, 24
"""Strategies in tables, and strategies and tasks in charts, that a page holds at most."""

Row = Mapping[str, Any]


class Field:
    """The strategies of a comparison in the page's order, their rows by task, and what the page leaves out."""

    def __init__(self, name: str, comparison: Comparison) -> None:
        self.id, self.comparison, self.baseline = name, comparison, comparison.baseline
        rows = plain_rows(comparison.tasks)
        self.rows: list[Row] = [row for row in rows if row["main"]]
        self.others: list[Row] = [row for row in rows if not row["main"]]
        self.cells = {(row["strategy"], row["task"]): row for row in self.rows}
        self.tasks = sorted({row["task"] for row in self.rows}, key=task_order)
        self.metrics = {row["task"]: row["metric"] for row in self.rows}
        self.left_out: list[str] = []
        every = sorted(plain_rows(comparison.strategies), key=self._place)
        self.every = [row["strategy"] for row in every]
        self.strategies = self.few(every, LINES, "strategies")
        self.names = [row["strategy"] for row in self.strategies]
        self.charts: dict[str, Any] = {}

    def _place(self, row: Row) -> tuple[Any, ...]:
        """Return the sorting key of a strategy: the baseline, then by gain, then those without, the reference last."""
        gain = number(row["gain"])
        return (
            row["strategy"] != self.baseline,
            row["base"] == REFERENCE,
            gain is None,
            -(gain or 0.0),
            row["strategy"],
        )

    def few(self, items: list[Any], most: int, what: str) -> list[Any]:
        """Return the first ``most`` of ``items``, in the order of gains, and note that the others are left out."""
        if len(items) > most:
            self.left_out.append(f"{len(items) - most:,} of {len(items):,} {what}, those of the smallest gains")
        return items[:most]

    def chart(self, name: str, spec: dict[str, Any]) -> str:
        """Keep a chart's specification, and return the name of the place that it is drawn in."""
        place = f"{self.id}-{name}"
        self.charts[place] = spec
        return place
