"""The charts, as Vega-Lite specifications that altair builds; colours are the page's own variables.

Each chart that tells strategies apart has a parameter ``focus``, the strategy that the reader highlights.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

Rows = Sequence[Mapping[str, Any]]

_VERDICTS = {"better": "var(--better)", "worse": "var(--worse)", "same": "var(--same)", "unknown": "var(--unknown)"}
_IN_FOCUS = "datum.strategy === focus"
_INK, _ACCENT = "var(--ink)", "var(--accent)"
_WHOLE = "all tasks"
_ZERO: Rows = ({"zero": 0},)


def forest(rows: Rows, overall: Mapping[str, Any], domain: tuple[float, float]) -> dict[str, Any]:
    """Return one strategy's gains by task with their intervals, and below them the gain over all of them.

    ``rows`` have task, gain, low, high (points), verdict's kind and a text; ``overall`` the same, and the prediction
    interval's ends. What ``overall`` lacks (None) is not drawn.
    """
    order = [row["task"] for row in rows] + [_WHOLE]
    whole = [{**overall, "task": _WHOLE}]
    ahead = [row for row in whole if row["prediction_low"] is not None and row["prediction_high"] is not None]
    data = {
        "tasks": rows,
        "whole": whole if overall["gain"] is not None else [],
        "ahead": ahead,
        "zero": _ZERO,
    }
    return _filled(_forest(), data, 19 * len(order), {"order": order, "domain": list(domain)})


@functools.cache
def _forest() -> dict[str, Any]:
    import altair as alt

    scale = alt.Scale(domain=_hole("domain"), clamp=True)
    x = alt.X("gain:Q", title="gain, points", scale=scale, axis=alt.Axis(tickCount=4))
    y = alt.Y("task:N", sort=_hole("order"), title=None, scale=alt.Scale(domain=_hole("order")))
    low, high, colour = alt.X("low:Q"), alt.X2("high:Q"), _verdict_colour()
    tip = [alt.Tooltip("task:N"), alt.Tooltip("text:N", title="gain")]
    tasks, whole, ahead = (alt.Chart(alt.NamedData(name)) for name in ("tasks", "whole", "ahead"))
    return alt.layer(
        alt.Chart(alt.NamedData("zero")).mark_rule(stroke=_INK, strokeWidth=1).encode(alt.X("zero:Q")),
        tasks.mark_rule(strokeWidth=1.5).encode(low, y, high, color=colour),
        tasks.mark_point(filled=True, size=46, opacity=1).encode(x, y, color=colour, tooltip=tip),
        ahead.mark_rule(strokeWidth=1.2, strokeDash=[2, 2], stroke=_INK).encode(
            alt.X("prediction_low:Q"), y, alt.X2("prediction_high:Q")
        ),
        whole.mark_bar(height=3, opacity=1).encode(low, y, high, color=colour),
        whole.mark_point(filled=True, shape="diamond", size=120, opacity=1).encode(x, y, color=colour, tooltip=tip),
    ).to_dict()


def seeds(rows: Rows, order: Sequence[str], baseline_mean: float | None) -> dict[str, Any]:
    """Return a task's scores: a point per seed, a tick at each strategy's mean, a line at the baseline's.

    ``rows`` have strategy, seed, score (points).
    """
    baseline = [] if baseline_mean is None else [{"score": round(baseline_mean, 2)}]
    return _filled(_seeds(), {"runs": rows, "baseline": baseline}, 17 * len(order), {"order": list(order)})


@functools.cache
def _seeds() -> dict[str, Any]:
    import altair as alt

    x = alt.X("score:Q", title="score, points", scale=alt.Scale(zero=False, padding=6), axis=alt.Axis(tickCount=4))
    y = alt.Y("strategy:N", sort=_hole("order"), title=None, axis=alt.Axis(labelLimit=150))
    tip = [alt.Tooltip("strategy:N"), alt.Tooltip("seed:Q"), alt.Tooltip("score:Q", format=".1f")]
    baseline, runs = alt.Chart(alt.NamedData("baseline")), alt.Chart(alt.NamedData("runs"))
    mean = alt.X("mean(score):Q", title="score, points")
    return (
        alt.layer(
            baseline.mark_rule(stroke=_INK, strokeWidth=1, strokeDash=[3, 3]).encode(alt.X("score:Q")),
            runs.mark_circle(size=34, opacity=0.75).encode(x, y, color=_focus_colour("var(--dot)"), tooltip=tip),
            runs.mark_tick(thickness=2, height=12, opacity=1).encode(mean, y, color=_focus_colour(_INK)),
        )
        .add_params(_focus())
        .to_dict()
    )


def curves(rows: Rows, baseline: str, metric: str) -> dict[str, Any]:
    """Return a task's scores on dev during training, a line per strategy: the mean over seeds.

    ``rows`` have strategy, step, score (points), seeds.
    """
    scores, last = [row["score"] for row in rows], max(row["step"] for row in rows)
    rows = [{**row, "plain": row["strategy"] == baseline} for row in rows]
    holes = {"steps": [0, last], "scores": [min(scores), max(scores) + 0.1], "metric": f"{metric}, points"}
    return _filled(_curves(), {"curves": rows}, 170, holes)


@functools.cache
def _curves() -> dict[str, Any]:
    import altair as alt

    steps = alt.Scale(domain=_hole("steps"))
    x = alt.X("step:Q", title="student updates", scale=steps, axis=alt.Axis(tickCount=4, grid=False, format=",d"))
    scores = alt.Scale(domain=_hole("scores"), zero=False, nice=True)
    y = alt.Y("score:Q", title="{metric}", scale=scores, axis=alt.Axis(tickCount=4))
    tip = [alt.Tooltip("strategy:N"), alt.Tooltip("step:Q"), alt.Tooltip("score:Q", format=".1f")]
    lines = alt.Chart(alt.NamedData("curves")).encode(x, y, detail=alt.Detail("strategy:N"), tooltip=tip)
    focus = lines.transform_filter(_IN_FOCUS)
    return (
        alt.layer(
            lines.mark_line(stroke="var(--dot)", strokeWidth=1, opacity=0.6),
            lines.transform_filter("datum.plain").mark_line(stroke=_INK, strokeWidth=1.8, strokeDash=[4, 3]),
            focus.mark_line(stroke=_ACCENT, strokeWidth=2.4),
            focus.mark_circle(fill=_ACCENT, size=28, opacity=1),
        )
        .add_params(_focus())
        .to_dict()
    )


def sizes(rows: Rows, order: Sequence[str]) -> dict[str, Any]:
    """Return a task's gains by the rows that students were trained on: a line per strategy, in focus its intervals.

    ``rows`` have strategy, rows (as ``order`` names them), gain, low and high (points).
    """
    # Named where they begin, side by side with the point of the fewest rows.
    first = [{**row, "cost": 1.0, "label": row["strategy"]} for row in rows if row["rows"] == order[0]]
    data = {"sizes": rows, "names": _apart(first, math.log(10), 16) if first else [], "zero": _ZERO}
    return _filled(_sizes(), data, 230, {"order": list(order)})


@functools.cache
def _sizes() -> dict[str, Any]:
    import altair as alt

    axis = alt.Axis(grid=False, labelAngle=0)
    x = alt.X("rows:O", title="training rows per class", sort=_hole("order"), axis=axis)
    y = alt.Y("gain:Q", title="gain over the baseline, points", axis=alt.Axis(tickCount=5))
    tip = [alt.Tooltip("strategy:N"), alt.Tooltip("rows:O"), *(alt.Tooltip(f"{k}:Q") for k in ("gain", "low", "high"))]
    gains = alt.Chart(alt.NamedData("sizes")).encode(x, y, detail=alt.Detail("strategy:N"), tooltip=tip)
    focus = gains.transform_filter(_IN_FOCUS)
    names = alt.Chart(alt.NamedData("names")).encode(x, alt.Y("label_at:Q"), text="label:N")
    return (
        alt.layer(
            alt.Chart(alt.NamedData("zero")).mark_rule(stroke=_INK, strokeWidth=1).encode(alt.Y("zero:Q")),
            gains.mark_line(stroke="var(--dot)", strokeWidth=1.2, opacity=0.7),
            gains.mark_circle(fill="var(--dot)", size=26, opacity=0.8),
            focus.mark_rule(stroke=_ACCENT, strokeWidth=1.6).encode(x, alt.Y("low:Q"), alt.Y2("high:Q")),
            focus.mark_line(stroke=_ACCENT, strokeWidth=2.4),
            focus.mark_circle(fill=_ACCENT, size=40, opacity=1),
            names.mark_text(align="right", dx=-9, fontSize=11.5).encode(color=_focus_colour(_INK)),
        )
        .add_params(_focus())
        .to_dict()
    )


def cost(rows: Rows, title: str) -> dict[str, Any]:
    """Return gain against cost: a point with its interval per strategy, and the line of those nothing dominates.

    ``rows`` have strategy, cost (a ratio), gain, low, high (points), kind, front, label (text or empty), and beside
    (no strategy: a square).
    """
    import altair as alt

    top = max([2.0, *(row["cost"] for row in rows)]) * 1.6
    bottom = min([1.0, *(row["cost"] for row in rows)]) * 0.85
    rows = _apart(rows, math.log(top / bottom))
    scale = alt.Scale(type="log", domain=[bottom, top], nice=False)
    ticks = [tick for tick in (0.2, 0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500) if bottom <= tick <= top]
    x = alt.X("cost:Q", title=title, scale=scale, axis=alt.Axis(values=ticks, format="~g"))
    y = alt.Y("gain:Q", title="gain over the baseline, points", axis=alt.Axis(tickCount=6))
    colour = _verdict_colour()
    tip = [alt.Tooltip("strategy:N"), alt.Tooltip("text:N", title="gain"), alt.Tooltip("cost:Q", format=".2f")]
    shape: Any = alt.condition("datum.beside", alt.value("square"), alt.value("circle"))
    zero, all_ = alt.Chart(alt.NamedData("zero")), alt.Chart(alt.NamedData("strategies"))
    names = all_.encode(x, alt.Y("label_at:Q"), text="label:N")
    place: Any = {"align": "left", "dx": 9, "fontSize": 11.5}
    front = all_.transform_filter("datum.front").mark_line(
        interpolate="step-after", stroke=_INK, strokeWidth=1.2, strokeDash=[5, 3]
    )
    spec = (
        alt.layer(
            zero.mark_rule(stroke=_INK, strokeWidth=1).encode(alt.Y("zero:Q")),
            all_.mark_rule(strokeWidth=1.2).encode(
                x, alt.Y("low:Q"), alt.Y2("high:Q"), color=colour, opacity=_focus_opacity(0.4)
            ),
            front.encode(x, y, order="cost:Q"),
            # A halo in the page's colour, so that a name can be read where a line runs through it.
            names.mark_text(**place, stroke="var(--page)", strokeWidth=4, opacity=0.85),
            all_.mark_point(filled=True, size=64, opacity=1, stroke="var(--page)", strokeWidth=1).encode(
                x, y, color=colour, shape=shape, tooltip=tip
            ),
            names.mark_text(**place).encode(color=_focus_colour(_INK)),
        )
        .add_params(_focus())
        .to_dict()
    )
    return _filled(spec, {"strategies": rows, "zero": _ZERO}, 380, {})


def _apart(rows: Rows, reach: float, lines: int = 26) -> list[dict[str, Any]]:
    """Return ``rows`` with ``label_at``: the height nearest to its point at which a label covers no other.

    ``reach`` is the width of the chart, as the logarithm of its right end over its left; it is some 170 letters wide
    and so many ``lines`` of text high.
    """
    values = [value for row in rows for value in (row["low"], row["high"], row["gain"]) if value is not None]
    line = (max(values) - min(values) or 1.0) / lines
    placed: list[tuple[float, float, float]] = []
    labelled = []
    for row in sorted(rows, key=lambda row: -row["gain"]):
        left = math.log(row["cost"])
        right = left + reach * (len(row["label"]) + 3) / 170
        beside = [at for one, other, at in placed if one < right and left < other]
        tries = [row["gain"] + step * line for step in (0, -0.6, 0.6, -1.2, 1.2, -1.8, 1.8, -2.6, 2.6, -3.4, 3.4)]
        at = next((at for at in tries if all(abs(at - other) >= line for other in beside)), None)
        if at is not None and row["label"]:
            placed.append((left, right, at))
        labelled.append(
            {**row, "label_at": row["gain"] if at is None else at, "label": row["label"] if at is not None else ""}
        )
    return labelled


def _hole(name: str) -> list[str]:
    """Return what stands for a list in a chart that is built once and filled for every panel: altair is slow."""
    return [f"{{{name}}}"]


def _filled(spec: Any, data: Mapping[str, Rows], height: int, holes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``spec`` with its rows, as wide as the place it stands in; the page gives it its look."""

    def fill(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: fill(value) for key, value in part.items()}
        name = part[0] if isinstance(part, list) and len(part) == 1 else part
        if isinstance(name, str) and name[:1] == "{" and name[1:-1] in holes:
            return holes[name[1:-1]]
        return [fill(value) for value in part] if isinstance(part, list) else part

    filled = {key: fill(value) for key, value in spec.items() if key not in ("$schema", "config")}
    rows = {name: [dict(row) for row in of_name] for name, of_name in data.items()}
    return {**filled, "width": "container", "height": height, "datasets": rows}


def _focus() -> alt.Parameter:
    import altair as alt

    return alt.param(name="focus", value="")


def _focus_colour(otherwise: str) -> Any:
    import altair as alt

    return alt.condition(_IN_FOCUS, alt.value(_ACCENT), alt.value(otherwise))


def _focus_opacity(otherwise: float) -> Any:
    import altair as alt

    return alt.condition(_IN_FOCUS, alt.value(1.0), alt.value(otherwise))


def _verdict_colour() -> alt.Color:
    import altair as alt

    return alt.Color("kind:N", scale=alt.Scale(domain=list(_VERDICTS), range=list(_VERDICTS.values())), legend=None)
