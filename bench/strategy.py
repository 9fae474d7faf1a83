"""The strategy contract: where the extra views of a batch come from, and nothing else.

The harness owns student, teacher, optimiser, schedule, precision, budget, checkpoints, evaluation, counting and
micro-batches; a strategy perturbs. What makes texts is a ``Rewriter``. See bench/docs/own-strategy.md for a strategy in
twenty lines.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.cost import Cost, CostModel
from bench.models.inputs import Inputs, Role, accepted, portions, rows_of, share_of
from bench.models.ranks import ALONE, Ranks
from bench.options import Options
from bench.rewriter import Rewriter
from bench.settings import Recipe

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bench.data.tasks import Task
    from bench.resources import Resource


@dataclass
class View:
    """One perturbed form of a batch, on which the student is asked to agree with the teacher.

    The teacher's side is either ``teacher`` (inputs for the harness to run it on, without gradient) or
    ``teacher_logits`` [B, C]; with neither, the target is what the teacher says of the clean batch. Where
    ``teacher_logits`` are not the teacher's but the student's own, ``own_target`` says so: recipes that scale the
    teacher's logits leave them as they are. With ``mutual`` the view and the clean rows are held to each other: the
    target is the student's logits on the clean rows in this update, and the gradient, of the mean of both directions,
    flows through both. With ``same_dropout`` a view of the clean batch's shape loses the units that the clean rows
    lose: what the student makes of the two then differs by the perturbation alone.
    Of several views each counts with its share of their weights' sum. With ``wait`` the harness runs forward and
    backward on this view before it asks for the next, which may depend on its gradient (FreeLB); the weights of a
    batch's views must then sum to one.
    """

    student: Inputs
    teacher: Inputs | None = None
    teacher_logits: torch.Tensor | None = None
    weight: float = 1.0
    wait: bool = False
    own_target: bool = False
    mutual: bool = False
    same_dropout: bool = False


@dataclass
class Batch:
    """One clean batch: B rows padded to L word pieces.

    ``labels`` are class indices [B] (int64) or scores [B] (float32). ``teacher_logits`` [B, C] come from the
    cache (None without a teacher). ``rewrites`` holds, for each of the strategy's rewriters, the rows' texts as it
    made them, tokenised, with the teacher's logits.
    """

    rows: np.ndarray
    inputs: Inputs
    labels: torch.Tensor
    teacher_logits: torch.Tensor | None = None
    rewrites: Sequence[tuple[Rewriter, Sequence[View]]] = ()

    def rewritten_by(self, rewriter: Rewriter) -> list[View]:
        """Return the views that this very ``rewriter`` made the texts of, one for each form of a row."""
        return [view for owner, views in self.rewrites if owner is rewriter for view in views]


@dataclass(frozen=True)
class Step:
    """How many updates of each kind are already done when ``Strategy.turn`` is asked."""

    student: int
    adversary: int


@dataclass(kw_only=True)
class Models:
    """What a strategy may work with. ``logits`` and ``backward`` run a model in the run's precision and count it.

    ``recipe`` is how the student is trained; in a run it is there from ``Strategy.setup`` on. ``training`` is False
    where views are only looked at (text quality, samples for a person), and no update follows.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    student: PreTrainedModel
    rng: torch.Generator
    accelerator: Any
    teacher: PreTrainedModel | None = None
    generator: PreTrainedModel | None = None
    cost: Cost = field(default_factory=Cost)
    recipe: Recipe = field(default_factory=Recipe)
    training: bool = True
    ranks: Ranks = ALONE
    _in_parts: bool = field(default=False, init=False, repr=False)
    _was_in_parts: bool = field(default=False, init=False, repr=False)
    _earlier: dict[Role, list[torch.Tensor | None]] = field(default_factory=dict, init=False, repr=False)

    def logits(self, role: Role, inputs: Inputs) -> torch.Tensor:
        """Return the model's logits, [B, C] (masked LM: [.., V]) for B rows of ``inputs``, never in half precision.

        Keys the model's family does not know (``token_type_ids`` on DistilBERT, say) are left out. Gradient
        and train/eval mode are as the caller set them. Where several processes train together, each answers its part
        of the rows if no gradient is asked for, and else all of them.
        """
        import torch

        rows = len(inputs["attention_mask"])
        self.cost.forwards[role] += rows
        if self.ranks.count == 1 or self._in_parts or torch.is_grad_enabled() or role == "generator":
            return self._logits(role, inputs)
        own = self.ranks.rows(rows)
        width = int(getattr(self, role).config.num_labels or 1)
        logits = torch.zeros(rows, width, device=self.accelerator.device)
        if own.start < own.stop:
            logits[own] = self._logits(role, rows_of(inputs, own))
        return self.ranks.total(logits)

    def _logits(self, role: Role, inputs: Inputs) -> torch.Tensor:
        model = getattr(self, role)
        with self.accelerator.autocast():
            logits = model(**accepted(model, inputs)).logits
        return logits.float() if logits.dtype.itemsize < 4 else logits

    def backward(self, role: Role, loss: torch.Tensor, rows: int) -> None:
        """Add the gradient of ``loss``, of ``rows`` rows, to the parameters of ``role``, the one that learns."""
        self.cost.backwards[role] += rows
        if self._in_parts and role not in self._earlier:
            # Only what is new is added up over the processes.
            self._earlier[role] = [parameter.grad for parameter in getattr(self, role).parameters()]
            getattr(self, role).zero_grad()
        self.accelerator.backward(loss)

    def micro_batches(self, batch: Batch) -> Iterator[tuple[Inputs, float]]:
        """Yield the inputs of ``batch`` in ``recipe.accumulate`` parts, each with its share of the rows.

        A mean over the batch's rows is the sum of share times mean over the parts. Every tensor [B, L] of the
        inputs is taken apart, also one that a strategy put there. Each part has random streams of its own
        (``rng``, dropout). Where several processes train together, each gets its own parts, and after the last one
        the gradients of all are added up.
        """
        import torch

        from bench.models.streams import start_stream, stream_seed

        rows = len(batch.inputs["attention_mask"])
        parts = portions(rows, self.recipe.accumulate)
        if self.recipe.accumulate == 1 and self.ranks.count == 1:
            yield batch.inputs, 1.0
            return
        rng, device = self.rng, self.rng.device
        before = self.cost.forwards.copy(), self.cost.backwards.copy()
        self._in_parts = self.ranks.count > 1
        try:
            for part, factor in self.ranks.own(len(parts)):
                place = (sum(before[0].values()), part)  # no two calls are at one number of rows
                self.rng = torch.Generator(device).manual_seed(stream_seed(rng.initial_seed(), "part", *place))
                start_stream(device, rng.initial_seed(), "dropout of a part", *place)
                yield rows_of(batch.inputs, parts[part]), factor * share_of(parts[part], rows)
                if not factor:
                    self.cost.forwards, self.cost.backwards = (counter.copy() for counter in before)
        finally:
            self.rng, self._in_parts = rng, False
        self._add_up(*before)

    def _add_up(self, forwards: Counter[str], backwards: Counter[str]) -> None:
        """Add up over the processes what they did to their parts: rows counted since, and gradients."""
        import torch

        if self.ranks.count == 1:
            return
        self._was_in_parts = True
        roles = ("student", "teacher", "generator")
        for counter, before in ((self.cost.forwards, forwards), (self.cost.backwards, backwards)):
            since = torch.tensor([counter[role] - before[role] for role in roles], device=self.accelerator.device)
            elsewhere = (self.ranks.total(since.clone()) - since).tolist()
            counter.update({role: rows for role, rows in zip(roles, elsewhere, strict=True) if rows})
        for role, earlier in self._earlier.items():
            parameters = list(getattr(self, role).parameters())
            self.ranks.add_up(parameters)
            for parameter, gradient in zip(parameters, earlier, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        self._earlier.clear()

    def whole(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the ``loss`` (a scalar) of an adversary's update, of all processes' parts if it was made in parts."""
        was_in_parts, self._was_in_parts = self._was_in_parts, False
        return self.ranks.total(loss.clone()) if was_in_parts else loss

    @contextmanager
    def evaluating(self, role: Role, *, frozen: bool = False) -> Iterator[None]:
        """Inside, the model is in eval mode and, if ``frozen``, its parameters take no gradient."""
        model = getattr(self, role)
        was_training = model.training
        learning = [parameter for parameter in model.parameters() if frozen and parameter.requires_grad]
        model.eval()
        for parameter in learning:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            model.train(was_training)
            for parameter in learning:
                parameter.requires_grad_(True)

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


@dataclass(frozen=True)
class AdversaryGain:
    """What an adversary has learned, seen on a batch of B rows: itself beside itself before its first update.

    ``divergence`` [B] is D(T, S) row by row on what it makes of the rows now, ``divergence_at_start`` [B] on what it
    would have made of them at its start, of the same student and with the same noise. Where it has a distribution of
    words, ``moved`` [M] is KL(now ‖ start), in nats, of that distribution at each of the M words it chose.
    """

    divergence: torch.Tensor
    divergence_at_start: torch.Tensor
    moved: torch.Tensor | None = None


@dataclass
class Strategy(Options):
    """A way of perturbing training text. A subclass's dataclass fields are its options.

    ``needs`` names the models it cannot do without: the harness distils where it holds "teacher", and
    builds a masked LM where it holds "generator". ``verified`` says in a sentence how the class was checked against
    something other than itself: its authors' code or numbers, a plain implementation of the paper, the library that it
    adapts; None: it was not. Subclasses inherit it within their own package only.
    """

    needs: ClassVar[tuple[Role, ...]] = ("teacher",)
    verified: ClassVar[str | None] = None

    def resolved(self, recipe: Recipe) -> dict[str, Any]:
        """Return the options that were left to the recipe, with the values that they get under it."""
        return {}

    def loss_weights(self) -> tuple[float, ...] | None:
        """Return the weights of labels, teacher and views in the place of ``recipe.weights``; None: the recipe's."""
        return None

    def budget(self) -> tuple[str, str] | None:
        """Return ("forwards" or "seconds", STRATEGY): as much as that one took; None: the recipe's student updates."""
        return None

    def supports(self, task: Task) -> str | None:
        """Return None, or the reason why this strategy skips ``task`` (shown in the table)."""
        return None

    def resources(self) -> Sequence[Resource]:
        """Return what must be on this machine before anything is trained: corpora, vectors, packages."""
        return ()

    def rewriters(self) -> tuple[Rewriter, ...]:
        """Return the rewriters whose texts it trains on, always the same objects: itself, if it is one."""
        return (self,) if isinstance(self, Rewriter) else ()

    def setup(self, models: Models) -> None:
        """Build what the strategy trains besides the student: a generator's optimiser, say."""

    def turn(self, step: Step) -> Literal["student", "adversary"]:
        """Return whose update comes next. Student updates are the budget, adversary's come on top."""
        return "student"

    def fit_adversary(self, batch: Batch, models: Models) -> torch.Tensor:
        """Make one adversary update on a batch of its own; return the loss it minimised (a scalar)."""
        raise NotImplementedError(f"{type(self).__name__} takes adversary turns but has no fit_adversary()")

    def adversary_gain(self, batch: Batch, models: Models, start: Models) -> AdversaryGain | None:
        """Return what the adversary has learned by the end of a run; None: it does not say.

        ``start`` are the same models, but the generator as it was before the run. No gradient is kept, and what this
        costs is no cost of the run.
        """
        return None

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        """Yield the perturbed views of ``batch``; by default every form that its rewriters made of the rows."""
        for rewriter in self.rewriters():
            yield from batch.rewritten_by(rewriter)

    def cost_model(self) -> CostModel:
        """Return what `bench profile` cannot see from outside; by default that there is nothing to say."""
        return CostModel()

    def state_dict(self) -> dict[str, Any]:
        """Return everything (beyond the models and ``models.rng``) needed to resume exactly."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` returned; called after ``setup``."""

    @classmethod
    def trains_an_adversary(cls) -> bool:
        """Return whether the class has an adversary's update of its own."""
        return cls.fit_adversary is not Strategy.fit_adversary


def rescaled(view: View, factor: float) -> View:
    """Return ``view`` with its weight times ``factor``."""
    return dataclasses.replace(view, weight=view.weight * factor)


def adversary_updates(strategy: Strategy, updates: int) -> int:
    """Return how many turns the adversary has while the student has ``updates``."""
    student = adversary = 0
    while student < updates:
        if strategy.turn(Step(student=student, adversary=adversary)) == "adversary":
            adversary += 1
        else:
            student += 1
    return adversary
