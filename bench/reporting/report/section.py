"""One comparison as the template takes it: plain texts and numbers, no more of each than a page can hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import printable
from bench.reporting import notes
from bench.reporting.beyond import Labelled
from bench.reporting.report import beyond, board, panels, texts, verdict
from bench.reporting.report.evidence import Shelf, spread
from bench.reporting.report.field import Field
from bench.reporting.report.numbers import kind, points
from bench.reporting.report.standing import counted
from bench.reporting.schema import Done

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison

_LOST = 100
"""Lines that a page holds at most on runs without a score, and on those of other settings."""


class Section:
    """What the page says of one comparison; the template reads its attributes."""

    def __init__(self, place: int, comparison: Comparison, records: Labelled, results: Path, shelf: Shelf) -> None:
        field = Field(f"c{place}", comparison)
        presets, names = {row["preset"] for row in (*field.rows, *field.others)}, set(field.every)
        # Beside other sets gains are over the baseline, also where the page does not show it.
        every = [(label, one) for label, one in records if one.preset in presets and label in {*names, field.baseline}]
        records = [(label, record) for label, record in every if label in names]
        runs = _counted(field, records)
        self.id, self.title, self.baseline = field.id, printable(comparison.preset), comparison.baseline
        self.headline, self.support = verdict.headline(comparison), verdict.support(comparison)
        self.counts = {name: 0 for name in ("better", "worse", "same", "unknown")}
        strategies, beside = verdict.judged(comparison)
        for row in strategies:
            self.counts[kind(row["verdict"])] += 1
        self.judged, self.held = counted(strategies), counted([*strategies, *beside])
        self.tested, self.tags = verdict.corrected_over(comparison), field.tags
        self.classes = field.classes
        self.tasks = field.tasks
        self.scale = board.scale(field.strategies)
        self.lines = [board.line(field, row, self.scale) for row in field.strategies]
        grid = [(name, board.cells(field, name)) for name in field.names]
        self.grid, self.legend = grid, board.legend(field, grid)
        kinds = {cell["kind"] for _, cells in grid for cell in cells if not cell["hole"]} - {""}
        self.silent = kinds == {"unknown"}
        self.verified = _verified(field.names, records)
        self.focus = next((line["strategy"] for line in self.lines if not line["baseline"]), "")
        self.cost = panels.cost(field)
        self.forests = panels.forests(field)
        self.seeds = panels.seeds(field)
        self.pairs = panels.pairs(field)
        self.curves = panels.curves(field, runs, results)
        self.samples = texts.samples(field, runs, results)
        self.quality = texts.in_numbers(field)
        self.sizes = beyond.by_size(field)
        self.elsewhere = beyond.elsewhere(field, every, results)
        self.attacks = beyond.under_attack(field, every, results)
        self.signature = [(printable(key), printable(str(value))) for key, value in comparison.signature.items()]
        self.notes = [
            (about, [(sign, printable(note)) for sign, note in map(_signed, own)])
            for about, own in notes.grouped(comparison).items()
            if own
        ]
        self.failures = field.few(_failures(comparison), _LOST, "lines on runs without a score")
        self.others = field.few([_other(row) for row in field.others], _LOST, "runs of other settings")
        self.records, self.unrecorded = _looked_up(records, shelf)
        self.left_out, self.charts = field.left_out, field.charts


def _counted(field: Field, records: Labelled) -> list[tuple[str, Done]]:
    """Return the runs that the table's figures are made of."""
    wanted = {(row["strategy"], row["task"], row["signature"], seed) for row in field.rows for seed in row["seeds"]}
    return [
        (label, record)
        for label, record in records
        if isinstance(record, Done) and (label, record.task, record.signature, record.seed) in wanted
    ]


def _verified(names: Sequence[str], records: Labelled) -> list[tuple[str, str]]:
    """Return how each strategy was checked, as its records say; nothing where none of them says anything."""
    checks: dict[str, dict[str, None]] = defaultdict(dict)
    for label, record in records:
        if record.verified:
            checks[label][printable(record.verified)] = None
    unsaid = "against nothing but itself, or its records do not say"
    return [(name, " / ".join(checks.get(name, ())) or unsaid) for name in names] if checks else []


def _signed(note: str) -> tuple[str, str]:
    """Return the mark that a note begins with, empty where it has none, and the rest of it."""
    sign, _, rest = note.partition(" ")
    return (sign, rest) if len(sign) == 1 and not sign.isalnum() else ("", note)


def _failures(comparison: Comparison) -> list[dict[str, str]]:
    """Return the runs without a score, the seeds of one reason in one line."""
    seeds: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row in comparison.failures:
        seeds[row["status"], row["strategy"], row["task"], row["reason"]].append(row["seed"])
    return [
        {
            "status": status,
            "strategy": strategy,
            "task": task,
            "seeds": ", ".join(map(str, sorted(set(own)))),
            "reason": printable(reason),
        }
        for (status, strategy, task, reason), own in sorted(seeds.items())
    ]


def _other(row: Any) -> dict[str, Any]:
    """Return a line on runs of another setting than the table's."""
    return {
        "task": f"{row['task']} [{row['setting_number']}]",
        "strategy": row["strategy"],
        "mean": points(row["mean"]),
        "seeds": row["n_seeds"],
        "differs": printable("; ".join(row["differs"])),
    }


def _looked_up(records: Labelled, shelf: Shelf) -> tuple[list[dict[str, Any]], int]:
    """Put the records on the page's shelf, first seeds first; return a line for each, and how many had no room."""
    lines, before = [], shelf.left_out
    for label, record in spread(records, len(records)):
        if (place := shelf.add(record, label)) is None:
            continue
        score = record.main.value if isinstance(record, Done) else None
        lines.append(
            {
                "place": place,
                "task": record.task,
                "strategy": label,
                "seed": record.seed,
                "status": record.status,
                "score": (points(score), score),
                "id": record.id,
                "key": f"{label}\n{record.task}",
            }
        )
    return lines, shelf.left_out - before
