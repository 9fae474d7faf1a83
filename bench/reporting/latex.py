"""Tables in LaTeX, with the rules of the package booktabs: to be put into a document with \\input."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bench.reporting.sheet import Cell, Sheet

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "-": "-{}",  # two of them would be a dash
    "–": "--",
    "±": r"\ensuremath{\pm}",
    "×": r"\ensuremath{\times}",
    "°": r"\ensuremath{^\circ}",
    "◆": r"\ensuremath{\bullet}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "∅": r"\ensuremath{\emptyset}",
    "○": r"\ensuremath{\circ}",
    "≡": r"\ensuremath{\equiv}",
    "≈": r"\ensuremath{\approx}",
    "◔": r"\ensuremath{\odot}",
    "⇆": r"\ensuremath{\leftrightarrow}",
    "⇈": r"\ensuremath{\Uparrow}",
    "→": r"\ensuremath{\rightarrow}",
    "²": r"\ensuremath{^2}",
}
_ON_A_PAGE, _A_LINE = 42, 85
"""Lines of a page, less the caption, and characters of a line of notes, in the narrow text of the class article."""
_TALLEST = r"0.88\textheight"
_HEAD = r"""% Put \usepackage{booktabs,graphicx} into the preamble, and \input this file where the tables are to stand.
"""


def latex(sheets: Iterable[Sheet]) -> str:
    """Return each table in an environment of its own, no wider and no taller than the text, its notes below.

    Notes that a page has no room for beside their table are text of their own after it, which pages may break.
    """
    return _HEAD + "\n".join(map(_table, sheets))


def _table(sheet: Sheet) -> str:
    columns = sheet.cells()
    parts = [line.strip().rstrip(".") for line in (sheet.title or "", *sheet.lead) if line]
    caption = ". ".join(_escaped(part[:1].upper() + part[1:]) for part in parts)
    lines = [r"\begin{table}[htbp]", r"\centering", rf"\caption{{{caption}}}"]
    if columns and columns[0][1]:
        shape = "l" + "".join("l" if head in sheet.left else "r" for head, _ in columns[1:])
        # Measured first: a wide table is made smaller, and no other.
        tall = any("\n" in cell.text for _, cells in columns for cell in cells)
        size = r"\scriptsize" if tall else r"\small"
        lines += [rf"\sbox0{{{size}\setlength{{\tabcolsep}}{{4pt}}%", rf"\begin{{tabular}}{{{shape}}}", r"\toprule"]
        lines += [_line(Cell(head) for head, _ in columns), r"\midrule"]
        for n, row in enumerate(zip(*(cells for _, cells in columns), strict=True)):
            if n in sheet.groups and n:
                lines.append(r"\midrule")
            if label := sheet.groups.get(n):
                lines.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\emph{{{_escaped(label)}}}}} \\")
            lines += _lines(row)
        lines += [r"\bottomrule", r"\end{tabular}}%"]
        lines += [
            r"\ifdim\wd0>\linewidth\sbox0{\resizebox{\linewidth}{!}{\usebox0}}\fi",
            r"\dimen0=\ht0\advance\dimen0\dp0",
            rf"\ifdim\dimen0>{_TALLEST}\resizebox*{{!}}{{{_TALLEST}}}{{\usebox0}}\else\usebox0\fi",
        ]
    end = [r"\end{table}", ""]
    if sheet.notes:
        notes = r" \\ ".join(_escaped(note) for note in sheet.notes)
        if _n_lines(sheet) > _ON_A_PAGE:
            whose = rf"\emph{{Notes to the tables of {_escaped(sheet.preset)}.}}"
            end += [rf"{{\footnotesize\raggedright\noindent {whose} {notes}\par}}", ""]
        else:
            lines += ["", r"\smallskip", rf"\parbox{{\linewidth}}{{\footnotesize\raggedright {notes}}}"]
    return "\n".join([*lines, *end])


def _n_lines(sheet: Sheet) -> int:
    """Return about how many lines a table and its notes take."""
    rows = zip(*(cells for _, cells in sheet.cells()), strict=True)
    table = sum(max(cell.text.count("\n") + 1 for cell in row) for row in rows)
    return table + sum(1 + len(note) // _A_LINE for note in sheet.notes)


def _lines(cells: Iterable[Cell]) -> list[str]:
    """Return a row; where cells have several lines, a row of the table for each, and a little room below."""
    split = [[Cell(line, cell.bold) for line in cell.text.split("\n")] for cell in cells]
    height = max(map(len, split))
    lines = [_line(cell[n] if n < len(cell) else Cell("") for cell in split) for n in range(height)]
    return [*lines, r"\addlinespace[1pt]"] if height > 1 else lines


def _line(cells: Iterable[Cell]) -> str:
    return " & ".join(map(_cell, cells)) + r" \\"


def _cell(cell: Cell) -> str:
    # A line of a table that begins with a bracket would be an option of the \\ before it.
    text = _escaped(" ".join(cell.text.split())).replace("[", "{[}").replace("]", "{]}")
    text = re.sub(r"(?<![\w.])-\{\}(?=\d)", r"\\ensuremath{-}", text)
    return rf"\textbf{{{text}}}" if cell.bold and text else text


def _escaped(text: str) -> str:
    """Return ``text`` so that LaTeX prints it: its special characters as commands, what its fonts lack by number."""
    return "".join(_COMMANDS.get(c, c if c.isascii() or c in _LATIN else f"[U+{ord(c):04X}]") for c in text)


_LATIN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿŒœŠšŽžŁł")
"""Letters with accents that LaTeX makes in every font."""
