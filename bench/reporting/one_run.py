"""One record in words: what was run, what came of it, what it cost and where it comes from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.observer import clock_time
from bench.reporting.schema import Done, Record

_BARS = "▁▂▃▄▅▆▇█"
_SETTINGS = ("teacher", "student", "generator", "recipe", "data")


def described(record: Record, folder: Path) -> dict[str, list[str]]:
    """Return what there is to say of a run, in lines under headings; headings without a line are left out."""
    parts = {"run": list(_run(record)), "specification": list(_specification(record))}
    if isinstance(record, Done):
        parts["scores"] = [*_scores(record), *_curve(folder / "curve.jsonl", record)]
        parts["cost"] = list(_cost(record))
        parts["adversary"] = list(_adversary(record))
        parts["texts"] = list(_texts(record))
    elif (folder / "error.txt").is_file():
        parts["run"].append(f"where it failed: {folder / 'error.txt'}")
    parts["provenance"] = list(_provenance(record))
    return {heading: lines for heading, lines in parts.items() if lines}


def _run(record: Record) -> Iterator[str]:
    yield f"{record.strategy} on {record.task}, seed {record.seed}, preset {record.preset}: {record.status}"
    if record.reason:
        yield f"reason: {record.reason}"
    yield f"id {record.id}"


def _specification(record: Record) -> Iterator[str]:
    if record.strategy_options:
        yield f"options: {_pairs(record.strategy_options)}"
    if record.tuned is not None:
        yield (
            f"options chosen by a search of {record.tuned.trials} trials (seed {record.tuned.seed}) for "
            f"{record.tuned.strategy}, which scored {_points(record.tuned.score)} on rows held out of train"
        )
    for name in _SETTINGS:
        section = record.spec.get(name)
        if isinstance(section, dict):
            yield f"{name}: {_pairs({key: value for key, value in section.items() if value not in (None, [], {})})}"
    if isinstance(record, Done):
        if record.budget is not None:
            yield (
                f"budget: {record.budget.updates:,} updates in the place of {record.budget.recipe_updates:,}, the "
                f"{record.budget.kind} of {record.budget.of}"
            )
        official = record.data.official
        rows = [
            f"{split} {count:,}" + (f" of {official[split]:,}" if official.get(split, count) != count else "")
            for split, count in record.data.rows.items()
        ]
        yield f"rows: {', '.join(rows)}; from {record.data.source or 'an unknown source'}"
    yield f"signature: {record.signature}"


def _scores(record: Done) -> Iterator[str]:
    main = record.main
    how = f"{record.selection.rule} student" + (", chosen on the rows reported" if record.selection.optimistic else "")
    yield f"{main.split} {main.metric} {_points(main.value)}: the main score ({how}, update {record.selection.step:,})"
    for split, scores in record.metrics.items():
        others = {m: v for m, v in scores.items() if (split, m) != (main.split, main.metric)}
        if others:
            yield f"{split} " + ", ".join(f"{metric} {_points(value)}" for metric, value in others.items())
    if record.teacher is not None:
        constant = record.teacher.constant if record.teacher.constant is not None else record.checks.constant
        yield f"teacher {_points(record.teacher.dev)}, the best constant answer {_points(constant)}"
    if record.checks.most_predicted is not None:
        yield f"most frequent answer: {record.checks.most_predicted:.0%} of the rows"
    if record.checks.dev_in_train:
        yield f"dev rows that are training rows as well: {record.checks.dev_in_train:,}"


def _curve(path: Path, record: Done) -> Iterator[str]:
    """Yield the main metric during training as a small line of bars; nothing where no curve was kept."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("a device, which may have no end")
        points = [json.loads(line) for line in path.read_text().splitlines()]
        values = [float(point[record.main.metric]) for point in points]
        if not all(map(math.isfinite, values)):
            raise ValueError("a score that is no finite number")
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        yield f"the curve in {path} cannot be read"
        return
    if values:
        yield f"{record.main.metric} in training {bars(values)} {_points(values[0])} to {_points(values[-1])}"


def bars(values: Sequence[float]) -> str:
    """Return ``values`` as bars, the least the lowest and the greatest the highest."""
    low, high = min(values), max(values)
    steps = len(_BARS) - 1
    return "".join(_BARS[round(steps * (value - low) / (high - low))] if high > low else _BARS[0] for value in values)


def _cost(record: Done) -> Iterator[str]:
    cost = record.cost
    adversary = f", {cost.adversary_updates:,} of the adversary" if cost.adversary_updates else ""
    yield f"{cost.student_updates:,} student updates{adversary}; {clock_time(cost.train_seconds)} of training"
    passes = [f"{role} {rows:,}" + _backward(cost.backwards.get(role)) for role, rows in cost.forwards.items()]
    if passes:
        yield f"rows forward (backward): {', '.join(passes)}"
    if cost.seconds:
        phases = sorted(cost.seconds.items(), key=lambda item: -item[1])
        yield "seconds by phase: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in phases if seconds >= 0.05)
    if cost.attack_queries:
        yield f"attacks asked their victim about {cost.attack_queries:,} texts"
    if cost.peak_memory_mb:
        yield "peak memory: " + ", ".join(f"{name} {mb:,} MB" for name, mb in cost.peak_memory_mb.items())
    if record.resumed:
        yield f"taken up again from a checkpoint: {record.resumed} times"


def _backward(rows: int | None) -> str:
    return f" ({rows:,})" if rows else ""


def _adversary(record: Done) -> Iterator[str]:
    if (own := record.adversary) is not None:
        yield (
            f"divergence of teacher and student on its words {own.divergence:.3g}, on its untrained self's "
            f"{own.divergence_at_start:.3g} (the difference ± {own.standard_error:.1g}; {own.rows:,} rows)"
        )
        if own.kl_from_start is not None:
            yield f"KL of its distribution of words to that at its start: {own.kl_from_start:.3g} nats"


def _texts(record: Done) -> Iterator[str]:
    if (quality := record.text_quality) is not None:
        numbers = {name: getattr(quality, name) for name in quality.__struct_fields__ if name != "rewriting"}
        yield _pairs({name: value for name, value in numbers.items() if value is not None})
    if record.cost.rewritten:
        yield f"rewriting: {_pairs(record.cost.rewritten)}"
    if record.cost.failures:
        yield f"rows that could not be rewritten: {_pairs(record.cost.failures)}"


def _provenance(record: Record) -> Iterator[str]:
    own = record.provenance
    yield f"verified: {record.verified or 'not said in the record'}"
    changed = " with changes" if own.git_dirty else ""
    yield f"version {own.bench or 'unknown'}" + (f", commit {own.git_commit[:12]}{changed}" if own.git_commit else "")
    if own.hardware:
        yield f"on {own.hardware}; Python {own.python}"
    if own.packages:
        yield "packages: " + ", ".join(f"{name} {version}" for name, version in own.packages.items())
    if own.started and own.finished:
        yield f"from {own.started} to {own.finished}"
    if own.command:
        yield f"by: {own.command}"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + _pairs(value) + "}"
    if isinstance(value, list):
        return f"({','.join(map(_value, value))})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
