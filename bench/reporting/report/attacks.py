"""Students under attack: the transfer matrix of each task, as the template takes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.reporting.attacks import transfer
from bench.reporting.evaluations import attacks_beside
from bench.reporting.report.field import Field

if TYPE_CHECKING:
    from bench.reporting.schema import Record


def under_attack(field: Field, records: Sequence[Record], results: Path) -> list[dict[str, Any]]:
    """Return title, heads, rows of cells and notes for each task whose students were attacked; none where none was."""
    if not attacks_beside(results, records):
        return []
    sheets, _ = transfer(results, records, field.baseline, set(field.names))
    tables = []
    for sheet in sheets:
        if sheet.preset == field.comparison.preset:
            columns = sheet.cells()
            rows = list(zip(*(cells for _, cells in columns), strict=True))
            heads = [head for head, _ in columns]
            title = str(sheet.title).removeprefix(f"preset {sheet.preset}, ")
            tables.append({"title": title, "heads": heads, "rows": rows, "notes": sheet.notes})
    return tables
