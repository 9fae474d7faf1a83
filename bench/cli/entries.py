"""Entries of a listing: a name, and beside it what is said of it, no wider than the terminal."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from typing import Any

import click

# A citation in a description: what is in brackets with a year.
_PAPER = re.compile(r"\s*\(([^()]*\b(?:19|20)\d\d\b[^()]*)\)")


def cited(about: str) -> tuple[str, str]:
    """Return a description without the paper it cites, and that paper."""
    paper = _PAPER.search(about)
    return _PAPER.sub("", about), paper[1] if paper else ""


def print_json(rows: Sequence[dict[str, Any]]) -> None:
    """Print ``rows`` as JSON."""
    click.echo(json.dumps(rows, indent=1))


def column(rows: Sequence[dict[str, Any]]) -> int:
    """Return the width of a column for the names of ``rows``."""
    return max(len(row["name"]) for row in rows) + 2


def width(indent: int) -> int:
    """Return the width of the terminal; where it is very narrow, of a text behind ``indent`` columns."""
    return max(shutil.get_terminal_size(fallback=(100, 24)).columns, indent + 20)


def show(text: str) -> None:
    """Print ``text``, through a pager where it is longer than the terminal that it goes to."""
    if sys.stdout.isatty() and text.count("\n") >= shutil.get_terminal_size().lines:
        click.echo_via_pager(text)
    else:
        click.echo(text)


def paragraph(text: str, indent: int, hanging: int = 0) -> str:
    """Return ``text`` wrapped to the terminal, from column ``indent`` on, later lines ``hanging`` further."""
    return textwrap.fill(
        text,
        width(indent),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )


def option_words(name: str, option: Mapping[str, Any]) -> tuple[str, str]:
    """Return an option with its value, as one types it, and behind it its type, bounds and meaning."""
    value, default = option.get("value", option["default"]), option["default"]
    facts = [option["type"], option["bounds"], f"default {default}" if value != default else ""]
    facts += [f"searched: {option['searched']}" if option.get("searched") else ""]
    meaning = f": {option['meaning']}" if option["meaning"] else ""
    if value is MISSING:
        return name, f"({', '.join(filter(None, [*facts[:2], 'required']))}){meaning}"
    return f"{name}={value}", f"({', '.join(filter(None, facts))}){meaning}"


def option_lines(options: Mapping[str, Mapping[str, Any]], indent: int) -> list[str]:
    """Return a paragraph per option: its value, type, bounds and meaning."""
    return [paragraph(" ".join(option_words(name, option)), indent, 4) for name, option in options.items()]


def print_entry(name: str, lines: Sequence[str], indent: int) -> None:
    """Print ``lines`` beside ``name``, from column ``indent`` on, no wider than the terminal."""
    click.echo(entry(name, lines, indent))


def entry(name: str, lines: Sequence[str], indent: int) -> str:
    """Return ``lines`` beside ``name``, from column ``indent`` on, no wider than the terminal."""
    beside = "\n".join(paragraph(line, indent, 2 if number else 0) for number, line in enumerate(lines))
    return name.ljust(indent) + beside[indent:]
