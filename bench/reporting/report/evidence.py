"""What lies in the folders of runs: training curves, samples of texts, and each record taken apart to be looked up."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench.reporting.report.changes import changes
from bench.reporting.report.numbers import number
from bench.reporting.schema import Record

CURVES, RECORDS, RECORD_BYTES, LONGEST = 1500, 800, 400_000, 400
"""What a page holds at most: curves read, records and their bytes as JSON, characters of one value."""
SAMPLES = "samples.jsonl"
_LARGEST = 2**20

R = TypeVar("R", bound=Record)


def spread(records: Iterable[tuple[str, R]], most: int) -> list[tuple[str, R]]:
    """Return at most ``most`` of (strategy, record), so that every strategy and task keeps its first seeds."""
    turn: dict[tuple[str, str, str], int] = defaultdict(int)
    ranked = []
    for label, record in sorted(records, key=lambda item: (item[1].preset, item[1].task, item[0], item[1].seed)):
        ranked.append((turn[record.preset, record.task, label], label, record))
        turn[record.preset, record.task, label] += 1
    ranked.sort(key=lambda item: item[0])
    return [(label, record) for _, label, record in ranked[:most]]


def curve_of(folder: Path, metric: str) -> list[tuple[int, float]]:
    """Return (student updates, score) of a run's evaluations on dev; none where the file is missing or damaged."""
    points = []
    for point in _lines(folder / "curve.jsonl"):
        step, score = number(point.get("step")), number(point.get(metric))
        if step is not None and score is not None and abs(score) <= 1:
            points.append((int(step), score))
    return points


def mean_curves(curves: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> list[dict[str, Any]]:
    """Return (strategy, step, score in points, seeds): the mean over a strategy's curves where most of them have it.

    A step that half of the seeds or fewer have is left out, so that a line never jumps to another set of seeds.
    """
    at: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    many: dict[str, int] = defaultdict(int)
    for strategy, curve in curves:
        many[strategy] += bool(curve)
        for step, score in curve:
            at[strategy][step].append(score)
    return [
        {"strategy": strategy, "step": step, "score": round(100 * sum(s) / len(s), 2), "seeds": len(s)}
        for strategy, steps in at.items()
        for step, s in sorted(steps.items())
        if 2 * len(s) > many[strategy]
    ]


def samples_of(folder: Path) -> list[dict[str, Any]]:
    """Return the samples that a run kept: {"row", "before": texts, "after": forms, each texts}; damaged ones not."""
    samples = []
    for sample in _lines(folder / SAMPLES):
        before, after = sample.get("before"), sample.get("after")
        if _texts(before) and isinstance(after, list) and after and all(map(_texts, after)):
            samples.append(sample)
    return samples


def marked(before: Sequence[str], after: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Return each text of a form in pieces, what changed marked; a text with nothing changed is one piece."""
    return [changes(_short(old), _short(new)) for old, new in zip(before, after, strict=False)]


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a file, a line each; a run that was cut off, or an older one, may have none."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return []
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    values = []
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            values.append(value)
    return values


class Shelf:
    """Records taken apart: what many have in common is kept once, and each refers to it by number.

    A record is a list of places in ``pool``, one for each of ``keys``, -1 for a section that it does not have.
    """

    def __init__(self) -> None:
        self.pool: list[Any] = []
        self.keys: list[str] = []
        self.records: list[list[int]] = []
        self.left_out = 0
        self._places: dict[str, int] = {}
        self._bytes = 0

    def add(self, record: Record, label: str) -> int | None:
        """Take in ``record``, shown as ``label``, and return its number; None where the page is full."""
        if len(self.records) >= RECORDS or self._bytes > RECORD_BYTES:
            self.left_out += 1
            return None
        tree = {"shown as": label, **_sections(record)}
        self.keys += [key for key in tree if key not in self.keys]
        self.records.append([self._place(tree[key]) if key in tree else -1 for key in self.keys])
        self._bytes += 5 * len(self.keys)
        return len(self.records) - 1

    def _place(self, value: Any) -> int:
        written = json.dumps(value, sort_keys=True)
        if written not in self._places:
            self._places[written] = len(self.pool)
            self.pool.append(value)
            self._bytes += len(written)
        return self._places[written]


def _sections(record: Record) -> dict[str, Any]:
    """Return what a record holds, section by section as flat {name: value}."""
    tree = msgspec.to_builtins(record)
    sections: dict[str, Any] = {"status": record.status}
    for key, value in tree.items():
        if value is None or value == {} or key in ("schema", "status"):
            continue
        if key == "spec":
            # The settings' own sections apart: most runs share them.
            sections |= {f"settings: {name}": _flat(part) for name, part in value.items() if part not in (None, {})}
        elif key == "provenance" and isinstance(value, Mapping):
            sections["packages"] = _flat(value.get("packages"))
            sections[key] = _flat({name: part for name, part in value.items() if name != "packages"})
        else:
            sections[key] = _flat(value)
    return sections


def _flat(value: Any, prefix: str = "") -> Any:
    """Return a section as {dotted name: text}, or the text of what is no section."""
    if not isinstance(value, Mapping):
        return _short("" if value is None else str(value))
    flat: dict[str, str] = {}
    for key, part in value.items():
        if isinstance(part, Mapping) and part:
            flat |= _flat(part, f"{prefix}{key}.")
        elif part is not None and part != {} and part != "":
            text = ", ".join(map(str, part)) if isinstance(part, (list, tuple)) else str(part)
            flat[_short(f"{prefix}{key}")] = _short(text)
    return flat


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
