"""MATE-KD: a masked language model learns to fill in the words on which teacher and student disagree most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from bench import Batch, Models, Step, Strategy, View
from bench.errors import UsageError


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
    """

    rho: float = 0.3
    tau: float = 1.0
    generator_steps: int = 10
    student_steps: int = 100
    generator_lr: float = 5e-7
    generator_clip: float = 5.0
    objective: Literal["kl", "ce", "mse"] = "kl"

    needs = ("teacher", "generator")

    def __post_init__(self) -> None:
        if not 0 < self.rho <= 1:
            raise UsageError(f"mate-kd.rho is a share of the tokens, above 0 and at most 1, not {self.rho}")
        if self.tau <= 0:
            raise UsageError(f"mate-kd.tau must be above 0, not {self.tau}")
        if self.generator_steps < 0 or self.student_steps < 1:
            raise UsageError("mate-kd.generator_steps must be 0 or more and student_steps 1 or more")

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

        from bench.distill.losses import divergence
        from bench.distill.masked_lm import draw_mask, gumbel, masked_logits, soft_inputs

        teacher, student, generator = models.teacher, models.student, models.generator
        assert teacher is not None
        assert generator is not None
        generator.train()
        student.eval()
        student.requires_grad_(False)
        masked = draw_mask(batch.inputs, models.tokenizer, self.rho, models.rng)
        logits = masked_logits(models, batch.inputs, masked)
        noisy = (logits + gumbel(logits.shape, models.rng, logits.device)) / self.tau
        relaxed, ids = noisy.softmax(dim=-1), noisy.argmax(dim=-1)
        disagreement = divergence(
            models.logits("teacher", soft_inputs(teacher, batch.inputs, masked, relaxed, ids)),
            models.logits("student", soft_inputs(student, batch.inputs, masked, relaxed, ids)),
            is_regression=models.task.is_regression,
            objective=self.objective,
        )
        loss = -disagreement
        models.accelerator.backward(loss)
        torch.nn.utils.clip_grad_norm_(generator.parameters(), self.generator_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        student.requires_grad_(True)
        models.cost.backwards["generator"] += len(batch.rows)
        return loss.detach()

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        """Yield X': the batch with a share of its tokens refilled by the generator, without gradient."""
        import torch

        from bench.distill.masked_lm import draw_mask, masked_logits, sample

        assert models.generator is not None
        models.generator.eval()
        with torch.no_grad():
            masked = draw_mask(batch.inputs, models.tokenizer, self.rho, models.rng)
            ids = batch.inputs["input_ids"].clone()
            ids[masked] = sample(masked_logits(models, batch.inputs, masked), models.rng, self.tau)
        perturbed = {**batch.inputs, "input_ids": ids}
        yield View(student=perturbed, teacher=perturbed)

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
