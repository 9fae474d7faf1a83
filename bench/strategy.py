"""The strategy contract: where the extra views of a batch come from, and nothing else.

The harness owns student, teacher, optimiser, schedule, precision, budget, checkpoints, evaluation and
counting; a strategy perturbs. See CONTRIBUTING.md for one in twenty lines.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import random

    import numpy as np
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bench.data.tasks import Example, Task
    from bench.distill.cost import Cost

Role = Literal["student", "teacher", "generator"]
Inputs = dict[str, "torch.Tensor"]
"""What a model reads: ``input_ids`` [B, L] or ``inputs_embeds`` [B, L, H], ``attention_mask`` [B, L],
and ``token_type_ids`` [B, L] where the tokenizer makes them."""


@lru_cache(maxsize=32)
def _parameters(forward: Any) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)


def accepted(model: PreTrainedModel, inputs: Inputs) -> Inputs:
    """Return ``inputs`` without the keys that this family's forward does not take."""
    known = _parameters(type(model).forward)
    if getattr(model.config, "type_vocab_size", 2) < 2:
        # RoBERTa takes token types but knows a single one.
        known = known - {"token_type_ids"}
    return {key: value for key, value in inputs.items() if key in known}


@dataclass
class View:
    """One perturbed form of a batch, on which the student is asked to agree with the teacher.

    The teacher's side is either ``teacher`` (inputs for the harness to run it on, without gradient) or
    ``teacher_logits`` [B, C] that are already known; with neither, the target is what the teacher says of
    the clean batch. Of several views each counts with its share of their weights' sum; the weights of a
    sequential strategy's views must sum to one.
    """

    student: Inputs
    teacher: Inputs | None = None
    teacher_logits: torch.Tensor | None = None
    weight: float = 1.0


@dataclass
class Batch:
    """One clean batch: B rows padded to L word pieces.

    ``labels`` are class indices [B] (int64) or scores [B] (float32). ``teacher_logits`` [B, C] come from the
    cache (None without a teacher). ``rewrites`` are the rows' texts as ``Strategy.rewrite`` made them,
    tokenised, with the teacher's logits.
    """

    rows: np.ndarray
    inputs: Inputs
    labels: torch.Tensor
    teacher_logits: torch.Tensor | None = None
    rewrites: list[View] = field(default_factory=list)


@dataclass(frozen=True)
class Step:
    """How many updates of each kind are already done when ``Strategy.turn`` is asked."""

    student: int
    adversary: int


@dataclass
class Models:
    """What a strategy may work with. ``logits`` runs a model in the run's precision and counts the cost."""

    task: Task
    tokenizer: PreTrainedTokenizerBase
    student: PreTrainedModel
    teacher: PreTrainedModel | None
    generator: PreTrainedModel | None
    rng: torch.Generator
    cost: Cost
    accelerator: Any

    def logits(self, role: Role, inputs: Inputs) -> torch.Tensor:
        """Return the model's logits, [B, C] (masked LM: [.., V]) for B rows of ``inputs``, never in half precision.

        Keys the model's family does not know (``token_type_ids`` on DistilBERT, say) are left out. Gradient
        and train/eval mode are as the caller set them.
        """
        model = getattr(self, role)
        self.cost.forwards[role] += len(inputs["attention_mask"])
        with self.accelerator.autocast():
            logits = model(**accepted(model, inputs)).logits
        return logits.float() if logits.dtype.itemsize < 4 else logits

    def teacher_targets(self, view: View, batch: Batch) -> torch.Tensor:
        """Return the logits [B, C] that ``view`` holds the student to."""
        import torch

        if view.teacher_logits is not None:
            return view.teacher_logits
        if view.teacher is not None:
            with torch.no_grad():
                return self.logits("teacher", view.teacher)
        if batch.teacher_logits is None:
            raise ValueError("a view without teacher inputs needs a strategy with 'teacher' in its needs")
        return batch.teacher_logits


@dataclass
class Strategy:
    """A way of perturbing training text. A subclass's dataclass fields are its options.

    ``needs`` names the models it cannot do without: the harness distils where it holds "teacher", and
    builds a masked LM where it holds "generator". ``refresh`` says when ``rewrite`` is asked for texts.
    ``sequential`` is for views that depend on the gradient of the one before (FreeLB): the harness then runs
    forward and backward after each view before it asks for the next.
    """

    needs: ClassVar[tuple[Role, ...]] = ("teacher",)
    refresh: ClassVar[Literal["never", "once", "epoch"]] = "never"
    sequential: ClassVar[bool] = False

    def supports(self, task: Task) -> str | None:
        """Return None, or the reason why this strategy skips ``task`` (shown in the table)."""
        return None

    def rewrite(
        self, examples: Sequence[Example], rng: random.Random, models: Models | None = None
    ) -> list[list[tuple[str, ...]]]:
        """Return for each example its rewritten forms, each with as many texts as the example has."""
        raise NotImplementedError(f"{type(self).__name__} says refresh={self.refresh!r} but has no rewrite()")

    def setup(self, models: Models) -> None:
        """Build what the strategy trains besides the student: a generator's optimiser, say."""

    def turn(self, step: Step) -> Literal["student", "adversary"]:
        """Return whose update comes next. Student updates are the budget, adversary's come on top."""
        return "student"

    def fit_adversary(self, batch: Batch, models: Models) -> torch.Tensor:
        """Make one adversary update on a batch of its own; return the loss it minimised (a scalar)."""
        raise NotImplementedError(f"{type(self).__name__} takes adversary turns but has no fit_adversary()")

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        """Yield the perturbed views of ``batch``; by default what ``rewrite`` made of its rows."""
        yield from batch.rewrites

    def state_dict(self) -> dict[str, Any]:
        """Return everything (beyond the models and ``models.rng``) needed to resume exactly."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` returned; called after ``setup``."""
