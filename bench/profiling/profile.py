"""Where the time of a strategy goes: its updates timed by phase, beside plain KD and the plain reference."""

from __future__ import annotations

import copy
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from bench.cost import Cost, peak_memory_mb
from bench.data.encode import Encoded
from bench.distill.feed import Feed, batch_order
from bench.distill.loop import StudentUpdates, prepare
from bench.distill.objective import Objective
from bench.models.inputs import Inputs, Role
from bench.models.masked_lm import gumbel, ordinary_tokens
from bench.models.reshape import recompute_activations
from bench.profiling.operations import counted, matmul_peak, necessary_generator_step, necessary_student_step
from bench.profiling.reference import PlainMateKD, pad_to
from bench.rewriter import Rewriter
from bench.rewriting.training_sets import Rewritten, TrainingSet
from bench.settings import Recipe
from bench.spec import StrategySpec
from bench.strategy import Batch, Models


@dataclass
class _Phases:
    """Seconds by phase; a GPU is waited for at both ends of each."""

    device: torch.device
    seconds: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        start = self.now()
        yield
        self.add(phase, self.now() - start)

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def add(self, phase: str, seconds: float) -> None:
        self.seconds[phase] += seconds  # type: ignore[assignment]  # Counter is typed for int

    @contextmanager
    def optimisers(self) -> Iterator[None]:
        """Inside, the steps of every optimiser are timed."""
        started: list[float] = []
        hooks = (
            register_optimizer_step_pre_hook(lambda *_: started.append(self.now())),
            register_optimizer_step_post_hook(lambda *_: self.add("optimiser", self.now() - started.pop())),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@dataclass
class _Watched(Models):
    """Models whose forwards are timed by role."""

    phases: _Phases | None = None

    def logits(self, role: Role, inputs: Inputs) -> torch.Tensor:
        assert self.phases is not None
        with self.phases.timed(f"{role} forward"):
            return super().logits(role, inputs)


class _WatchedAccelerator:
    """An accelerator whose backward and clipping are timed."""

    def __init__(self, accelerator: Any, phases: _Phases) -> None:
        self._accelerator, self._phases = accelerator, phases

    def __getattr__(self, name: str) -> Any:
        return getattr(self._accelerator, name)

    def backward(self, loss: torch.Tensor, **options: Any) -> None:
        with self._phases.timed("backward"):
            self._accelerator.backward(loss, **options)

    def clip_grad_norm_(self, *arguments: Any) -> Any:
        with self._phases.timed("optimiser"):
            return self._accelerator.clip_grad_norm_(*arguments)


@dataclass
class _Unchanged:
    """Rewritten texts that are the training rows themselves, in as many forms as a rewriter would make."""

    train: Encoded
    logits: np.ndarray

    def rewritten(self, rewriter: Rewriter, edition: int) -> Rewritten:
        forms = rewriter.forms
        return Rewritten([TrainingSet(self.train, self.logits, 1 / forms)] * forms)


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
            generator=copy.deepcopy(models.generator) if "generator" in self.strategy.needs else None,
            rng=torch.Generator(models.accelerator.device).manual_seed(0),
            cost=Cost(),
            accelerator=_WatchedAccelerator(models.accelerator, self.phases),
            phases=self.phases,
        )
        self.recipe = recipe
        # Texts as long as the rewritten ones would be, answered by the teacher already: the rows' own.
        self.feed = Feed(
            train,
            logits if "teacher" in self.strategy.needs else None,
            device=models.accelerator.device,
            rewriters=self.strategy.rewriters(),
            texts=_Unchanged(train, logits),
        )
        prepare(self.models, recipe)
        self.updates = StudentUpdates(self.models, self.strategy, recipe, train.pad_id)
        self.strategy.setup(self.models)
        self.has_adversary = self.strategy.trains_an_adversary()
        self.cost_model = self.strategy.cost_model()

    def student(self, rows: np.ndarray) -> None:
        """Make one student update."""
        objective = Objective(self.recipe, 0.0, self.models.task.is_regression)
        self.updates.update(self.batch(rows), objective, self.recipe.lr / 1000)
        self.models.cost.student_updates += 1

    def adversary(self, rows: np.ndarray) -> None:
        """Make one adversary update."""
        self.strategy.fit_adversary(self.batch(rows), self.models)

    def batch(self, rows: np.ndarray) -> Batch:
        with self.phases.timed("data"):
            return self.feed.batch(rows)

    def seconds(self, action: Callable[[np.ndarray], None], rows: np.ndarray) -> tuple[float, Counter[str]]:
        """Return the seconds ``action`` takes on ``rows``, in all and by phase."""
        self.phases.seconds.clear()
        start = self.phases.now()
        with self.phases.optimisers():
            action(rows)
        total = self.phases.now() - start
        parts = Counter(self.phases.seconds)
        parts["rest"] = total - sum(parts.values())  # type: ignore[assignment]  # Counter is typed for int
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

    ``models`` are not changed. First comes the updates' peak memory, on the epoch's largest batch, before anything
    else is there; then their operations are counted. Then plain KD, the strategy and (for mate-kd) the plain
    reference, which pads to ``max_length`` as the authors do, take turns, so that a machine whose speed drifts
    treats them alike. The batches stand for an epoch: they are spread evenly over its batches in order of size.
    Of strategies that rewrite texts offline, an update on rewrites that are there already is timed.
    """
    device = models.accelerator.device
    logits = np.zeros((len(train), models.task.n_outputs), dtype=np.float32)
    subject = _Subject(spec, models, train, recipe, logits)
    strategy, cost = subject.strategy, subject.models.cost
    order, period = batch_order(train.lengths, recipe, seed=0), subject.cost_model.period
    epoch = [order[i] for i in range(order.per_epoch)]
    student_rows = _spread(epoch, train.lengths, -(-student_steps // period) * period)
    adversary_rows = _spread(epoch, train.lengths, adversary_steps) if subject.has_adversary else []

    # Optimisers have their state from their first step on, which is made on next to nothing.
    subject.student(student_rows[0][:2])
    if adversary_rows:
        subject.adversary(adversary_rows[0][:2])
    largest = max(epoch, key=lambda rows: len(rows) * train.lengths[rows].max())
    cost.forget_peak()
    subject.student(largest)
    if adversary_rows:
        subject.adversary(largest)
    memory = peak_memory_mb()
    operations = _operations(subject, student_rows, adversary_rows)
    if recipe.compile:
        # Counted without what is compiled, which is made here.
        for rows in student_rows:
            subject.student(rows)
        for rows in adversary_rows:
            subject.adversary(rows)
    plain = _Subject(StrategySpec("none"), models, train, recipe, logits)
    for rows in student_rows if recipe.compile else student_rows[:1]:
        plain.student(rows)
    reference = None
    if reference_steps and spec.name == "mate-kd" and getattr(strategy, "objective", None) in ("kl", "ce"):
        reference = _Reference(models, subject, max_length)

    found = _Times()
    cost.student_updates, cost.forwards, cost.backwards = 0, Counter(), Counter()
    for number in range(max(len(student_rows), len(adversary_rows))):
        if number < len(student_rows):
            rows = student_rows[number]
            found.kd.append(plain.seconds(plain.student, rows)[0])
            before = cost.forwards["teacher"]
            found.took("student", *subject.seconds(subject.student, rows))
            found.answered += cost.forwards["teacher"] - before
            if reference is not None and number < reference_steps:
                found.their_student.append(reference.seconds(rows, "student"))
        if number < len(adversary_rows):
            rows = adversary_rows[number]
            found.took("adversary", *subject.seconds(subject.adversary, rows))
            if reference is not None and number < reference_steps:
                found.their_adversary.append(reference.seconds(rows, "generator"))
    if models.teacher is not None:
        recompute_activations(models.teacher, False)

    tokens, examples = float(train.lengths[np.concatenate(student_rows)].sum()), sum(map(len, student_rows))
    padded = sum(len(rows) * int(train.lengths[rows].max()) for rows in epoch)
    step, step_kd, step_adversary = _mean(found.student), _mean(found.kd), _mean(found.adversary)
    assert step is not None
    assert step_kd is not None
    peak = _peak(models, round(padded / len(epoch)), recipe)
    per_cycle, adversary_per_cycle = subject.cost_model.cycle

    def cycle(student: float, adversary: float | None) -> float:
        return per_cycle * student + adversary_per_cycle * (adversary or 0.0)

    ours = cycle(step, step_adversary)
    their_step = _mean(found.their_student)
    asked = cost.backwards["student"] if "teacher" in strategy.needs else 0
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
        "student_updates_per_cycle": per_cycle,
        "adversary_updates_per_cycle": adversary_per_cycle,
        "seconds_student_step": step,
        "seconds_adversary_step": step_adversary,
        "seconds_kd_step": step_kd,
        "seconds_cycle": ours,
        "samples_per_second": examples / sum(found.student),
        "tokens_per_second": tokens / sum(found.student),
        "phases_student": {k: v / len(student_rows) for k, v in found.phases["student"].items()},
        "phases_adversary": {k: v / len(adversary_rows) for k, v in found.phases["adversary"].items()},
        **operations,
        "matmul_peak": peak,
        "peak_fraction": operations["operations_student_step"] / step / peak,
        "peak_fraction_adversary": adversary_rate and adversary_rate / peak,
        "cost_over_kd": step / step_kd,
        "cycle_cost_over_kd": ours / (per_cycle * step_kd),
        "speedup_over_reference": their_step and cycle(their_step, _mean(found.their_adversary)) / ours,
        "seconds_reference_student_step": their_step,
        "seconds_reference_adversary_step": _mean(found.their_adversary),
        "reference_pads_to": max_length,
        "padding_share": 1 - float(train.lengths.sum()) / padded,
        "data_share": found.phases["student"]["data"] / sum(found.student),
        "teacher_cache_hits": 1 - found.answered / asked if asked else None,
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
    subject: _Subject, student_rows: Sequence[np.ndarray], adversary_rows: Sequence[np.ndarray]
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
    found: dict[str, Any] = {}
    for kind, suffix in (("student", ""), ("adversary", "_adversary")):
        n = updates[kind]
        found[f"operations_{kind}_step"] = done[kind] / n if n else None
        found[f"operations_necessary{suffix}"] = need[kind] / n if need[kind] else None
        found[f"operations_ratio{suffix}"] = done[kind] / need[kind] if need[kind] else None
    return found


class _Reference:
    """The plain reference on copies of the same models."""

    def __init__(self, models: Models, subject: _Subject, max_length: int) -> None:
        tokenizer, options = models.tokenizer, vars(subject.strategy)
        around = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id]
        assert models.generator is not None
        assert models.teacher is not None
        student, generator, teacher = map(copy.deepcopy, (models.student, models.generator, models.teacher))
        # A copy is not compiled, and what is recomputed for the strategy is not for the reference.
        recompute_activations(teacher, False)
        student.train()
        generator.train()
        self.game = PlainMateKD(
            teacher.float(),
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
        self.batch, self.max_length, self.pad_id = subject.feed.batch, max_length, tokenizer.pad_token_id
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
