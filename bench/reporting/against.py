"""How probable it is that a strategy is worse than another, the same, or better: a table on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import printable, unknown
from bench.reporting.on_request import equivalence
from bench.reporting.points import ABSENT, gain_with_bounds, percent, points
from bench.reporting.sheet import Sheet, plain_rows

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison


def against(comparison: Comparison, other: str, within: float) -> Sheet:
    """Return the table of all strategies beside ``other``; ``within`` is the gain, a fraction, that is none.

    UsageError where ``other`` was not run.
    """
    names = [row["strategy"] for row in plain_rows(comparison.strategies)]
    if other not in names:
        raise unknown("strategy among these results:", other, map(printable, names))
    pairs = comparison.pairwise[["strategy", "other", "low", "high", "n_tasks"]].merge(equivalence(comparison, within))
    rows = [row for row in plain_rows(pairs) if row["other"] == other]
    rows.sort(key=lambda row: (row["better"] is None, -(row["better"] or 0.0)))
    there = {row["strategy"]: row["n_tasks"] for row in rows}
    notes = []
    if alone := [name for name in names if name not in {*there, other}]:
        notes.append(f"no seed in common: {', '.join(alone)}")
    if fewer := [f"{name} ({n})" for name, n in there.items() if n < max(there.values())]:
        notes.append(f"over fewer tasks than the others' {max(there.values())}: {', '.join(fewer)}")
    if bare := [row["strategy"] for row in rows if row["better"] is None]:
        notes.append(f"no interval, neither predictions nor seeds that differ: {', '.join(bare)}")
    columns = [
        ("strategy", [row["strategy"] for row in rows]),
        ("gain [95 %]", [gain_with_bounds(row["gain"], row["low"], row["high"]) for row in rows]),
        *(
            (kind, [ABSENT if row[kind] is None else percent(row[kind]) for row in rows])
            for kind in ("worse", "same", "better")
        ),
    ]
    about = f"probability of being worse than {other!r}, the same (within {points(within)} points), and better"
    return Sheet(comparison.preset, columns, notes, title=f"preset {comparison.preset}: {about}")
