"""Single updates of a strategy, timed by phase."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from bench.data.encode import Encoded
from bench.distill.feed import Feed
from bench.distill.loop import prepare
from bench.distill.student_updates import StudentUpdates
from bench.models.inputs import Inputs, Role
from bench.rewriter import Rewriter
from bench.rewriting.training_sets import RewrittenSets, TrainingSet
from bench.settings import Recipe
from bench.spec import StrategySpec
from bench.strategy import Batch, Models


@dataclass
class Phases:
    """Seconds by phase; a GPU is waited for at both ends of each."""

    device: torch.device
    seconds: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the seconds spent inside to ``phase``."""
        start = self.now()
        yield
        self.add(phase, self.now() - start)

    def now(self) -> float:
        """Return the time, in seconds, when all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def add(self, phase: str, seconds: float) -> None:
        """Add ``seconds`` to ``phase``."""
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


@dataclass(kw_only=True)
class _TimedModels(Models):
    """Models whose forwards are timed by role."""

    phases: Phases

    def logits(self, role: Role, inputs: Inputs) -> torch.Tensor:
        with self.phases.timed(f"{role} forward"):
            return super().logits(role, inputs)


class _TimedAccelerator:
    """An accelerator whose backward and clipping are timed."""

    def __init__(self, accelerator: Any, phases: Phases) -> None:
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
class _UnchangedTexts:
    """Rewritten texts that are the training rows themselves, in as many forms as a rewriter would make."""

    train: Encoded
    logits: np.ndarray

    def rewritten(self, rewriter: Rewriter, edition: int) -> RewrittenSets:
        forms = rewriter.forms
        return RewrittenSets([TrainingSet(self.train, self.logits, 1 / forms)] * forms)


class TimedUpdates:
    """A strategy on models of its own, ready to make single timed updates."""

    def __init__(self, spec: StrategySpec, models: Models, train: Encoded, recipe: Recipe, logits: np.ndarray) -> None:
        self.phases = Phases(models.accelerator.device)
        self.strategy, self.train = spec.create(), train
        self.models = _TimedModels(
            task=models.task,
            tokenizer=models.tokenizer,
            student=copy.deepcopy(models.student),
            teacher=models.teacher,
            generator=copy.deepcopy(models.generator) if "generator" in self.strategy.needs else None,
            rng=torch.Generator(models.accelerator.device).manual_seed(0),
            accelerator=_TimedAccelerator(models.accelerator, self.phases),
            phases=self.phases,
        )
        self.recipe, self.logits = recipe, logits
        # Texts as long as the rewritten ones would be, answered by the teacher already: the rows' own.
        self.feed = Feed(
            train,
            logits if "teacher" in self.strategy.needs else None,
            device=models.accelerator.device,
            rewriters=self.strategy.rewriters(),
            texts=_UnchangedTexts(train, logits),
        )
        prepare(self.models, recipe)
        self.updates = StudentUpdates(self.models, self.strategy, recipe, seed=0)
        self.strategy.setup(self.models)
        self.has_adversary = self.strategy.trains_an_adversary()
        self.cost_model = self.strategy.cost_model()

    def student(self, rows: np.ndarray) -> None:
        """Make one student update."""
        self.updates.update(self.batch(rows), self.updates.objective(0.0), self.recipe.lr / 1000)
        self.models.cost.student_updates += 1

    def adversary(self, rows: np.ndarray) -> None:
        """Make one adversary update."""
        self.strategy.fit_adversary(self.batch(rows), self.models)

    def batch(self, rows: np.ndarray) -> Batch:
        """Return the batch of ``rows``, timed as data."""
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
