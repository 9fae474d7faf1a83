"""From records to the leaderboard: means over seeds, paired differences, what may be compared."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec

from bench.data.tasks import GLUE
from bench.reporting.adversary import adversary_means
from bench.reporting.marks import constant_of, warnings
from bench.reporting.quality import quality_means
from bench.reporting.schema import DataSection, Done, Record, SkippedRun
from bench.reporting.setting import Setting, differences

if TYPE_CHECKING:
    import pandas as pd

PLAIN_KD = "none"
REFERENCE = "finetune"
TUNED = " (tuned)"

# fmt: off
COLUMNS = (
    "preset", "task", "strategy", "metric", "split", "n_seeds", "mean", "sd", "baseline",
    "baseline_mean", "difference", "n_paired", "cost_ratio", "train_seconds", "student_updates",
    "adversary_updates", "teacher", "constant", "selection", "optimistic", "partial", "max_train",
    "signature", "setting", "setting_number", "differs", "comparable", "main", "complete", "reference",
    "base", "options", "hardware", "metrics", "seeds", "ids", "scores", "text_quality", "warnings",
    "teacher_hashes", "adversary", "preset_options", "tuned", "searched",
)
# fmt: on


def task_order(task: str) -> tuple[int, str]:
    """Return the sorting key of a task: GLUE's own order, then everything else by name."""
    names = list(GLUE)
    return (names.index(task) if task in names else len(names), task)


def _usable(record: Record) -> TypeGuard[Done]:
    return isinstance(record, Done) and record.main.value is not None


def _labels(records: Sequence[Record]) -> list[str]:
    """Return each record's strategy, followed by the options that tell it from others on the same task.

    An option that a record does not have, because its strategy got it later, tells it from none. A strategy whose
    options a search chose, which differ by task, stands under the name that the search was asked for, "(tuned)".
    """
    options, names = [_options(record) for record in records], [_name(record) for record in records]
    values: dict[tuple[str, str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for record, name, own in zip(records, names, options, strict=True):
        for key, value in own.items():
            values[record.preset, name, record.task][key].add(str(value))
    varying: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (preset, name, _), seen in values.items():
        varying[preset, name] |= {key for key in seen if len(seen[key]) > 1}
    return [
        _label(name, own, varying[record.preset, name])
        for record, name, own in zip(records, names, options, strict=True)
    ]


def _name(record: Record) -> str:
    return record.strategy if record.tuned is None else record.tuned.strategy + TUNED


def _options(record: Record) -> dict[str, Any]:
    """Return a run's options, with the settings of the generator and the seed of rewriting where it had these."""
    options: dict[str, Any] = dict(record.strategy_options)
    if record.tuned is not None:
        options |= {"trials": record.tuned.trials, "search seed": record.tuned.seed}
    if isinstance(record, Done):
        generator, data = record.spec.get("generator"), record.spec.get("data")
        if record.generator and isinstance(generator, dict):
            options |= {f"generator.{key}": value for key, value in generator.items()}
        if record.cost.rewritten and isinstance(data, dict) and "rewrite_seed" in data:
            options["data.rewrite_seed"] = data["rewrite_seed"]
    return options


def _label(name: str, options: Mapping[str, Any], keys: Iterable[str]) -> str:
    extra = ",".join(f"{key}={options[key]}" for key in sorted(keys) if key in options)
    if not extra:
        return name
    plain, tuned = name.removesuffix(TUNED), TUNED if name.endswith(TUNED) else ""
    return (f"{plain[:-1]},{extra}]" if plain.endswith("]") else f"{plain}[{extra}]") + tuned


def leaderboard(records: Iterable[Record], baseline: str = PLAIN_KD) -> pd.DataFrame:
    """Return one row for each (preset, task, strategy with its options, setting) that has a score.

    A ``setting`` stands for everything in ``Setting``; nothing is pooled over settings. A row is
    ``comparable`` if ``baseline`` has a row of the same task and setting. ``mean`` and ``sd`` (ddof 1;
    null for one seed) are over seeds, as fractions; ``difference`` is over the ``n_paired`` seeds that
    the row and its baseline share, and ``baseline_mean`` is the baseline's mean over these; both are null
    where the two may not be compared. ``cost_ratio`` is the mean training time over that of plain
    distillation in the same setting and with the same seeds. Where one seed was run twice, the run that finished
    last counts. ``main`` marks the one setting of each task that averages are made of, number 1; ``differs`` says in
    words what the others have and it has not. ``complete`` marks the rows without a failed seed. ``text_quality``
    holds means of what the strategy did to the texts, null where it makes none; ``adversary`` of what an adversary
    that learns was worth; ``warnings`` what makes the score
    mean less than it seems. Runs without a score are in ``failures``.
    """
    import pandas as pd

    records = list(records)
    labels = _labels(records)
    groups: dict[tuple[str, str, str, str], dict[int, Done]] = defaultdict(dict)
    short: dict[Setting, str] = {}  # 10,000 runs have a handful of settings
    failed: dict[tuple[str, str, str, str], set[int]] = defaultdict(set)
    for record, label in zip(records, labels, strict=True):
        if not _usable(record):
            if not isinstance(record, SkippedRun):
                failed[record.preset, record.task, label, record.signature].add(record.seed)
            continue
        setting = Setting.of(record)
        if setting not in short:
            short[setting] = setting.short()
        seeds = groups[record.preset, record.task, label, short[setting]]
        twin = seeds.get(record.seed)
        if twin is None or (twin.provenance.finished or "") <= (record.provenance.finished or ""):
            seeds[record.seed] = record
    rows = []
    samples: dict[tuple[str, str, str], Done] = {}
    for (preset, task, label, hashed), by_seed in groups.items():
        against = groups.get((preset, task, baseline, hashed), {})
        plain = groups.get((preset, task, PLAIN_KD, hashed), {})
        row = _row(by_seed, against, plain)
        samples.setdefault((preset, task, hashed), next(iter(by_seed.values())))
        lost = failed.get((preset, task, label, row["signature"]), set())
        row |= {"preset": preset, "task": task, "strategy": label, "baseline": baseline, "setting": hashed}
        row |= {"comparable": bool(against), "complete": lost <= by_seed.keys(), "reference": row["base"] == REFERENCE}
        rows.append(row)
    _number_settings(rows, samples)
    rows.sort(key=lambda row: (row["preset"], task_order(row["task"]), row["setting_number"], row["strategy"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of those that are there, or None."""
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None


def _scores(by_seed: Mapping[int, Done]) -> dict[int, float]:
    return {seed: run.main.value for seed, run in sorted(by_seed.items()) if run.main.value is not None}


def _row(by_seed: Mapping[int, Done], against: Mapping[int, Done], plain: Mapping[int, Done]) -> dict[str, Any]:
    """Return the figures of one group of runs, which differ in nothing but the seed."""
    scores, theirs = _scores(by_seed), _scores(against)
    shared = [seed for seed in scores if seed in theirs]
    runs, first = list(by_seed.values()), next(iter(by_seed.values()))
    seconds = {seed: run.cost.train_seconds for seed, run in by_seed.items()}
    timed = seconds.keys() & plain.keys()
    plain_seconds = sum(plain[seed].cost.train_seconds for seed in timed)
    quality, adversary = quality_means(runs), adversary_means(runs)
    return {
        "metric": first.main.metric,
        "split": first.main.split,
        "n_seeds": len(scores),
        "mean": statistics.fmean(scores.values()),
        "sd": statistics.stdev(scores.values()) if len(scores) > 1 else None,
        "baseline_mean": _mean(theirs[seed] for seed in shared),
        "difference": _mean(scores[seed] - theirs[seed] for seed in shared),
        "n_paired": len(shared),
        "cost_ratio": sum(seconds[seed] for seed in timed) / plain_seconds if plain_seconds else None,
        "train_seconds": statistics.fmean(seconds.values()),
        "student_updates": first.cost.student_updates,
        "adversary_updates": statistics.fmean(run.cost.adversary_updates for run in runs),
        "teacher": _mean(run.teacher.dev for run in runs if run.teacher),
        "constant": _mean(map(constant_of, runs)),
        "selection": first.selection.rule,
        "optimistic": first.selection.optimistic,
        "partial": _partial(first.data),
        "max_train": first.data.max_train,
        "signature": first.signature,
        "base": first.strategy.partition("[")[0],
        "options": first.strategy_options,
        "hardware": tuple(sorted({str(run.provenance.hardware) for run in runs})),
        "metrics": _metric_means(runs),
        "seeds": tuple(scores),
        "ids": tuple(by_seed[seed].id for seed in scores),
        "scores": tuple(scores.values()),
        "text_quality": quality,
        "adversary": adversary,
        "preset_options": _preset_options(first),
        "warnings": warnings(runs, quality, adversary),
        "tuned": None if first.tuned is None else {"chosen": first.strategy, **msgspec.to_builtins(first.tuned)},
        "searched": first.searched,
        "teacher_hashes": tuple(sorted({run.teacher.hash for run in runs if run.teacher})),
    }


def _preset_options(run: Done) -> dict[str, Any]:
    """Return {strategy: options} of what the preset gave to the strategies of ``run`` in the place of defaults."""
    given, names = run.spec.get("strategies"), re.split(r"[+()\[\]]", run.strategy)
    return {name: options for name, options in given.items() if name in names} if isinstance(given, dict) else {}


def _partial(data: DataSection) -> str | None:
    """Return ``"dev 7600 of 40430"`` and the like for splits that lack official rows, or None."""
    sampled = {"train"} if data.rows.get("train") == data.max_train else set()
    short = [
        f"{split} {rows} of {data.official[split]}"
        for split, rows in data.rows.items()
        if rows != data.official.get(split, rows) and split not in sampled
    ]
    return ", ".join(short) or None


def _metric_means(runs: Sequence[Done]) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for split, scores in run.metrics.items():
            for metric, value in scores.items():
                if value is not None:
                    values[f"{split}.{metric}"].append(value)
    return {name: statistics.fmean(v) for name, v in values.items() if len(v) == len(runs)}


def _number_settings(rows: list[dict[str, Any]], samples: Mapping[tuple[str, str, str], Done]) -> None:
    """Number each task's settings, the main one first: one with a baseline before one without, then by rows."""
    settings: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        settings[row["preset"], row["task"]][row["setting"]].append(row)
    for (preset, task), by_setting in settings.items():
        ranked = sorted(
            by_setting.items(),
            key=lambda item: (
                any(row["comparable"] for row in item[1]),
                len(item[1]),
                sum(row["n_seeds"] for row in item[1]),
                item[0],
            ),
            reverse=True,
        )
        main = samples[preset, task, ranked[0][0]]
        for number, (setting, group) in enumerate(ranked, 1):
            differs = differences(samples[preset, task, setting], main)
            for row in group:
                row |= {"main": number == 1, "setting_number": number, "differs": differs}


def failures(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return the runs that gave no score: preset, task, strategy, seed, status and reason."""
    records = list(records)
    return [
        {
            "preset": record.preset,
            "task": record.task,
            "strategy": label,
            "seed": record.seed,
            "tuned": record.tuned is not None,
            "status": "skipped" if isinstance(record, SkippedRun) else "failed",
            "reason": "the score is not a finite number"
            if isinstance(record, Done)
            else record.reason or "no reason recorded",
        }
        for record, label in zip(records, _labels(records), strict=True)
        if not _usable(record)
    ]
