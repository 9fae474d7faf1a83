"""Where the time of a strategy goes: one cycle timed by phase, beside plain KD and the plain reference."""

from __future__ import annotations

import copy
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from bench.data.encode import BatchOrder, Encoded
from bench.distill.cost import Cost, peak_memory_mb
from bench.distill.loop import Trainer
from bench.distill.masked_lm import gumbel, ordinary_tokens
from bench.errors import UsageError
from bench.profiling.operations import (
    counted,
    matmul_peak,
    necessary_generator_step,
    necessary_student_step,
)
from bench.profiling.reference import PlainMateKD, pad_to
from bench.registry import StrategySpec
from bench.settings import Recipe
from bench.strategy import Batch, Inputs, Models, Role

# The strategies whose necessary operations operations.py has a formula for.
_COUNTED = ("Clean", "MateKD", "MaskedLM")
# MATE-KD's cycle, of which a few updates of each kind are timed.
ADVERSARY_PER_CYCLE, STUDENT_PER_CYCLE = 10, 100


@dataclass
class _Phases:
    """Seconds by phase; a GPU is waited for at both ends of each."""

    device: torch.device
    seconds: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self.seconds[phase] += time.perf_counter() - start  # type: ignore[assignment]  # Counter is typed for int

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass
class _Watched(Models):
    """Models whose forwards are timed by role."""

    phases: _Phases | None = None

    def logits(self, role: Role, inputs: Inputs) -> torch.Tensor:
        assert self.phases is not None
        with self.phases.timed(f"{role} forward"):
            return super().logits(role, inputs)


class _WatchedAccelerator:
    """An accelerator whose backward is timed."""

    def __init__(self, accelerator: Any, phases: _Phases) -> None:
        self._accelerator, self._phases = accelerator, phases

    def __getattr__(self, name: str) -> Any:
        return getattr(self._accelerator, name)

    def backward(self, loss: torch.Tensor) -> None:
        with self._phases.timed("backward"):
            self._accelerator.backward(loss)


class _Silent:
    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None: ...
    def evaluated(self, metric: str, value: float) -> None: ...
    def note(self, text: str) -> None: ...


class _Subject:
    """A strategy on models of its own, ready to make single timed updates."""

    def __init__(self, spec: StrategySpec, models: Models, train: Encoded, recipe: Recipe, logits: np.ndarray) -> None:
        self.phases = _Phases(models.accelerator.device)
        self.strategy, self.train = spec.create(), train
        self.models = _Watched(
            task=models.task,
            tokenizer=models.tokenizer,
            student=copy.deepcopy(models.student),
            teacher=models.teacher,
            generator=copy.deepcopy(models.generator),
            rng=torch.Generator(models.accelerator.device).manual_seed(0),
            cost=Cost(),
            accelerator=_WatchedAccelerator(models.accelerator, self.phases),
            phases=self.phases,
        )
        known = logits if "teacher" in self.strategy.needs else None
        self.trainer = Trainer(self.models, self.strategy, recipe, train, known, None, _Silent())
        self.strategy.setup(self.models)

    def student(self, rows: np.ndarray) -> None:
        """Make one student update."""
        self.trainer.student_update(self.batch(rows), 0, 1000)

    def adversary(self, rows: np.ndarray) -> None:
        """Make one adversary update."""
        self.strategy.fit_adversary(self.batch(rows), self.models)

    def batch(self, rows: np.ndarray) -> Batch:
        with self.phases.timed("data"):
            return self.trainer.batch(rows)

    def seconds(self, action: Callable[[np.ndarray], None], rows: np.ndarray) -> tuple[float, Counter[str]]:
        """Return the seconds ``action`` takes on ``rows``, in all and by phase."""
        self.phases.seconds.clear()
        start = _Phases(self.phases.device)
        with start.timed("all"):
            action(rows)
        total = start.seconds["all"]
        parts = Counter(self.phases.seconds)
        parts["optimiser and rest"] = total - sum(parts.values())
        return total, parts


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

    ``models`` are not changed. Plain KD, the strategy and (for mate-kd) the plain reference, which pads to
    ``max_length`` as the authors do, take turns on the same batches, so that a machine whose speed drifts
    treats them alike. ``reference_steps`` of each kind are timed and counted for 10 and 100.
    """
    if spec.create().refresh != "never":
        raise UsageError(f"{spec} rewrites texts before training, which profile does not time; see its record's cost")
    device = models.accelerator.device
    order = BatchOrder(train.lengths, recipe.batch_size, seed=0)
    batches = [order[i] for i in range(max(student_steps, adversary_steps) + 1)]
    logits = np.zeros((len(train), models.task.n_outputs), dtype=np.float32)
    subject = _Subject(spec, models, train, recipe, logits)
    plain = _Subject(StrategySpec("none"), models, train, recipe, logits)
    has_adversary = type(subject.strategy).fit_adversary is not _no_adversary()
    reference = _Reference(models, recipe, subject, max_length) if spec.name == "mate-kd" else None

    warm, *timed = batches
    for one in (subject, plain):
        one.student(warm)
    if has_adversary:
        subject.adversary(warm)
    student, kd, adversary, reference_student, reference_adversary = [], [], [], [], []
    phases: dict[str, Counter[str]] = {"student": Counter(), "adversary": Counter()}
    for number, rows in enumerate(timed):
        if number < student_steps:
            kd.append(plain.seconds(plain.student, rows)[0])
            total, parts = subject.seconds(subject.student, rows)
            student.append(total)
            phases["student"] += parts
        if has_adversary and number < adversary_steps:
            total, parts = subject.seconds(subject.adversary, rows)
            adversary.append(total)
            phases["adversary"] += parts
        if reference is not None and number < reference_steps:
            reference_student.append(reference.seconds(rows, "student") / student[number])
            if has_adversary:
                reference_adversary.append(reference.seconds(rows, "generator") / adversary[number])

    operations = _operations(subject, timed[:student_steps], has_adversary)
    lengths = train.lengths[np.concatenate(timed[:student_steps])]
    tokens = float(lengths.sum())
    padded = sum(len(rows) * int(train.lengths[rows].max()) for rows in timed[:student_steps])
    width = models.student.config.hidden_size
    dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
    per_step = max(1, round(2 * padded / student_steps))
    peak = matmul_peak(per_step, width, 4 * width, device, dtype)
    step, step_kd = statistics.fmean(student), statistics.fmean(kd)
    step_adversary = statistics.fmean(adversary) if adversary else None
    cycle = STUDENT_PER_CYCLE * step + (ADVERSARY_PER_CYCLE * step_adversary if step_adversary else 0.0)
    speedup = None
    if reference_student:
        # Ratios are taken batch by batch; the reference's cycle is ours times them.
        theirs = STUDENT_PER_CYCLE * step * statistics.fmean(reference_student)
        if step_adversary:
            theirs += ADVERSARY_PER_CYCLE * step_adversary * statistics.fmean(reference_adversary)
        speedup = theirs / cycle
    memory = peak_memory_mb()
    return {
        "strategy": str(spec),
        "task": models.task.name,
        "batch_size": recipe.batch_size,
        "precision": recipe.precision,
        "seconds_student_step": step,
        "seconds_adversary_step": step_adversary,
        "seconds_kd_step": step_kd,
        "seconds_cycle": cycle,
        "samples_per_second": recipe.batch_size / step,
        "tokens_per_second": tokens / sum(student),
        "phases_student": {k: v / len(student) for k, v in phases["student"].items()},
        "phases_adversary": {k: v / max(1, len(adversary)) for k, v in phases["adversary"].items()},
        **operations,
        "matmul_peak": peak,
        "peak_fraction": operations["operations_student_step"] / step / peak,
        "cost_over_kd": step / step_kd,
        "cycle_cost_over_kd": cycle / (STUDENT_PER_CYCLE * step_kd),
        "speedup_over_reference": speedup,
        "reference_over_student_step": statistics.fmean(reference_student) if reference_student else None,
        "reference_over_adversary_step": statistics.fmean(reference_adversary) if reference_adversary else None,
        "reference_pads_to": max_length,
        "padding_share": 1 - tokens / padded,
        "data_share": phases["student"]["data"] / sum(student),
        "peak_memory_gb": memory.get("gpu", memory["process"]) / 1024,
    }


def _no_adversary() -> Any:
    from bench.strategy import Strategy

    return Strategy.fit_adversary


def _operations(subject: _Subject, batches: list[np.ndarray], has_adversary: bool) -> dict[str, Any]:
    """Count the operations of one update of each kind, and say how many it needed."""
    models, rows = subject.models, batches[len(batches) // 2]
    batch = subject.trainer.batch(rows)
    lengths = batch.inputs["attention_mask"].sum(dim=1)
    rate = getattr(subject.strategy, "rho", 0.0)
    masked = rate * float(ordinary_tokens(batch.inputs, models.tokenizer).sum())
    done = counted(lambda: subject.student(rows))
    found: dict[str, Any] = {"operations_student_step": done, "operations_ratio": None}
    if type(subject.strategy).__name__ in _COUNTED:
        generator = models.generator if "generator" in subject.strategy.needs else None
        need = necessary_student_step(
            models.student,
            lengths,
            views=int(generator is not None),
            teacher=models.teacher,
            generator=generator,
            masked=masked,
        )
        found |= {"operations_necessary": need, "operations_ratio": done / need}
        if has_adversary and generator is not None:
            assert models.teacher is not None
            done = counted(lambda: subject.adversary(rows))
            need = necessary_generator_step(models.student, models.teacher, generator, lengths, masked)
            found |= {"operations_adversary_step": done, "operations_ratio_adversary": done / need}
    return found


class _Reference:
    """The plain reference on copies of the same models."""

    def __init__(self, models: Models, recipe: Recipe, subject: _Subject, max_length: int) -> None:
        tokenizer, options = models.tokenizer, vars(subject.strategy)
        around = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id]
        student, generator = copy.deepcopy(models.student), copy.deepcopy(models.generator)
        assert generator is not None
        assert models.teacher is not None
        student.train()
        generator.train()
        self.game = PlainMateKD(
            models.teacher,
            student,
            generator,
            special_ids=around,
            mask_id=tokenizer.mask_token_id,
            forbidden_ids=tokenizer.all_special_ids,
            rho=options["rho"],
            tau=options["tau"],
            objective=options["objective"],
            regression=models.task.is_regression,
        )
        self.batch, self.max_length, self.pad_id = subject.trainer.batch, max_length, tokenizer.pad_token_id
        self.device = models.accelerator.device
        self.vocabulary = generator.config.vocab_size

    def seconds(self, rows: np.ndarray, kind: str) -> float:
        """Return the seconds of one step of ``kind`` on ``rows``."""
        batch = self.batch(rows)
        timer = _Phases(self.device)
        with timer.timed("all"):
            inputs = pad_to({**batch.inputs, "labels": batch.labels}, self.max_length, self.pad_id)
            shape = inputs["input_ids"].shape
            rng = torch.Generator(self.device).manual_seed(0)
            uniform = torch.rand(shape, generator=rng, device=self.device)
            noise = gumbel(torch.Size((*shape, self.vocabulary)), rng, self.device)
            step = self.game.student_step if kind == "student" else self.game.generator_step
            step(inputs, uniform, noise)
        return timer.seconds["all"]
