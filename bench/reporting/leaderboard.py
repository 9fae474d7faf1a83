"""From records to the leaderboard: means over seeds, paired differences, averages, what may be compared."""

from __future__ import annotations

import hashlib
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from bench.data.tasks import GLUE
from bench.reporting.quality import quality_means
from bench.reporting.schema import Data, Done, Record, Skipped

if TYPE_CHECKING:
    import pandas as pd

PLAIN_KD = "none"
REFERENCE = "finetune"
WITH_WNLI, WITHOUT_WNLI = "average", "average without WNLI"

# fmt: off
COLUMNS = (
    "preset", "task", "strategy", "metric", "split", "n_seeds", "mean", "sd", "baseline",
    "baseline_mean", "difference", "n_paired", "cost_ratio", "train_seconds", "student_updates",
    "adversary_updates", "teacher", "majority", "selection", "optimistic", "partial", "max_train",
    "signature", "setting", "comparable", "main", "complete", "reference", "base", "options",
    "hardware", "metrics", "seeds", "scores", "text_quality",
)
AVERAGE_COLUMNS = (
    "preset", "average", "strategy", "baseline", "n_tasks", "n_seeds", "mean", "sd", "difference",
    "cost_ratio", "same_tasks", "tasks", "missing", "extra",
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

    An option that a record does not have, because its strategy got it later, tells it from none.
    """
    options = [_options(record) for record in records]
    values: dict[tuple[str, str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for record, own in zip(records, options, strict=True):
        for key, value in own.items():
            values[record.preset, record.strategy, record.task][key].add(str(value))
    varying: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (preset, strategy, _), seen in values.items():
        varying[preset, strategy] |= {key for key in seen if len(seen[key]) > 1}
    return [
        _label(record.strategy, own, varying[record.preset, record.strategy])
        for record, own in zip(records, options, strict=True)
    ]


def _options(record: Record) -> dict[str, Any]:
    """Return a run's options, with the settings of the generator where it trained one."""
    generator = record.spec.get("generator") if isinstance(record, Done) and record.generator else None
    settings = generator if isinstance(generator, dict) else {}
    return record.strategy_options | {f"generator.{key}": value for key, value in settings.items()}


def _label(name: str, options: Mapping[str, Any], keys: Iterable[str]) -> str:
    extra = ",".join(f"{key}={options[key]}" for key in sorted(keys) if key in options)
    if not extra:
        return name
    return f"{name[:-1]},{extra}]" if name.endswith("]") else f"{name}[{extra}]"


class Setting(NamedTuple):
    """All that must be equal for two rows of one task to be compared."""

    signature: str
    student_updates: int
    selection: str
    optimistic: bool
    split: str
    metric: str
    max_train: int | None

    @classmethod
    def of(cls, record: Done) -> Setting:
        """Return the setting a run was made in."""
        return cls(
            record.signature,
            record.cost.student_updates,
            record.selection.rule,
            record.selection.optimistic,
            record.main.split,
            record.main.metric,
            record.data.max_train,
        )

    def parts(self) -> dict[str, str]:
        """Return the setting as {name: value}, the signature taken apart at its bars."""
        pieces = (piece.partition("=") for piece in self.signature.split("|"))
        return {key: value for key, _, value in pieces} | {
            "student_updates": str(self.student_updates),
            "selection": self.selection + (" (optimistic)" if self.optimistic else ""),
            "score": f"{self.split} {self.metric}",
            "max_train": str(self.max_train),
        }

    def short(self) -> str:
        """Return eight hex digits that stand for the setting."""
        return hashlib.sha256(repr(tuple(self)).encode()).hexdigest()[:8]


def leaderboard(records: Iterable[Record], baseline: str = PLAIN_KD) -> pd.DataFrame:
    """Return one row for each (preset, task, strategy with its options, setting) that has a score.

    A ``setting`` stands for everything in ``Setting``; nothing is pooled over settings. A row is
    ``comparable`` if ``baseline`` has a row of the same task and setting. ``mean`` and ``sd`` (ddof 1;
    null for one seed) are over seeds, as fractions; ``difference`` is over the ``n_paired`` seeds that
    the row and its baseline share, and ``baseline_mean`` is the baseline's mean over these; both are null
    where the two may not be compared. ``cost_ratio`` is the mean training time over that of plain
    distillation in the same setting. Where one seed was run twice, the run that finished last counts.
    ``main`` marks the one setting of each task that averages are made of; ``complete`` the rows without a
    failed seed. ``text_quality`` holds means of what the strategy did to the texts, null where it makes none.
    Runs without a score are in ``failures``.
    """
    import pandas as pd

    records = list(records)
    labels = _labels(records)
    groups: dict[tuple[str, str, str, str], dict[int, Done]] = defaultdict(dict)
    short: dict[Setting, str] = {}  # 10,000 runs have a handful of settings
    failed: dict[tuple[str, str, str, str], set[int]] = defaultdict(set)
    for record, label in zip(records, labels, strict=True):
        if not _usable(record):
            if not isinstance(record, Skipped):
                failed[record.preset, record.task, label, record.signature].add(record.seed)
            continue
        made_in = Setting.of(record)
        if made_in not in short:
            short[made_in] = made_in.short()
        seeds = groups[record.preset, record.task, label, short[made_in]]
        twin = seeds.get(record.seed)
        if twin is None or _finished(twin) <= _finished(record):
            seeds[record.seed] = record
    rows = []
    for (preset, task, label, setting), by_seed in groups.items():
        against = groups.get((preset, task, baseline, setting), {})
        plain = groups.get((preset, task, PLAIN_KD, setting), {})
        row = _row(by_seed, against, plain)
        lost = failed.get((preset, task, label, row["signature"]), set())
        rows.append(
            row
            | {
                "preset": preset,
                "task": task,
                "strategy": label,
                "baseline": baseline,
                "setting": setting,
                "comparable": bool(against),
                "complete": lost <= by_seed.keys(),
                "reference": row["base"] == REFERENCE,
            }
        )
    _choose_main(rows)
    rows.sort(
        key=lambda row: (
            row["preset"],
            task_order(row["task"]),
            not row["main"],
            row["setting"],
            row["strategy"],
        )
    )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _finished(record: Done) -> str:
    return record.provenance.finished or ""


def _scores(by_seed: Mapping[int, Done]) -> dict[int, float]:
    return {seed: run.main.value for seed, run in sorted(by_seed.items()) if run.main.value is not None}


def _seconds(by_seed: Mapping[int, Done]) -> float:
    return statistics.fmean(record.cost.train_seconds for record in by_seed.values())


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _row(by_seed: Mapping[int, Done], against: Mapping[int, Done], plain: Mapping[int, Done]) -> dict[str, Any]:
    """Return the figures of one group of runs, which differ in nothing but the seed."""
    scores, theirs = _scores(by_seed), _scores(against)
    shared = sorted(scores.keys() & theirs.keys())
    runs = list(by_seed.values())
    first = runs[0]
    base_mean = statistics.fmean(theirs[seed] for seed in shared) if shared else None
    own_mean = statistics.fmean(scores[seed] for seed in shared) if shared else None
    plain_seconds = _seconds(plain) if plain else 0.0
    teachers = [run.teacher for run in runs if run.teacher]
    return {
        "metric": first.main.metric,
        "split": first.main.split,
        "n_seeds": len(scores),
        "mean": statistics.fmean(scores.values()),
        "sd": statistics.stdev(scores.values()) if len(scores) > 1 else None,
        "baseline_mean": base_mean,
        "difference": own_mean - base_mean if own_mean is not None and base_mean is not None else None,
        "n_paired": len(shared),
        "cost_ratio": _seconds(by_seed) / plain_seconds if plain_seconds > 0 else None,
        "train_seconds": _seconds(by_seed),
        "student_updates": first.cost.student_updates,
        "adversary_updates": statistics.fmean(run.cost.adversary_updates for run in runs),
        "teacher": _mean_known(teacher.dev for teacher in teachers),
        "majority": _mean_known(teacher.majority for teacher in teachers),
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
        "scores": tuple(scores.values()),
        "text_quality": quality_means(runs),
    }


def _partial(data: Data) -> str | None:
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


def _choose_main(rows: list[dict[str, Any]]) -> None:
    """Mark each task's main setting: one with a baseline before one without, then the one with most rows."""
    settings: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        settings[row["preset"], row["task"]][row["setting"]].append(row)
    for by_setting in settings.values():
        best = max(
            by_setting,
            key=lambda s: (
                any(row["comparable"] for row in by_setting[s]),
                len(by_setting[s]),
                sum(row["n_seeds"] for row in by_setting[s]),
                s,
            ),
        )
        for setting, group in by_setting.items():
            for row in group:
                row["main"] = setting == best


def averages(frame: pd.DataFrame) -> pd.DataFrame:
    """Return averages over tasks with and without WNLI, one row a (preset, average, strategy).

    They are over the tasks whose main setting the strategy has without a failed seed. ``same_tasks`` says
    whether these are the baseline's own (without a baseline: the largest set); only then are two averages
    comparable, and only then is there a ``difference``; ``missing`` and ``extra`` say how they differ.
    ``sd`` is of the seeds' own averages, where all tasks have the same two or more seeds.
    """
    import pandas as pd

    rows = []
    whole = frame[frame["main"].astype(bool) & frame["complete"].astype(bool)]
    for preset, of_preset in whole.groupby("preset", sort=True):
        kinds = [WITH_WNLI, WITHOUT_WNLI] if "wnli" in set(of_preset["task"]) else [WITHOUT_WNLI]
        for kind in kinds:
            chosen = of_preset if kind == WITH_WNLI else of_preset[of_preset["task"] != "wnli"]
            sets = {strategy: group.to_dict("records") for strategy, group in chosen.groupby("strategy", sort=True)}
            if not sets:
                continue
            baseline = str(frame["baseline"].iloc[0])
            yardstick = sets.get(baseline) or max(sets.values(), key=len)
            tasks = [row["task"] for row in yardstick]
            for strategy, group in sets.items():
                own = [row["task"] for row in group]
                same = own == tasks
                differences = [row["difference"] for row in group]
                paired = same and not any(pd.isna(d) for d in differences)
                ratios = [row["cost_ratio"] for row in group]
                rows.append(
                    {
                        "preset": preset,
                        "average": kind,
                        "strategy": strategy,
                        "baseline": baseline,
                        "n_tasks": len(group),
                        "n_seeds": min(row["n_seeds"] for row in group),
                        "mean": statistics.fmean(row["mean"] for row in group),
                        "sd": _sd_of_averages(group),
                        "difference": statistics.fmean(differences) if paired else None,
                        "cost_ratio": None if any(pd.isna(r) for r in ratios) else statistics.fmean(ratios),
                        "same_tasks": same,
                        "tasks": tuple(own),
                        "missing": tuple(task for task in tasks if task not in own),
                        "extra": tuple(task for task in own if task not in tasks),
                    }
                )
    return pd.DataFrame(rows, columns=list(AVERAGE_COLUMNS))


def _sd_of_averages(group: Sequence[Mapping[str, Any]]) -> float | None:
    seeds = group[0]["seeds"]
    if len(seeds) < 2 or any(row["seeds"] != seeds for row in group):
        return None
    return statistics.stdev(statistics.fmean(scores) for scores in zip(*(row["scores"] for row in group), strict=True))


def failures(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return the runs that gave no score: preset, task, strategy, seed, status and reason."""
    records = list(records)
    return [
        {
            "preset": record.preset,
            "task": record.task,
            "strategy": label,
            "seed": record.seed,
            "status": "skipped" if isinstance(record, Skipped) else "failed",
            "reason": "the score is not a finite number"
            if isinstance(record, Done)
            else record.reason or "no reason recorded",
        }
        for record, label in zip(records, _labels(records), strict=True)
        if not _usable(record)
    ]
