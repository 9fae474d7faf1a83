"""The one training loop: every strategy, and the teacher's own fine-tuning, go through it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from bench.data.encode import BatchOrder, Encoded, TokenBatchOrder
from bench.distill.accumulation import micro_batch, portions, rows_of, share_of
from bench.distill.checkpoint import Checkpoints
from bench.distill.losses import supervised
from bench.distill.objective import Objective
from bench.errors import BenchError
from bench.evaluation.metrics import score
from bench.evaluation.predict import predict
from bench.evaluation.selection import Selection
from bench.models.inputs import Inputs
from bench.models.reshape import compile_layers, recompute_activations
from bench.observer import Observer
from bench.settings import Recipe
from bench.strategy import Batch, Models, Step, Strategy, View

# Losses are looked at this many updates late, so that a GPU is not made to wait for every one of them.
_LOOK_EVERY = 10
# Parts of one forward are padded to one length; more padding than this share of it, and each has a forward of its own.
_WASTE = 0.1


@dataclass(frozen=True)
class RewrittenSet:
    """A training set in the clean rows' order, as ``maker`` rewrote it, with the teacher's logits [N, C]."""

    texts: Encoded
    teacher_logits: np.ndarray | None
    maker: Strategy
    weight: float = 1.0


Rewrites = Callable[[int], list[RewrittenSet]]
"""From an epoch to the training sets that the strategy rewrote for it."""


@dataclass
class Outcome:
    """What a run leaves: the chosen student's logits on every split, and how it got there."""

    logits: dict[str, np.ndarray]
    step: int
    curve: list[dict[str, Any]] = field(default_factory=list)
    resumed: int = 0
    rewritten: list[RewrittenSet] = field(default_factory=list)


def batch_order(lengths: np.ndarray, recipe: Recipe, seed: int) -> BatchOrder | TokenBatchOrder:
    """Return which of the training rows of ``lengths`` [N] make which batch under ``recipe``."""
    if recipe.batch_tokens is not None:
        return TokenBatchOrder(lengths, recipe.batch_tokens, seed)
    return BatchOrder(lengths, recipe.batch_size, seed)


def total_updates(per_epoch: int, recipe: Recipe) -> int:
    """Return the budget: how many student updates ``recipe`` makes where an epoch has ``per_epoch`` batches."""
    return max(1, math.ceil(recipe.epochs * per_epoch))


def learning_rate(step: int, total: int, warmup: float) -> float:
    """Return the factor on the learning rate at student update ``step``: up linearly, then down to zero."""
    rising = warmup * total
    return (step + 1) / rising if step < rising - 1 else (total - step) / max(1.0, total - rising + 1)


def distil(
    models: Models,
    strategy: Strategy,
    recipe: Recipe,
    selection: Selection,
    splits: dict[str, Encoded],
    *,
    seed: int,
    observer: Observer,
    teacher_logits: np.ndarray | None = None,
    rewrites: Rewrites | None = None,
    state_file: Path | None = None,
    trains: str = "student",
) -> Outcome:
    """Train ``models.student`` on ``splits["train"]``, choose a student by dev, predict every other split.

    ``teacher_logits`` [N, C] are the teacher's of the N clean training rows. ``rewrites(epoch)`` returns the
    strategy's rewritten texts. ``trains`` is what messages call the model in training (the teacher, when it is).
    The run resumes from ``state_file`` (a folder of two states) and, on the CPU, goes on to the numbers of an
    uninterrupted one.

    Raises BenchError when the loss is no longer finite, naming the update and the batch's example ids.
    """
    train, dev = splits["train"], splits["dev"]
    student_batches = batch_order(train.lengths, recipe, seed)
    # The adversary has batches of its own, so that it takes none of the student's.
    adversary_batches = batch_order(train.lengths, recipe, seed + 1_000_003)
    total = total_updates(student_batches.per_epoch, recipe)
    every = max(1, round(recipe.evaluate_every * student_batches.per_epoch))
    trainer = Trainer(models, strategy, recipe, train, teacher_logits, rewrites, observer, trains)
    strategy.setup(models)
    chooser = selection.rows_to_choose(len(dev))
    best: tuple[float, int, dict[str, torch.Tensor] | None] = (-math.inf, total, None)
    outcome = Outcome(logits={}, step=total)
    cost = models.cost

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        states = None if state_file is None else Checkpoints(state_file, observer)
        state = None if states is None else states.load(student=models.student.state_dict())
        if state is not None and state["device"] != models.accelerator.device.type:
            observer.note(f"{state_file} was written on another kind of device: starting over")
        elif state is not None:
            trainer.load_state_dict(state)
            best, outcome.curve, outcome.resumed = state["best"], state["curve"], state["resumed"] + 1
        last_saved = cost.train_seconds
        observer.update(trains, cost.student_updates, total)
        while cost.student_updates < total:
            step = Step(student=cost.student_updates, adversary=cost.adversary_updates)
            # In a phase without views an adversary would learn for nothing.
            turn = "student" if trainer.objective(step.student, total).labels_only else strategy.turn(step)
            if turn == "adversary":
                with cost.timed("adversary"):
                    batch = trainer.batch(adversary_batches[step.adversary])
                    loss = strategy.fit_adversary(batch, models)
                    cost.adversary_updates += 1
                    trainer.watch(turn, batch, loss)
            else:
                with cost.timed("student"):
                    batch = trainer.batch(student_batches[step.student])
                    loss = trainer.student_update(batch, step.student, total)
                    cost.student_updates += 1
                    trainer.watch(turn, batch, loss)
            if turn == "student" and (cost.student_updates % every == 0 or cost.student_updates == total):
                trainer.check_losses()
                with cost.timed("evaluate"):
                    logits = predict(models.student, dev, models.accelerator)
                rows = np.arange(len(dev)) if chooser is None else chooser
                value = score(models.task, logits[rows], dev.labels[rows])[models.task.main_metric]
                outcome.curve.append({"step": cost.student_updates, models.task.main_metric: value})
                observer.evaluated(models.task.main_metric, value)
                if chooser is not None and value > best[0]:
                    weights = {k: v.detach().cpu().clone() for k, v in models.student.state_dict().items()}
                    best = (value, cost.student_updates, weights)
            if states is not None and cost.train_seconds - last_saved > recipe.checkpoint_seconds:
                trainer.check_losses()
                last_saved = cost.train_seconds
                mine = {"best": best, "curve": outcome.curve, "resumed": outcome.resumed}
                states.save({**trainer.state_dict(), **mine})

    outcome.rewritten = trainer.rewritten
    if best[2] is not None:
        models.student.load_state_dict(best[2])
        outcome.step = best[1]
    with cost.timed("evaluate"):
        outcome.logits = {
            name: predict(models.student, data, models.accelerator) for name, data in splits.items() if name != "train"
        }
    return outcome


class Trainer:
    """The moving parts of one run, and its student updates: optimiser, current rewrites, losses not yet looked at."""

    def __init__(
        self,
        models: Models,
        strategy: Strategy,
        recipe: Recipe,
        train: Encoded,
        teacher_logits: np.ndarray | None,
        rewrites: Rewrites | None,
        observer: Observer,
        trains: str = "student",
    ) -> None:
        self.models, self.strategy, self.recipe, self.train = models, strategy, recipe, train
        self.observer, self.rewrites, self.trains = observer, rewrites, trains
        self.per_epoch = batch_order(train.lengths, recipe, 0).per_epoch
        self.device = models.accelerator.device
        self.teacher_logits = teacher_logits
        models.accumulate = recipe.accumulate
        for model in (models.student, models.teacher, models.generator):
            if model is not None:
                recompute_activations(model, recipe.recompute)
                if recipe.compile:
                    compile_layers(model)
        self.optimizer = torch.optim.AdamW(
            models.student.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
        self.pending: list[tuple[str, int, np.ndarray, torch.Tensor]] = []
        self.rewritten_for: list[int] = []
        self.rewritten: list[RewrittenSet] = []

    def batch(self, rows: np.ndarray) -> Batch:
        """Return the clean batch of ``rows``, with the teacher's logits and the rows' rewrites."""
        known = None if self.teacher_logits is None else torch.from_numpy(self.teacher_logits[rows]).to(self.device)
        labels = torch.from_numpy(self.train.labels[rows]).to(self.device)
        batch = Batch(rows, self.train.inputs(rows, self.device), labels, known)
        for made in self._rewritten():
            view = View(made.texts.inputs(rows, self.device), weight=made.weight, maker=made.maker)
            if made.teacher_logits is not None:
                view.teacher_logits = torch.from_numpy(made.teacher_logits[rows]).to(self.device)
            batch.rewrites.append(view)
        return batch

    def _rewritten(self) -> list[RewrittenSet]:
        makers = self.strategy.rewriters()
        if self.rewrites is None or not makers:
            return []
        epoch = self.models.cost.student_updates // self.per_epoch
        editions = [maker.edition(epoch) for maker in makers]
        if editions != self.rewritten_for:
            with self.models.cost.timed("rewrite_call"):
                self.rewritten, self.rewritten_for = self.rewrites(epoch), editions
        return self.rewritten

    def student_update(self, batch: Batch, step: int, total: int) -> torch.Tensor:
        """Make one update of the student on the clean batch and its views; return the loss (a scalar)."""
        models, strategy = self.models, self.strategy
        models.student.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * learning_rate(step, total, self.recipe.warmup)
        objective = self.objective(step, total)
        if strategy.sequential and not objective.labels_only:
            loss = self._one_after_another(batch, objective)
        else:
            loss = self._all_at_once(batch, objective)
        models.accelerator.clip_grad_norm_(models.student.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        cost = models.cost
        tokens = int(self.train.lengths[batch.rows].sum())
        cost.examples += len(batch.rows)
        cost.tokens += tokens
        cost.padding += batch.inputs["attention_mask"].numel() - tokens
        return loss

    def objective(self, step: int, total: int) -> Objective:
        """Return what student update ``step`` of ``total`` minimises."""
        return Objective(self.recipe, step / total, self.models.task.is_regression)

    def _all_at_once(self, batch: Batch, objective: Objective) -> torch.Tensor:
        """Clean rows and all views in one forward and one backward of the student, micro-batch by micro-batch."""
        models = self.models
        views = [] if objective.labels_only else list(self.strategy.views(batch, models))
        targets = [models.teacher_targets(view, batch) for view in views]
        texts = [batch.inputs, *(view.student for view in views)]
        rows = [len(text["attention_mask"]) for text in texts]
        weights = objective.weights(teacher=batch.teacher_logits is not None, views=bool(views))
        share = weights[2] / (sum(view.weight for view in views) or 1.0)
        # A view made of embeddings carries a graph that the backward of every micro-batch goes through.
        keep = {"retain_graph": True} if any(t.requires_grad for text in texts for t in text.values()) else {}
        cuts = list(zip(*(portions(n, min(self.recipe.accumulate, *rows)) for n in rows), strict=True))
        losses = []
        for number, (own, *others) in enumerate(cuts, 1):
            parts = [rows_of(text, cut) for text, cut in zip(texts, (own, *others), strict=True)]
            clean, *perturbed = self._student_logits(parts)
            loss = share_of(own, rows[0]) * self._clean_loss(micro_batch(batch, own), clean, weights, objective)
            for view, target, logits, cut, n in zip(views, targets, perturbed, others, rows[1:], strict=True):
                loss = loss + share * view.weight * share_of(cut, n) * objective.distance(target[cut], logits)
            models.accelerator.backward(loss, **(keep if number < len(cuts) else {}))
            losses.append(loss.detach())
        models.cost.backwards["student"] += sum(rows)
        return torch.stack(losses).sum()

    def _one_after_another(self, batch: Batch, objective: Objective) -> torch.Tensor:
        """Each view is run forward and backward before the strategy is asked for the next."""
        rows = len(batch.rows)
        losses = []
        for cut in portions(rows, self.recipe.accumulate):
            losses += self._view_after_view(micro_batch(batch, cut), objective, share_of(cut, rows))
        return torch.stack(losses).sum()

    def _view_after_view(self, batch: Batch, objective: Objective, share: float) -> list[torch.Tensor]:
        models, losses = self.models, []
        weights = objective.weights(teacher=batch.teacher_logits is not None, views=True)

        def backward(loss: torch.Tensor) -> None:
            models.accelerator.backward(loss)
            losses.append(loss.detach())

        backward(share * self._clean_loss(batch, models.logits("student", batch.inputs), weights, objective))
        given = 0.0
        for view in self.strategy.views(batch, models):
            given += view.weight
            distance = objective.distance(models.teacher_targets(view, batch), models.logits("student", view.student))
            backward(share * weights[2] * view.weight * distance)
        if not math.isclose(given, 1.0, rel_tol=1e-6):
            # Known only after the last backward, when it is too late to divide by it.
            raise BenchError(
                f"the weights of {type(self.strategy).__name__}'s views sum to {given:g}; as it is sequential, they "
                f"must sum to 1: give each of n views weight=1/n"
            )
        models.cost.backwards["student"] += len(batch.rows) * len(losses)
        return losses

    def _clean_loss(
        self, batch: Batch, logits: torch.Tensor, weights: tuple[float, float, float], objective: Objective
    ) -> torch.Tensor:
        loss = weights[0] * supervised(logits, batch.labels, self.models.task.is_regression)
        if batch.teacher_logits is not None:
            loss = loss + weights[1] * objective.distance(batch.teacher_logits, logits)
        return loss

    def _student_logits(self, parts: list[Inputs]) -> Iterable[torch.Tensor]:
        """Return the student's logits of every part; parts made of ids and of similar length share one forward."""
        rows, widths = zip(*(part["attention_mask"].shape for part in parts), strict=True)
        pieces = sum(row * width for row, width in zip(rows, widths, strict=True))
        uneven = pieces < (1 - _WASTE) * sum(rows) * max(widths)
        if uneven or any("input_ids" not in part for part in parts):
            return [self.models.logits("student", part) for part in parts]
        return self.models.logits("student", concatenate(parts, self.train.pad_id)).split(list(rows))

    def watch(self, turn: str, batch: Batch, loss: torch.Tensor) -> None:
        """Remember the loss; now and then look at those remembered."""
        step = self.models.cost.student_updates if turn == "student" else self.models.cost.adversary_updates
        self.pending.append((turn, step, batch.rows, loss))
        if len(self.pending) >= _LOOK_EVERY:
            self.check_losses()

    def check_losses(self) -> None:
        """Tell the observer the mean of the losses since the last look; BenchError if one is not finite."""
        if not self.pending:
            return
        values = torch.stack([loss for *_, loss in self.pending]).tolist()
        for (turn, step, rows, _), value in zip(self.pending, values, strict=True):
            if not math.isfinite(value):
                ids = ", ".join(str(self.train.example_ids[row]) for row in rows)
                who = self.trains if turn == "student" else turn
                section = {"student": "recipe", "teacher": "teacher"}.get(who)
                rate = f"--set {section}.lr={self.recipe.lr / 3:.1g}" if section else "an option of the strategy"
                raise BenchError(
                    f"the {who}'s loss is {value} at its update {step}; the batch holds examples {ids}. "
                    f"Try a smaller learning rate: {rate}"
                )
        turn, total = self.pending[-1][0], total_updates(self.per_epoch, self.recipe)
        phase = self.trains if turn == "student" else turn
        self.pending.clear()
        self.observer.update(phase, self.models.cost.student_updates, total, float(np.mean(values)))

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next update depends on."""
        models = self.models
        generator = models.generator if "generator" in self.strategy.needs else None
        makers = self.strategy.rewriters()
        # What was made once is made again, to the same. What followed the student was made with it as it was then.
        kept = [
            {
                "texts": made.texts.tensors(),
                "teacher_logits": None if (known := made.teacher_logits) is None else torch.from_numpy(np.array(known)),
                "maker": next(number for number, maker in enumerate(makers) if maker is made.maker),
                "weight": made.weight,
            }
            for made in self.rewritten
            if any(maker.refresh == "epoch" for maker in makers)
        ]
        return {
            "student": models.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": None if generator is None else generator.state_dict(),
            "strategy": self.strategy.state_dict(),
            "rewritten": kept,
            "rewritten_for": self.rewritten_for if kept else [],
            "device": models.accelerator.device.type,
            "cost": models.cost.state_dict(),
            "rng": models.rng.get_state(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all(),
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
        self.rewritten_for = state["rewritten_for"]
        makers = self.strategy.rewriters()
        self.rewritten = [
            RewrittenSet(
                Encoded.from_tensors(kept["texts"]),
                None if (known := kept["teacher_logits"]) is None else known.numpy(),
                makers[kept["maker"]],
                kept["weight"],
            )
            for kept in state["rewritten"]
        ]
        models.cost.load_state_dict(state["cost"])
        models.rng.set_state(state["rng"])
        torch.set_rng_state(state["torch_rng"])
        torch.cuda.set_rng_state_all(state["cuda_rng"])


def concatenate(parts: list[Inputs], pad_id: int) -> Inputs:
    """Return the rows of all ``parts`` as one batch, padded on the right to the longest."""
    padding = {"input_ids": pad_id}
    return {
        key: pad_sequence(
            [row for part in parts for row in part[key]],
            batch_first=True,
            padding_value=padding.get(key, 0),
        )
        if len({part[key].shape[1] for part in parts}) > 1
        else torch.cat([part[key] for part in parts])
        for key in parts[0]
    }
