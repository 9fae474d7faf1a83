"""The leaderboard as text, markdown, CSV and JSON, with the notes without which a table misleads."""

from __future__ import annotations

import json
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.reporting.leaderboard import PLAIN_KD, REFERENCE, WITH_WNLI, WITHOUT_WNLI, Setting, task_order

if TYPE_CHECKING:
    import pandas as pd

OPTIMISTIC, NOT_COMPARABLE, OTHER_TASKS, LESS_DATA = "*", "†", "‡", "§"
_AVERAGE_LABELS = {WITH_WNLI: "average", WITHOUT_WNLI: "avg, no WNLI"}
_ODD_TASKS = (("without", "missing"), ("with", "extra"))
_SECOND_DEV = "dev_mismatched"


class Cell(NamedTuple):
    """One score as it is printed: percent-like points, its sd, and the difference to the baseline."""

    mean: str = ""
    sd: str = ""
    difference: str = ""


@dataclass
class Row:
    """One line of the wide table: a task in one setting, or a summary."""

    label: str
    teacher: str
    cells: list[Cell]
    summary: bool = False


@dataclass
class Grid:
    """The wide table of one preset: tasks down, strategies across."""

    preset: str
    strategies: list[str]
    rows: list[Row]
    notes: list[str]


def grids(frame: pd.DataFrame, averages: pd.DataFrame, failures: Sequence[dict[str, Any]]) -> list[Grid]:
    """Return one wide table a preset from what ``leaderboard``, ``averages`` and ``failures`` return."""
    presets = sorted({*frame["preset"], *(failure["preset"] for failure in failures)})
    return [
        _grid(
            preset,
            _dicts(frame[frame["preset"] == preset]),
            _dicts(averages[averages["preset"] == preset]),
            [failure for failure in failures if failure["preset"] == preset],
        )
        for preset in presets
    ]


def _dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of ``frame``, with None for what is missing and ints that pandas made floats of."""
    rows = []
    for row in frame.to_dict("records"):
        plain: dict[str, Any] = {
            str(key): None if isinstance(v, float) and v != v else v for key, v in row.items()
        }
        if isinstance(plain.get("max_train"), float):
            plain["max_train"] = int(plain["max_train"])
        rows.append(plain)
    return rows


def _grid(
    preset: str, rows: list[dict[str, Any]], averages: list[dict[str, Any]], failures: list[dict[str, Any]]
) -> Grid:
    strategies = _columns(rows, averages)
    lost = {(f["task"], f["strategy"]): f["status"] for f in failures}
    has_baseline = any(row["comparable"] for row in rows)
    lines: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        lines[row["task"], row["setting"]][row["strategy"]] = row
    table = []
    for (task, _), by_strategy in lines.items():
        first = next(iter(by_strategy.values()))
        label = _line(first)
        marks = OPTIMISTIC * first["optimistic"] + NOT_COMPARABLE * (has_baseline and not first["comparable"])
        marks += LESS_DATA * (first["partial"] is not None or first["max_train"] is not None)
        nothing = {s: Cell(lost.get((task, s), "–") if first["main"] else "–") for s in strategies}
        cells = [_score(by_strategy[s]) if s in by_strategy else nothing[s] for s in strategies]
        teachers = [row["teacher"] for row in by_strategy.values() if row["teacher"] is not None]
        table.append(Row(label + marks, _points(sum(teachers) / len(teachers)) if teachers else "–", cells))
        second = {s: row["metrics"].get(f"{_SECOND_DEV}.{row['metric']}") for s, row in by_strategy.items()}
        if any(value is not None for value in second.values()):
            cells = [Cell("–" if second.get(s) is None else _points(second[s])) for s in strategies]
            table.append(Row(label.replace(task, f"{task}-mm") + marks, "–", cells))
    table += _summary(averages, strategies, len({row["task"] for row in rows if row["main"]}))
    return Grid(preset, strategies, table, notes(rows, averages, failures))


def _line(row: dict[str, Any]) -> str:
    """Return what the table calls the line of a row: its task, and the setting where that is not the main."""
    return row["task"] if row["main"] else f"{row['task']} [{row['setting']}]"


def _columns(rows: list[dict[str, Any]], averages: list[dict[str, Any]]) -> list[str]:
    """Return the strategies in order: baseline, reference, then by average, then those without one."""
    baseline = rows[0]["baseline"] if rows else PLAIN_KD
    rank = {a["strategy"]: -a["mean"] for a in averages if a["average"] == WITHOUT_WNLI and a["same_tasks"]}
    bases = {row["strategy"]: row["base"] for row in rows}
    return sorted(bases, key=lambda s: (s != baseline, bases[s] != REFERENCE, rank.get(s, 1.0), s))


def _points(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _score(row: dict[str, Any], mark: str = "") -> Cell:
    own = row["strategy"] == row.get("baseline")
    difference = None if own else row["difference"]
    return Cell(
        _points(row["mean"]) + mark,
        "" if row["sd"] is None else f"± {_points(row['sd'])}",
        "" if difference is None else f"{100 * difference:+.1f}",
    )


def _summary(averages: list[dict[str, Any]], strategies: list[str], n_tasks: int) -> list[Row]:
    rows = []
    kinds = [kind for kind in _AVERAGE_LABELS if any(a["average"] == kind for a in averages)]
    for kind in kinds if n_tasks > 1 else []:
        of_kind = {a["strategy"]: a for a in averages if a["average"] == kind}
        cells = [
            _score(of_kind[s], "" if of_kind[s]["same_tasks"] else OTHER_TASKS) if s in of_kind else Cell("–")
            for s in strategies
        ]
        rows.append(Row(_AVERAGE_LABELS[kind], "", cells, summary=True))
    widest = {a["strategy"]: a for kind in reversed(kinds) for a in averages if a["average"] == kind}
    if any(a["cost_ratio"] is not None for a in widest.values()):
        ratios = [widest[s]["cost_ratio"] if s in widest else None for s in strategies]
        marks = ["" if s not in widest or widest[s]["same_tasks"] else OTHER_TASKS for s in strategies]
        cells = [Cell("–" if r is None else f"{r:.2f}×{m}") for r, m in zip(ratios, marks, strict=True)]
        rows.append(Row("cost", "", cells, summary=True))
    return rows


def notes(
    rows: list[dict[str, Any]], averages: list[dict[str, Any]], failures: list[dict[str, Any]]
) -> list[str]:
    """Return what must stand under one preset's table: how its numbers came about, and what they are not."""
    lines = _notes_on_scores(rows) + _notes_on_settings(rows) + _notes_on_averages(averages) if rows else []
    lost: dict[tuple[str, str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for failure in failures:
        lost[failure["status"], failure["strategy"], failure["reason"]][failure["task"]].append(
            failure["seed"]
        )
    for (status, strategy, reason), tasks in sorted(lost.items()):
        where = _by_value({task: _ranges(seeds) for task, seeds in tasks.items()}, "seed {}")
        lines.append(f"{status}: {strategy} on {where}: {reason}")
    return lines


def _by_value(values: dict[str, Any], form: str = "{}") -> str:
    """Return ``{"rte": 1, "cola": 1, "qqp": 2}`` as ``"cola, rte (1); qqp (2)"``."""
    groups: dict[Any, list[str]] = defaultdict(list)
    for name in sorted(values, key=task_order):
        groups[values[name]].append(name)
    return "; ".join(f"{', '.join(names)} ({form.format(value)})" for value, names in groups.items())


def _ranges(values: Iterable[int]) -> str:
    """Return ``[0, 1, 2, 5]`` as ``"0-2, 5"``."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _notes_on_scores(rows: list[dict[str, Any]]) -> list[str]:
    baseline = rows[0]["baseline"]
    strategies, seeds = _columns(rows, []), [row["n_seeds"] for row in rows]
    lines = [
        "scores: points of 100, mean ± sd over seeds"
        + (
            f", then the difference to {baseline!r} over the seeds that both have"
            if any(row["comparable"] for row in rows)
            else f"; no differences, as nothing was run with {baseline!r}"
        ),
        "metric: " + _by_value({_line(row): row["metric"] for row in rows}),
    ]
    usual = max(seeds, key=seeds.count)
    odd = {
        name: {_line(r): r["n_seeds"] for r in rows if r["strategy"] == name and r["n_seeds"] != usual}
        for name in strategies
    }
    but = "; ".join(f"{strategy} on {_by_value(counts)}" for strategy, counts in odd.items() if counts)
    lines.append(f"seeds: {usual}" + (f", but {but}" if but else ""))
    paired = {row["task"] for row in rows if row["comparable"] and row["n_paired"] == 0}
    if paired:
        lines.append(
            f"no difference on {', '.join(sorted(paired))} where no seed is shared with {baseline!r}"
        )
    if any(f"{_SECOND_DEV}.{row['metric']}" in row["metrics"] for row in rows):
        lines.append("mnli-mm: MNLI's mismatched dev set, in no average")
    for name in strategies:
        options = [row["options"] for row in rows if row["strategy"] == name]
        if any(one != options[0] for one in options):
            lines.append(f"{name}: its options are not the same on every task")
    if any(row["reference"] for row in rows):
        lines.append(f"{REFERENCE}: the student without a teacher, a reference and not a strategy")
    return lines


def _notes_on_settings(rows: list[dict[str, Any]]) -> list[str]:
    main = {row["task"]: row for row in rows if row["main"]}
    plain = sorted({row["selection"] for row in rows if not row["optimistic"]})
    optimistic = sorted({row["selection"] for row in rows if row["optimistic"]})
    lines = []
    if plain:
        lines.append(f"selection: {', '.join(plain)}")
    if optimistic:
        lines.append(
            f"{OPTIMISTIC} selection {', '.join(optimistic)}: chosen on the very data reported, so optimistic"
        )
    for row in {(row["task"], row["partial"]): row for row in rows if row["partial"]}.values():
        lines.append(
            f"{LESS_DATA} {row['task']}: {row['partial']} official rows; not comparable with published scores"
        )
    cut = {row["task"]: row["max_train"] for row in rows if row["max_train"] is not None}
    if cut:
        lines.append(f"{LESS_DATA} trained on a subset (max_train): {_by_value(cut, 'at most {} rows')}")
    updates = {_line(row): row["student_updates"] for row in rows}
    lines.append("student updates, the same for every strategy: " + _by_value(updates))
    taught = [row for row in rows if row["teacher"] is not None and row["majority"] is not None]
    weak = sorted({row["task"] for row in taught if row["teacher"] <= row["majority"]}, key=task_order)
    if weak:
        lines.append(f"the teacher is no better than the most frequent class on {', '.join(weak)}")
    if main:
        lines.append("signature: " + ", ".join(f"{task} {row['setting']}" for task, row in main.items()))
    others = {(row["task"], row["setting"]): row for row in rows if not row["main"]}
    for (task, setting), row in others.items():
        mark = "" if row["comparable"] else f"{NOT_COMPARABLE} "
        line = f"{mark}{task} [{setting}]: in no average"
        if task in main:
            line += f"; not comparable with {task} {main[task]['setting']}, from which it differs in "
            line += _differences(main[task], row)
        lines.append(line)
    alone = [t for t, r in main.items() if not r["comparable"]]
    if alone and len(alone) < len(main):
        lines.append(f"{NOT_COMPARABLE} {', '.join(alone)}: no {rows[0]['baseline']!r} run to compare with")
    hardware = {name for row in rows for name in row["hardware"]}
    lines.append(
        f"cost: training seconds over those of {PLAIN_KD!r}, mean over tasks"
        + (f"; seconds come from unlike machines: {'; '.join(sorted(hardware))}" if len(hardware) > 1 else "")
    )
    return lines


def _differences(one: dict[str, Any], other: dict[str, Any]) -> str:
    mine, theirs = (Setting(*(row[name] for name in Setting._fields)).parts() for row in (one, other))
    keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
    return ", ".join(f"{key} ({theirs.get(key, 'none')}, not {mine.get(key, 'none')})" for key in keys)


def _notes_on_averages(averages: list[dict[str, Any]]) -> list[str]:
    lines = []
    odd: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind, label in _AVERAGE_LABELS.items():
        of_kind = [a for a in averages if a["average"] == kind]
        if of_kind:
            usual = {*of_kind[0]["tasks"], *of_kind[0]["missing"]} - {*of_kind[0]["extra"]}
            if len(usual) > 1:
                lines.append(f"{label}: {len(usual)} tasks, {', '.join(sorted(usual, key=task_order))}")
        for a in of_kind:
            words = [f"{word} {', '.join(a[key])}" for word, key in _ODD_TASKS if a[key]]
            if words:
                odd[a["strategy"], " and ".join(words)].append(label)
    for (strategy, what), labels in odd.items():
        which = " and ".join(map(repr, labels))
        lines.append(f"{OTHER_TASKS} {strategy}: {which} {what}: not comparable with the others")
    return lines


def text(tables: Sequence[Grid], width: int = 100, colour: bool = False) -> str:
    """Return the tables for a terminal of ``width`` columns; one too wide is continued below itself."""
    import io

    from rich.console import Console

    parts = []
    for grid in tables:
        buffer = io.StringIO()
        console = Console(
            file=buffer,
            width=max(width, 40),
            force_terminal=colour,
            color_system="standard" if colour else None,
            highlight=False,
        )
        for table, needed in _blocks(grid, width):
            # A single column wider than the terminal still gets its room: numbers are never cut.
            console.width = max(width, needed)
            console.print(table)
            console.print()
        lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
        for note in grid.notes:
            lines += textwrap.wrap(
                note,
                width,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        parts.append("\n".join([f"preset {grid.preset}", *lines]))
    return "\n\n".join(parts) + "\n"


def _blocks(grid: Grid, width: int) -> list[tuple[Any, int]]:
    """Return rich tables with the width each needs, as many strategies in each as ``width`` takes."""
    if not grid.rows:
        return []
    columns = [("task", [row.label for row in grid.rows]), ("teacher", [row.teacher for row in grid.rows])]
    for i, name in enumerate(grid.strategies):
        lines = _column([row.cells[i] for row in grid.rows])
        columns.append((_fold(name, max(map(len, lines))), lines))
    needs = [3 + max(len(line) for line in (*head.split("\n"), *lines)) for head, lines in columns]
    blocks = [[0, 1]]
    for i in range(2, len(columns)):
        if len(blocks[-1]) > 1 + (len(blocks) == 1) and sum(needs[j] for j in (*blocks[-1], i)) > width:
            blocks.append([0])
        blocks[-1].append(i)
    return [
        (_rich_table(grid, [columns[i] for i in block]), sum(needs[i] for i in block)) for block in blocks
    ]


def _column(cells: list[Cell]) -> list[str]:
    """Return the cells of one column with means, sds and differences each below one another."""
    widths = [max(map(len, part), default=0) for part in zip(*cells, strict=True)]
    lines = []
    for cell in cells:
        pieces = [part.rjust(width) for part, width in zip(cell, widths, strict=True) if width]
        lines.append(" ".join(pieces))
    return lines


def _fold(name: str, width: int) -> str:
    """Break a long strategy name after its punctuation, so that a column stays as narrow as its numbers."""
    spaced = "".join(f"{char} " if char in ":([,=-_/" else char for char in name)
    lines = [""]
    for piece in spaced.split(" "):
        if lines[-1] and len(lines[-1]) + len(piece) > max(width, 10):
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _rich_table(grid: Grid, columns: list[tuple[str, list[str]]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for n, (head, _) in enumerate(columns):
        # Text, not str: rich would read the brackets of mate-kd[rho=0.4] as markup.
        table.add_column(Text(head), justify="right" if n else "left", no_wrap=True)
    for n, row in enumerate(grid.rows):
        last = n + 1 < len(grid.rows) and grid.rows[n + 1].summary and not row.summary
        table.add_row(*(Text(lines[n]) for _, lines in columns), end_section=last)
    return table


def markdown(tables: Sequence[Grid]) -> str:
    """Return the tables in GitHub's markdown, notes as lists below."""
    parts = []
    for grid in tables:
        head = ["task", "teacher", *(name.replace("|", "\\|") for name in grid.strategies)]
        lines = [f"### preset {grid.preset}", ""]
        if grid.rows:
            lines += [_pipes(head), _pipes(["---"] + ["---:"] * (len(head) - 1))]
            lines += [
                _pipes([row.label, row.teacher, *(" ".join(filter(None, cell)) for cell in row.cells)])
                for row in grid.rows
            ]
        lines += ["", *(f"- {note.replace(OPTIMISTIC, chr(92) + OPTIMISTIC)}" for note in grid.notes)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def json_text(frame: pd.DataFrame) -> str:
    """Return the long form as a JSON list of objects, null for what is missing; scores are fractions."""
    return json.dumps(_dicts(frame), indent=1, allow_nan=False) + "\n"


def csv_text(frame: pd.DataFrame) -> str:
    """Return the long form as CSV; lists and mappings are written as JSON in their cells."""
    import pandas as pd

    rows = [
        {key: json.dumps(v) if isinstance(v, dict | tuple) else v for key, v in row.items()}
        for row in _dicts(frame)
    ]
    return pd.DataFrame(rows, columns=list(frame.columns)).to_csv(index=False)
