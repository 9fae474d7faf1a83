"""The page's charts, each with what it shows in words and as rows of a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.reporting.leaderboard import REFERENCE
from bench.reporting.report import charts
from bench.reporting.report.evidence import CURVES, curve_of, mean_curves, spread
from bench.reporting.report.field import PANELS, Field, Row
from bench.reporting.report.numbers import NONE, interval, kind, number, points, probability, sign, word
from bench.reporting.report.standing import is_strategy
from bench.reporting.schema import Done
from bench.reporting.sheet import plain_rows


def forests(field: Field) -> list[dict[str, Any]]:
    """Return a panel per strategy: its gains by task, and over all of them."""
    rows = [row for row in field.strategies if row["strategy"] != field.baseline and number(row["gain"]) is not None]
    rows = field.leading(rows, PANELS, "forest plots")
    of_strategy = {
        row["strategy"]: [
            gain for task in field.tasks if (gain := _gain(field.cells.get((row["strategy"], task)))) is not None
        ]
        for row in rows
    }
    domain = _domain([gain for gains in of_strategy.values() for gain in gains])
    panels = []
    for place, row in enumerate(rows):
        gains = of_strategy[row["strategy"]]
        whole = _gain({**row, "task": "all tasks", "difference": row["gain"]})
        assert whole is not None
        whole |= {key: _hundred(row[key]) for key in ("prediction_low", "prediction_high")}
        panels.append(
            {
                "strategy": row["strategy"],
                "kind": kind(row["verdict"]),
                "chart": field.chart(f"forest-{place}", charts.forest(gains, whole, domain)),
                "rows": [*gains, whole],
                "about": f"Gain of {row['strategy']} over {field.baseline} by task; over all: {whole['text']} points.",
                "prediction": interval(row["prediction_low"], row["prediction_high"]),
                "foretells": whole["prediction_low"] is not None,
            }
        )
    return panels


def seeds(field: Field) -> list[dict[str, Any]]:
    """Return a panel per task: a point per seed of every strategy."""
    panels = []
    for place, task in enumerate(field.tasks[:PANELS]):
        there = [field.cells[name, task] for name in field.charted if (name, task) in field.cells]
        rows = [
            {"strategy": row["strategy"], "seed": seed, "score": round(100 * score, 2)}
            for row in there
            for seed, score in zip(row["seeds"], row["scores"], strict=True)
        ]
        table = [
            (
                row["strategy"],
                [f"{points(s)} (seed {n})" for n, s in zip(row["seeds"], row["scores"], strict=True)][:20],
            )
            for row in there
        ]
        baseline = field.cells.get((field.baseline, task))
        spec = charts.seeds(
            rows, [row["strategy"] for row in there], None if baseline is None else 100 * baseline["mean"]
        )
        panels.append(
            {
                "task": task,
                "metric": field.metrics[task],
                "chart": field.chart(f"seeds-{place}", spec),
                "rows": [(name, ", ".join(scores)) for name, scores in table],
                "about": f"{field.metrics[task]} on {task}: a point per seed of {len(there)} strategies.",
            }
        )
    return panels


def cost(field: Field) -> dict[str, Any] | None:
    """Return the chart of gain against cost: in passes where they were counted for all, else in seconds."""
    kept = [row for row in field.strategies if row["base"] != REFERENCE and row["n_tasks"]]
    counted = all(number(row["passes_ratio"]) is not None for row in kept)
    key, title = ("passes_ratio", "model passes") if counted else ("cost_ratio", "training seconds")
    rows = []
    for row in kept:
        is_baseline, ratio = row["strategy"] == field.baseline, number(row[key])
        zero = {"difference": 0.0, "gain_low": None, "gain_high": None}
        gain = _gain({**row, "task": "", **(zero if is_baseline else {"difference": row["gain"]})})
        if not ratio or gain is None:
            continue
        front = bool(row["on_front"])
        label = row["strategy"] if front or len(kept) <= PANELS else ""
        rows.append(
            {
                **gain,
                "strategy": row["strategy"],
                "cost": ratio,
                "front": front,
                "label": label,
                "beside": not is_strategy(row),
            }
        )
    if len(rows) < 2:
        return None
    of = f"{title}, as a multiple of plain distillation's"
    return {"chart": field.chart("cost", charts.cost(rows, of)), "title": of, "counted": counted}


def pairs(field: Field) -> dict[str, Any] | None:
    """Return the matrix of all pairs: the gain of the row's strategy over the column's."""
    by_pair = {(row["strategy"], row["other"]): row for row in plain_rows(field.comparison.pairwise)}
    there = {name for pair in by_pair for name in pair}
    rows = [row for row in field.strategies if row["base"] != REFERENCE and row["strategy"] in there]
    if len(rows) < 3:
        return None
    names = [row["strategy"] for row in field.leading(rows, PANELS, "rows of the matrix of pairs")]
    lines = [(name, [_pair(by_pair.get((name, other))) for other in names]) for name in names]
    # Holm's correction is over each pair once, those of rows not shown among them.
    better = sum(1 for row in by_pair.values() if kind(row["verdict"]) == "better")
    return {"names": names, "lines": lines, "told": better, "all": len(by_pair) // 2}


def curves(field: Field, runs: Sequence[tuple[str, Done]], results: Path) -> list[dict[str, Any]]:
    """Return a panel per task: scores on dev during training, means over seeds."""
    names = field.charted
    wanted = [(label, record) for label, record in runs if label in names]
    chosen = spread(wanted, CURVES)
    if len(chosen) < len(wanted):
        field.left_out.append(f"training curves of {len(wanted) - len(chosen):,} of {len(wanted):,} runs, later seeds")
    by_task: dict[str, list[Any]] = defaultdict(list)
    for label, record in chosen:
        by_task[record.task].append((label, curve_of(results / record.folder, record.main.metric)))
    panels = []
    for place, task in enumerate(field.tasks[:PANELS]):
        if not (rows := mean_curves(by_task[task])):
            continue
        of = {name: [row for row in rows if row["strategy"] == name] for name in names}
        metric = field.metrics[task]
        panels.append(
            {
                "task": task,
                "metric": metric,
                "chart": field.chart(f"curves-{place}", charts.curves(rows, field.baseline, metric)),
                "rows": [(name, _at(own[0]), _at(own[-1])) for name, own in of.items() if own],
                "about": f"{metric} on {task}'s dev rows during training, a line per strategy.",
            }
        )
    return panels


def _at(row: Row) -> str:
    return f"{row['score']:.1f} at {row['step']:,}"


def _hundred(value: Any) -> float | None:
    finite = number(value)
    return None if finite is None else round(100 * finite, 3)


def _gain(row: Row | None) -> dict[str, Any] | None:
    """Return a gain as charts and the tables under them have it, in points; None where there is none."""
    if row is None or number(row["difference"]) is None:
        return None
    text, within = points(row["difference"], signed=True), interval(row["gain_low"], row["gain_high"])
    return {
        "task": row["task"],
        "gain": _hundred(row["difference"]),
        "low": _hundred(row["gain_low"]),
        "high": _hundred(row["gain_high"]),
        "kind": kind(row["verdict"]) or "same",
        "verdict": word(row["verdict"]),
        "covers": word(row.get("interval_covers")),
        "text": text if within == NONE else f"{text} ({within})",
    }


def _pair(row: Row | None) -> dict[str, Any] | None:
    """Return a cell of the matrix; None on its diagonal, and where two share no seed or their gain has no interval."""
    if row is None or number(row["low"]) is None:
        return None
    return {
        "text": points(row["gain"], signed=True),
        "interval": interval(row["low"], row["high"]),
        "kind": kind(row["verdict"]),
        "sign": sign(row["verdict"]),
        "verdict": word(row["verdict"]),
        "p": probability(row["p_holm"]),
    }


def _domain(gains: Sequence[Row]) -> tuple[float, float]:
    """Return the scale that all forest plots share, in points, so that they can be held against each other."""
    ends = sorted(abs(gain[key]) for gain in gains for key in ("low", "high") if gain[key] is not None)
    usual = ends[int(0.9 * (len(ends) - 1))] if ends else 0.0
    reach = round(1.1 * max([0.2, usual, *(abs(gain["gain"]) for gain in gains)]), 1)
    return -reach, reach
