"""Mean ranks of a shortlist of strategies with Nemenyi's critical difference: as a table, and as the diagram."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.data.tables import shortened
from bench.errors import BenchError, printable
from bench.reporting.on_request import shortlist
from bench.reporting.sheet import Sheet
from bench.reporting.summary import ordered

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison
    from bench.reporting.statistics.ranks import Ranks

_INCHES = 7.0
"""Width of the diagram: that of a page's text, or near it."""


def ranked(comparisons: Sequence[Comparison], names: Sequence[str]) -> list[tuple[Comparison, Ranks]]:
    """Return the mean ranks of the strategies ``names`` in each of ``comparisons`` that has all of them.

    UsageError where none has, where they are fewer than three or more than ten, or on other tasks than one another.
    """
    whole = [one for one in comparisons if {*names} <= {row["strategy"] for row in ordered(one)}]
    return [(one, shortlist(one, names)) for one in whole or comparisons]


def sheet(comparison: Comparison, ranks: Ranks) -> Sheet:
    """Return the table of mean ranks, the best first, each with those that its rank does not tell it from."""
    places = ranks.ranks
    alike = [
        ", ".join(other for other in places.index if other != name and ranks.nemenyi_p.loc[name, other] > 0.05)
        or "none"
        for name in places.index
    ]
    columns = [
        ("strategy", [*places.index]),
        ("mean rank", [f"{rank:.2f}" for rank in places]),
        ("not told apart from", alike),
    ]
    notes = ["a rank takes the smallest lead for one, and depends on who else is listed: gains with intervals say more"]
    title = f"preset {comparison.preset}: {_title(ranks)}"
    return Sheet(comparison.preset, columns, notes, title=title, left=frozenset({"not told apart from"}))


def _title(ranks: Ranks) -> str:
    return (
        f"mean ranks over {ranks.tasks} tasks (1 is best); critical difference {ranks.critical_difference:.2f} "
        f"(Nemenyi, 5 %), Friedman's p {ranks.friedman_p:.2g}"
    )


def diagram(shortlists: Sequence[tuple[Comparison, Ranks]], form: str) -> bytes:
    """Return the critical-difference diagrams, one below the other, as a file of ``form``: svg, png or pdf.

    A bar joins strategies whose ranks are not distinguishable. BenchError where the libraries for it are missing.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from scikit_posthocs import critical_difference_diagram
    except ImportError as error:
        raise BenchError(
            f"a critical-difference diagram needs scikit-posthocs ({error.name} is missing); install it: "
            'pip install -e ".[report]" -c constraints.txt'
        ) from error
    heights = [0.9 + 0.22 * len(ranks.ranks) for _, ranks in shortlists]
    # A name is text: neither formulas nor glyphs drawn as paths.
    with rc_context({"text.parse_math": False, "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}):
        figure = Figure(figsize=(_INCHES, sum(heights)), layout="constrained")
        every = figure.subplots(len(shortlists), squeeze=False, height_ratios=heights)[:, 0]
        for axes, (comparison, ranks) in zip(every, shortlists, strict=True):
            labels = [shortened(printable(name), 40) for name in ranks.ranks.index]
            pairs = ranks.nemenyi_p.loc[ranks.ranks.index, ranks.ranks.index]
            critical_difference_diagram(
                ranks.ranks.set_axis(labels),
                pairs.set_axis(labels, axis=0).set_axis(labels, axis=1),
                ax=axes,
                label_fmt_left="{label}  {rank:.2f} ",
                label_fmt_right=" {rank:.2f}  {label}",
                marker_props={"s": 18},
                elbow_props={"linewidth": 0.8},
                crossbar_props={"linewidth": 2.4},
                color_palette=["black"] * len(labels),
            )
            axes.set_title(f"{printable(comparison.preset)}: {_title(ranks)}", loc="left", fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, dpi=300, bbox_inches="tight")
    return buffer.getvalue()
