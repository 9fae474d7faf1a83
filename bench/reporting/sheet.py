"""A table as it is printed, as text and as markdown. Texts come from records: nothing in them steers a terminal."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.data.tables import shortened
from bench.errors import printable

if TYPE_CHECKING:
    import pandas as pd

_WIDTH_OF_A_FILE = 100
_GAP = 2
"""Spaces between two columns of a text table."""
WIDEST_NAME = 17
"""A row's name longer than this, and than its heads, is broken after its punctuation."""


@dataclass(frozen=True)
class Cell:
    """One cell: a text of one or more lines, and whether it stands out."""

    text: str
    bold: bool = False

    def printable(self) -> Cell:
        """Return the cell with control characters, which records may hold, spelled out in each line."""
        return Cell("\n".join(map(_shown, self.text.split("\n"))), self.bold)


@dataclass
class Sheet:
    """A table of one preset as it is printed: columns of a head and one cell per row, the first to the left.

    A cell is a text of one line, or a ``Cell``. The first column is repeated, and the second not torn from it, where
    a table is continued below itself. Above row number ``n`` of ``groups`` stand a rule and the group's label, or the
    rule alone. ``lead`` are lines above the table, ``title`` stands in the place of "preset NAME", and the columns
    whose heads are in ``left`` are set to the left as well.
    """

    preset: str
    columns: Sequence[tuple[str, Sequence[str | Cell]]]
    notes: list[str] = field(default_factory=list)
    title: str | None = None
    lead: list[str] = field(default_factory=list)
    groups: Mapping[int, str] = field(default_factory=dict)
    left: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Spell out control characters, which records may hold."""
        self.preset = printable(self.preset)
        self.title = f"preset {self.preset}" if self.title is None else printable(self.title)
        self.columns = [(_shown(head), [_printable(cell) for cell in cells]) for head, cells in self.columns]
        self.notes, self.lead = ([printable(line) for line in lines] for lines in (self.notes, self.lead))
        self.groups = {number: printable(label) for number, label in self.groups.items()}

    def cells(self) -> list[tuple[str, list[Cell]]]:
        """Return the columns, every cell as a ``Cell``."""
        return [(head, [_cell(cell) for cell in cells]) for head, cells in self.columns]


def _cell(cell: str | Cell) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)


def _printable(cell: str | Cell) -> str | Cell:
    return cell.printable() if isinstance(cell, Cell) else _shown(cell)


def _shown(line: str) -> str:
    """Return ``line`` as a cell shows it: control characters spelled out, an endless name without its middle."""
    return shortened(printable(line))


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
        if not sheet.notes:
            lines = lines[:-1]
        above = [line for lead in sheet.lead for line in wrapped(lead, width, "", "  ")]
        below = [line for note in sheet.notes for line in wrapped(note, width)]
        parts.append("\n".join([*([sheet.title] if sheet.title else []), *above, *lines, *below]))
    return "\n\n".join(parts) + "\n"


def wrapped(note: str, width: int, first: str = "  ", then: str = "    ") -> list[str]:
    """Return a note as lines of at most ``width`` columns, as far as its words allow."""
    return textwrap.wrap(
        note, width, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )


def _blocks(sheet: Sheet, width: int) -> list[tuple[Any, int]]:
    """Return rich tables with the width each needs, as many columns in each as ``width`` takes."""
    columns = sheet.cells()
    if not columns or not columns[0][1]:
        return []
    names = max(WIDEST_NAME, len(columns[0][0]))
    columns = [
        (columns[0][0], [Cell(_fold(cell.text, names), cell.bold) for cell in columns[0][1]]),
        *((_fold(head, max(_longest(cell) for cell in cells)), cells) for head, cells in columns[1:]),
    ]
    needs = [_GAP + max(map(_longest, (Cell(head), *cells))) for head, cells in columns]
    needs[0] = max([needs[0], *(_GAP + len(label) for label in sheet.groups.values())])
    blocks = [[0, 1] if len(columns) > 1 else [0]]
    for i in range(2, len(columns)):
        if len(blocks[-1]) > 1 + (len(blocks) == 1) and sum(needs[j] for j in (*blocks[-1], i)) > width + _GAP:
            blocks.append([0])
        blocks[-1].append(i)
    return [(_rich_table([columns[i] for i in block], sheet), sum(needs[i] for i in block)) for block in blocks]


def _longest(cell: Cell) -> int:
    return max(map(len, cell.text.split("\n")))


def _fold(name: str, width: int) -> str:
    """Break a long name after its punctuation and spaces, so that a column stays as narrow as its numbers."""
    width = max(width, 10)
    if len(name) <= width:
        return name
    lines = [""]
    # An option keeps its brackets: nlpaug:keyboard and below it [aug_char_p=0.1].
    for piece in re.findall(r"[(\[]?[^:(\[,=\-_/+ ]*[:,=\-_/+ ]?", name):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _rich_table(columns: list[tuple[str, list[Cell]]], sheet: Sheet) -> Any:
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), header_style="")
    widths = [max(map(_longest, (Cell(head), *cells))) for head, cells in columns]
    aligned = ["rjust" if n and head not in sheet.left else "ljust" for n, (head, _) in enumerate(columns)]

    def shown(cell: Cell, n: int, style: str = "") -> Text:
        # Text, not str: rich would read the brackets of mate-kd[rho=0.4] as markup. Aligned here, as rich would
        # move a number whose neighbours have a mark after them.
        return Text("\n".join(getattr(line, aligned[n])(widths[n]) for line in cell.text.split("\n")), style=style)

    for n, (head, cells) in enumerate(columns):
        # Of a column without a width rich measures every cell, twice.
        lines = [line for cell in (Cell(head), *cells) for line in cell.text.split("\n")]
        wide = max(map(cell_len, [*lines, *(() if n else sheet.groups.values())]))
        table.add_column(shown(Cell(head), n), no_wrap=True, width=max(wide, widths[n]))
    for n in range(len(columns[0][1])):
        if label := sheet.groups.get(n):
            table.add_row(Text(label, style="italic"))
        row = [shown(cells[n], i, "bold" if cells[n].bold else "") for i, (_, cells) in enumerate(columns)]
        table.add_row(*row, end_section=n + 1 in sheet.groups)
    return table


def markdown(sheets: Iterable[Sheet]) -> str:
    """Return the tables in GitHub's markdown, notes as lists below."""
    parts = []
    for sheet in sheets:
        lines = [f"### {_escaped(sheet.title)}", ""] if sheet.title else []
        lines += [line for lead in sheet.lead for line in (_escaped(lead), "")]
        columns = sheet.cells()
        if columns and columns[0][1]:
            aligned = ["---" if head in sheet.left else "---:" for head, _ in columns[1:]]
            lines += [_pipes([head for head, _ in columns]), "| " + " | ".join(["---", *aligned]) + " |"]
            for n, row in enumerate(zip(*(cells for _, cells in columns), strict=True)):
                if label := sheet.groups.get(n):
                    lines.append(f"| *{_in_cell(label)}* |" + " |" * (len(columns) - 1))
                lines.append(_pipes(row))
            lines.append("")
        lines += [f"- {_escaped(note)}" for note in sheet.notes]
        parts.append("\n".join(lines).rstrip("\n"))
    return "\n\n".join(parts) + "\n"


def _pipes(cells: Iterable[str | Cell]) -> str:
    texts = []
    for cell in map(_cell, cells):
        shown = _in_cell(" ".join(cell.text.split()))
        texts.append(f"**{shown}**" if cell.bold and shown else shown)
    return "| " + " | ".join(texts) + " |"


def _in_cell(text: str) -> str:
    return " ".join(_escaped(text).split())


def _escaped(text: str) -> str:
    """Return ``text`` without what ends a cell, begins a tag or marks emphasis in markdown."""
    return re.sub(r"([|<*`])", r"\\\1", text)


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of ``frame``, with None for what is missing."""
    import pandas as pd

    # By column: ``to_dict("records")`` takes ten times as long for a field of 2,000 rows.
    names, columns = [str(name) for name in frame.columns], []
    for n in range(len(names)):
        values, missing = frame.iloc[:, n].tolist(), pd.NA
        columns.append([None if v is missing or (isinstance(v, float) and v != v) else v for v in values])
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
