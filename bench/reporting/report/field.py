"""One comparison made ready for the page: its rows in their order, and how much of it a page can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.reporting import kinds
from bench.reporting.leaderboard import task_order
from bench.reporting.points import has_interval
from bench.reporting.report.standing import is_strategy, tag
from bench.reporting.sheet import plain_rows
from bench.reporting.summary import ordered

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison

LINES, PANELS = 150, 24
"""Strategies in tables, and strategies and tasks in charts, that a page holds at most."""
_ALWAYS = (kinds.BASELINE, kinds.CONTROL, kinds.REFERENCES)
"""Kinds of rows that stay where others have no room: all others are held beside them."""

Row = Mapping[str, Any]


class Field:
    """The strategies of a comparison in the page's order, their rows by task, and what the page leaves out."""

    def __init__(self, name: str, comparison: Comparison) -> None:
        self.id, self.comparison, self.baseline = name, comparison, comparison.baseline
        rows = [
            row if has_interval(row["gain_low"], row["gain_high"]) else row | {"difference": None}
            for row in plain_rows(comparison.tasks)
        ]
        self.rows: list[Row] = [row for row in rows if row["main"]]
        self.others: list[Row] = [row for row in rows if not row["main"]]
        self.cells = {(row["strategy"], row["task"]): row for row in self.rows}
        self.tasks = sorted({row["task"] for row in self.rows}, key=task_order)
        self.metrics = {row["task"]: row["metric"] for row in self.rows}
        self.left_out: list[str] = []
        every: list[Row] = [*ordered(comparison)]
        self.every = [row["strategy"] for row in every]
        self.strategies = self.leading(every, LINES, "rows of the tables")
        self.names = [row["strategy"] for row in self.strategies]
        self.tags = {row["strategy"]: found for row in self.strategies if (found := tag(row))}
        kept = self.leading(self.strategies, PANELS + 1, "rows of the charts of seeds and of training")
        self.charted = [row["strategy"] for row in kept]
        self.classes = dict(zip(self.names, _classes(self.strategies), strict=True))
        self.charts: dict[str, Any] = {}

    def leading(self, rows: Sequence[Row], most: int, what: str) -> list[Row]:
        """Return ``most`` of ``rows`` in their order, what the others are held beside and those of the largest gains.

        That the others are left out is noted.
        """
        if len(rows) <= most:
            return [*rows]
        ranked = sorted(rows, key=lambda row: (row["kind"] not in _ALWAYS, row["gain"] is None, -(row["gain"] or 0.0)))
        kept = {row["strategy"] for row in ranked[:most]}
        self.left_out.append(f"{len(rows) - most:,} of {len(rows):,} {what}, those of the smallest gains")
        return [row for row in rows if row["strategy"] in kept]

    def few(self, items: list[Any], most: int, what: str) -> list[Any]:
        """Return the first ``most`` of ``items``, and note that the others are left out."""
        if len(items) > most:
            self.left_out.append(f"{len(items) - most:,} of {len(items):,} {what}")
        return items[:most]

    def chart(self, name: str, spec: dict[str, Any]) -> str:
        """Keep a chart's specification, and return the name of the place that it is drawn in."""
        place = f"{self.id}-{name}"
        self.charts[place] = spec
        return place


def _classes(rows: Sequence[Row]) -> Iterator[str]:
    """Yield by which classes the page's style knows a row: the baseline, what is no strategy, the first of a group."""
    before = None
    for row in rows:
        group = "strategy" if is_strategy(row) else row["kind"]
        name = "baseline" if row["kind"] == kinds.BASELINE else "" if is_strategy(row) else "beside"
        yield f"{name} first" if before not in (None, group) else name
        before = group
