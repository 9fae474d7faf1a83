"""The first table of a comparison: a row per strategy with its gain over all tasks, how sure that is, and its cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import printable
from bench.reporting import kinds
from bench.reporting.marks import ON_COSTS
from bench.reporting.points import ABSENT, bounds, gain_with_bounds, has_interval, multiple, percent, points
from bench.reporting.sheet import WIDEST_NAME, Cell, Sheet, plain_rows
from bench.reporting.signs import ON_FRONT, on_every_task, on_head, signs, with_signs
from bench.reporting.statistics.verdict import ALPHA, BETTER, seeds_in_words

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison

_NARROW = 100
"""Below so many columns a verdict is told without the number of seeds, which a note says."""


def ordered(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the strategies as rows from the top: the baseline, then each group of ``kinds`` by gain, best first.

    A gain without an interval is none.
    """
    rows = [
        row
        | {"kind": kinds.kind(row, comparison.baseline)}
        | ({} if has_interval(row["gain_low"], row["gain_high"]) else {"gain": None})
        for row in plain_rows(comparison.strategies)
    ]

    def place(row: Mapping[str, Any]) -> tuple[int, bool, float, str]:
        gain = row["gain"]
        return kinds.ORDER.index(row["kind"]), gain is None, -(gain or 0.0), row["strategy"]

    return sorted(rows, key=place)


def groups(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Return the labels above the rows of ``ordered`` by row number, where a group begins."""
    starts = [n for n, row in enumerate(rows) if n and rows[n - 1]["kind"] != row["kind"]]
    # The strategies themselves need no label, only the rule below the baseline.
    return {n: "" if rows[n]["kind"] == kinds.STRATEGY else rows[n]["kind"] for n in starts}


def widest_label(rows: Sequence[Mapping[str, Any]]) -> int:
    """Return the characters of the longest label above rows of ``ordered``; it stands in the column of names."""
    return max(map(len, groups(rows).values()), default=0)


def summary(comparison: Comparison, width: int = 100) -> Sheet:
    """Return the table of strategies with as many columns as ``width`` takes; bold is only what is better."""
    rows = ordered(comparison)
    main = [row for row in plain_rows(comparison.tasks) if row["main"]]
    beside, alone = on_every_task(main), len({row["task"] for row in main}) == 1
    sds = {row["strategy"]: row["sd"] for row in main} if alone else {}
    names = [with_signs(row["strategy"], beside.get(row["strategy"], "")) for row in rows]
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in main:
        by_name[row["strategy"]].append(row)
    times = {name: signs(ON_COSTS, own) for name, own in by_name.items()}
    room = " " * any(row["on_front"] for row in rows)
    columns = [
        _Column(
            "strategy", [_bold(name, row) for name, row in zip(names, rows, strict=True)], least=widest_label(rows)
        ),
        # Of several tasks the next table has the scores.
        _Column("score", [_score(row, sds) for row in rows], drop=0 if alone else 1),
        _Column("gain [95 %]", [_bold(_gain(row, comparison.baseline), row) for row in rows]),
        _Column("verdict", [_bold(_verdict(row, comparison.baseline, width), row) for row in rows]),
        _Column("like these [95 %]", [_like(row) for row in rows], drop=2),
        _Column("p (Holm)", [_probability(row["p_holm"]) for row in rows], drop=3),
        _Column("new task", [_where(row["prediction_low"], row["prediction_high"]) for row in rows], drop=4),
        _Column("passes", [multiple(row["passes_ratio"]) + (ON_FRONT if row["on_front"] else room) for row in rows]),
        _Column(
            "time",
            _marked([multiple(row["cost_ratio"]) for row in rows], [times.get(row["strategy"], "") for row in rows]),
        ),
        _Column("won", [percent(row["won"]) for row in rows], drop=2 if alone else 0),
        _Column("won, 95 %", [_shares(row["won_low"], row["won_high"]) for row in rows], drop=5),
    ]
    return Sheet(
        comparison.preset,
        [(column.head, column.cells) for column in _fitting(columns, width)] if rows else [],
        lead=lead(comparison),
        groups=groups(rows),
        left=frozenset({"verdict"}),
    )


def _marked(cells: Sequence[str], marks: Sequence[str]) -> list[str]:
    """Return the cells with their marks, and with room for them where they have none."""
    room = max(map(len, marks), default=0)
    return [cell + mark.ljust(room) for cell, mark in zip(cells, marks, strict=True)]


class _Column(NamedTuple):
    head: str
    cells: Sequence[str | Cell]
    drop: int = 0  # the higher, the earlier it goes where room is short; 0: it stays
    least: int = 0  # characters of room that it takes at least

    def width(self) -> int:
        """Return the spaces it takes with its gap; a long name is broken."""
        longest = max((len(cell.text if isinstance(cell, Cell) else cell) for cell in self.cells), default=0)
        return 2 + max(self.least, len(self.head), min(longest, WIDEST_NAME) if self.head == "strategy" else longest)


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    """Return those of ``columns`` that say anything, without those of least weight where ``width`` has no room."""
    kept = [column for column in columns if any(str(getattr(c, "text", c)).strip(f"{ABSENT} ") for c in column.cells)]
    for column in sorted(kept, key=lambda column: -column.drop):
        if column.drop and sum(one.width() for one in kept) > width + 2:
            kept.remove(column)
    return kept


def _bold(text: str, row: Mapping[str, Any]) -> Cell:
    return Cell(printable(text), bold=row["verdict"] == BETTER)


def _gain(row: Mapping[str, Any], baseline: str) -> str:
    if row["strategy"] == baseline:
        return "the baseline"
    return gain_with_bounds(row["gain"], row["gain_low"], row["gain_high"])


def _like(row: Mapping[str, Any]) -> str | Cell:
    """Return what tasks like these would gain, bold where that is told from nothing after Holm's correction."""
    if row["like_gain"] is None:
        return ABSENT
    text = gain_with_bounds(row["like_gain"], row["like_low"], row["like_high"])
    return Cell(text, bold=row["like_low"] > 0 and row["like_p_holm"] <= ALPHA)


def _verdict(row: Mapping[str, Any], baseline: str, width: int) -> str:
    if row["strategy"] == baseline or row["gain"] is None:
        return ""
    return row["verdict"].partition(" with ")[0] if width < _NARROW else row["verdict"]


def _probability(p: float | None) -> str:
    if p is None:
        return ABSENT
    return "<.001" if p < 0.001 else f"{p:.{2 if p >= 0.01 else 3}f}".lstrip("0")


def _where(low: float | None, high: float | None) -> str:
    return bounds(low, high) if has_interval(low, high) else ABSENT


def _shares(low: float | None, high: float | None) -> str:
    return f"{100 * low:.0f}-{100 * high:.0f}" if low is not None and high is not None else ABSENT


def _score(row: Mapping[str, Any], sds: Mapping[str, float | None]) -> str:
    if not row["same_tasks"]:
        return ABSENT  # an average over other tasks than the baseline's is not to be held beside it
    sd = sds.get(row["strategy"])
    return points(row["mean"]) + ("" if sd is None else f" ± {points(sd)}")


def lead(comparison: Comparison) -> list[str]:
    """Return the lines above the table: what its numbers are of, and how they are known."""
    rows = [row for row in plain_rows(comparison.tasks) if row["main"]]
    if not rows:
        return []
    tasks, seeds = list(dict.fromkeys(row["task"] for row in rows)), [row["n_seeds"] for row in rows]
    where = f"{len(tasks)} tasks" if len(tasks) > 1 else f"{tasks[0]}{on_head(rows, rows)} ({rows[0]['metric']})"
    about = f"in points of 100, {where}, {seeds_in_words(seeds)}"
    if not any(row["comparable"] for row in rows):
        return [f"scores {about}"]
    return [f"gain over {comparison.baseline!r} {about}; bold: better"]
