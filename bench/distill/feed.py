"""From row numbers to batches: clean texts, labels, the teacher's logits, and the texts rewritten of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from bench.cost import Cost
from bench.data.encode import BatchOrder, Encoded, TokenBatchOrder
from bench.rewriter import Rewriter
from bench.rewriting.training_sets import RewrittenSets, TrainingSet
from bench.settings import Recipe
from bench.strategy import Batch, View


class Texts(Protocol):
    """Where rewritten training sets come from: workers and their cache, in a run."""

    def rewritten(self, rewriter: Rewriter, edition: int) -> RewrittenSets:
        """Return the training sets that ``rewriter`` makes for ``edition``, with what that cost."""


def batch_order(lengths: np.ndarray, recipe: Recipe, seed: int) -> BatchOrder:
    """Return which of the training rows of ``lengths`` [N] make which batch under ``recipe``."""
    if recipe.batch_tokens is not None:
        return TokenBatchOrder(lengths, recipe.batch_tokens, seed)
    return BatchOrder(lengths, recipe.batch_size, seed)


class Feed:
    """Makes the batches of one run from its N training rows, ``teacher_logits`` [N, C] and rewritten texts.

    The rewritten sets are those of ``epoch``, the one last asked for; ``cost`` is charged once for each rewriter and
    edition, however often a run is cut off and resumed.
    """

    def __init__(
        self,
        train: Encoded,
        teacher_logits: np.ndarray | None = None,
        *,
        device: torch.device | str = "cpu",
        rewriters: Sequence[Rewriter] = (),
        texts: Texts | None = None,
        cost: Cost | None = None,
    ) -> None:
        self.train, self.teacher_logits, self.device = train, teacher_logits, device
        self.rewriters, self.texts, self.cost = tuple(rewriters), texts, cost or Cost()
        self.epoch = 0
        self._sets: dict[int, tuple[int, list[TrainingSet]]] = {}
        self._charged: set[tuple[int, int]] = set()

    def batch(self, rows: np.ndarray, epoch: int | None = 0) -> Batch:
        """Return the clean batch of ``rows`` with what was rewritten of them for ``epoch``; None: without."""
        logits = None if self.teacher_logits is None else self._tensor(self.teacher_logits[rows])
        labels = self._tensor(self.train.labels[rows])
        batch = Batch(rows, self.train.inputs(rows, self.device), labels, logits)
        if epoch is not None:
            self.epoch = epoch
            batch.rewrites = [
                (rewriter, [self._view(one, rows) for one in self._of(number, rewriter.edition(epoch))])
                for number, rewriter in enumerate(self.rewriters)
            ]
        return batch

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    def _view(self, one: TrainingSet, rows: np.ndarray) -> View:
        logits = None if one.teacher_logits is None else self._tensor(one.teacher_logits[rows])
        return View(one.texts.inputs(rows, self.device), teacher_logits=logits, weight=one.weight)

    def _of(self, number: int, edition: int) -> list[TrainingSet]:
        """Return the training sets of rewriter ``number`` for ``edition``, asking for them where they are not here."""
        if self.texts is None:
            return []
        if number not in self._sets or self._sets[number][0] != edition:
            with self.cost.timed("rewrite_call"):
                rewritten = self.texts.rewritten(self.rewriters[number], edition)
            if (number, edition) not in self._charged:
                self._charged.add((number, edition))
                rewritten.charge(self.cost)
            self._sets[number] = (edition, rewritten.sets)
        return self._sets[number][1]

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run cannot ask for again: texts that were made with the student as it was then."""
        kept = {
            str(number): {"edition": edition, "sets": [one.state_dict() for one in sets]}
            for number, (edition, sets) in self._sets.items()
            if "student" in self.rewriters[number].reads()
        }
        return {"epoch": self.epoch, "kept": kept, "charged": sorted(map(list, self._charged))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` returned."""
        self.epoch = state["epoch"]
        self._charged = {(number, edition) for number, edition in state["charged"]}
        self._sets = {
            int(number): (kept["edition"], [TrainingSet.from_state(one) for one in kept["sets"]])
            for number, kept in state["kept"].items()
        }
