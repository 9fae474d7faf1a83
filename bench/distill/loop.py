"""The one training loop: every strategy, and the teacher's own fine-tuning, go through it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data.encode import Encoded
from bench.distill.checkpoint import Checkpoints
from bench.distill.feed import Feed, batch_order
from bench.distill.student_updates import StudentUpdates
from bench.errors import BenchError
from bench.evaluation.metrics import score
from bench.evaluation.predict import predict
from bench.evaluation.selection import Selection
from bench.interrupts import Interrupts
from bench.models.ranks import ALONE, Ranks
from bench.models.reshape import compile_layers, recompute_activations
from bench.models.streams import start_stream
from bench.observer import Observer
from bench.settings import Recipe
from bench.strategy import Batch, Models, Step, Strategy

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
    the folder ``checkpoints`` and, on the CPU, goes on to the numbers of an uninterrupted one. Where accelerate knows
    of several processes, all must call it, with the same arguments; the first one writes checkpoints.

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
    ranks = models.ranks = Ranks.of(models.accelerator)
    student = StudentUpdates(models, strategy, recipe, seed)
    strategy.setup(models)
    losses = Losses(observer, feed.train, recipe, trains, total)
    choosing_rows = selection.rows_to_choose(len(dev))
    best, outcome = Best(step=total), Outcome(logits={}, step=total)

    with torch.random.fork_rng(), Interrupts(patient=ranks.count > 1) as interrupts:
        states = None if checkpoints is None else Checkpoints(checkpoints, observer)
        if not ranks.leads:
            ranks.wait()  # the first sets aside what is damaged
        state = None if states is None else states.load(student=models.student.state_dict())
        if ranks.leads:
            ranks.wait()
        if state is not None and state["device"] != models.accelerator.device.type:
            observer.note(f"{checkpoints} was written on another kind of device: starting over")
        elif state is not None:
            student.load_state_dict(state)
            feed.load_state_dict(state["feed"])
            best, outcome.curve, outcome.resumed = Best(**state["best"]), state["curve"], state["resumed"] + 1
            observer.note(f"{trains}: goes on after update {cost.student_updates:,} of {total:,}")
        last_saved, in_a_row = cost.train_seconds, 0

        def put_away() -> None:
            losses.look()
            progress = {"best": vars(best), "curve": outcome.curve, "resumed": outcome.resumed}
            if states is not None and ranks.leads:
                states.save({**student.state_dict(), "feed": feed.state_dict(), **progress})

        def batch_of(rows: np.ndarray) -> Batch:
            # Texts may take minutes to be rewritten, and are asked for again where that is cut off: no update is lost.
            try:
                with interrupts.released():
                    return feed.batch(rows, epoch)
            except KeyboardInterrupt:
                put_away()
                raise

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
                    batch = batch_of(adversary_batches[cost.adversary_updates])
                    start_stream(models.accelerator.device, seed, "adversary", cost.adversary_updates)
                    loss = models.whole(strategy.fit_adversary(batch, models))
                    cost.adversary_updates += 1
                    losses.add(turn, cost.adversary_updates, batch, loss, done)
                else:
                    in_a_row = 0
                    batch = batch_of(student_batches[done])
                    loss = student.update(batch, objective, recipe.lr * learning_rate(done, total, recipe.warmup))
                    cost.student_updates += 1
                    cost.served(feed.train.lengths[batch.rows], batch.inputs["attention_mask"].shape[1])
                    losses.add(turn, cost.student_updates, batch, loss, done + 1)
            if turn == "student" and (cost.student_updates % every == 0 or cost.student_updates == total):
                losses.look()
                with cost.timed("evaluate"):
                    logits = predict(models.student, dev, models.accelerator, ranks=ranks)
                outcome.logits = {"dev": logits}
                rows = np.arange(len(dev)) if choosing_rows is None else choosing_rows
                value = score(models.task, logits[rows], dev.labels[rows])[models.task.main_metric]
                outcome.curve.append({"step": cost.student_updates, models.task.main_metric: value})
                observer.evaluated(models.task.main_metric, value)
                if choosing_rows is not None and value > best.value:
                    weights = {k: v.detach().cpu().clone() for k, v in models.student.state_dict().items()}
                    best = Best(value, cost.student_updates, weights)
            due, asked = _agreed(cost.train_seconds - last_saved > recipe.checkpoint_seconds, interrupts.asked, models)
            if states is not None and (due or asked):
                last_saved = cost.train_seconds
                put_away()
            interrupts.obey(asked)

    if best.weights is not None:
        models.student.load_state_dict(best.weights)
        if best.step != outcome.step:
            outcome.logits = {}  # of the last student, which is not the one reported
        outcome.step = best.step
    with cost.timed("evaluate"):
        outcome.logits |= {
            name: predict(models.student, data, models.accelerator, ranks=ranks)
            for name, data in splits.items()
            if name not in ("train", *outcome.logits)
        }
    models.ranks = ALONE  # what is looked at from here on, one process looks at
    return outcome


def _agreed(due: bool, asked: int, models: Models) -> tuple[bool, int]:
    """Return whether a checkpoint is ``due`` now, and the signal ``asked`` to obey now (0: none).

    Processes that train together find the same: what the first says of the checkpoint, and any of a signal.
    """
    ranks, cost = models.ranks, models.cost
    if ranks.count == 1:
        return due, asked
    if (cost.student_updates + cost.adversary_updates) % _LOOK_EVERY:
        return False, 0
    highest = ranks.highest(2 * asked + (due and ranks.leads), models.accelerator.device)
    return highest > 0, highest // 2


def prepare(models: Models, recipe: Recipe) -> None:
    """Have ``models`` compute as ``recipe`` says: micro-batches, activations kept or not, layers compiled."""
    models.recipe = recipe
    for model in (models.student, models.teacher, models.generator):
        if model is not None:
            recompute_activations(model, recipe.recompute)
            if recipe.compile:
                compile_layers(model)


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
