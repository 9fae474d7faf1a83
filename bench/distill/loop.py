"""The one training loop: every strategy, and the teacher's own fine-tuning, go through it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data.encode import Encoded
from bench.distill.checkpoint import Checkpoints
from bench.distill.feed import Feed, batch_order
from bench.distill.losses import supervised
from bench.distill.objective import Objective
from bench.distill.shown import noted
from bench.errors import BenchError
from bench.evaluation.metrics import score
from bench.evaluation.predict import predict
from bench.evaluation.selection import Selection
from bench.interrupts import Interrupts
from bench.models.inputs import Inputs, portions, rows_of, share_of
from bench.models.reshape import compile_layers, recompute_activations
from bench.models.streams import start_stream
from bench.observer import Observer
from bench.settings import Recipe
from bench.strategy import Batch, Models, Step, Strategy, View

# Counted up when the loop or its batches come to other numbers, so that what earlier ones trained is not taken from
# the cache for theirs.
EDITION = 2
# A strategy may train its adversary before the student's first update, but not for longer than the student's own.
_ADVERSARY_IN_A_ROW = 1000
# Losses are looked at this many updates late, so that a GPU is not made to wait for every one of them.
_LOOK_EVERY = 10


@dataclass
class Outcome:
    """What a run leaves: the chosen student's logits on every split, and how it got there."""

    logits: dict[str, np.ndarray]
    step: int
    curve: list[dict[str, Any]] = field(default_factory=list)
    resumed: int = 0


@dataclass
class Best:
    """The student that scored best so far on the rows that choose: its score, update and weights."""

    value: float = -math.inf
    step: int = 0
    weights: dict[str, torch.Tensor] | None = None


def total_updates(per_epoch: int, recipe: Recipe) -> int:
    """Return the budget: how many student updates ``recipe`` makes where an epoch has ``per_epoch`` batches."""
    # Epochs that are a number of updates over those of an epoch come out as that number.
    return max(1, math.ceil(recipe.epochs * per_epoch - 1e-9))


def learning_rate(step: int, total: int, warmup: float) -> float:
    """Return the factor on the learning rate at student update ``step``: up linearly, then down to zero."""
    rising = warmup * total
    return (step + 1) / rising if step < rising - 1 else (total - step) / max(1.0, total - rising + 1)


def distil(
    models: Models,
    strategy: Strategy,
    recipe: Recipe,
    selection: Selection,
    feed: Feed,
    splits: dict[str, Encoded],
    *,
    seed: int,
    observer: Observer,
    checkpoints: Path | None = None,
    trains: str = "student",
) -> Outcome:
    """Train ``models.student`` on what ``feed`` serves, choose a student by ``splits["dev"]``, predict all ``splits``.

    ``trains`` is what messages call the model in training (the teacher, when it is). The run resumes from
    the folder ``checkpoints`` and, on the CPU, goes on to the numbers of an uninterrupted one.

    Raises BenchError when the loss is no longer finite, naming the update and the batch's example ids.
    """
    dev, cost = splits["dev"], models.cost
    student_batches = batch_order(feed.train.lengths, recipe, seed)
    # The adversary has batches of its own, so that it takes none of the student's.
    adversary_batches = batch_order(feed.train.lengths, recipe, seed + 1_000_003)
    per_epoch = student_batches.per_epoch
    total = total_updates(per_epoch, recipe)
    every = max(1, round(recipe.evaluate_every * per_epoch))
    prepare(models, recipe)
    student = StudentUpdates(models, strategy, recipe, seed)
    strategy.setup(models)
    losses = Losses(observer, feed.train, recipe, trains, total)
    choosing_rows = selection.rows_to_choose(len(dev))
    best, outcome = Best(step=total), Outcome(logits={}, step=total)

    with torch.random.fork_rng(), Interrupts() as interrupts:
        states = None if checkpoints is None else Checkpoints(checkpoints, observer)
        state = None if states is None else states.load(student=models.student.state_dict())
        if state is not None and state["device"] != models.accelerator.device.type:
            observer.note(f"{checkpoints} was written on another kind of device: starting over")
        elif state is not None:
            student.load_state_dict(state)
            feed.load_state_dict(state["feed"])
            best, outcome.curve, outcome.resumed = Best(**state["best"]), state["curve"], state["resumed"] + 1
        last_saved, in_a_row = cost.train_seconds, 0
        observer.update(trains, cost.student_updates, total)
        while (done := cost.student_updates) < total:
            objective = student.objective(done / total)
            # In a phase without views an adversary would learn, and texts be rewritten, for nothing.
            turn = "student" if objective.labels_only else strategy.turn(Step(done, cost.adversary_updates))
            if turn not in ("student", "adversary"):
                raise BenchError(f"{type(strategy).__name__}.turn() returned {turn!r}, not 'student' or 'adversary'")
            epoch = None if objective.labels_only else done // per_epoch
            with cost.timed(turn):
                if turn == "adversary":
                    in_a_row += 1
                    if in_a_row > max(_ADVERSARY_IN_A_ROW, total):
                        raise BenchError(
                            f"{type(strategy).__name__}.turn() returned 'adversary' {in_a_row:,} times in a row, with "
                            f"{done:,} of the student's {total:,} updates made: return 'student' in its turn"
                        )
                    with interrupts.released():
                        batch = feed.batch(adversary_batches[cost.adversary_updates], epoch)
                    start_stream(models.accelerator.device, seed, "adversary", cost.adversary_updates)
                    loss = strategy.fit_adversary(batch, models)
                    cost.adversary_updates += 1
                    losses.add(turn, cost.adversary_updates, batch, loss, done)
                else:
                    in_a_row = 0
                    with interrupts.released():
                        batch = feed.batch(student_batches[done], epoch)
                    loss = student.update(batch, objective, recipe.lr * learning_rate(done, total, recipe.warmup))
                    cost.student_updates += 1
                    cost.served(feed.train.lengths[batch.rows], batch.inputs["attention_mask"].shape[1])
                    losses.add(turn, cost.student_updates, batch, loss, done + 1)
            if turn == "student" and (cost.student_updates % every == 0 or cost.student_updates == total):
                losses.look()
                with cost.timed("evaluate"):
                    logits = predict(models.student, dev, models.accelerator)
                rows = np.arange(len(dev)) if choosing_rows is None else choosing_rows
                value = score(models.task, logits[rows], dev.labels[rows])[models.task.main_metric]
                outcome.curve.append({"step": cost.student_updates, models.task.main_metric: value})
                observer.evaluated(models.task.main_metric, value)
                if choosing_rows is not None and value > best.value:
                    weights = {k: v.detach().cpu().clone() for k, v in models.student.state_dict().items()}
                    best = Best(value, cost.student_updates, weights)
            due = cost.train_seconds - last_saved > recipe.checkpoint_seconds
            if states is not None and (due or interrupts.asked):
                losses.look()
                last_saved = cost.train_seconds
                progress = {"best": vars(best), "curve": outcome.curve, "resumed": outcome.resumed}
                states.save({**student.state_dict(), "feed": feed.state_dict(), **progress})
            interrupts.obey()

    if best.weights is not None:
        models.student.load_state_dict(best.weights)
        outcome.step = best.step
    with cost.timed("evaluate"):
        outcome.logits = {
            name: predict(models.student, data, models.accelerator) for name, data in splits.items() if name != "train"
        }
    return outcome


def prepare(models: Models, recipe: Recipe) -> None:
    """Have ``models`` compute as ``recipe`` says: micro-batches, activations kept or not, layers compiled."""
    models.recipe = recipe
    for model in (models.student, models.teacher, models.generator):
        if model is not None:
            recompute_activations(model, recipe.recompute)
            if recipe.compile:
                compile_layers(model)


@dataclass
class _Term:
    """A part of the student's loss: what it reads, and from the rows of a slice and its logits on them their mean.

    ``loss`` is also given the logits of the pass's first term, the clean rows in an update's first pass.
    ``dropout`` names the stream that its dropout masks come from.
    """

    inputs: Inputs
    loss: Callable[[slice, torch.Tensor, torch.Tensor], torch.Tensor]
    dropout: str


class StudentUpdates:
    """Makes the updates of one run's student: its optimiser, and the loss of a batch with all its views.

    The clean rows have a forward of their own, and every forward a stream of dropout masks of its own: at one ``seed``
    and update the clean rows lose the same units whatever the strategy, so that strategies differ in less by chance.
    """

    def __init__(self, models: Models, strategy: Strategy, recipe: Recipe, seed: int) -> None:
        if (weights := strategy.loss_weights()) is not None:
            recipe = replace(recipe, weights=weights)
        self.models, self.strategy, self.recipe, self.seed = models, strategy, recipe, seed
        self.optimizer = torch.optim.AdamW(
            models.student.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )

    def objective(self, progress: float) -> Objective:
        """Return what an update minimises when the share ``progress`` of all is made."""
        return Objective(self.recipe, progress, self.models.task.is_regression)

    def update(self, batch: Batch, objective: Objective, rate: float) -> torch.Tensor:
        """Make one update on the clean batch and its views at learning rate ``rate``; return the loss (a scalar)."""
        student = self.models.student
        student.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._backward(batch, objective)
        self.models.accelerator.clip_grad_norm_(student.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def _backward(self, batch: Batch, objective: Objective) -> torch.Tensor:
        """Add up the gradient of the whole loss: in one pass, or in one more for each view that is waited for."""
        # What a strategy draws from torch's global state, though it should not, resumes as well.
        self._start("views")
        views = iter(()) if objective.labels_only else self.strategy.views(batch, self.models)
        groups = _groups(noted(views, batch, self.models.cost))
        first = next(groups, [])
        weights = objective.weights(teacher=batch.teacher_logits is not None, views=bool(first))
        waits = bool(first) and first[-1].wait
        # What comes after a view that is waited for is not known yet: its weights have to sum to one by themselves.
        share = weights[2] if waits else weights[2] / (sum(view.weight for view in first) or 1.0)
        losses = [self._pass([self._clean(batch, weights, objective), *self._terms(first, share, batch, objective)])]
        given = sum(view.weight for view in first)
        for group in groups:
            if any(view.mutual for view in group):
                raise BenchError("a mutual view needs the clean rows' pass: yield it before those that are waited for")
            losses.append(self._pass(self._terms(group, share, batch, objective)))
            given += sum(view.weight for view in group)
        if waits and not math.isclose(given, 1.0, rel_tol=1e-6):
            raise BenchError(
                f"the weights of {type(self.strategy).__name__}'s views sum to {given:g}; as some are waited for, they "
                f"must sum to 1: give each of n views weight=1/n"
            )
        return torch.stack(losses).sum()

    def _clean(self, batch: Batch, weights: tuple[float, float, float], objective: Objective) -> _Term:
        """Return the term of the clean rows: the labels' loss and the distance from the teacher's logits."""
        regression, targets = self.models.task.is_regression, batch.teacher_logits

        def loss(rows: slice, logits: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
            labelled = weights[0] * supervised(logits, batch.labels[rows], regression)
            return labelled if targets is None else labelled + weights[1] * objective.distance(targets[rows], logits)

        return _Term(batch.inputs, loss, "clean")

    def _terms(self, views: list[View], share: float, batch: Batch, objective: Objective) -> list[_Term]:
        """Return the term of each of ``views``: its weight times ``share`` times the distance from its target."""

        def loss_of(view: View, targets: torch.Tensor) -> Callable[[slice, torch.Tensor, torch.Tensor], torch.Tensor]:
            def loss(rows: slice, logits: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
                if view.mutual:
                    there = objective.distance(clean, logits, own_target=True)
                    distance = (there + objective.distance(logits, clean, own_target=True)) / 2
                else:
                    distance = objective.distance(targets[rows], logits, own_target=view.own_target)
                return share * view.weight * distance

            return loss

        # Counted from the last, the one that is waited for: all steps of FreeLB then lose the same units, as in its
        # paper (section 3.3), and their gradients are those of one function.
        places = reversed(range(len(views)))
        return [
            _Term(
                view.student,
                loss_of(view, self.models.teacher_targets(view, batch)),
                "clean" if view.same_dropout else f"view {place}",
            )
            for view, place in zip(views, places, strict=True)
        ]

    def _pass(self, terms: list[_Term]) -> torch.Tensor:
        """Run all ``terms`` forward and backward, micro-batch by micro-batch; return the sum of their losses."""
        models = self.models
        rows = [len(term.inputs["attention_mask"]) for term in terms]
        # A view made of embeddings carries a graph that the backward of every micro-batch goes through.
        has_graph = any(tensor.requires_grad for term in terms for tensor in term.inputs.values())
        slices = list(zip(*(portions(n, min(self.recipe.accumulate, *rows)) for n in rows), strict=True))
        losses = []
        for number, pieces in enumerate(slices):
            loss, first = torch.zeros((), device=models.accelerator.device), None
            for term, piece, n in zip(terms, pieces, rows, strict=True):
                self._start(term.dropout, number)
                logits = models.logits("student", rows_of(term.inputs, piece))
                first = logits if first is None else first
                loss = loss + share_of(piece, n) * term.loss(piece, logits, first)
            keep = {"retain_graph": True} if has_graph and number < len(slices) - 1 else {}
            models.accelerator.backward(loss, **keep)
            losses.append(loss.detach())
        models.cost.backwards["student"] += sum(rows)
        return torch.stack(losses).sum()

    def _start(self, purpose: str, micro_batch: int = 0) -> None:
        """Start the random stream for ``purpose`` in the update that comes next."""
        models = self.models
        start_stream(models.accelerator.device, self.seed, purpose, models.cost.student_updates, micro_batch)

    def state_dict(self) -> dict[str, Any]:
        """Return all of models, strategy and their random state that the next update depends on."""
        models = self.models
        generator = models.generator if "generator" in self.strategy.needs else None
        return {
            "student": models.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": None if generator is None else generator.state_dict(),
            "strategy": self.strategy.state_dict(),
            "device": models.accelerator.device.type,
            "cost": models.cost.state_dict(),
            "rng": models.rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` returned."""
        models = self.models
        models.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["generator"] is not None:
            assert models.generator is not None
            models.generator.load_state_dict(state["generator"])
        self.strategy.load_state_dict(state["strategy"])
        models.cost.load_state_dict(state["cost"])
        models.rng.set_state(state["rng"])


def _groups(views: Iterable[View]) -> Iterator[list[View]]:
    """Yield ``views`` in groups that share a pass: each ends with a view that is waited for, or with the last one."""
    group: list[View] = []
    for view in views:
        group.append(view)
        if view.wait:
            yield group
            group = []
    if group:
        yield group


class Losses:
    """The losses not looked at yet; a look tells the observer their mean, or that one is not finite."""

    def __init__(self, observer: Observer, train: Encoded, recipe: Recipe, trains: str, total: int) -> None:
        self.observer, self.train, self.recipe, self.trains, self.total = observer, train, recipe, trains, total
        self._waiting: list[tuple[str, int, np.ndarray, torch.Tensor]] = []
        self._done = 0

    def add(self, turn: str, update: int, batch: Batch, loss: torch.Tensor, done: int) -> None:
        """Keep the ``loss`` of ``turn``'s ``update``, with ``done`` student updates made; now and then look."""
        self._waiting.append((turn, update, batch.rows, loss))
        self._done = done
        if len(self._waiting) >= _LOOK_EVERY:
            self.look()

    def look(self) -> None:
        """Tell the observer the mean of the losses since the last look; BenchError if one is not finite."""
        if not self._waiting:
            return
        values = torch.stack([loss for *_, loss in self._waiting]).tolist()
        for (turn, update, rows, _), value in zip(self._waiting, values, strict=True):
            if not math.isfinite(value):
                ids = ", ".join(str(self.train.example_ids[row]) for row in rows)
                who = self.trains if turn == "student" else turn
                section = {"student": "recipe", "teacher": "teacher"}.get(who)
                rate = f"--set {section}.lr={self.recipe.lr / 3:.1g}" if section else "an option of the strategy"
                raise BenchError(
                    f"the {who}'s loss is {value} at its update {update}; the batch holds examples {ids}. "
                    f"Try a smaller learning rate: {rate}"
                )
        turn = self._waiting[-1][0]
        self._waiting.clear()
        phase = self.trains if turn == "student" else turn
        self.observer.update(phase, self._done, self.total, float(np.mean(values)))
