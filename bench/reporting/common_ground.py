"""What all rows of a comparison share, and what its intervals and verdicts leave out, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.reporting.statistics.over_tasks import THESE_TASKS
from bench.reporting.statistics.paired import NOTHING, ROWS, SEEDS
from bench.reporting.task_gains import Row

_WORDS = {"bench": "suite", "max_length": "word pieces a row at most"}
"""Parts of a signature that read as they are; the others are hashes, or said below in words."""


def same_for_all(rows: Sequence[Row]) -> dict[str, str]:
    """Return what the rows of the main settings share: {what: value in words}; what differs among them is left out."""
    rows = [row for row in rows if row["main"]]
    if not rows:
        return {}
    found: dict[str, Any] = {}
    parts = [dict(piece.partition("=")[::2] for piece in row["signature"].split("|")) for row in rows]
    for key, word in _WORDS.items():
        found[word] = _single(part.get(key) for part in parts)
    found["data"] = _single(part.get("data", "").partition(":")[0] or None for part in parts)
    found["training rows at most"] = _single(row["max_train"] or "all" for row in rows)
    found["student updates"] = _single(f"{row['student_updates']:,}" for row in rows)
    found["student selected by"] = _single(row["selection"] + " (optimistic)" * bool(row["optimistic"]) for row in rows)
    found["scored on"] = _single(row["split"] for row in rows)
    found["seeds"] = _single(", ".join(map(str, row["seeds"])) for row in rows)
    teachers: dict[str, set[str]] = {}
    for row in rows:
        teachers.setdefault(row["task"], set()).update(row.get("teacher_hashes") or ())
    if all(len(hashes) == 1 for hashes in teachers.values()):
        found["teacher"] = "one per task, the same for every strategy and seed"
    found["hardware"] = _single(", ".join(row["hardware"]) for row in rows)
    return {key: str(value) for key, value in found.items() if value is not None}


def _single(values: Any) -> Any:
    """Return the one value that all are, or None."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def caveats(rows: Sequence[Row], strategies: Sequence[Mapping[str, Any]], baseline: str) -> Iterator[str]:
    """Yield what a reader of the intervals and verdicts must know, a line each."""
    main = [row for row in rows if row["main"] and row["strategy"] != baseline]
    if rows and not any(row["comparable"] and row["strategy"] == baseline for row in rows):
        yield f"no run of the baseline {baseline}: there are no gains; run it, or name another baseline"
        return
    apart = [row for row in main if row["comparable"] and not row["n_paired"]]
    if apart:
        yield f"no seed in common with {baseline}, no gain: {_named(apart)}"
    paired = [row for row in main if row["n_paired"]]
    for covers, words in (
        (ROWS, "one seed: the interval takes in dev rows and leaves out seeds"),
        (SEEDS, "predictions are missing: the interval takes in seeds and leaves out dev rows"),
        (NOTHING, "no interval: neither predictions nor seeds that differ"),
    ):
        if chosen := [row for row in paired if row["interval_covers"] == covers]:
            yield f"{words}: {'all rows' if len(chosen) == len(paired) else _named(chosen)}"
    few = [row["strategy"] for row in strategies if row["gain_about"] == THESE_TASKS]
    if few:
        yield (
            "fewer than three tasks: gain and interval are the plain average over these tasks and say nothing of "
            f"others: {', '.join(few)}"
        )
    if paired:
        yield "every interval is given these teachers: another teacher is one more draw that none takes in"


def _named(rows: Sequence[Row]) -> str:
    """Return ``"mate-kd (rte, cola), eda (rte)"``."""
    tasks: dict[str, list[str]] = {}
    for row in rows:
        tasks.setdefault(row["strategy"], []).append(row["task"])
    return ", ".join(f"{name} ({', '.join(dict.fromkeys(own))})" for name, own in tasks.items())
