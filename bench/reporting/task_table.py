"""The second table of a comparison: tasks as columns, each strategy's score and its gain with its interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.reporting.leaderboard import task_order
from bench.reporting.marks import ON_SCORES, ON_TEACHERS
from bench.reporting.points import ABSENT, bounds, half_width, has_interval, points
from bench.reporting.sheet import WIDEST_NAME, Cell, Sheet, plain_rows
from bench.reporting.signs import COVERS, Rows, covered_alike, on_every_task, on_head, signs, with_signs
from bench.reporting.summary import BETTER, groups, ordered, widest_label

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison


class Part(NamedTuple):
    """A cell taken apart: score, gain, half of its interval's width, the interval, and marks."""

    score: str
    gain: str = ""
    half: str = ""
    bounds: str = ""
    marks: str = ""


def task_table(comparison: Comparison, width: int = 100) -> tuple[Sheet, int]:
    """Return scores and gains by task, and on how many lines a cell stands to have all tasks in ``width`` columns."""
    shown = ordered(comparison)
    main = [row for row in plain_rows(comparison.tasks) if row["main"]]
    by_task: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for row in main:
        by_task[row["task"]][row["strategy"]] = row
    lost = {(f["task"], f["strategy"]): _LOST.get(f["status"], f["status"]) for f in comparison.failures}
    names = [row["strategy"] for row in shown]
    tasks = sorted(by_task, key=task_order)
    beside, alike = on_every_task(main), covered_alike(main)
    top = ["teacher"] if any(row["teacher"] is not None for row in main) else []
    parts = {
        task: [_teacher([*by_task[task].values()])] * len(top)
        + [_part(by_task[task].get(s), lost.get((task, s)), beside.get(s, ""), alike) for s in names]
        for task in tasks
    }
    heads = {task: task + on_head([*by_task[task].values()], main) for task in tasks}
    room = width - max(widest_label(shown), min(WIDEST_NAME, max(map(len, [*names, "strategy"]))))
    form, about = next((one for one in _FORMS if _needs(parts, heads, one[0]) <= room), _FORMS[-1])
    labels = [*top, *(with_signs(name, beside.get(name, "")) for name in names)]
    columns: list[tuple[str, list[str | Cell]]] = [("strategy", [*labels])]
    for task in tasks:
        better = [by_task[task].get(name, {}).get("verdict") == BETTER for name in (*top, *names)]
        texts = zip(_texts(parts[task], form), better, strict=True)
        columns.append((heads[task], [Cell(text, bold) for text, bold in texts]))
    starts = {n + len(top): label for n, label in groups(shown).items()}
    return Sheet(comparison.preset, columns, title=f"by task: {about}", groups=starts), len(form(Part("")))


_LOST = {"failed": "fail", "skipped": "skip"}


def _part(row: Mapping[str, Any] | None, lost: str | None, beside: str, alike: bool) -> Part:
    """Return one cell taken apart, without the marks ``beside`` its name; no gain is shown without its interval."""
    if row is None:
        return Part(lost or ABSENT)
    marks = "".join(sign for sign in signs(ON_SCORES, [row]) if sign not in beside)
    low, high = row["gain_low"], row["gain_high"]
    if row["strategy"] == row["baseline"] or row["difference"] is None or not has_interval(low, high):
        return Part(points(row["mean"]), marks=marks)
    covers = "" if alike else COVERS.get(row["interval_covers"], "")
    gain = points(row["difference"], sign=True)
    return Part(points(row["mean"]), gain, half_width(low, high), bounds(low, high), covers + marks)


def _teacher(rows: Rows) -> Part:
    scores = [row["teacher"] for row in rows if row["teacher"] is not None]
    return Part(points(sum(scores) / len(scores)) if scores else ABSENT, marks=signs(ON_TEACHERS, rows))


Form = Callable[[Part], list[tuple[str, ...]]]
"""From a cell taken apart to its lines, each of pieces that are set below one another."""
_FORMS: tuple[tuple[Form, str], ...] = (
    (lambda cell: [(cell.score, cell.gain, cell.bounds)], "score, gain [95 % interval]"),
    (lambda cell: [(cell.score, cell.gain, cell.half)], "score, gain ± half of its 95 % interval"),
    (lambda cell: [(cell.score,), (cell.gain, cell.half)], "score, below it gain ± half of its 95 % interval"),
    (lambda cell: [(cell.score,), (cell.gain,), (cell.half,)], "score, below it gain and ± half of its 95 % interval"),
)


def _texts(parts: Sequence[Part], form: Form) -> list[str]:
    """Return the cells of one column, their pieces and marks below one another; trailing spaces count."""
    cells = [form(part) for part in parts]
    n_lines = max((len(cell) for cell in cells), default=0)
    widths = [
        [max(map(len, piece)) for piece in zip(*(cell[n] for cell in cells), strict=True)] for n in range(n_lines)
    ]
    marks = max((len(part.marks) for part in parts), default=0)
    texts = []
    for part, cell in zip(parts, cells, strict=True):
        lines = [
            " ".join(piece.rjust(width) for piece, width in zip(line, own, strict=True) if width)
            for line, own in zip(cell, widths, strict=True)
            if any(line)
        ]
        # Marks stand at the end, where they tear no number.
        padding = ["".ljust(marks)] * (len(lines) - 1) + [part.marks.ljust(marks)]
        texts.append("\n".join(line + pad for line, pad in zip(lines, padding, strict=True)))
    return texts


def _needs(parts: Mapping[str, Sequence[Part]], heads: Mapping[str, str], form: Form) -> int:
    """Return how many columns all tasks take."""
    widths = (
        max([len(heads[task]), *(len(line) for text in _texts(own, form) for line in text.split("\n"))])
        for task, own in parts.items()
    )
    return sum(2 + width for width in widths)
