"""The figure of a comparison for a paper: a forest plot of every strategy's gain, over all tasks and on each."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import BenchError, UsageError, printable
from bench.reporting import kinds
from bench.reporting.leaderboard import task_order
from bench.reporting.points import has_interval
from bench.reporting.sheet import plain_rows
from bench.reporting.summary import BETTER, lead, ordered

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison

FORMS = ("svg", "png", "pdf")
_PER_ROW = 5
_WIDTH, _ROW, _GAP = 600, 17, 18
"""Pixels: of the panel over all tasks, of a strategy's line in every panel, and between panels."""
_COLOURS = {BETTER: "#0b5fa5", "worse": "#c1440e", "not distinguishable": "#555555", "cannot tell": "#9a9a9a"}
"""Told apart by colour-blind readers as well; what cannot be told is hollow besides."""


def form_of(path: Path) -> str:
    """Return the format that the name of a figure asks for; UsageError where it is none of ``FORMS``."""
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise UsageError(f"a figure is no {path.suffix or path.name!r}; name a file that ends in .svg, .png or .pdf")
    return form


def figure(comparisons: Sequence[Comparison], form: str) -> bytes:
    """Return the forest plots of ``comparisons``, one below the other, as a file of ``form``.

    BenchError where no gain has an interval, and where the libraries for it are not there.
    """
    try:
        import altair
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise BenchError(
            f"a figure needs altair and vl-convert ({error.name} is missing); install them: "
            'pip install -e ".[report]" -c constraints.txt'
        ) from error
    charts = [chart for comparison in comparisons if (chart := forest(comparison)) is not None]
    if not charts:
        raise BenchError("no gain has an interval to draw: there must be runs of a strategy and of its baseline")
    chart = altair.vconcat(*charts, spacing=30) if len(charts) > 1 else charts[0]
    chart = chart.configure(font="Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif", background="white")
    chart = chart.configure_view(stroke=None).configure_axis(labelFontSize=11, titleFontSize=11, labelLimit=260)
    chart = chart.configure_title(fontSize=12, anchor="start").configure_legend(labelFontSize=11)
    buffer: Any = io.StringIO() if form == "svg" else io.BytesIO()
    chart.save(buffer, format=form, scale_factor=3 if form == "png" else 1)
    content = buffer.getvalue()
    return content.encode("utf-8") if isinstance(content, str) else bytes(content)


def forest(comparison: Comparison) -> Any:
    """Return the plot of one comparison as an altair chart; None where no gain has an interval."""
    import altair

    rows = [row for row in ordered(comparison) if row["strategy"] != comparison.baseline]
    names = {row["strategy"]: _label(row) for row in rows}
    panels = {"": [_mark(row, row["gain"], row["prediction_low"], row["prediction_high"]) for row in rows]}
    tasks = [row for row in plain_rows(comparison.tasks) if row["main"] and row["strategy"] in names]
    for row in sorted(tasks, key=lambda row: task_order(row["task"])):
        panels.setdefault(printable(row["task"]), []).append(_mark(row, row["difference"]))
    panels = {task: [mark for mark in marks if mark] for task, marks in panels.items()}
    shown = [mark for marks in panels.values() for mark in marks]
    for mark in shown:
        mark["strategy"] = names[mark["strategy"]]
    if not shown:
        return None
    frame = _Frame(_spaced(rows, names), {mark["verdict"] for mark in shown})
    over_all, by_task = panels.pop(""), list(panels.items())
    title = f"average of {len(by_task)} tasks" if len(by_task) > 2 else ", ".join(panels)
    charts = [_panel(over_all, frame, title, _WIDTH)]
    if len(by_task) > 1:
        # Rows of equal length, as far as the number of tasks allows.
        per_row = -(-len(by_task) // -(-len(by_task) // _PER_ROW))
        width = (_WIDTH - _GAP * (per_row - 1)) // per_row
        small = [_panel(marks, frame, task, width, not n % per_row) for n, (task, marks) in enumerate(by_task)]
        charts += [altair.hconcat(*small[n : n + per_row], spacing=_GAP) for n in range(0, len(small), per_row)]
    return altair.vconcat(*charts, spacing=14).properties(title=_title(comparison, shown))


class _Frame(NamedTuple):
    """What all panels share: the lines from the top, and which verdicts there are."""

    order: list[str]
    verdicts: set[str]


def _spaced(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    """Return the names from the top, with an empty line between two groups."""
    order: list[str] = []
    for n, row in enumerate(rows):
        if n and rows[n - 1]["kind"] != row["kind"]:
            order.append(" " * n)
        order.append(names[row["strategy"]])
    return order


def _label(row: Mapping[str, Any]) -> str:
    kind = {
        kinds.CONTROL: " (control)",
        kinds.BUDGET: " (control)",
        kinds.REFERENCES: " (reference)",
        kinds.OTHER_TASKS: " (other tasks)",
    }
    return printable(row["strategy"]) + kind.get(row["kind"], "")


def _mark(row: Mapping[str, Any], gain: float | None, low: float | None = None, high: float | None = None) -> Any:
    """Return one strategy's line of a panel in points of 100, with what a new task is expected to give between ``low``
    and ``high``; None without an interval."""
    if gain is None or not has_interval(row["gain_low"], row["gain_high"]):
        return None
    verdict = row["verdict"].partition(" with ")[0]
    mark = {"strategy": row["strategy"], "verdict": verdict, "gain": 100 * gain}
    mark |= {"low": 100 * row["gain_low"], "high": 100 * row["gain_high"]}
    mark["seeds"] = "one seed" if row.get("interval_covers") == "rows" else "seeds"
    return mark | ({"from": 100 * low, "to": 100 * high} if low is not None and high is not None else {})


def _panel(marks: list[dict[str, Any]], frame: _Frame, title: str, width: int, named: bool = True) -> Any:
    """Return one panel: a line per strategy, its names to the left where it is ``named``."""
    import altair as alt

    wide = width == _WIDTH
    colours = {name: colour for name, colour in _COLOURS.items() if name in frame.verdicts}
    verdict = alt.Color(
        "verdict:N",
        scale=alt.Scale(domain=list(colours), range=list(colours.values())),
        legend=alt.Legend(title=None, orient="bottom") if wide else None,
    )
    axis = alt.Axis(title=None, ticks=False, domain=False, labels=named, grid=True, gridColor="#eeeeee")
    y = alt.Y("strategy:N", sort=frame.order, scale=alt.Scale(domain=frame.order), axis=axis)
    signed = "(datum.value > 0 ? '+' : '') + format(datum.value, '~f')"
    numbers = alt.Axis(
        labelExpr=signed, tickCount=9 if wide else 3, grid=False, title="gain, points of 100" if wide else None
    )
    x = alt.X("gain:Q", axis=numbers, scale=alt.Scale(zero=True, nice=True))
    base = alt.Chart(alt.Data(values=marks)).encode(y=y)
    zero = alt.Chart(alt.Data(values=[{"gain": 0}])).mark_rule(color="#888888").encode(x=x)
    new = base.mark_rule(strokeWidth=1, color="#bbbbbb").encode(x=alt.X("from:Q"), x2="to:Q")
    interval = base.mark_rule(strokeWidth=2.4).encode(x=alt.X("low:Q"), x2="high:Q", color=verdict)
    hollow = alt.condition("datum.verdict == 'cannot tell'", alt.value("white"), verdict)
    point = base.mark_point(size=34, opacity=1, strokeWidth=1.5).encode(x=x, color=verdict, fill=hollow)
    layers = [zero, *([new] if any("from" in mark for mark in marks) else []), interval, point]
    chart = alt.layer(*layers).properties(width=width, height=_ROW * len(frame.order))
    return chart.properties(title=alt.Title(title, fontWeight="bold", frame="group"))


def _title(comparison: Comparison, marks: Sequence[Mapping[str, Any]]) -> Any:
    import altair as alt

    thin = "; thin: where the gain on a new task is expected" if any("from" in mark for mark in marks) else ""
    lines = [f"thick: 95 % interval{thin}"]
    if any(mark["seeds"] == "one seed" for mark in marks):
        lines.append("one seed: intervals are over dev rows alone and leave out what other seeds would give")
    title = printable(f"{comparison.preset}: {lead(comparison)[0].partition(';')[0]}")
    return alt.Title(title, subtitle=lines, fontSize=13, subtitleFontSize=11, subtitleColor="#555555")
