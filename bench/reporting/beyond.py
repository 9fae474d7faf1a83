"""Students beyond their own dev set: what every strategy scores on each set there, and its gain over the baseline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.reporting.common_ground import left_out_by_intervals
from bench.reporting.comparison import compare
from bench.reporting.evaluations import Evaluation, evaluated_on, sets_beside, there
from bench.reporting.leaderboard import leaderboard, task_order
from bench.reporting.points import ABSENT, gain_with_bounds, lines, points
from bench.reporting.predictions import answers
from bench.reporting.schema import Done
from bench.reporting.sheet import Cell, Sheet, plain_rows
from bench.reporting.students import UNSEEN
from bench.reporting.summary import BETTER
from bench.reporting.tidy import tidy

if TYPE_CHECKING:
    import pandas as pd

    from bench.reporting.schema import Record

COLUMNS = (
    "preset", "task", "strategy", "set", "metric", "rows", "official", "truncated", "variant", "n_seeds", "dev", "mean",
    "constant", "baseline", "difference", "gain_low", "gain_high", "interval_covers", "n_paired", "p_holm", "verdict",
)  # fmt: skip
"""Of a row for a program: a strategy's students of a task on a set; scores are means over seeds, ``dev`` of the same
runs."""
UNCORRECTED = "bold where better: verdicts are corrected over the tasks of a column, not over columns"


Labelled = Sequence[tuple[str, "Record"]]
"""Runs with what the leaderboard of all runs calls them."""


class NothingBeyond(BenchError):
    """No run was scored so; ``notes`` say what was left out, and why."""

    def __init__(self, message: str, notes: Sequence[str]) -> None:
        super().__init__("; ".join([message, *notes]))
        self.notes = notes


def on_sets(
    results: Path, runs: Labelled, baseline: str, strategies: Collection[str]
) -> tuple[list[Sheet], pd.DataFrame]:
    """Return a table for each task, trained with x scored on, and the same as rows for a program.

    A cell is the score and the gain over ``baseline`` on the same set, with its 95 % interval. ``strategies`` are
    shown, and the baseline. NothingBeyond where none was evaluated.
    """
    dev = {record.id: record.main.value for _, record in runs if isinstance(record, Done)}
    rows: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for name in sets_beside(results, (record for _, record in runs)):
        for row, own in compared_on(results, runs, name, baseline, notes):
            first, scores = own[0], [score for id in row["ids"] if (score := dev[id]) is not None]
            about = {key: getattr(first, key) for key in ("rows", "official", "truncated", "variant", "constant")}
            rows.append(row | about | {"set": name, "dev": sum(scores) / len(scores) if scores else None})
    nothing = "none of these runs was evaluated beyond dev: bench evaluate --on hans,imdb"
    return by_task(rows, {*strategies, baseline}, _sheet, [*notes], COLUMNS, nothing)


def compared_on(
    results: Path, runs: Labelled, name: str, baseline: str, notes: dict[str, None]
) -> Iterator[tuple[dict[str, Any], list[Evaluation]]]:
    """Yield the leaderboard's rows on the set, or under the attack, ``name``, each with the evaluations of its runs.

    Rows are those of each task's main setting. What is left out is noted in ``notes``: one set that cannot be compared
    takes nothing from the others.
    """
    labels = {record.folder: label for label, record in runs}
    try:
        evaluated, outdated = evaluated_on(results, [record for _, record in runs], name)
        frame = tidy(evaluated)
        frame = frame.assign(label=frame["folder"].map(labels))
        board = leaderboard(frame, baseline)
    except BenchError as error:
        notes[f"{name}: left out, {error}"] = None
        return
    notes |= dict.fromkeys(f"{name}: {note}" for note in outdated)
    evaluations = {record.id: there(results / record.folder, name) for record in evaluated}
    predicted, wrong = answers(results, frame, {*board["split"]})
    notes |= dict.fromkeys(f"{name}: answers left out of the intervals, {path}: {reason}" for path, reason in wrong)
    for comparison in compare(board, predicted, baseline):
        tasks = plain_rows(comparison.tasks)
        paired = [row for row in tasks if row["main"] and row["n_paired"] and row["strategy"] != baseline]
        unseen = [*left_out_by_intervals(paired), *(note for note in comparison.notes if UNSEEN in note)]
        notes |= dict.fromkeys(f"{name}: {line}" for line in unseen)
        for row in tasks:
            if not row["main"]:
                unlike = f"{row['strategy']} on {row['task']} was evaluated with {'; '.join(row['differs'])}"
                notes[f"{name}: {unlike}: left out, evaluate all runs of a column alike"] = None
            elif own := [one for id in row["ids"] if (one := evaluations[id]) is not None]:
                if not row["comparable"]:
                    notes[f"{name}: {baseline} was not evaluated on it: no gains"] = None
                yield row | {"preset": comparison.preset}, own


def by_task(
    rows: Sequence[dict[str, Any]],
    shown: Collection[str],
    sheet: Callable[[str, str, Sequence[Mapping[str, Any]]], Sheet],
    notes: Sequence[str],
    columns: Sequence[str],
    nothing: str,
) -> tuple[list[Sheet], pd.DataFrame]:
    """Return a ``sheet`` of each preset's and task's rows, ``notes`` below the last, and all rows as a frame.

    Rows are of the strategies ``shown``; NothingBeyond, with the words ``nothing`` and the notes, where there are none.
    """
    import pandas as pd

    rows = [row for row in rows if row["strategy"] in shown]
    if not rows:
        raise NothingBeyond(nothing, notes)
    places = sorted({(row["preset"], row["task"]) for row in rows}, key=lambda place: (place[0], task_order(place[1])))
    sheets = [sheet(*place, [row for row in rows if (row["preset"], row["task"]) == place]) for place in places]
    sheets[-1].notes += notes
    return sheets, pd.DataFrame([{key: row.get(key) for key in columns} for row in rows], columns=list(columns))


def score_and_gain(row: Mapping[str, Any] | None, baseline: str, mark: str = "") -> str | Cell:
    """Return a score with its ``mark``, and below it the gain over the baseline; a dash where there is no row."""
    if row is None:
        return ABSENT
    score = points(row["mean"]) + mark
    if row["strategy"] == baseline or row["difference"] is None:
        return score
    gain = gain_with_bounds(row["difference"], row["gain_low"], row["gain_high"])
    return lines(score, gain, bold=row["verdict"] == BETTER)


def students(rows: Sequence[Mapping[str, Any]], head: str, key: str) -> list[tuple[str, list[str | Cell]]]:
    """Return a table's first columns: names, the baseline's first, their seeds, and under ``head`` their ``key``.

    Where the columns to come are of other runs or rows, it is a range.
    """
    baseline = rows[0]["baseline"]
    names = sorted({row["strategy"] for row in rows}, key=lambda name: (name != baseline, name))
    own = {name: [row for row in rows if row["strategy"] == name] for name in names}
    return [
        ("trained with", [*names]),
        ("seeds", [_range(str(row["n_seeds"]) for row in own[name]) for name in names]),
        (head, [_range(points(row[key]) for row in own[name]) for name in names]),
    ]


def _range(numbers: Iterable[str]) -> str:
    """Return the one that all numbers are, or the first and the last of them in their order."""
    distinct = sorted({*numbers}, key=lambda text: (text == ABSENT, float(text) if text != ABSENT else 0.0))
    return distinct[0] if len(distinct) == 1 else f"{distinct[0]} to {distinct[-1]}"


def _sheet(preset: str, task: str, rows: Sequence[Mapping[str, Any]]) -> Sheet:
    baseline = rows[0]["baseline"]
    columns = students(rows, "dev", "dev")
    names, by_cell = columns[0][1], {(row["strategy"], row["set"]): row for row in rows}
    sets = {row["set"]: row for row in rows}
    for name, row in sets.items():
        cells = [score_and_gain(by_cell.get((str(own), name)), baseline) for own in names]
        columns.append((f"{name} ({row['metric']})", cells))
    notes = [
        f"below a score the gain over {baseline} on the same set with its 95 % interval; {UNCORRECTED}",
        "dev and seeds are of the same runs, a range where columns are of other ones; one answer for all rows scores "
        "at best: " + ", ".join(f"{name} {points(row['constant'])}" for name, row in sets.items()),
    ]
    for name, row in sets.items():
        of = f" of {row['official']:,}" if row["official"] not in (None, row["rows"]) else ""
        cut = f"{row['truncated']:,} cut at the maximum length" if row["truncated"] else ""
        notes.append(", ".join(filter(None, [f"{name}: {row['rows']:,}{of} rows", row["variant"], cut])))
    return Sheet(preset, columns, notes, title=f"preset {preset}, {task}: trained with x scored on")
