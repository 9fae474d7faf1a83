"""The student's updates: the loss of a batch with all its views, and its gradient, pass by pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.distill.losses import supervised
from bench.distill.objective import Objective
from bench.distill.shown import noted
from bench.errors import BenchError
from bench.models.inputs import Inputs, portions, rows_of, share_of
from bench.models.streams import start_stream
from bench.settings import Recipe
from bench.strategy import Batch, Models, Strategy, View


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
        self.models.ranks.add_up(self.models.student.parameters())
        return self.models.ranks.total(torch.stack(losses).sum())

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
        own, before, losses = list(models.ranks.own(len(slices))), models.cost.forwards["student"], []
        for number, factor in own:
            loss, first = torch.zeros((), device=models.accelerator.device), None
            for term, piece, n in zip(terms, slices[number], rows, strict=True):
                self._start(term.dropout, number)
                logits = models.logits("student", rows_of(term.inputs, piece))
                first = logits if first is None else first
                loss = loss + factor * share_of(piece, n) * term.loss(piece, logits, first)
            keep = {"retain_graph": True} if has_graph and number != own[-1][0] else {}
            models.accelerator.backward(loss, **keep)
            losses.append(loss.detach())
        # Of all processes that train together.
        models.cost.forwards["student"] = before + sum(rows)
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
