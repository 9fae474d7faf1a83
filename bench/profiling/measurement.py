"""Where the time of a strategy goes: its updates timed by phase, beside plain KD and the plain reference."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from bench.cost import Reference, peak_memory_mb
from bench.data.encode import Encoded
from bench.distill.feed import batch_order
from bench.models.masked_lm import ordinary_tokens
from bench.models.reshape import recompute_activations
from bench.profiling.operations import counted, matmul_peak, necessary_generator_step, necessary_student_step
from bench.profiling.timing import Phases, TimedUpdates
from bench.settings import Recipe
from bench.spec import StrategySpec
from bench.strategy import Models, adversary_updates

# Student updates whose cost, with the adversary's between them, is that of a cycle: MATE-KD's published number.
_CYCLE = 100


def profile(
    spec: StrategySpec,
    models: Models,
    train: Encoded,
    recipe: Recipe,
    *,
    max_length: int,
    student_steps: int = 6,
    adversary_steps: int = 2,
    reference_steps: int = 2,
) -> dict[str, Any]:
    """Return what ``bench profile`` prints, measured in one run on batches of ``train``.

    ``models`` are not changed. First comes the updates' peak memory, on the epoch's largest batch, before anything
    else is there; then their operations are counted. Then plain KD, the strategy and (for mate-kd) the plain
    reference, which pads to ``max_length`` as the authors do, take turns, so that a machine whose speed drifts
    treats them alike. The batches stand for an epoch: they are spread evenly over its batches in order of size.
    Of strategies that rewrite texts offline, an update on rewrites that are there already is timed.
    """
    device = models.accelerator.device
    logits = np.zeros((len(train), models.task.n_outputs), dtype=np.float32)
    subject = TimedUpdates(spec, models, train, recipe, logits)
    order, period = batch_order(train.lengths, recipe, seed=0), subject.cost_model.period
    epoch = [order[i] for i in range(order.per_epoch)]
    student_rows = _spread(epoch, train.lengths, -(-student_steps // period) * period)
    adversary_rows = _spread(epoch, train.lengths, adversary_steps) if subject.has_adversary else []

    memory = _peak_memory(subject, epoch, bool(adversary_rows))
    operations = _operations(subject, student_rows, adversary_rows)
    times = _timed(subject, models, student_rows, adversary_rows, reference_steps, max_length)

    tokens, examples = float(train.lengths[np.concatenate(student_rows)].sum()), sum(map(len, student_rows))
    padded = sum(len(rows) * int(train.lengths[rows].max()) for rows in epoch)
    step, step_kd, step_adversary = _mean(times.student), _mean(times.kd), _mean(times.adversary)
    assert step is not None
    assert step_kd is not None
    peak = _peak(models, round(padded / len(epoch)), recipe)
    adversary_per_cycle = adversary_updates(spec.create(), _CYCLE)

    def cycle(student: float, adversary: float | None) -> float:
        return _CYCLE * student + adversary_per_cycle * (adversary or 0.0)

    ours = cycle(step, step_adversary)
    their_step = _mean(times.their_student)
    asked = subject.models.cost.backwards["student"] if "teacher" in subject.strategy.needs else 0
    adversary_rate = (operations["operations_adversary_step"] or 0.0) / step_adversary if step_adversary else None
    return {
        "strategy": str(spec),
        "task": models.task.name,
        "batch_size": recipe.batch_size,
        "batch_tokens": recipe.batch_tokens,
        "precision": recipe.precision,
        "attention": models.student.config._attn_implementation,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "student_updates_timed": len(student_rows),
        "adversary_updates_timed": len(adversary_rows),
        "student_updates_per_cycle": _CYCLE,
        "adversary_updates_per_cycle": adversary_per_cycle,
        "seconds_student_step": step,
        "seconds_adversary_step": step_adversary,
        "seconds_kd_step": step_kd,
        "seconds_cycle": ours,
        "samples_per_second": examples / sum(times.student),
        "tokens_per_second": tokens / sum(times.student),
        "phases_student": {k: v / len(student_rows) for k, v in times.phases["student"].items()},
        "phases_adversary": {k: v / len(adversary_rows) for k, v in times.phases["adversary"].items()},
        **operations,
        "matmul_peak": peak,
        "peak_fraction": operations["operations_student_step"] / step / peak,
        "peak_fraction_adversary": adversary_rate and adversary_rate / peak,
        "cost_over_kd": step / step_kd,
        "cycle_cost_over_kd": ours / (_CYCLE * step_kd),
        "speedup_over_reference": their_step and cycle(their_step, _mean(times.their_adversary)) / ours,
        "seconds_reference_student_step": their_step,
        "seconds_reference_adversary_step": _mean(times.their_adversary),
        "reference_pads_to": max_length,
        "padding_share": 1 - float(train.lengths.sum()) / padded,
        "data_share": times.phases["student"]["data"] / sum(times.student),
        "teacher_cache_hits": 1 - times.answered / asked if asked else None,
        "peak_memory_gb": memory.get("gpu", memory["process"]) / 1024,
    }


@dataclass
class _Times:
    """Seconds of every update timed, ours by phase, and how many rows the teacher was run on for the student's."""

    student: list[float] = field(default_factory=list)
    adversary: list[float] = field(default_factory=list)
    kd: list[float] = field(default_factory=list)
    their_student: list[float] = field(default_factory=list)
    their_adversary: list[float] = field(default_factory=list)
    phases: dict[str, Counter[str]] = field(default_factory=lambda: {"student": Counter(), "adversary": Counter()})
    answered: int = 0

    def took(self, kind: Literal["student", "adversary"], seconds: float, phases: Counter[str]) -> None:
        getattr(self, kind).append(seconds)
        self.phases[kind] += phases


def _peak_memory(subject: TimedUpdates, epoch: Sequence[np.ndarray], has_adversary: bool) -> dict[str, int]:
    """Return the peak memory of an update of each kind on the largest batch of ``epoch``, before anything else."""
    largest = max(epoch, key=lambda rows: len(rows) * subject.train.lengths[rows].max())
    # Optimisers have their state from their first step on, which is made on next to nothing.
    for rows in (largest[:2], largest):
        if len(rows) == len(largest):
            subject.models.cost.forget_peak()
        subject.student(rows)
        if has_adversary:
            subject.adversary(rows)
    return peak_memory_mb()


def _timed(
    subject: TimedUpdates,
    models: Models,
    student_rows: Sequence[np.ndarray],
    adversary_rows: Sequence[np.ndarray],
    reference_steps: int,
    max_length: int,
) -> _Times:
    """Return the seconds of updates of plain KD, the strategy and its plain reference, which take turns."""
    recipe, cost = subject.recipe, subject.models.cost
    plain = TimedUpdates(StrategySpec("none"), models, subject.train, recipe, subject.logits)
    for rows in student_rows if recipe.compile else student_rows[:1]:
        plain.student(rows)
    if recipe.compile:
        # Operations were counted without what is compiled, which is made here.
        for rows in student_rows:
            subject.student(rows)
        for rows in adversary_rows:
            subject.adversary(rows)
    make_reference = subject.cost_model.reference if reference_steps else None
    reference = None if make_reference is None else make_reference(models)
    times = _Times()
    cost.student_updates, cost.forwards, cost.backwards = 0, Counter(), Counter()
    for number in range(max(len(student_rows), len(adversary_rows))):
        if number < len(student_rows):
            rows = student_rows[number]
            times.kd.append(plain.seconds(plain.student, rows)[0])
            before = cost.forwards["teacher"]
            times.took("student", *subject.seconds(subject.student, rows))
            times.answered += cost.forwards["teacher"] - before
            if reference is not None and number < reference_steps:
                times.their_student.append(_reference_seconds(subject, reference, rows, "student", max_length))
        if number < len(adversary_rows):
            rows = adversary_rows[number]
            times.took("adversary", *subject.seconds(subject.adversary, rows))
            if reference is not None and number < reference_steps:
                times.their_adversary.append(_reference_seconds(subject, reference, rows, "adversary", max_length))
    if models.teacher is not None:
        recompute_activations(models.teacher, False)
    return times


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _spread(epoch: Sequence[np.ndarray], lengths: np.ndarray, number: int) -> list[np.ndarray]:
    """Return ``number`` batches of ``epoch`` at even distances in the order of their size, shuffled."""
    by_size = sorted(epoch, key=lambda rows: len(rows) * lengths[rows].max())
    places = ((np.arange(number) + 0.5) / number * len(by_size)).astype(int)
    return [by_size[i] for i in np.random.default_rng(0).permutation(places)]


def _peak(models: Models, pieces: int, recipe: Recipe) -> float:
    """Return the rate of the fastest of the products that make up most of an update: each model's feed-forward."""
    dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
    # The student reads clean and perturbed rows at once.
    rows = {"student": 2 * pieces, "teacher": pieces}
    shapes = {(n, model.config.hidden_size) for role, n in rows.items() if (model := getattr(models, role)) is not None}
    return max(matmul_peak(n, width, 4 * width, models.accelerator.device, dtype) for n, width in sorted(shapes))


def _operations(
    subject: TimedUpdates, student_rows: Sequence[np.ndarray], adversary_rows: Sequence[np.ndarray]
) -> dict[str, Any]:
    """Count the operations of the updates, and say how many they needed; both a mean over updates."""
    models, cost = subject.models, subject.models.cost
    work_of = subject.cost_model.work
    done, need = {"student": 0.0, "adversary": 0.0}, {"student": 0.0, "adversary": 0.0}

    def masked(rows: np.ndarray, share: float) -> float:
        inputs = subject.train.inputs(rows)
        return share * float(ordinary_tokens(inputs, models.tokenizer).sum())

    cost.student_updates = 0
    with torch.compiler.set_stance("force_eager"):
        for update, rows in enumerate(student_rows):
            done["student"] += counted(partial(subject.student, rows))
            if work_of is not None:
                lengths = torch.from_numpy(subject.train.lengths[rows])
                work = work_of(update)
                need["student"] += necessary_student_step(
                    models.student,
                    lengths,
                    views=work.views,
                    new=work.new,
                    teacher=models.teacher,
                    generator=models.generator,
                    masked=masked(rows, work.masked),
                )
        for rows in adversary_rows:
            done["adversary"] += counted(partial(subject.adversary, rows))
            if work_of is not None:
                assert models.teacher is not None
                assert models.generator is not None
                lengths = torch.from_numpy(subject.train.lengths[rows])
                need["adversary"] += necessary_generator_step(
                    models.student, models.teacher, models.generator, lengths, masked(rows, work_of(0).masked)
                )
    updates = {"student": len(student_rows), "adversary": len(adversary_rows)}
    operations: dict[str, Any] = {}
    for kind, suffix in (("student", ""), ("adversary", "_adversary")):
        n = updates[kind]
        operations[f"operations_{kind}_step"] = done[kind] / n if n else None
        operations[f"operations_necessary{suffix}"] = need[kind] / n if need[kind] else None
        operations[f"operations_ratio{suffix}"] = done[kind] / need[kind] if need[kind] else None
    return operations


def _reference_seconds(
    subject: TimedUpdates, reference: Reference, rows: np.ndarray, kind: Literal["student", "adversary"], length: int
) -> float:
    """Return the seconds of one update of the plain implementation on ``rows``, padded to ``length``."""
    batch, phases = subject.feed.batch(rows), Phases(subject.phases.device)
    with phases.timed("update"):
        reference.update(batch, kind, length)
    return phases.seconds["update"]
