"""What must stand under a leaderboard for it to be believed: what is unlike, missing, thin or failed, and where."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from bench.reporting import kinds
from bench.reporting.leaderboard import PLAIN_KD, task_order
from bench.reporting.marks import FIGURES_APART, ON_COSTS, ON_SCORES, ON_TASKS, ON_TEACHERS
from bench.reporting.points import has_interval, plural, points
from bench.reporting.sheet import plain_rows
from bench.reporting.signs import (
    LESS_DATA,
    NO_BASELINE,
    ON_FRONT,
    ONE_SEED,
    OPTIMISTIC,
    SEEDS_ALONE,
    Rows,
    covered_alike,
    warned,
)
from bench.reporting.statistics.sign_flip import cells_needed
from bench.reporting.statistics.verdict import ALPHA, CANNOT_TELL, SAME

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison

SMOKE_RUN, SMOKE_NOTE = "quick", "a smoke run: it shows that all works; its scores say nothing of strategies"


def belief(comparison: Comparison) -> list[str]:
    """Return the notes without which the table would say more than is known."""
    return [*chain(*grouped(comparison).values()), *_same_for_all(comparison.signature)]


def grouped(comparison: Comparison) -> dict[str, list[str]]:
    """Return the notes of ``belief`` by what they are about, all but what the rows share."""
    rows = plain_rows(comparison.tasks)
    main = [row for row in rows if row["main"]]
    baseline = comparison.baseline
    return {
        "": [*([SMOKE_NOTE] if rows and rows[0]["preset"] == SMOKE_RUN else []), *_legend(comparison)],
        "verdicts and intervals": [
            *_on_verdicts(plain_rows(comparison.strategies), baseline),
            *_on_intervals(comparison.notes, main),
            *_on_seeds(main, baseline),
        ],
        "missing and apart": [
            *_holes(main, comparison.failures, baseline),
            *_losses(comparison.failures),
            *_apart(rows),
        ],
        "what a score means": [*_on_data(main), *_warnings(main), *_on_teachers(rows)],
    }


def _same_for_all(signature: Mapping[str, str]) -> Iterator[str]:
    """Yield once what all rows were run with."""
    if signature:
        yield "the same for all rows: " + "; ".join(f"{what} {value}" for what, value in signature.items())


def _legend(comparison: Comparison) -> Iterator[str]:
    """Yield what the columns are, in a line."""
    strategies = plain_rows(comparison.strategies)
    words = []
    if any(row["passes_ratio"] is not None or row["cost_ratio"] is not None for row in strategies):
        front = (
            f", {ON_FRONT} where nothing gains more for as few" if any(row["on_front"] for row in strategies) else ""
        )
        words.append(f"passes{front}, and training time: multiples of {PLAIN_KD!r}")
    if any(row["won"] is not None for row in strategies):
        words.append(f"won: (task, seed) cells above {comparison.baseline!r}")
    if any(kinds.kind(row, comparison.baseline) == kinds.CONTROL for row in strategies):
        words.append("controls bring no text that could help: what is not above them does not work by its texts")
    if words:
        yield "; ".join(words)


def line_name(row: Mapping[str, Any]) -> str:
    """Return what a note calls the task of a row, with the setting's number where that is not the main one."""
    return row["task"] if row["main"] else f"{row['task']} [{row['setting_number']}]"


def by_value(values: Mapping[str, Any], form: str = "{}") -> str:
    """Return ``{"rte": 1, "cola": 1, "qqp": 2}`` as ``"cola, rte (1); qqp (2)"``."""
    groups: dict[Any, list[str]] = defaultdict(list)
    for name in sorted(values, key=task_order):
        groups[values[name]].append(name)
    return "; ".join(f"{', '.join(names)} ({form.format(value)})" for value, names in groups.items())


def named(names: Iterable[str]) -> str:
    """Return task names in GLUE's order, separated by commas."""
    return ", ".join(sorted(set(names), key=task_order))


def ranges(values: Iterable[int]) -> str:
    """Return ``[0, 1, 2, 5]`` as ``"0-2, 5"``."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _on_verdicts(strategies: Rows, baseline: str) -> Iterator[str]:
    """Yield what these runs could not have shown, whatever they had given, and how small a gain they would have."""
    tested = [row for row in strategies if row["strategy"] != baseline and row["gain"] is not None]
    silent = [row for row in tested if row["verdict"].startswith(CANNOT_TELL)]
    for verdict in sorted({row["verdict"] for row in silent}):
        own = [row for row in silent if row["verdict"] == verdict]
        least = min(row["smallest_p"] for row in own)
        after = f" before Holm's correction over {len(tested)} strategies" if len(tested) > 1 else ""
        whose = "" if len(own) == len(tested) else f" ({_few([row['strategy'] for row in own])})"
        more = more_seeds(len(tested), min(row["n_tasks"] for row in own))
        yield f"{verdict}{whose}: no p below {least:.2g}{after} was possible{more}"
    unsure = [row for row in tested if row["verdict"] == SAME]
    if errors := [row["detectable"] for row in unsure if row["detectable"] is not None]:
        least, most = points(min(errors)), points(max(errors))
        span = least if least == most else f"{least} to {most}"
        yield f"{SAME} is not equal: gains from {span} points on would have been found four times in five"
    if odd := [row["strategy"] for row in unsure if row["gain_low"] > 0 or row["gain_high"] < 0]:
        yield f"{SAME} though the interval leaves out 0, as p is above .05 after Holm's correction: {_few(odd)}"


def more_seeds(tests: int, n_tasks: int) -> str:
    """Return, to end a note with, how many seeds of ``n_tasks`` tasks could tell after correction over ``tests``."""
    cells = cells_needed(tests, ALPHA)
    return f"; give more seeds, --seeds {math.ceil(cells / n_tasks)}" if cells and n_tasks else ""


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 6 else f"{len(names)} strategies"


def _on_intervals(notes: Sequence[str], rows: Rows) -> Iterator[str]:
    """Yield what the intervals leave out, with the marks that some of them have in their cells."""
    marks = {} if covered_alike(rows) else {"one seed": ONE_SEED, "predictions are missing": SEEDS_ALONE}
    names, alike = {row["task"] for row in rows}, defaultdict(list)
    for note in notes:
        first, _, rest = note.partition(": ")
        if first in names:
            alike[rest].append(first)
        else:
            yield f"{marks[first]} {note}" if first in marks else note
    for rest, tasks in alike.items():
        yield f"{named(tasks)}: {rest}"


def _on_seeds(rows: Rows, baseline: str) -> Iterator[str]:
    """Yield which rows have other seeds than the baseline, over which their gains are not, and which were run twice."""
    theirs = {row["task"]: row["seeds"] for row in rows if row["strategy"] == baseline}
    odd: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        usual = theirs.get(row["task"], row["seeds"])
        if row["seeds"] != usual:
            odd[row["strategy"]][row["task"]] = f"{plural(row['n_seeds'], 'seed')}, {row['n_paired']} shared"
    if odd:
        where = "; ".join(f"{strategy} on {by_value(tasks)}" for strategy, tasks in odd.items())
        yield f"other seeds than {baseline!r}, so that scores do not compare; gains are over the shared ones: {where}"
    again: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        if row["run_again"]:
            again[row["strategy"]][row["task"]] = f"seed {ranges(row['run_again'])}"
    if again:
        where = "; ".join(f"{strategy} on {by_value(tasks)}" for strategy, tasks in again.items())
        yield f"run more than once in one setting, and the run that finished last counts: {where}"


def _holes(rows: Rows, failures: Sequence[Mapping[str, Any]], baseline: str) -> Iterator[str]:
    """Yield which tasks of the baseline a strategy was not run on."""
    wanted = {row["task"] for row in rows if row["strategy"] == baseline}
    there: dict[str, set[str]] = defaultdict(set)
    for row in (*rows, *failures):
        there[row["strategy"]].add(row["task"])
    missing: dict[str, list[str]] = defaultdict(list)
    for strategy, tasks in there.items():
        if wanted - tasks:
            missing[named(wanted - tasks)].append(strategy)
    for tasks_missing, names in missing.items():
        yield f"not run on {tasks_missing}: {', '.join(sorted(names))}"
    for row in rows:
        if not row["complete"]:
            yield f"out of the averages, as a seed failed: {row['strategy']} on {row['task']}"
    alone = {row["task"] for row in rows} - wanted
    if alone and wanted:
        yield f"{NO_BASELINE} no {baseline!r} run to compare with: {named(alone)}"


def _losses(failures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    lost: dict[tuple[str, str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for failure in failures:
        lost[failure["status"], failure["strategy"], failure["reason"]][failure["task"]].append(failure["seed"])
    for (status, strategy, reason), tasks in sorted(lost.items()):
        where = by_value({task: ranges(seeds) for task, seeds in tasks.items()}, "seed {}")
        yield f"{status}: {strategy} on {where}: {reason}"


def _apart(rows: Rows) -> Iterator[str]:
    """Yield the runs of another setting than their task's main one: with what, and what they gave there."""
    settings: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if not row["main"]:
            settings[row["task"], row["setting"]].append(row)
    for own in settings.values():
        scores = ", ".join(f"{row['strategy']} {_score(row)}" for row in own)
        yield f"apart, in no average: {line_name(own[0])} with {'; '.join(own[0]['differs'])}: {scores}"


def _score(row: Mapping[str, Any]) -> str:
    gain = ""
    if row["strategy"] != row["baseline"] and has_interval(row["gain_low"], row["gain_high"]):
        low, high = (points(row[key], sign=True) for key in ("gain_low", "gain_high"))
        gain = f" ({points(row['difference'], sign=True)} [{low}, {high}])"
    return points(row["mean"]) + gain


def _on_data(rows: Rows) -> Iterator[str]:
    chosen = {row["task"]: row["selection"] for row in rows if row["optimistic"]}
    if chosen:
        yield f"{OPTIMISTIC} the student was chosen on the very rows reported, so optimistic: {by_value(chosen)}"
    if partial := {row["task"]: row["partial"] for row in rows if row["partial"]}:
        yield f"{LESS_DATA} official rows are missing, not comparable with published scores: {by_value(partial)}"
    if sampled := {row["task"]: int(row["max_train"]) for row in rows if row["max_train"] is not None}:
        yield f"{LESS_DATA} trained on a subset (max_train): {by_value(sampled, 'at most {} rows')}"


def _warnings(rows: Rows) -> Iterator[str]:
    """Yield one note per mark: what it means, and where it stands with what figures."""
    everywhere = Counter(row["strategy"] for row in rows)
    for key, (sign, meaning) in {**ON_SCORES, **ON_COSTS, **ON_TASKS, **ON_TEACHERS}.items():
        where: dict[str, dict[str, str]] = defaultdict(dict)
        for row in rows:
            if key in warned(row):
                strategy = row["strategy"] if key in {**ON_SCORES, **ON_COSTS} else ""
                where[strategy][line_name(row)] = row["warnings"][key]
        if not where:
            continue
        if key in FIGURES_APART:
            places = _counted({strategy: [*tasks] for strategy, tasks in where.items()}, everywhere)
        else:
            places = [
                f"{strategy} on {_where(tasks, everywhere.get(strategy, 0))}".removeprefix(" on ")
                for strategy, tasks in where.items()
            ]
        yield f"{sign} {meaning}: {', '.join(places)}"


def _counted(marked: Mapping[str, Sequence[str]], everywhere: Mapping[str, int]) -> list[str]:
    """Return the strategies with their marked tasks, those of several tasks by their number and alike ones together."""
    alike: dict[str, list[str]] = defaultdict(list)
    for strategy, tasks in marked.items():
        where = f"{len(tasks)} of {everywhere[strategy]} tasks" if len(tasks) > 1 else tasks[0]
        alike[where].append(strategy)
    if len(marked) > 1 and {strategy: len(tasks) for strategy, tasks in marked.items()} == everywhere:
        return ["all rows"]
    return [f"{', '.join(names)} on {where}" for where, names in alike.items()]


def _where(figures: Mapping[str, str], n_tasks: int) -> str:
    """Return tasks with their figures; of a strategy marked on each of several tasks the first and the last figure."""
    if len(figures) < max(n_tasks, 3):
        return by_value(figures)
    ends = sorted({*figures.values()}, key=lambda text: [float(n) for n in re.findall(r"\d+\.?\d*", text)])
    return f"all {n_tasks} tasks ({' to '.join(dict.fromkeys((ends[0], ends[-1])))})"


def _on_teachers(rows: Rows) -> Iterator[str]:
    teachers: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        teachers[line_name(row)].update(row["teacher_hashes"])
    if unlike := [name for name, hashes in teachers.items() if len(hashes) > 1]:
        yield f"teachers of one setting and unlike weights on {named(unlike)}: differences may be theirs"
    main = [row for row in rows if row["main"] and row["strategy"] == row["baseline"] and row["teacher"] is not None]
    if passed := [row["task"] for row in main if row["mean"] >= row["teacher"]]:
        where = f"{main[0]['baseline']!r} is at or above its teacher on {named(passed)}"
        yield f"{where}: what gains there gains by more than following it"
