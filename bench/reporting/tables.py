"""Tables as text, markdown, CSV and JSON, with the notes without which a table misleads."""

from __future__ import annotations

import json
import os
import re
import shutil
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.reporting.notes import (
    AVERAGE_LABELS,
    LESS_DATA,
    NOT_COMPARABLE,
    OPTIMISTIC,
    OTHER_TASKS,
    SECOND_DEV,
    column_order,
    line_name,
    notes,
)

if TYPE_CHECKING:
    import pandas as pd

_WIDTH_OF_A_FILE = 100


class Cell(NamedTuple):
    """One score as it is printed: percent-like points, its sd, and the difference to the baseline."""

    mean: str = ""
    sd: str = ""
    difference: str = ""


@dataclass
class Row:
    """One line of the wide table: a task in one setting, or a summary."""

    label: str
    teacher: str
    cells: list[Cell]
    summary: bool = False


@dataclass
class Sheet:
    """A table of one preset as it is printed: columns of a head and one text a row, the first to the left.

    The first column is repeated, and the second not torn from it, where a table is continued below itself. There is
    a rule below row number ``rule_below``.
    """

    preset: str
    columns: list[tuple[str, list[str]]]
    notes: list[str]
    rule_below: int | None = None


@dataclass
class Grid:
    """The wide table of one preset: tasks down, strategies across."""

    preset: str
    strategies: list[str]
    rows: list[Row]
    notes: list[str]

    def sheet(self) -> Sheet:
        """Return the grid as it is printed."""
        columns = [("task", [row.label for row in self.rows]), ("teacher", [row.teacher for row in self.rows])]
        columns += [(name, _column([row.cells[i] for row in self.rows])) for i, name in enumerate(self.strategies)]
        before_summary = sum(not row.summary for row in self.rows)
        return Sheet(self.preset, columns, self.notes, before_summary - 1 if before_summary < len(self.rows) else None)


def grids(frame: pd.DataFrame, averages: pd.DataFrame, failures: Sequence[dict[str, Any]]) -> list[Grid]:
    """Return one wide table a preset from what ``leaderboard``, ``averages`` and ``failures`` return."""
    presets = sorted({*frame["preset"], *(failure["preset"] for failure in failures)})
    return [
        _grid(
            preset,
            plain_rows(frame[frame["preset"] == preset]),
            plain_rows(averages[averages["preset"] == preset]),
            [failure for failure in failures if failure["preset"] == preset],
        )
        for preset in presets
    ]


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of ``frame``, with None for what is missing and ints that pandas made floats of."""
    rows = []
    for row in frame.to_dict("records"):
        plain: dict[str, Any] = {str(key): None if isinstance(v, float) and v != v else v for key, v in row.items()}
        if isinstance(plain.get("max_train"), float):
            plain["max_train"] = int(plain["max_train"])
        rows.append(plain)
    return rows


def _grid(
    preset: str, rows: list[dict[str, Any]], averages: list[dict[str, Any]], failures: list[dict[str, Any]]
) -> Grid:
    strategies = column_order(rows, averages)
    lost = {(f["task"], f["strategy"]): f["status"] for f in failures}
    has_baseline = any(row["comparable"] for row in rows)
    lines: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        lines[row["task"], row["setting"]][row["strategy"]] = row
    table = []
    for (task, _), by_strategy in lines.items():
        first = next(iter(by_strategy.values()))
        label = line_name(first)
        marks = OPTIMISTIC * first["optimistic"] + NOT_COMPARABLE * (has_baseline and not first["comparable"])
        marks += LESS_DATA * (first["partial"] is not None or first["max_train"] is not None)
        nothing = {s: Cell(lost.get((task, s), "–") if first["main"] else "–") for s in strategies}
        cells = [_score(by_strategy[s]) if s in by_strategy else nothing[s] for s in strategies]
        teachers = [row["teacher"] for row in by_strategy.values() if row["teacher"] is not None]
        table.append(Row(label + marks, _points(sum(teachers) / len(teachers)) if teachers else "–", cells))
        second = {s: row["metrics"].get(f"{SECOND_DEV}.{row['metric']}") for s, row in by_strategy.items()}
        if any(value is not None for value in second.values()):
            cells = [Cell("–" if second.get(s) is None else _points(second[s])) for s in strategies]
            table.append(Row(label.replace(task, f"{task}-mm") + marks, "–", cells))
    table += _summary(averages, strategies, len({row["task"] for row in rows if row["main"]}))
    return Grid(preset, strategies, table, notes(rows, averages, failures))


def _points(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _score(row: dict[str, Any], mark: str = "") -> Cell:
    own = row["strategy"] == row.get("baseline")
    difference = None if own else row["difference"]
    return Cell(
        _points(row["mean"]) + mark,
        "" if row["sd"] is None else f"± {_points(row['sd'])}",
        "" if difference is None else f"{100 * difference:+.1f}",
    )


def _summary(averages: list[dict[str, Any]], strategies: list[str], n_tasks: int) -> list[Row]:
    rows = []
    kinds = [kind for kind in AVERAGE_LABELS if any(a["average"] == kind for a in averages)]
    for kind in kinds if n_tasks > 1 else []:
        of_kind = {a["strategy"]: a for a in averages if a["average"] == kind}
        cells = [
            _score(of_kind[s], "" if of_kind[s]["same_tasks"] else OTHER_TASKS) if s in of_kind else Cell("–")
            for s in strategies
        ]
        rows.append(Row(AVERAGE_LABELS[kind], "", cells, summary=True))
    widest = {a["strategy"]: a for kind in reversed(kinds) for a in averages if a["average"] == kind}
    if any(a["cost_ratio"] is not None for a in widest.values()):
        ratios = [widest[s]["cost_ratio"] if s in widest else None for s in strategies]
        marks = ["" if s not in widest or widest[s]["same_tasks"] else OTHER_TASKS for s in strategies]
        cells = [Cell("–" if r is None else f"{r:.2f}×{m}") for r, m in zip(ratios, marks, strict=True)]
        rows.append(Row("cost", "", cells, summary=True))
    return rows


def page_width(to_terminal: bool) -> int:
    """Return how many columns a text table may take: the terminal's, or 100 in a file or pipe."""
    if to_terminal or os.environ.get("COLUMNS", "").isdigit():
        return max(60, shutil.get_terminal_size().columns)
    return _WIDTH_OF_A_FILE


def text(tables: Sequence[Grid | Sheet], width: int = 100, colour: bool = False) -> str:
    """Return the tables for a terminal of ``width`` columns; one too wide is continued below itself."""
    import io

    from rich.console import Console

    parts = []
    for sheet in map(_sheet, tables):
        buffer = io.StringIO()
        console = Console(
            file=buffer,
            width=max(width, 40),
            force_terminal=colour,
            color_system="standard" if colour else None,
            highlight=False,
        )
        for table, needed in _blocks(sheet, width):
            # A single column wider than the terminal still gets its room: numbers are never cut.
            console.width = max(width, needed)
            console.print(table)
            console.print()
        lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
        for note in sheet.notes:
            lines += textwrap.wrap(
                note,
                width,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        parts.append("\n".join([f"preset {sheet.preset}", *lines]))
    return "\n\n".join(parts) + "\n"


def _sheet(table: Grid | Sheet) -> Sheet:
    return table if isinstance(table, Sheet) else table.sheet()


def _blocks(sheet: Sheet, width: int) -> list[tuple[Any, int]]:
    """Return rich tables with the width each needs, as many columns in each as ``width`` takes."""
    if not sheet.columns[0][1]:
        return []
    columns = [(_fold(head, max(map(len, lines))), lines) for head, lines in sheet.columns]
    needs = [3 + max(len(line) for line in (*head.split("\n"), *lines)) for head, lines in columns]
    blocks = [[0, 1]]
    for i in range(2, len(columns)):
        if len(blocks[-1]) > 1 + (len(blocks) == 1) and sum(needs[j] for j in (*blocks[-1], i)) > width:
            blocks.append([0])
        blocks[-1].append(i)
    return [
        (_rich_table([columns[i] for i in block], sheet.rule_below), sum(needs[i] for i in block)) for block in blocks
    ]


def _column(cells: list[Cell]) -> list[str]:
    """Return the cells of one column with means, sds and differences each below one another."""
    widths = [max(map(len, part), default=0) for part in zip(*cells, strict=True)]
    lines = []
    for cell in cells:
        pieces = [part.rjust(width) for part, width in zip(cell, widths, strict=True) if width]
        lines.append(" ".join(pieces))
    return lines


def _fold(name: str, width: int) -> str:
    """Break a long head after its punctuation and spaces, so that a column stays as narrow as its numbers."""
    lines = [""]
    for piece in re.findall(r"[^:(\[,=\-_/ ]*[:(\[,=\-_/ ]?", name):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > max(width, 10):
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _rich_table(columns: list[tuple[str, list[str]]], rule_below: int | None) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for n, (head, _) in enumerate(columns):
        # Text, not str: rich would read the brackets of mate-kd[rho=0.4] as markup.
        table.add_column(Text(head), justify="right" if n else "left", no_wrap=True)
    for n in range(len(columns[0][1])):
        table.add_row(*(Text(lines[n]) for _, lines in columns), end_section=n == rule_below)
    return table


def markdown(tables: Sequence[Grid | Sheet]) -> str:
    """Return the tables in GitHub's markdown, notes as lists below."""
    parts = []
    for sheet in map(_sheet, tables):
        lines = [f"### preset {sheet.preset}", ""]
        if sheet.columns[0][1]:
            head = [name.replace("|", "\\|") for name, _ in sheet.columns]
            lines += [_pipes(head), _pipes(["---"] + ["---:"] * (len(head) - 1))]
            lines += [
                _pipes(" ".join(cell.replace("|", "\\|").split()) for cell in row)
                for row in zip(*(cells for _, cells in sheet.columns), strict=True)
            ]
        lines += ["", *(f"- {note.replace(OPTIMISTIC, chr(92) + OPTIMISTIC)}" for note in sheet.notes)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def json_text(frame: pd.DataFrame) -> str:
    """Return the long form as a JSON list of objects, null for what is missing; scores are fractions."""
    return json.dumps(plain_rows(frame), indent=1, allow_nan=False) + "\n"


def csv_text(frame: pd.DataFrame) -> str:
    """Return the long form as CSV; lists and mappings are written as JSON in their cells."""
    import pandas as pd

    rows = [
        {key: json.dumps(v) if isinstance(v, dict | tuple) else v for key, v in row.items()}
        for row in plain_rows(frame)
    ]
    return pd.DataFrame(rows, columns=list(frame.columns)).to_csv(index=False)
