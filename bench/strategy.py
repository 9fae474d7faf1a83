"""The strategy contract: where the extra views of a batch come from, and nothing else.

The harness owns student, teacher, optimiser, schedule, precision, budget, checkpoints, evaluation and
counting; a strategy perturbs. See CONTRIBUTING.md for one in twenty lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.models.inputs import Inputs, Role, accepted
from bench.options import Options

if TYPE_CHECKING:
    import random

    import numpy as np
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bench.cost import Cost
    from bench.data.tasks import Example, Task
    from bench.resources import Resource


@dataclass
class View:
    """One perturbed form of a batch, on which the student is asked to agree with the teacher.

    The teacher's side is either ``teacher`` (inputs for the harness to run it on, without gradient) or
    ``teacher_logits`` [B, C] that are already known; with neither, the target is what the teacher says of
    the clean batch. Of several views each counts with its share of their weights' sum; the weights of a
    sequential strategy's views must sum to one. ``maker`` is the strategy whose ``rewrite`` made the texts.
    """

    student: Inputs
    teacher: Inputs | None = None
    teacher_logits: torch.Tensor | None = None
    weight: float = 1.0
    maker: Strategy | None = None


Forms = list[tuple[str, ...]]
"""The rewritten forms of one row, each with as many texts as the row has."""


@dataclass
class Attacked:
    """What an adversary that questions a model has to tell of a row, besides its forms.

    ``outcome`` is "success", "failure", "skipped" (the model was wrong already) or "left out" (not in the budget);
    ``queries`` counts the texts the model was asked about.
    """

    forms: Forms
    outcome: str
    queries: int = 0


@dataclass(frozen=True)
class Context:
    """What ``rewrite`` may know besides a row and its random generator: picklable, it travels to worker processes.

    ``models`` holds, for every role in the strategy's ``reads()``, the folder of that model and its tokenizer as
    ``from_pretrained`` takes it; the student's is a snapshot. ``digests`` identifies their contents. ``texts`` are
    the task's training texts, where the strategy says that it learns from them (TF-IDF).
    """

    task: Task
    models: Mapping[Role, str] = field(default_factory=dict)
    digests: Mapping[Role, str] = field(default_factory=dict)
    device: str = "cpu"
    texts: Sequence[tuple[str, ...]] = ()


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
    accumulate: int = 1
    """Micro-batches in which an update is computed: see ``bench.distill.accumulation``."""

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
class Strategy(Options):
    """A way of perturbing training text. A subclass's dataclass fields are its options.

    ``needs`` names the models it cannot do without: the harness distils where it holds "teacher", and
    builds a masked LM where it holds "generator". ``refresh`` says when ``rewrite`` is asked for texts;
    ``libraries`` are the distributions it rewrites with: their versions are part of what rewrites are cached by,
    and they are only ever imported in worker processes. With ``learns_from_texts`` the context holds the task's
    training texts. ``options_of_views`` are options that ``rewrite`` does not read: texts made with other values serve.
    ``sequential`` is for views that depend on the gradient of the one before (FreeLB): the harness then runs
    forward and backward after each view before it asks for the next.
    """

    needs: ClassVar[tuple[Role, ...]] = ("teacher",)
    refresh: ClassVar[Literal["never", "once", "epoch"]] = "never"
    sequential: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ()
    learns_from_texts: ClassVar[bool] = False
    options_of_views: ClassVar[tuple[str, ...]] = ()
    wraps: ClassVar[bool] = False
    spec = ""
    """How this object is spelled on the command line, where it was made from that; worker processes remake it."""

    def wrap(self, inner: Sequence[Strategy]) -> None:
        """Take the strategies that this one, with ``wraps``, is made around."""
        raise NotImplementedError(f"{type(self).__name__} wraps no strategy")

    def supports(self, task: Task) -> str | None:
        """Return None, or the reason why this strategy skips ``task`` (shown in the table)."""
        return None

    def resources(self) -> Sequence[Resource]:
        """Return what must be on this machine before anything is trained: corpora, vectors, packages."""
        return ()

    def reads(self) -> tuple[Role, ...]:
        """Return the models whose folders ``rewrite`` wants in its context."""
        return ()

    def edition(self, epoch: int) -> int:
        """Return the number of the rewrites that ``epoch`` (from 0) trains on; a new number is a new rewrite."""
        return epoch if self.refresh == "epoch" else 0

    def rewriters(self) -> tuple[Strategy, ...]:
        """Return the strategies whose ``rewrite`` the harness has to call: itself, or the parts it is made of."""
        return () if self.refresh == "never" else (self,)

    def rewrite(
        self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context
    ) -> Sequence[Forms | Attacked]:
        """Return for each example its rewritten forms, as many for every example.

        A pure function of each (example, its random generator) and the context: how rows are grouped into calls
        must not matter. Global random state may be used only by strategies with ``libraries``.
        """
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
