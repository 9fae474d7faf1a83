"""A comparison as the tables that a person reads, with the notes that must stand below them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from bench.reporting.details import details, second_devs
from bench.reporting.notes import belief
from bench.reporting.sheet import Sheet
from bench.reporting.summary import summary
from bench.reporting.task_table import task_table

if TYPE_CHECKING:
    import pandas as pd

    from bench.reporting.comparison import Comparison

LONGEST_NOTE = 1000
"""A note of more characters is cut: nobody reads the names of a thousand strategies below a table."""


def tables(comparison: Comparison, width: int = 100, by_task: bool | None = None, full: bool = False) -> list[Sheet]:
    """Return the table of strategies, the table of tasks where there are several, and below the last the notes.

    The table of tasks is left out where a cell takes more than two lines in ``width`` columns, unless ``by_task`` says
    otherwise. ``full`` adds what else is known: how every number is made, and scores on other splits.
    """
    sheets = [summary(comparison, width)]
    hidden = False
    if comparison.tasks["task"].nunique() > 1:
        second, height = task_table(comparison, width)
        hidden = not (by_task or (by_task is None and height <= 2))
        sheets += [] if hidden else [second]
    sheets += second_devs(comparison) if full else []
    sheets[-1].notes += notes(comparison, full, ["scores and gains of each task: --by-task"] * hidden).notes
    return sheets


def notes(comparison: Comparison, full: bool = False, more: Sequence[str] = ()) -> Sheet:
    """Return the notes below the tables, as a sheet without a table; ``more`` is what else can be asked for.

    Endless notes are cut, but with ``full``.
    """
    lines = belief(comparison) + details(comparison) if full else [_cut(note) for note in belief(comparison)]
    more = [*more, *["how every number is made: --full"] * (not full)]
    return Sheet(comparison.preset, [], [*lines, "; ".join(more)] if more else lines)


def _cut(note: str) -> str:
    """Return ``note``; an endless one up to a comma, and how the rest is seen."""
    if len(note) <= LONGEST_NOTE:
        return note
    return note[: note.rfind(", ", 0, LONGEST_NOTE)] + ", and so on (whole: --full)"


def only(comparison: Comparison, strategies: Collection[str]) -> Comparison:
    """Return ``comparison`` with some of its strategies; what is known of these stays what it is beside all others."""

    # Holm's correction is over all pairs of the field, so all are computed, once, when any is looked at.
    def pairs() -> pd.DataFrame:
        own = comparison.pairwise
        return own[own["strategy"].isin(strategies) & own["other"].isin(strategies)]

    return dataclasses.replace(
        comparison,
        tasks=comparison.tasks[comparison.tasks["strategy"].isin(strategies)],
        strategies=comparison.strategies[comparison.strategies["strategy"].isin(strategies)],
        pairwise=pairs,
        failures=[row for row in comparison.failures if row["strategy"] in strategies],
    )
