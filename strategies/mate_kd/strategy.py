"""MATE-KD: a masked language model learns to fill in the words on which teacher and student disagree most."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from bench import AdversaryGain, Batch, Models, Step, Strategy, View, option
from bench.text_strategy import SIDE, Side, changeable

if TYPE_CHECKING:
    import torch

    from bench.cost import CostModel, Reference
    from bench.models.inputs import Inputs
    from bench.settings import Recipe

# The paper's student learns at 2e-5 and its generator at 5e-7.
_RATIO = 40


@dataclass
class MateKD(Strategy):
    """Masked adversarial text, a companion to distillation (Rashid et al., ACL 2021, arXiv 2105.05912).

    Each cycle makes ``generator_steps`` updates of the generator that maximise D(T(X'), S(X')), then
    ``student_steps`` of the student on X and X'. X' is X with a share ``rho`` of its tokens masked anew and
    filled by a Gumbel-softmax sample. Hard samples do not depend on its temperature ``tau``, the generator's gradient
    does.

    A text in which no token got masked is its own X'. A sample may be the original token, never a special one.
    The generator learns with its dropout on and writes the student's data with it off; while it learns, the
    student is frozen and in eval mode, so that what it climbs is a function of the text alone. It climbs the D that
    the student goes down, at the recipe's temperature; but where a recipe scales the teacher's logits (annealing,
    continuation) it is the D of the logits at full size, as a scaled teacher would pay it for texts on which that one
    is sure. Its rate is constant (the authors' falls linearly) and its weights do not decay.

    ``reuse`` and ``share`` make it cheaper and another algorithm than the paper's.
    """

    verified = (
        "the generator's gradients and cycles of both phases equal those of a plain implementation of the paper's "
        "equations (strategies/mate_kd/reference.py); the paper's numbers are not reproduced"
    )

    rho: float = option(
        0.3, "the share of tokens masked; some come back as they were", above=0, at_most=1, strength=True
    )
    tau: float = option(1.0, "the temperature of the Gumbel-softmax sample", above=0)
    generator_steps: int = option(10, "the number of generator updates per cycle; 0: it never learns", at_least=0)
    student_steps: int = option(100, "the number of student updates per cycle", at_least=1)
    generator_lr: float | None = option(
        None,
        "the learning rate of the generator's AdamW; none: the student's / 40, the paper's ratio",
        above=0,
        search=(1e-6, 1e-3, "log"),
    )
    generator_clip: float = option(5.0, "the largest norm of the generator's gradient", above=0)
    objective: Literal["kl", "ce", "mse"] = option(
        "kl",
        "what the generator maximises; kl: the paper's divergence, ce: what its authors' code does, mse (of logits): "
        "what Combined-KD does, under --recipe annealing",
    )
    reuse: int = option(
        1,
        "the number of student updates that a perturbed batch serves; the clean batch beside it is new in each",
        at_least=1,
    )
    share: float = option(
        1.0,
        "the share of student updates with a perturbed batch; the others are plain distillation",
        above=0,
        at_most=1,
    )
    side: Side = option("both", SIDE)

    needs = ("teacher", "generator")

    def __post_init__(self) -> None:
        self._held: tuple[Inputs, torch.Tensor] | None = None

    def cost_model(self) -> CostModel:
        from bench.cost import CostModel, Work

        departures = []
        if self.reuse > 1:
            departures.append(f"reuse={self.reuse}: a perturbed batch serves {self.reuse} student updates, not one")
        if self.share < 1:
            departures.append(f"share={self.share}: only this share of the student updates has a perturbed batch")
        if self.side != "both":
            departures.append(f"side={self.side}: of a pair the paper perturbs both texts")
        if self.objective != "kl":
            departures.append(f"objective={self.objective}: the generator climbs that, not the paper's KL")
        return CostModel(
            period=math.ceil(self.reuse / self.share),
            work=lambda update: Work(int(self.perturbs(update)), int(self.renews(update)), self.rho),
            departures=tuple(departures),
            # The authors know no other objective than these two.
            reference=None if self.objective == "mse" else self._reference,
        )

    def _reference(self, models: Models) -> Reference:
        from strategies.mate_kd.reference import TimedReference

        assert self.objective != "mse"
        return TimedReference(models, rho=self.rho, tau=self.tau, objective=self.objective)

    def perturbs(self, update: int) -> bool:
        """Return whether student update number ``update`` (from 0) has a perturbed batch."""
        return self._before(update + 1) > self._before(update)

    def renews(self, update: int) -> bool:
        """Return whether it is one that no update had before."""
        return self.perturbs(update) and self._before(update) % self.reuse == 0

    def _before(self, update: int) -> int:
        """Return how many of the first ``update`` student updates have a perturbed batch: evenly spread."""
        return math.floor(update * self.share + 1e-9)

    def resolved(self, recipe: Recipe) -> dict[str, Any]:
        return {"generator_lr": self.generator_lr or recipe.lr / _RATIO}

    def setup(self, models: Models) -> None:
        import torch

        assert models.generator is not None
        rate = self.resolved(models.recipe)["generator_lr"]
        self.optimizer = torch.optim.AdamW(models.generator.parameters(), lr=rate, weight_decay=0.0, fused=True)

    def turn(self, step: Step) -> Literal["student", "adversary"]:
        at = (step.student + step.adversary) % (self.generator_steps + self.student_steps)
        return "adversary" if at < self.generator_steps else "student"

    def fit_adversary(self, batch: Batch, models: Models) -> Any:
        """Take one step up D(T(X'), S(X')) in the generator's parameters: the paper's inner maximisation."""
        import torch

        from bench.models.masked_lm import draw_mask, gumbel, masked_logits, soft_inputs

        teacher, student, generator = models.teacher, models.student, models.generator
        assert teacher is not None
        assert generator is not None
        generator.train()
        losses = []
        masked = draw_mask(batch.inputs, models.tokenizer, self.rho, models.rng, changeable(models.task, self.side))
        whole = replace(batch, inputs={**batch.inputs, "masked": masked})
        with models.evaluating("student", frozen=True):
            for inputs, share in models.micro_batches(whole):
                masked = inputs.pop("masked")
                logits = masked_logits(models, inputs, masked)
                noisy = (logits + gumbel(logits.shape, models.rng, logits.device)) / self.tau
                relaxed, ids = noisy.softmax(dim=-1), noisy.argmax(dim=-1)
                read = (soft_inputs(model, inputs, masked, relaxed, ids) for model in (teacher, student))
                loss = -share * self.climbed(models, *read)
                models.backward("generator", loss, len(masked))
                losses.append(loss.detach())
        models.accelerator.clip_grad_norm_(generator.parameters(), self.generator_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return torch.stack(losses).sum()

    def climbed(self, models: Models, teacher: Inputs, student: Inputs) -> torch.Tensor:
        """Return what the generator maximises, a mean over the rows of what ``teacher`` and ``student`` read: D."""
        from bench.distill.losses import divergence

        return divergence(
            models.logits("teacher", teacher),
            models.logits("student", student),
            is_regression=models.task.is_regression,
            temperature=models.recipe.temperature,
            objective=self.objective,
        )

    def adversary_gain(self, batch: Batch, models: Models, start: Models) -> AdversaryGain:
        """Compare D(T, S), and the distribution at the masked words, with the untrained generator's."""
        import torch

        from bench.distill.losses import row_divergence
        from bench.models.masked_lm import draw_mask, gumbel, masked_logits

        masked = draw_mask(batch.inputs, models.tokenizer, self.rho, models.rng, changeable(models.task, self.side))

        def divergences(logits: torch.Tensor) -> torch.Tensor:
            ids = batch.inputs["input_ids"].clone()
            ids[masked] = (logits + noise).argmax(dim=-1)
            perturbed = {**batch.inputs, "input_ids": ids}
            return row_divergence(
                models.logits("teacher", perturbed),
                models.logits("student", perturbed),
                is_regression=models.task.is_regression,
                temperature=models.recipe.temperature,
            )

        with torch.no_grad(), models.evaluating("student"):
            with models.evaluating("generator"), start.evaluating("generator"):
                now, before = (masked_logits(each, batch.inputs, masked) for each in (models, start))
            noise = gumbel(now.shape, models.rng, now.device)
            drawn = before.isfinite()  # what is no text has no probability in either
            surplus = now.log_softmax(dim=-1) - before.log_softmax(dim=-1)
            moved = (now.softmax(dim=-1) * surplus).where(drawn, 0.0).sum(dim=-1)
            return AdversaryGain(divergences(now), divergences(before), moved)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        """Yield X': the batch with a share of its tokens refilled by the generator, without gradient."""
        update = models.cost.student_updates
        if not models.training or (self.reuse == 1 and self.share == 1):
            perturbed = self._perturbed(batch, models)
            yield View(student=perturbed, teacher=perturbed)
        elif self.perturbs(update):
            if self._held is None or self.renews(update):
                perturbed = self._perturbed(batch, models)
                self._held = perturbed, models.teacher_targets(View(perturbed, teacher=perturbed), batch)
            texts, answers = self._held
            device = batch.labels.device
            # What was held by a checkpoint comes back on the CPU.
            yield View({key: value.to(device) for key, value in texts.items()}, teacher_logits=answers.to(device))

    def _perturbed(self, batch: Batch, models: Models) -> Inputs:
        from bench.models.masked_lm import refilled

        return refilled(models, batch.inputs, self.rho, texts=changeable(models.task, self.side))

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "held": self._held}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self._held = state["held"]
