"""Entries of a listing: a name, and beside it what is said of it, no wider than the terminal."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

import click


def print_json(rows: Sequence[dict[str, Any]]) -> None:
    """Print ``rows`` as JSON."""
    click.echo(json.dumps(rows, indent=1))


def column(rows: Sequence[dict[str, Any]]) -> int:
    """Return the width of a column for the names of ``rows``."""
    return max(len(row["name"]) for row in rows) + 2


def width(indent: int) -> int:
    """Return the width of the terminal; where it is very narrow, of a text behind ``indent`` columns."""
    return max(shutil.get_terminal_size(fallback=(100, 24)).columns, indent + 20)


def print_entry(name: str, lines: Sequence[str], indent: int) -> None:
    """Print ``lines`` beside ``name``, from column ``indent`` on, no wider than the terminal."""
    wrapped = [
        part
        for number, line in enumerate(lines)
        for part in textwrap.wrap(
            line,
            width(indent) - indent,
            subsequent_indent="  " if number else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
    click.echo(name.ljust(indent) + wrapped[0])
    for line in wrapped[1:]:
        click.echo(" " * indent + line)
