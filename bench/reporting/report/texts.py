"""What strategies did to texts: in numbers, and on rows that runs kept as samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.reporting import quality
from bench.reporting.leaderboard import task_order
from bench.reporting.report.evidence import CURVES, marked, samples_of, spread
from bench.reporting.report.field import Field
from bench.reporting.report.numbers import number
from bench.reporting.schema import Done
from bench.reporting.sheet import plain_rows

_ROWS, _TEXTS = 2, 240
"""Rows of a task, and texts in all, that a page shows at most."""


def in_numbers(field: Field) -> dict[str, Any] | None:
    """Return the table of what the strategies did to the texts; None where none made any."""
    frame = field.comparison.tasks
    rows = plain_rows(quality.quality(frame[frame["strategy"].isin(field.names)]))
    if not rows:
        return None
    rows.sort(key=lambda row: field.names.index(row["strategy"]))
    measures = [m for m in quality.MEASURES if any(row[m.key] is not None for row in rows)]
    lines = [
        (row["strategy"], [(quality.printed(number(row[m.key]), m.form), number(row[m.key])) for m in measures])
        for row in rows
    ]
    return {"measures": [(m.head, m.about) for m in measures], "lines": lines}


def samples(field: Field, runs: Sequence[tuple[str, Done]], results: Path) -> list[dict[str, Any]]:
    """Return, by task, rows of training texts with what each strategy made of them, changes marked.

    A strategy's samples on a task are those of one run. The rows that most strategies have come first.
    """
    by_text: dict[tuple[str, tuple[str, ...]], list[Any]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    for label, record in spread(runs, CURVES):
        if label not in field.names or (label, record.task) in seen:
            continue
        for sample in samples_of(results / record.folder):
            seen.add((label, record.task))
            before = tuple(sample["before"])
            by_text[record.task, before].append((field.names.index(label), label, marked(before, sample["after"][0])))
    tasks: dict[str, list[Any]] = defaultdict(list)
    total = 0
    for (task, before), after in sorted(by_text.items(), key=lambda item: (task_order(item[0][0]), -len(item[1]))):
        if len(tasks[task]) < _ROWS and total + len(after) <= _TEXTS:
            total += len(after)
            own = [(label, texts) for _, label, texts in sorted(after, key=lambda item: item[0])]
            tasks[task].append({"before": before, "after": own})
    return [{"task": task, "rows": rows} for task, rows in tasks.items() if rows]
