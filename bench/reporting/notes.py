"""What must stand under a leaderboard: how its numbers came about, and what they are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from bench.reporting.averages import ALL_TASKS, WITHOUT_WNLI
from bench.reporting.leaderboard import PLAIN_KD, REFERENCE, task_order
from bench.reporting.marks import ON_COSTS, ON_SCORES, ON_TASKS, ON_TEACHERS

OPTIMISTIC, NOT_COMPARABLE, OTHER_TASKS, OTHER_SEEDS, LESS_DATA, ONE_SEED = "*", "†", "‡", "~", "§", "?"
AVERAGE_LABELS = {ALL_TASKS: "average", WITHOUT_WNLI: "avg, no WNLI"}
SMOKE_RUN, SMOKE_NOTE = "quick", "a smoke run: it shows that all works; its scores say nothing of strategies"
SECOND_DEVS = {
    "dev_mismatched": ("mm", "MNLI's mismatched dev set"),
    "shifted": ("shifted", "dev rows with more of the words that are rare in training"),
}
"""Splits beside dev that are shown and are in no average: what their lines are called, and what they are."""


def line_name(row: dict[str, Any]) -> str:
    """Return what the table calls the line of a row: its task, and the setting's number where that is not the main."""
    return row["task"] if row["main"] else f"{row['task']} [{row['setting_number']}]"


def column_order(rows: list[dict[str, Any]], averages: list[dict[str, Any]]) -> list[str]:
    """Return the strategies in order: baseline, reference, then by average gain, then those without one.

    A gain is over the seeds that a strategy shares with the baseline, so that no lucky seed moves it up. Where
    nothing was run with the baseline, means count.
    """
    baseline = rows[0]["baseline"] if rows else PLAIN_KD
    last = {average["strategy"]: average for average in averages if average["same_tasks"]}
    figure = "difference" if any(row["comparable"] for row in rows) else "mean"
    rank = {s: -average[figure] for s, average in last.items() if average[figure] is not None}
    bases = {row["strategy"]: row["base"] for row in rows}
    return sorted(bases, key=lambda s: (s != baseline, bases[s] != REFERENCE, rank.get(s, 1.0), s))


def notes(rows: list[dict[str, Any]], averages: list[dict[str, Any]], failures: list[dict[str, Any]]) -> list[str]:
    """Return what must stand under one preset's table: how its numbers came about, and what they are not."""
    lines = []
    if rows:
        lines = [SMOKE_NOTE] if rows[0]["preset"] == SMOKE_RUN else []
        lines += [
            *_notes_on_scores(rows),
            *_warnings(rows),
            *_notes_on_settings(rows),
            *_notes_on_averages(averages),
        ]
    lost: dict[tuple[str, str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for failure in failures:
        lost[failure["status"], failure["strategy"], failure["reason"]][failure["task"]].append(failure["seed"])
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
    strategies, seeds = column_order(rows, []), [row["n_seeds"] for row in rows]
    differences = f"; no differences, as nothing was run with {baseline!r}"
    if any(row["comparable"] for row in rows):
        differences = f", then the difference to {baseline!r} over the seeds that both have"
    lines = [
        f"scores: points of 100, mean ± sd over seeds{differences}",
        "metric: " + _by_value({line_name(row): row["metric"] for row in rows}),
    ]
    usual = max(seeds, key=seeds.count)
    odd = {
        name: {line_name(r): r["n_seeds"] for r in rows if r["strategy"] == name and r["n_seeds"] != usual}
        for name in strategies
    }
    but = "; ".join(f"{strategy} on {_by_value(counts)}" for strategy, counts in odd.items() if counts)
    lines.append(f"seeds: {usual}" + (f", but {but}" if but else ""))
    if apart := {row["task"] for row in rows if row["comparable"] and row["n_paired"] == 0}:
        lines.append(f"no difference on {', '.join(sorted(apart))} where no seed is shared with {baseline!r}")
    if any(row["n_paired"] == 1 and row["strategy"] != baseline for row in rows):
        lines.append(f"{ONE_SEED} a difference from one seed: an anecdote; give more, --seeds 5")
    for split, (suffix, what) in SECOND_DEVS.items():
        tasks = {row["task"]: None for row in rows if f"{split}.{row['metric']}" in row["metrics"]}
        if tasks:
            name = f"{next(iter(tasks))}-{suffix}" if len(tasks) == 1 else f"…-{suffix}"
            lines.append(f"{name}: {what}, in no average")
    for name in strategies:
        options = [row["options"] for row in rows if row["strategy"] == name]
        # Options that a strategy has got since some of the runs are no difference.
        shared = set.intersection(*map(set, options))
        if any(one[key] != options[0][key] for one in options for key in shared):
            lines.append(f"{name}: its options are not the same on every task")
    for strategy, text in sorted({(s, _options(o)) for row in rows for s, o in row["preset_options"].items()}):
        lines.append(f"{strategy}: this preset's setting, {text}; its record holds what took effect")
    if any(row["reference"] for row in rows):
        lines.append(f"{REFERENCE}: the student without a teacher, a reference and not a strategy")
    return lines


def _options(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items()))


def _notes_on_settings(rows: list[dict[str, Any]]) -> list[str]:
    main = {row["task"]: row for row in rows if row["main"]}
    plain = sorted({row["selection"] for row in rows if not row["optimistic"]})
    optimistic = sorted({row["selection"] for row in rows if row["optimistic"]})
    lines = []
    if plain:
        lines.append(f"selection: {', '.join(plain)}")
    if optimistic:
        lines.append(f"{OPTIMISTIC} selection {', '.join(optimistic)}: chosen on the very data reported, so optimistic")
    for row in {(row["task"], row["partial"]): row for row in rows if row["partial"]}.values():
        lines.append(f"{LESS_DATA} {row['task']}: {row['partial']} official rows; not comparable with published scores")
    if sampled := {row["task"]: row["max_train"] for row in rows if row["max_train"] is not None}:
        lines.append(f"{LESS_DATA} trained on a subset (max_train): {_by_value(sampled, 'at most {} rows')}")
    if updates := {line_name(row): row["student_updates"] for row in rows if "budget" not in row["warnings"]}:
        lines.append("student updates, the same for every strategy: " + _by_value(updates))
    if main:
        lines.append("signature: " + ", ".join(f"{task} {row['setting']}" for task, row in main.items()))
    others = {(row["task"], row["setting"]): row for row in rows if not row["main"]}
    for row in others.values():
        mark = "" if row["comparable"] else f"{NOT_COMPARABLE} "
        words = "; ".join(row["differs"])
        lines.append(f"{mark}{line_name(row)}, signature {row['setting']}: in no average; it has {words}")
    alone = [t for t, r in main.items() if not r["comparable"]]
    if alone and len(alone) < len(main):
        lines.append(f"{NOT_COMPARABLE} {', '.join(alone)}: no {rows[0]['baseline']!r} run to compare with")
    teachers: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        teachers[line_name(row)].update(row["teacher_hashes"])
    if unlike := [name for name, hashes in teachers.items() if len(hashes) > 1]:
        lines.append(f"teachers of one setting and unlike weights on {', '.join(unlike)}: differences may be theirs")
    hardware = sorted({name for row in rows for name in row["hardware"]})
    unlike_machines = f"; seconds come from unlike machines: {'; '.join(hardware)}" if len(hardware) > 1 else ""
    lines.append(f"cost: training seconds over those of {PLAIN_KD!r}, mean over tasks{unlike_machines}")
    return lines


def _warnings(rows: list[dict[str, Any]]) -> list[str]:
    """Return one note per mark: what it means, and where it stands with what figures."""
    lines = []
    for key, (sign, meaning) in {**ON_SCORES, **ON_COSTS, **ON_TASKS, **ON_TEACHERS}.items():
        where: dict[str, dict[str, str]] = defaultdict(dict)
        for row in rows:
            if key in row["warnings"]:
                where[row["strategy"] if key in {**ON_SCORES, **ON_COSTS} else ""][line_name(row)] = row["warnings"][
                    key
                ]
        places = [f"{strategy} on {_by_value(tasks)}".removeprefix(" on ") for strategy, tasks in where.items()]
        if places:
            lines.append(f"{sign} {meaning}: {', '.join(places)}")
    return lines


def _notes_on_averages(averages: list[dict[str, Any]]) -> list[str]:
    lines = []
    odd: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind, label in AVERAGE_LABELS.items():
        of_kind = [a for a in averages if a["average"] == kind]
        if of_kind:
            usual = {*of_kind[0]["tasks"], *of_kind[0]["missing"]} - {*of_kind[0]["extra"]}
            if len(usual) > 1:
                lines.append(f"{label}: {len(usual)} tasks, {', '.join(sorted(usual, key=task_order))}")
        for a in of_kind:
            tasks = (("without", a["missing"]), ("with", a["extra"]))
            words = [f"{word} {', '.join(names)}" for word, names in tasks if names]
            if words:
                odd[f"{OTHER_TASKS} {a['strategy']}", " and ".join(words)].append(label)
            if not a["same_seeds"]:
                odd[f"{OTHER_SEEDS} {a['strategy']}", f"over other seeds than {a['baseline']!r}"].append(label)
    for (strategy, what), labels in odd.items():
        which = " and ".join(map(repr, labels))
        lines.append(f"{strategy}: {which} {what}: not comparable with the others")
    return lines
