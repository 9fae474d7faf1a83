"""The teacher: fine-tuned once per task and cached, or given; checked before anything is distilled from it."""

from __future__ import annotations

import functools
import json
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from bench.data.encode import Encoded
from bench.data.tasks import Task
from bench.distill.feed import Feed
from bench.distill.loop import EDITION, Outcome, distil
from bench.errors import BenchError, UsageError
from bench.evaluation.metrics import against_constant, score
from bench.evaluation.predict import predict
from bench.evaluation.selection import selection
from bench.files import digest, remove, whole_folder, write_json
from bench.locks import missing
from bench.models.keep import save
from bench.models.load import content_hash, explained, locate
from bench.observer import Observer
from bench.settings import Recipe, Teacher
from bench.strategy import Models, Strategy


@dataclass(frozen=True)
class TrainedTeacher:
    """A frozen teacher and its card: weights hash, dev score, what the best constant answer would score."""

    model: PreTrainedModel
    card: dict[str, Any]


@dataclass
class _Labels(Strategy):
    """The teacher learns from the labels alone."""

    needs = ()


@dataclass(frozen=True)
class TeacherTraining:
    """The fine-tuning of ``model`` on ``splits["train"]``, under the settings of a teacher and the rest of a recipe."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    splits: dict[str, Encoded]
    settings: Teacher
    recipe: Recipe
    accelerator: Any
    cache: Path

    @cached_property
    def plan(self) -> Recipe:
        """The recipe that the teacher is trained by."""
        settings, recipe = self.settings, self.recipe
        return Recipe(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            lr=settings.lr,
            warmup=settings.warmup,
            weight_decay=recipe.weight_decay,
            clip=recipe.clip,
            precision=recipe.precision,
            evaluate_every=settings.epochs,
            checkpoint_seconds=recipe.checkpoint_seconds,
            accumulate=recipe.accumulate,
            recompute=recipe.recompute,
            compile=recipe.compile,
        )

    @cached_property
    def home(self) -> Path:
        """Where the teacher is cached: by its starting weights, the data as tokenised, and the plan."""
        # Only what differs from the defaults: a new field of the recipe must not make other teachers of the old ones.
        without_effect, defaults = ("checkpoint_seconds", "recompute"), asdict(Recipe())
        given = {k: v for k, v in asdict(self.plan).items() if v != defaults[k] and k not in without_effect}
        texts = [data_hash(self.splits[name]) for name in ("train", "dev")]
        name = digest(EDITION, content_hash(self.model), texts, self.task.metrics, given)
        return self.cache / "teachers" / f"{self.task.name}-{name}"

    @property
    def states(self) -> Path:
        """The folder of its checkpoints."""
        return self.home.with_name(f"{self.home.name}.states")

    def learn(self, observer: Observer) -> Outcome:
        """Train ``model``; of several processes that train together each calls it."""
        device = self.accelerator.device
        models = Models(
            task=self.task,
            tokenizer=self.tokenizer,
            student=self.model.to(device),
            rng=torch.Generator(device),
            accelerator=self.accelerator,
        )
        labelled = {name: self.splits[name] for name in ("train", "dev")}
        return distil(
            models,
            _Labels(),
            self.plan,
            selection("last"),
            Feed(labelled["train"], device=device, cost=models.cost),
            labelled,
            seed=0,
            observer=observer,
            checkpoints=self.states,
            trains="teacher",
        )


def fine_tune(
    training: TeacherTraining, observer: Observer, together: AbstractContextManager[None] | None = None
) -> TrainedTeacher:
    """Return the teacher that ``training`` makes, from the cache if that was done before.

    ``together`` is entered while it trains: it calls other processes to the same training.
    """
    model, task, splits, accelerator = training.model, training.task, training.splits, training.accelerator
    home = training.home
    with missing(home, observer, f"the teacher of {task.name}") as to_make:
        if to_make:
            observer.note(f"fine-tuning the teacher for {task.name}")
            start = time.perf_counter()
            with together or nullcontext():
                outcome = training.learn(observer)
            card = _card(model, task, splits, outcome.logits["dev"])
            card["seconds"] = round(time.perf_counter() - start, 1)
            with whole_folder(home) as part:
                save(model, training.tokenizer, part)
                (part / "card.json").write_text(json.dumps(card))
            remove(training.states)
    with explained(str(home)):
        trained = AutoModelForSequenceClassification.from_pretrained(home, trust_remote_code=False).float()
    teacher = TrainedTeacher(_frozen(trained, accelerator), json.loads((home / "card.json").read_text()))
    return _in_precision(teacher, training.settings, task, splits, accelerator, observer)


def _in_precision(
    teacher: TrainedTeacher,
    settings: Teacher,
    task: Task,
    splits: dict[str, Encoded],
    accelerator: Any,
    observer: Observer,
) -> TrainedTeacher:
    """Return ``teacher`` in the precision asked for, and say what that does to its answers on dev."""
    if settings.precision == "fp32":
        return teacher
    effect, logits = lower_precision(teacher.model, splits["dev"], accelerator)
    observer.note(f"the teacher for {task.name} in {settings.precision}: {effect}")
    card = {**teacher.card, **_card(teacher.model, task, splits, logits)}
    return TrainedTeacher(teacher.model, {**card, "precision": settings.precision, "effect": str(effect)})


@dataclass(frozen=True)
class PrecisionEffect:
    """What lower precision does to a model's logits on ``rows`` rows: the largest and the root-mean-square change,
    and how many rows get another answer (for scores: none)."""

    largest: float
    typical: float
    changed: int
    rows: int

    def __str__(self) -> str:
        return (
            f"its logits change by {self.typical:.2g} typically and {self.largest:.2g} at most; "
            f"{self.changed} of {self.rows} answers are others"
        )


def lower_precision(model: PreTrainedModel, data: Encoded, accelerator: Any) -> tuple[PrecisionEffect, np.ndarray]:
    """Turn ``model`` into bf16; return what that does to its logits on ``data``, and the new logits [N, C]."""
    before = predict(model, data, accelerator)
    model.bfloat16()
    after = predict(model, data, accelerator)
    change = np.abs(after - before)
    changed = (after.argmax(axis=1) != before.argmax(axis=1)).sum()
    return PrecisionEffect(float(change.max()), float(np.sqrt((change**2).mean())), int(changed), len(data)), after


def load_finetuned(
    where: str, task: Task, splits: dict[str, Encoded], settings: Teacher, accelerator: Any, observer: Observer
) -> TrainedTeacher:
    """Return the user's own fine-tuned teacher, its outputs put into the task's order of classes.

    Raises UsageError for a wrong number of classes, or where the dev score says that the classes come in
    another order than the checkpoint names (or fails to name).
    """
    with explained(locate(where)) as source:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            source, output_loading_info=True, trust_remote_code=False
        )
    model = model.float()
    if report["missing_keys"]:
        raise UsageError(
            f"the teacher {where} is not fine-tuned: it lacks {', '.join(sorted(report['missing_keys']))}; "
            f"to have it fine-tuned here, name it as --set teacher.model={where}"
        )
    if model.config.num_labels != task.n_outputs:
        raise UsageError(
            f"the teacher {where} has {model.config.num_labels} outputs, {task.name} needs {task.n_outputs}"
        )
    own = dict(model.config.id2label or {})
    named = [own.get(i, i) for i in range(task.n_outputs)]
    names = [str(name).lower() for name in settings.labels or named]
    wanted = [label.lower() for label in task.labels]
    if settings.labels and sorted(names) != sorted(wanted):
        raise UsageError(
            f"teacher.labels={','.join(settings.labels)} are not the classes of {task.name}: {', '.join(task.labels)}"
        )
    if wanted and sorted(names) == sorted(wanted) and names != wanted:
        observer.note(f"the teacher's classes come as {', '.join(names)}; put into {task.name}'s order")
        _reorder_outputs(model, [names.index(label) for label in wanted])
    _frozen(model, accelerator)
    logits = predict(model, splits["dev"], accelerator)
    if wanted and sorted(names) != sorted(wanted):
        _check_order(where, task, logits, splits["dev"].labels)
    teacher = TrainedTeacher(model, _card(model, task, splits, logits))
    return _in_precision(teacher, settings, task, splits, accelerator, observer)


def _reorder_outputs(model: PreTrainedModel, order: list[int]) -> None:
    """Make output i of ``model`` what was output ``order[i]``."""
    last = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == len(order)][-1]
    with torch.no_grad():
        last.weight.copy_(last.weight[order])
        if last.bias is not None:
            last.bias.copy_(last.bias[order])
    names: dict[Any, Any] = dict(model.config.id2label or {})
    model.config.id2label = {i: names[old] for i, old in enumerate(order)}


def _check_order(where: str, task: Task, logits: np.ndarray, labels: np.ndarray) -> None:
    """Refuse a teacher whose nameless classes fit dev clearly better in another order."""
    from scipy.optimize import linear_sum_assignment

    # How often class i was answered where class j was right.
    counts = np.zeros((task.n_outputs, task.n_outputs))
    np.add.at(counts, (logits.argmax(axis=1), labels), 1)
    _, best = linear_sum_assignment(counts, maximize=True)
    as_is, at_best = np.trace(counts) / len(labels), counts[range(len(best)), best].sum() / len(labels)
    # Two standard errors of a share near one half: less could be chance.
    if at_best - as_is > 2 / np.sqrt(len(labels)):
        raise UsageError(
            f"the teacher {where} gets {as_is:.1%} of {task.name}'s dev rows right, but {at_best:.1%} if its "
            f"classes come as {', '.join(task.labels[i] for i in best)}; if so, say it: "
            f"--set teacher.labels={','.join(task.labels[i] for i in best)}"
        )


def check_better_than_constant(teacher: TrainedTeacher, task: Task, *, force: bool, observer: Observer) -> None:
    """Raise BenchError for a teacher that learned nothing; only warn if forced, or where the task says so.

    It must be above the best constant answer on dev by more than one standard error. Tables mark it up to two: a mark
    costs nothing, and a refusal all that would have been learned from a weak teacher.
    """
    dev, constant, error, metric = (teacher.card[key] for key in ("dev", "constant", "standard_error", "metric"))
    if dev - constant > error:
        return
    message = (
        f"the teacher for {task.name} scores {dev:.3f} ({metric}) on dev, no better than the best constant answer "
        f"({constant:.3f}) by more than one standard error ({error:.3f})"
    )
    if not (force or task.majority_is_hard):
        raise BenchError(f"{message}; train it better (--set teacher.epochs=…, teacher.lr=…) or insist: --weak-teacher")
    observer.note(message)


def teacher_logits(
    teacher: TrainedTeacher, data: Encoded, accelerator: Any, cache: Path, observer: Observer
) -> tuple[np.ndarray, float]:
    """Return the teacher's logits [N, C] on ``data``, memory-mapped from ``cache``, and the seconds they took.

    The first call computes them; later ones return its seconds.
    """
    precision = accelerator.mixed_precision
    home = cache / "logits" / digest(teacher.card["hash"], data_hash(data), precision, "with seconds")
    with missing(home, observer, "the teacher's answers") as to_make:
        if to_make:
            start, progress = time.perf_counter(), functools.partial(observer.update, "teacher's answers")
            logits = predict(teacher.model, data, accelerator, progress=progress)
            seconds = time.perf_counter() - start
            with whole_folder(home) as part:
                np.save(part / "logits.npy", logits)
                write_json(part / "seconds.json", seconds)
    return np.load(home / "logits.npy", mmap_mode="r"), json.loads((home / "seconds.json").read_text())


def data_hash(data: Encoded) -> str:
    """Return 16 hex digits that identify a tokenised split, labels included."""
    arrays = (data.ids, data.offsets, data.labels, *([] if data.types is None else [data.types]))
    return digest(*(np.ascontiguousarray(array).tobytes() for array in arrays))


def _frozen(model: PreTrainedModel, accelerator: Any) -> PreTrainedModel:
    return model.to(accelerator.device).eval().requires_grad_(False)


def _card(model: PreTrainedModel, task: Task, splits: dict[str, Encoded], logits: np.ndarray) -> dict[str, Any]:
    return {
        "hash": content_hash(model),
        "dev": score(task, logits, splits["dev"].labels)[task.main_metric],
        **against_constant(task, logits, splits["dev"].labels),
        "metric": task.main_metric,
    }
