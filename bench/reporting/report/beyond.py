"""Students beyond one dev score: on other sets, under attack, and trained on few rows, as the template takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.reporting.attacks import transfer
from bench.reporting.beyond import NothingBeyond, on_sets
from bench.reporting.by_size import sized
from bench.reporting.report import charts
from bench.reporting.report.field import Field, Row

if TYPE_CHECKING:
    from bench.reporting.beyond import Labelled
    from bench.reporting.sheet import Sheet


def elsewhere(field: Field, runs: Labelled, results: Path) -> list[dict[str, Any]]:
    """Return the table of each task whose students were scored on other sets."""
    return _made(on_sets, field, runs, results)


def under_attack(field: Field, runs: Labelled, results: Path) -> list[dict[str, Any]]:
    """Return the transfer matrix of each task whose students were attacked."""
    return _made(transfer, field, runs, results)


def _made(
    tables: Callable[..., tuple[list[Sheet], Any]], field: Field, runs: Labelled, results: Path
) -> list[dict[str, Any]]:
    """Return the tables as the template takes them; notes alone where all was left out, none where there was none."""
    try:
        sheets, _ = tables(results, runs, field.baseline, set(field.names))
    except NothingBeyond as nothing:
        return [{"title": "", "rows": [], "notes": nothing.notes}] if nothing.notes else []
    # Where none of the tuned runs was evaluated, the others go by the preset's name alone.
    return _tables([sheet for sheet in sheets if sheet.preset == field.comparison.preset] or sheets)


def by_size(field: Field) -> list[dict[str, Any]]:
    """Return for each task that was trained on few rows, too, the chart of gains against rows, and its table."""
    shown = []
    for place, (sheet, rows) in enumerate(sized(field.comparison)):
        (table,) = _tables([sheet])
        of = [row for row in rows if row["strategy"] in field.charted]
        gains, sizes = _gains(of, field.baseline)
        chart = field.chart(f"sizes-{place}", charts.sizes(gains, sizes)) if gains else ""
        about = f"Gain over {field.baseline} on {rows[0]['task']} by the rows of a class that students were trained on."
        shown.append({**table, "chart": chart, "about": about})
    return shown


def _gains(rows: Sequence[Row], baseline: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the gains that have an interval, in points, and the sizes in their order."""
    named = {row["train_rows"]: "all" if row["train_rows"] is None else f"{row['train_rows']:,}" for row in rows}
    keys = {"gain": "difference", "low": "gain_low", "high": "gain_high"}
    gains = [
        {"strategy": row["strategy"], "rows": named[row["train_rows"]]}
        | {name: round(100 * row[key], 2) for name, key in keys.items()}
        for row in rows
        if row["strategy"] != baseline and None not in (row["difference"], row["gain_low"], row["gain_high"])
    ]
    return gains, list(named.values())


def _tables(sheets: Iterable[Sheet]) -> list[dict[str, Any]]:
    """Return title, heads, rows of cells and notes of each sheet."""
    tables = []
    for sheet in sheets:
        columns = sheet.cells()
        rows = list(zip(*(cells for _, cells in columns), strict=True))
        title = str(sheet.title).removeprefix(f"preset {sheet.preset}, ")
        heads = [head for head, _ in columns]
        tables.append({"title": title, "heads": heads, "rows": rows, "notes": sheet.notes})
    return tables
