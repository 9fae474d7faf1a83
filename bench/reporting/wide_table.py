"""The wide table of a preset: tasks down, strategies across, a summary below."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.reporting.marks import ON_SCORES, ON_TASKS, ON_TEACHERS
from bench.reporting.notes import (
    AVERAGE_LABELS,
    LESS_DATA,
    NOT_COMPARABLE,
    ONE_SEED,
    OPTIMISTIC,
    OTHER_SEEDS,
    OTHER_TASKS,
    SECOND_DEVS,
    column_order,
    line_name,
    notes,
)
from bench.reporting.sheet import Sheet, plain_rows

if TYPE_CHECKING:
    import pandas as pd


class Score(NamedTuple):
    """One score as it is printed: percent-like points, its sd, and the difference to the baseline."""

    mean: str = ""
    sd: str = ""
    difference: str = ""


MISSING = Score("–")


@dataclass
class Row:
    """One line of the wide table: a task in one setting, or a summary."""

    label: str
    teacher: str
    cells: list[Score]
    summary: bool = False


@dataclass
class Grid:
    """The wide table of one preset: tasks down, strategies across."""

    preset: str
    strategies: list[str]
    rows: list[Row]
    notes: list[str]

    def sheet(self) -> Sheet:
        """Return the grid as it is printed."""
        columns = [("task", [row.label for row in self.rows]), ("teacher", [row.teacher for row in self.rows])]
        columns += [(name, _column([row.cells[i] for row in self.rows])) for i, name in enumerate(self.strategies)]
        before_summary = sum(not row.summary for row in self.rows)
        groups = {before_summary: ""} if before_summary < len(self.rows) else {}
        return Sheet(self.preset, columns, self.notes, groups=groups)


def grids(frame: pd.DataFrame, averages: pd.DataFrame, failures: Sequence[dict[str, Any]]) -> list[Grid]:
    """Return one wide table per preset from what ``leaderboard``, ``averages`` and ``failures`` return.

    Where strategies were tuned, there are two: one of the runs as shipped, one of the tuned, with those of which
    nothing can be tuned and the baseline in both.
    """
    tables = []
    for preset in sorted({*frame["preset"], *(failure["preset"] for failure in failures)}):
        rows, means = (plain_rows(part[part["preset"] == preset]) for part in (frame, averages))
        lost = [failure for failure in failures if failure["preset"] == preset]
        if not any(one["tuned"] for one in (*rows, *lost)):
            tables.append(_grid(preset, rows, means, lost))
            continue
        shipped = [row for row in rows if not row["tuned"]]
        tuned = [row for row in rows if row["tuned"] or row["searched"] == [] or row["strategy"] == row["baseline"]]
        for title, own in ((f"{preset}, as shipped", shipped), (f"{preset}, tuned", tuned)):
            names = {row["strategy"] for row in own}
            failed = [failure for failure in lost if failure["tuned"] == (own is tuned)]
            grid = _grid(title, own, [mean for mean in means if mean["strategy"] in names], failed)
            grid.notes += _searches(own)
            tables.append(grid)
    return tables


def _searches(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what was searched and chosen, a line for each tuned strategy among ``rows``."""
    searches: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["tuned"]:
            searches[row["strategy"]].append(row)
    for strategy, tuned in searches.items():
        trials = " and ".join(sorted({str(row["tuned"]["trials"]) for row in tuned}))
        choices = "; ".join(
            f"{line_name(dict(row))} {row['tuned']['chosen']} ({_points(row['tuned']['score'])} there, as shipped "
            f"{_points(row['tuned']['as_shipped'])}; {row['tuned']['held_out']:,} rows)"
            for row in tuned
        )
        yield f"{strategy}: the best of {trials} trials on rows held out of train: {choices}"


def _grid(
    preset: str, rows: list[dict[str, Any]], averages: list[dict[str, Any]], failures: list[dict[str, Any]]
) -> Grid:
    strategies = column_order(rows, averages)
    lost = {(f["task"], f["strategy"]): f["status"] for f in failures}
    has_baseline = any(row["comparable"] for row in rows)
    lines: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        lines[row["task"], row["setting"]][row["strategy"]] = row
    table = []
    for (task, _), by_strategy in lines.items():
        first = next(iter(by_strategy.values()))
        marks = _signs(ON_TASKS, by_strategy.values())
        if first["optimistic"]:
            marks += OPTIMISTIC
        if has_baseline and not first["comparable"]:
            marks += NOT_COMPARABLE
        if first["partial"] is not None or first["max_train"] is not None:
            marks += LESS_DATA
        cells = []
        for strategy in strategies:
            if strategy in by_strategy:
                row = by_strategy[strategy]
                cells.append(_score(row, _signs(ON_SCORES, [row])))
            else:
                cells.append(Score(lost.get((task, strategy), "–")) if first["main"] else MISSING)
        teachers = [row["teacher"] for row in by_strategy.values() if row["teacher"] is not None]
        teacher = _points(sum(teachers) / len(teachers)) if teachers else "–"
        table.append(Row(line_name(first) + marks, teacher + _signs(ON_TEACHERS, by_strategy.values()), cells))
        for split, (suffix, _) in SECOND_DEVS.items():
            second = {s: row["metrics"].get(f"{split}.{row['metric']}") for s, row in by_strategy.items()}
            if any(value is not None for value in second.values()):
                cells = [MISSING if second.get(s) is None else Score(_points(second[s])) for s in strategies]
                table.append(Row(line_name(first | {"task": f"{task}-{suffix}"}) + marks, "–", cells))
    table += _summary(averages, strategies, len({row["task"] for row in rows if row["main"]}))
    return Grid(preset, strategies, table, notes(rows, averages, failures))


def _signs(marks: Mapping[str, tuple[str, str]], rows: Any) -> str:
    """Return the signs of those of ``marks`` that any of ``rows`` is warned of."""
    return "".join(sign for key, (sign, _) in marks.items() if any(key in row["warnings"] for row in rows))


def _points(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}"


def _score(row: Mapping[str, Any], marks: str = "") -> Score:
    difference = ""
    if row["strategy"] != row["baseline"] and row["difference"] is not None:
        difference = f"{100 * row['difference']:+.1f}" + (ONE_SEED if row["n_paired"] == 1 else "")
    return Score(_points(row["mean"]) + marks, "" if row["sd"] is None else f"± {_points(row['sd'])}", difference)


def _summary(averages: list[dict[str, Any]], strategies: list[str], n_tasks: int) -> list[Row]:
    rows = []
    kinds = [kind for kind in AVERAGE_LABELS if any(a["average"] == kind for a in averages)]
    for kind in kinds if n_tasks > 1 else []:
        of_kind = {a["strategy"]: a for a in averages if a["average"] == kind}
        cells = [_score(of_kind[s], _unlike(of_kind[s])) if s in of_kind else MISSING for s in strategies]
        rows.append(Row(AVERAGE_LABELS[kind], "", cells, summary=True))
    widest = {a["strategy"]: a for kind in reversed(kinds) for a in averages if a["average"] == kind}
    cells = []
    for strategy in strategies:
        average = widest.get(strategy)
        if average is None or average["cost_ratio"] is None:
            cells.append(MISSING)
        else:
            cells.append(Score(f"{average['cost_ratio']:.2f}×" + ("" if average["same_tasks"] else OTHER_TASKS)))
    return [*rows, Row("cost", "", cells, summary=True)] if any(cell != MISSING for cell in cells) else rows


def _unlike(average: Mapping[str, Any]) -> str:
    return ("" if average["same_tasks"] else OTHER_TASKS) + ("" if average["same_seeds"] else OTHER_SEEDS)


def _column(cells: list[Score]) -> list[str]:
    """Return the cells of one column with means, sds and differences each below one another."""
    widths = [max(map(len, part), default=0) for part in zip(*cells, strict=True)]
    lines = []
    for cell in cells:
        pieces = [part.rjust(width) for part, width in zip(cell, widths, strict=True) if width]
        lines.append(" ".join(pieces))
    return lines
