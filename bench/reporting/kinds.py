"""What a row of the leaderboard is: a strategy, a control, a run of another budget, or a reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.reporting.leaderboard import PLAIN_KD, REFERENCE

CONTROLS = ("clean-twice", "r-drop", "shuffled-words")
"""Strategies that bring what any view brings, and no text that could help: what is not above them does not work by its
texts."""
BASELINE, STRATEGY, OTHER_TASKS, BUDGET, CONTROL, REFERENCES = (
    "",
    "strategies",
    "over other tasks",
    "other budgets",
    "controls",
    "reference",
)
ORDER = (BASELINE, STRATEGY, OTHER_TASKS, BUDGET, CONTROL, REFERENCES)
"""The groups of a table from the top, each by the label above its rows."""


def kind(row: Mapping[str, Any], baseline: str) -> str:
    """Return which group a strategy belongs in; ``row`` has its ``strategy``, its ``base`` and ``same_tasks``."""
    name, base = row["strategy"], row["base"]
    if name == baseline:
        return BASELINE
    if base == REFERENCE:
        return REFERENCES
    if "forwards_of=" in name or "seconds_of=" in name:
        return BUDGET
    if base in (*CONTROLS, PLAIN_KD):
        return CONTROL
    return STRATEGY if row.get("same_tasks", True) else OTHER_TASKS
