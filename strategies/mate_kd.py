"""MATE-KD: a masked language model learns to fill in the words on which teacher and student disagree most."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench import Batch, Models, Step, Strategy, View
from bench.errors import UsageError

if TYPE_CHECKING:
    import torch

    from bench.models.inputs import Inputs


@dataclass
class MateKD(Strategy):
    """Masked adversarial text, a companion to distillation (Rashid et al., ACL 2021, arXiv 2105.05912).

    Each cycle makes ``generator_steps`` updates of the generator that maximise D(T(X'), S(X')), then
    ``student_steps`` of the student on X and X'. X' is X with a share ``rho`` of its tokens masked anew and
    filled by a Gumbel-softmax sample (temperature ``tau``). ``objective`` "kl" is the paper's divergence,
    "ce" what its authors' code maximises, "mse" (of logits) what Combined-KD does, under --recipe annealing.
    ``generator_lr`` and ``generator_clip`` are of its AdamW.

    A text in which no token got masked is its own X'. A sample may be the original token, never a special one.
    The generator learns with its dropout on and writes the student's data with it off; while it learns, the
    student is frozen and in eval mode, so that what it climbs is a function of the text alone.

    Two options make it cheaper and another algorithm than the paper's. ``reuse``: each perturbed batch, with the
    teacher's answers to it, serves that many student updates, beside a clean batch that is new in each. ``share``:
    only this share of the student updates has a perturbed batch; the others are plain distillation.
    """

    rho: float = 0.3
    tau: float = 1.0
    generator_steps: int = 10
    student_steps: int = 100
    generator_lr: float = 5e-7
    generator_clip: float = 5.0
    objective: Literal["kl", "ce", "mse"] = "kl"
    reuse: int = 1
    share: float = 1.0

    needs = ("teacher", "generator")

    def __post_init__(self) -> None:
        if not 0 < self.rho <= 1:
            raise UsageError(f"mate-kd.rho is a share of the tokens, above 0 and at most 1, not {self.rho}")
        if self.tau <= 0:
            raise UsageError(f"mate-kd.tau must be above 0, not {self.tau}")
        if self.generator_steps < 0 or self.student_steps < 1:
            raise UsageError("mate-kd.generator_steps must be 0 or more and student_steps 1 or more")
        if self.reuse < 1 or not 0 < self.share <= 1:
            raise UsageError(
                f"mate-kd.reuse is 1 or more student updates and mate-kd.share above 0 and at most 1, not "
                f"{self.reuse} and {self.share}"
            )
        self._held: tuple[Inputs, torch.Tensor] | None = None

    def departures(self) -> list[str]:
        """Return which options make this another algorithm than the paper's, in words."""
        said = []
        if self.reuse > 1:
            said.append(f"reuse={self.reuse}: a perturbed batch serves {self.reuse} student updates, not one")
        if self.share < 1:
            said.append(f"share={self.share}: only this share of the student updates has a perturbed batch")
        if self.objective != "kl":
            said.append(f"objective={self.objective}: the generator climbs that, not the paper's KL")
        return said

    @property
    def period(self) -> int:
        """After how many student updates they cost the same again."""
        return math.ceil(self.reuse / self.share)

    def perturbs(self, update: int) -> bool:
        """Return whether student update number ``update`` (from 0) has a perturbed batch."""
        return self._before(update + 1) > self._before(update)

    def renews(self, update: int) -> bool:
        """Return whether it is one that no update had before."""
        return self.perturbs(update) and self._before(update) % self.reuse == 0

    def _before(self, update: int) -> int:
        """Return how many of the first ``update`` student updates have a perturbed batch: evenly spread."""
        return math.floor(update * self.share + 1e-9)

    def setup(self, models: Models) -> None:
        import torch

        assert models.generator is not None
        self.optimizer = torch.optim.AdamW(models.generator.parameters(), lr=self.generator_lr, fused=True)

    def turn(self, step: Step) -> Literal["student", "adversary"]:
        at = (step.student + step.adversary) % (self.generator_steps + self.student_steps)
        return "adversary" if at < self.generator_steps else "student"

    def fit_adversary(self, batch: Batch, models: Models) -> Any:
        """Take one step up D(T(X'), S(X')) in the generator's parameters: the paper's inner maximisation."""
        import torch

        from bench.distill.accumulation import portions, rows_of, share_of
        from bench.distill.losses import divergence
        from bench.models.masked_lm import draw_mask, gumbel, masked_logits, soft_inputs

        teacher, student, generator = models.teacher, models.student, models.generator
        assert teacher is not None
        assert generator is not None
        generator.train()
        student.eval()
        student.requires_grad_(False)
        rows, losses = len(batch.rows), []
        everywhere = draw_mask(batch.inputs, models.tokenizer, self.rho, models.rng)
        for portion in portions(rows, models.accumulate):
            inputs = rows_of({**batch.inputs, "masked": everywhere}, portion)
            masked = inputs.pop("masked")
            logits = masked_logits(models, inputs, masked)
            noisy = (logits + gumbel(logits.shape, models.rng, logits.device)) / self.tau
            relaxed, ids = noisy.softmax(dim=-1), noisy.argmax(dim=-1)
            disagreement = divergence(
                models.logits("teacher", soft_inputs(teacher, inputs, masked, relaxed, ids)),
                models.logits("student", soft_inputs(student, inputs, masked, relaxed, ids)),
                is_regression=models.task.is_regression,
                objective=self.objective,
            )
            loss = -share_of(portion, rows) * disagreement
            models.accelerator.backward(loss)
            losses.append(loss.detach())
        models.accelerator.clip_grad_norm_(generator.parameters(), self.generator_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        student.requires_grad_(True)
        models.cost.backwards["generator"] += rows
        return torch.stack(losses).sum()

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        """Yield X': the batch with a share of its tokens refilled by the generator, without gradient."""
        update = models.cost.student_updates
        # A student in eval mode is not in training: whoever asks then asks about these very texts.
        if not models.student.training or (self.reuse == 1 and self.share == 1):
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
        import torch

        from bench.models.masked_lm import draw_mask, masked_logits, sample

        assert models.generator is not None
        models.generator.eval()
        with torch.no_grad():
            masked = draw_mask(batch.inputs, models.tokenizer, self.rho, models.rng)
            ids = batch.inputs["input_ids"].clone()
            ids[masked] = sample(masked_logits(models, batch.inputs, masked), models.rng, self.tau)
        return {**batch.inputs, "input_ids": ids}

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "held": self._held}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self._held = state["held"]
