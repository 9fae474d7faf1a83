"""What a cell's training is put together from, in the process that writes its record and in those that follow it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.cost import Cost
from bench.data.encode import Encoded
from bench.data.source import TaskData
from bench.distill.feed import Feed, batch_order
from bench.distill.loop import Outcome, distil
from bench.distill.teacher import TrainedTeacher
from bench.evaluation.selection import Selection, selection
from bench.experiment.budget import budget_of
from bench.experiment.few import prolonged
from bench.experiment.grid import Cell
from bench.experiment.parts import Parts
from bench.models.inputs import Role
from bench.observer import Observer
from bench.rewriting.context import saved
from bench.rewriting.training_sets import RewrittenTexts
from bench.settings import Recipe
from bench.strategy import Models, Strategy


@dataclass(frozen=True)
class Assembly:
    """All that ``cell`` trains with; ``budget`` says what its updates were worked out from, where they were."""

    cell: Cell
    data: TaskData
    splits: dict[str, Encoded]
    models: Models
    strategy: Strategy
    recipe: Recipe
    rule: Selection
    feed: Feed
    teacher: TrainedTeacher | None
    budget: dict[str, Any] | None
    checkpoints: Path
    observer: Observer

    def distil(self) -> Outcome:
        """Train the student."""
        return distil(
            self.models,
            self.strategy,
            self.recipe,
            self.rule,
            self.feed,
            self.splits,
            seed=self.cell.seed,
            observer=self.observer,
            checkpoints=self.checkpoints,
        )


def assembled(cell: Cell, parts: Parts, results: Path, observer: Observer) -> Assembly:
    """Return what ``cell`` trains with; models and answers that are not in the cache yet are made."""
    folder = cell.folder(results)
    task, settings, strategy = cell.task, cell.settings, cell.strategy.create()
    data, splits = parts.data(task.name), parts.encoded(task.name)
    cost = Cost()
    cost.forget_peak()
    teacher = logits = None
    if "teacher" in strategy.needs:
        teacher = parts.checked_teacher(task)
        with cost.timed("teacher_logits"):
            logits, _ = parts.logits_of(teacher, splits["train"])
    device = parts.accelerator.device
    generator = parts.fresh_generator() if "generator" in strategy.needs else None
    models = parts.models(
        task, cell.seed, teacher=None if teacher is None else teacher.model, generator=generator, cost=cost
    )
    recipe, budget = settings.recipe, None
    per_epoch = batch_order(splits["train"].lengths, recipe, cell.seed).per_epoch
    if settings.data.train_rows is not None:
        recipe = prolonged(recipe, per_epoch)
    if cell.instance.budget() is not None:
        budget = budget_of(cell, parts, results)
        recipe = dataclasses.replace(recipe, epochs=budget["updates"] / per_epoch)
        observer.note(f"{cell.strategy}: {budget['updates']} updates in the place of {budget['recipe_updates']}")
    texts = RewrittenTexts(
        name=str(cell.strategy),
        task=task,
        rows=data.splits["train"],
        folder_of=partial(_folder_of, parts, models, folder / "checkpoint"),
        encode=partial(parts.encode, task=task),
        teacher_logits=None if teacher is None else partial(parts.logits_of, teacher),
        cache=parts.cache,
        observer=observer,
        seed=cell.seed if settings.data.rewrite_seed is None else settings.data.rewrite_seed,
        workers=parts.workers,
        device=device.type,
        epochs=math.ceil(recipe.epochs),
        corpus=partial(parts.corpus, task.name),
    )
    feed = Feed(splits["train"], logits, device=device, rewriters=strategy.rewriters(), texts=texts, cost=cost)
    return Assembly(
        cell,
        data,
        splits,
        models,
        strategy,
        recipe,
        selection(recipe.selection),
        feed,
        teacher,
        budget,
        folder / "checkpoint" / "states",
        observer,
    )


def _folder_of(parts: Parts, models: Models, scratch: Path, role: Role) -> tuple[str, str]:
    """Return the folder and digest of a model that rewriters read: the student as it is now is saved in ``scratch``."""
    if role == "generator":
        return str(parts.generator_folder()), parts.generator.card["hash"]
    return saved(getattr(models, role), models.tokenizer, scratch / role)
