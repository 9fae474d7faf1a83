"""A strategy that trains an adversary beside the student: replace the shift and its loss by your idea."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench import Batch, Models, Step, Strategy, View, option

if TYPE_CHECKING:
    import torch


@dataclass
class LearnedShift(Strategy):
    """One shift of all word embeddings, learned to make the student disagree with the teacher.

    A vector [H] of length ``size`` is added to the embedding of every token; its updates climb D(T(X), S(X + shift)).
    """

    size: float = option(0.1, "the length of the shift", above=0)
    lr: float = option(0.01, "the learning rate of the shift", above=0)
    every: int = option(2, "the number of student updates per update of the shift", at_least=1)

    def setup(self, models: Models) -> None:
        """Build what is trained besides the student, its random start from models.rng."""
        import torch

        words: Any = models.student.get_input_embeddings()
        start = torch.randn(words.embedding_dim, generator=models.rng, device=models.rng.device)
        self.shift = torch.nn.Parameter(start)
        self.optimizer = torch.optim.Adam([self.shift], lr=self.lr)

    def turn(self, step: Step) -> Literal["student", "adversary"]:
        """Return whose update comes next."""
        return "adversary" if step.adversary * self.every <= step.student else "student"

    def fit_adversary(self, batch: Batch, models: Models) -> torch.Tensor:
        """Take one step up the disagreement; the student is frozen, so that only the shift gets a gradient."""
        from bench.distill.losses import divergence

        assert batch.teacher_logits is not None
        with models.evaluating("student", frozen=True):
            logits = models.logits("student", self._shifted(batch, models, self.shift))
            loss = -divergence(batch.teacher_logits, logits, is_regression=models.task.is_regression)
            models.backward("student", loss, len(batch.rows))
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        """Yield the shifted batch; the shift is a constant for the student."""
        yield View(student=self._shifted(batch, models, self.shift.detach()))

    def _shifted(self, batch: Batch, models: Models, shift: torch.Tensor) -> dict[str, torch.Tensor]:
        words = models.student.get_input_embeddings()(batch.inputs["input_ids"])
        inputs = {**batch.inputs, "inputs_embeds": words + self.size * shift / shift.norm()}
        del inputs["input_ids"]
        return inputs

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs to go on exactly."""
        return {"shift": self.shift.detach(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what state_dict returned."""
        self.shift.data.copy_(state["shift"])
        self.optimizer.load_state_dict(state["optimizer"])
