"""Students beyond their own dev set: what every strategy scores on each set there, and its gain over the baseline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.reporting.comparison import compare
from bench.reporting.evaluations import Evaluation, evaluated_on, sets_beside, there
from bench.reporting.leaderboard import leaderboard, task_order
from bench.reporting.points import ABSENT, gain_with_bounds, lines, points
from bench.reporting.predictions import answers
from bench.reporting.schema import Done
from bench.reporting.sheet import Cell, Sheet, plain_rows
from bench.reporting.summary import BETTER
from bench.reporting.tidy import tidy

if TYPE_CHECKING:
    import pandas as pd

    from bench.reporting.schema import Record

COLUMNS = (
    "preset", "task", "strategy", "set", "metric", "rows", "official", "variant", "n_seeds", "dev", "mean", "constant",
    "baseline", "difference", "gain_low", "gain_high", "interval_covers", "n_paired", "p_holm", "verdict",
)  # fmt: skip
"""Of a row for a program: a strategy's students of a task on a set; scores are means over seeds, ``dev`` of the same
runs."""
UNCORRECTED = "bold where better, each cell by itself and not corrected for their number"


def on_sets(
    results: Path, records: Sequence[Record], baseline: str, strategies: Collection[str]
) -> tuple[list[Sheet], pd.DataFrame]:
    """Return a table for each task, trained with x scored on, and the same as rows for a program.

    A cell is the score and the gain over ``baseline`` on the same set, with its 95 % interval. ``strategies`` are
    shown, and the baseline. BenchError where no run was evaluated.
    """
    dev = {record.id: record.main.value for record in records if isinstance(record, Done)}
    rows: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for name in sets_beside(results, records):
        for row, own in compared_on(results, records, name, baseline, notes):
            first, scores = own[0], [score for id in row["ids"] if (score := dev[id]) is not None]
            about = {key: getattr(first, key) for key in ("rows", "official", "variant", "constant")}
            rows.append(row | about | {"set": name, "dev": sum(scores) / len(scores) if scores else None})
    rows = [row for row in rows if row["strategy"] in {*strategies, baseline}]
    if not rows:
        raise BenchError("none of these runs was evaluated beyond dev; evaluate them: bench evaluate --on hans,imdb")
    return by_task(rows, _sheet, notes, COLUMNS)


def compared_on(
    results: Path, records: Sequence[Record], name: str, baseline: str, notes: dict[str, None]
) -> Iterator[tuple[dict[str, Any], list[Evaluation]]]:
    """Yield the leaderboard's rows on the set, or under the attack, ``name``, each with the evaluations of its runs.

    Rows are those of each task's main setting; what is left out is noted in ``notes``.
    """
    found, outdated = evaluated_on(results, records, name)
    notes |= dict.fromkeys(outdated)
    evaluations = {record.id: there(results / record.folder, name) for record in found}
    runs = tidy(found)
    frame = leaderboard(runs, baseline)
    predicted, _ = answers(results, runs, {*frame["split"]})
    for comparison in compare(frame, predicted, baseline):
        for row in plain_rows(comparison.tasks):
            if row["main"]:
                own = [one for id in row["ids"] if (one := evaluations[id]) is not None]
                yield row | {"preset": comparison.preset}, own
            else:
                notes[f"{row['strategy']} on {row['task']}: runs of other settings are left out"] = None


def by_task(
    rows: Sequence[dict[str, Any]],
    sheet: Callable[[str, str, Sequence[Mapping[str, Any]]], Sheet],
    notes: Iterable[str],
    columns: Sequence[str],
) -> tuple[list[Sheet], pd.DataFrame]:
    """Return a ``sheet`` of each preset's and task's rows, ``notes`` below the last, and all rows as a frame."""
    import pandas as pd

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
    """Return a table's first columns: names, the baseline's first, their seeds, and under ``head`` their ``key``."""
    baseline = rows[0]["baseline"]
    names = sorted({row["strategy"] for row in rows}, key=lambda name: (name != baseline, name))
    own = {name: [row for row in rows if row["strategy"] == name] for name in names}
    seeds = {name: sorted({row["n_seeds"] for row in of_name}) for name, of_name in own.items()}
    return [
        ("trained with", [*names]),
        ("seeds", ["-".join(map(str, seeds[name])) for name in names]),
        (head, [points(own[name][0][key]) for name in names]),
    ]


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
        "one answer for all rows scores at best: "
        + ", ".join(f"{name} {points(row['constant'])}" for name, row in sets.items()),
    ]
    for name, row in sets.items():
        of = f" of {row['official']:,}" if row["official"] not in (None, row["rows"]) else ""
        notes.append(f"{name}: {row['rows']:,}{of} rows" + (f", {row['variant']}" if row["variant"] else ""))
    return Sheet(preset, columns, notes, title=f"preset {preset}, {task}: trained with x scored on")
