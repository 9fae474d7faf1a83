"""A table as it is printed, in each format. Texts come from records: nothing in them steers a terminal or a sheet."""

from __future__ import annotations

import json
import os
import re
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import printable

if TYPE_CHECKING:
    import pandas as pd

_WIDTH_OF_A_FILE = 100


@dataclass
class Sheet:
    """A table of one preset as it is printed: columns of a head and one text per row, the first to the left.

    The first column is repeated, and the second not torn from it, where a table is continued below itself. There is
    a rule below row number ``rule_below``.
    """

    preset: str
    columns: list[tuple[str, list[str]]]
    notes: list[str]
    rule_below: int | None = None

    def __post_init__(self) -> None:
        """Spell out control characters, which records may hold."""
        self.preset = printable(self.preset)
        self.columns = [(printable(head), [printable(cell) for cell in cells]) for head, cells in self.columns]
        self.notes = [printable(note) for note in self.notes]


def page_width(to_terminal: bool) -> int:
    """Return how many columns a text table may take: the terminal's, or 100 in a file or pipe."""
    if to_terminal or os.environ.get("COLUMNS", "").isdigit():
        return max(60, shutil.get_terminal_size().columns)
    return _WIDTH_OF_A_FILE


def text(sheets: Iterable[Sheet], width: int = 100, colour: bool = False) -> str:
    """Return the tables for a terminal of ``width`` columns; one too wide is continued below itself."""
    import io

    from rich.console import Console

    parts = []
    for sheet in sheets:
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


def markdown(sheets: Iterable[Sheet]) -> str:
    """Return the tables in GitHub's markdown, notes as lists below."""
    parts = []
    for sheet in sheets:
        lines = [f"### preset {_escaped(sheet.preset)}", ""]
        if sheet.columns[0][1]:
            lines += [_pipes([head for head, _ in sheet.columns])]
            lines += ["| " + " | ".join(["---"] + ["---:"] * (len(sheet.columns) - 1)) + " |"]
            lines += [_pipes(row) for row in zip(*(cells for _, cells in sheet.columns), strict=True)]
        lines += ["", *(f"- {_escaped(note)}" for note in sheet.notes)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(_escaped(cell).split()) for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Return ``text`` without what ends a cell, begins a tag or marks emphasis in markdown."""
    return re.sub(r"([|<*`])", r"\\\1", text)


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of ``frame``, with None for what is missing and ints that pandas made floats of."""
    rows = []
    for row in frame.to_dict("records"):
        plain: dict[str, Any] = {str(key): None if isinstance(v, float) and v != v else v for key, v in row.items()}
        if isinstance(plain.get("max_train"), float):
            plain["max_train"] = int(plain["max_train"])
        rows.append(plain)
    return rows


def json_text(frame: pd.DataFrame) -> str:
    """Return the long form as a JSON list of objects, null for what is missing; scores are fractions."""
    return json.dumps(plain_rows(frame), indent=1, allow_nan=False) + "\n"


def csv_text(frame: pd.DataFrame) -> str:
    """Return the long form as CSV; lists and mappings are written as JSON in their cells."""
    import pandas as pd

    rows = [{key: _csv_cell(value) for key, value in row.items()} for row in plain_rows(frame)]
    return pd.DataFrame(rows, columns=list(frame.columns)).to_csv(index=False)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, dict | tuple):
        return json.dumps(value)
    if isinstance(value, str):
        # A spreadsheet takes such a text for a formula.
        return ("'" if value[:1] in ("=", "+", "-", "@") else "") + printable(value)
    return value
