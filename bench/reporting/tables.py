"""The leaderboard as text, markdown, CSV and JSON, with the notes without which a table misleads."""

from __future__ import annotations

import json
import os
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
class Grid:
    """The wide table of one preset: tasks down, strategies across."""

    preset: str
    strategies: list[str]
    rows: list[Row]
    notes: list[str]


def grids(frame: pd.DataFrame, averages: pd.DataFrame, failures: Sequence[dict[str, Any]]) -> list[Grid]:
    """Return one wide table a preset from what ``leaderboard``, ``averages`` and ``failures`` return."""
    presets = sorted({*frame["preset"], *(failure["preset"] for failure in failures)})
    return [
        _grid(
            preset,
            _dicts(frame[frame["preset"] == preset]),
            _dicts(averages[averages["preset"] == preset]),
            [failure for failure in failures if failure["preset"] == preset],
        )
        for preset in presets
    ]


def _dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
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


def text(tables: Sequence[Grid], width: int = 100, colour: bool = False) -> str:
    """Return the tables for a terminal of ``width`` columns; one too wide is continued below itself."""
    import io

    from rich.console import Console

    parts = []
    for grid in tables:
        buffer = io.StringIO()
        console = Console(
            file=buffer,
            width=max(width, 40),
            force_terminal=colour,
            color_system="standard" if colour else None,
            highlight=False,
        )
        for table, needed in _blocks(grid, width):
            # A single column wider than the terminal still gets its room: numbers are never cut.
            console.width = max(width, needed)
            console.print(table)
            console.print()
        lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
        for note in grid.notes:
            lines += textwrap.wrap(
                note,
                width,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        parts.append("\n".join([f"preset {grid.preset}", *lines]))
    return "\n\n".join(parts) + "\n"


def _blocks(grid: Grid, width: int) -> list[tuple[Any, int]]:
    """Return rich tables with the width each needs, as many strategies in each as ``width`` takes."""
    if not grid.rows:
        return []
    columns = [("task", [row.label for row in grid.rows]), ("teacher", [row.teacher for row in grid.rows])]
    for i, name in enumerate(grid.strategies):
        lines = _column([row.cells[i] for row in grid.rows])
        columns.append((_fold(name, max(map(len, lines))), lines))
    needs = [3 + max(len(line) for line in (*head.split("\n"), *lines)) for head, lines in columns]
    blocks = [[0, 1]]
    for i in range(2, len(columns)):
        if len(blocks[-1]) > 1 + (len(blocks) == 1) and sum(needs[j] for j in (*blocks[-1], i)) > width:
            blocks.append([0])
        blocks[-1].append(i)
    return [(_rich_table(grid, [columns[i] for i in block]), sum(needs[i] for i in block)) for block in blocks]


def _column(cells: list[Cell]) -> list[str]:
    """Return the cells of one column with means, sds and differences each below one another."""
    widths = [max(map(len, part), default=0) for part in zip(*cells, strict=True)]
    lines = []
    for cell in cells:
        pieces = [part.rjust(width) for part, width in zip(cell, widths, strict=True) if width]
        lines.append(" ".join(pieces))
    return lines


def _fold(name: str, width: int) -> str:
    """Break a long strategy name after its punctuation, so that a column stays as narrow as its numbers."""
    spaced = "".join(f"{char} " if char in ":([,=-_/" else char for char in name)
    lines = [""]
    for piece in spaced.split(" "):
        if lines[-1] and len(lines[-1]) + len(piece) > max(width, 10):
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _rich_table(grid: Grid, columns: list[tuple[str, list[str]]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for n, (head, _) in enumerate(columns):
        # Text, not str: rich would read the brackets of mate-kd[rho=0.4] as markup.
        table.add_column(Text(head), justify="right" if n else "left", no_wrap=True)
    for n, row in enumerate(grid.rows):
        last = n + 1 < len(grid.rows) and grid.rows[n + 1].summary and not row.summary
        table.add_row(*(Text(lines[n]) for _, lines in columns), end_section=last)
    return table


def markdown(tables: Sequence[Grid]) -> str:
    """Return the tables in GitHub's markdown, notes as lists below."""
    parts = []
    for grid in tables:
        head = ["task", "teacher", *(name.replace("|", "\\|") for name in grid.strategies)]
        lines = [f"### preset {grid.preset}", ""]
        if grid.rows:
            lines += [_pipes(head), _pipes(["---"] + ["---:"] * (len(head) - 1))]
            lines += [
                _pipes([row.label, row.teacher, *(" ".join(filter(None, cell)) for cell in row.cells)])
                for row in grid.rows
            ]
        lines += ["", *(f"- {note.replace(OPTIMISTIC, chr(92) + OPTIMISTIC)}" for note in grid.notes)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def json_text(frame: pd.DataFrame) -> str:
    """Return the long form as a JSON list of objects, null for what is missing; scores are fractions."""
    return json.dumps(_dicts(frame), indent=1, allow_nan=False) + "\n"


def csv_text(frame: pd.DataFrame) -> str:
    """Return the long form as CSV; lists and mappings are written as JSON in their cells."""
    import pandas as pd

    rows = [
        {key: json.dumps(v) if isinstance(v, dict | tuple) else v for key, v in row.items()} for row in _dicts(frame)
    ]
    return pd.DataFrame(rows, columns=list(frame.columns)).to_csv(index=False)
