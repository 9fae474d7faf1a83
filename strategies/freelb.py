"""FreeLB: a perturbation of the word embeddings, climbed in a few steps whose gradients all train the student."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import Batch, Models, Strategy, View, option

if TYPE_CHECKING:
    import torch

# (lr, steps, initial magnitude, largest norm) by task: Zhu et al., 2020.
PUBLISHED = {
    "mnli": (0.1, 2, 0.1, 0.3),
    "sst2": (0.1, 2, 1.0, 0.6),
    "qnli": (0.1, 2, 0.2, 0.2),
    "qqp": (0.15, 2, 0.32, 0.62),
    "cola": (0.05, 3, 0.4, 0.3),
    "mrpc": (0.04, 3, 0.64, 0.4),
    "rte": (0.06, 3, 0.16, 0.14),
    "stsb": (0.1, 3, 0.16, 0.28),
}
ELSEWHERE = (0.1, 2, 0.2, 0.3)


@dataclass
class FreeLB(Strategy):
    """Free large-batch adversarial training (Zhu et al., ICLR 2020, arXiv 1909.11764), held to the teacher.

    A perturbation delta [B, L, H] of the student's word embeddings climbs the student's divergence from what
    the teacher says of the clean text, ``steps`` times: delta += lr * g / |g|, projected row by row to a ball of
    radius ``max_norm``. Every step's gradient also trains the student, averaged. An option left at None is the
    paper's number for the task.
    """

    verified = (
        "each ascent step equals the paper's formula, and the options are its published numbers by task; not the "
        "authors' code or scores"
    )

    steps: int | None = option(None, "the number of steps up", at_least=1)
    lr: float | None = option(None, "the length of a step", above=0, search=(0.02, 0.3, "log"))
    initial: float | None = option(
        None,
        "the size of the uniform noise that delta starts from; divided by the square root of a text's pieces times H",
        at_least=0,
    )
    max_norm: float | None = option(None, "the largest L2 norm of a row's delta", above=0, search=(0.1, 1.0, "log"))

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        given = (self.lr, self.steps, self.initial, self.max_norm)
        published = PUBLISHED.get(models.task.name, ELSEWHERE)
        lr, steps, initial, max_norm = (p if g is None else g for g, p in zip(given, published, strict=True))
        inputs = {key: value for key, value in batch.inputs.items() if key != "input_ids"}
        words = models.student.get_input_embeddings()
        delta = start(batch, models, initial)
        for _ in range(int(steps)):
            delta.requires_grad_(True)
            perturbed = words(batch.inputs["input_ids"]) + delta
            yield View({**inputs, "inputs_embeds": perturbed}, weight=1 / steps, wait=True)
            assert delta.grad is not None
            delta = ascended(delta.detach(), delta.grad, lr, max_norm)


def start(batch: Batch, models: Models, initial: float) -> torch.Tensor:
    """Return noise on the student's word embeddings, [B, L, H]: a row's has at most the L2 norm ``initial``."""
    import torch

    real = batch.inputs["attention_mask"].unsqueeze(2)
    width = models.student.get_input_embeddings().get_parameter("weight").shape[1]
    noise = torch.rand((*real.shape[:2], width), generator=models.rng, device=real.device) * 2 - 1
    return noise * real * (initial / (real.sum(dim=1, keepdim=True) * width).sqrt())


def ascended(delta: torch.Tensor, gradient: torch.Tensor, lr: float, max_norm: float) -> torch.Tensor:
    """Return ``delta`` [B, L, H] a step of length ``lr`` up ``gradient``, each row within its ball."""
    delta = delta + lr * gradient / _norm(gradient).clamp(min=1e-8)
    return delta * (max_norm / _norm(delta).clamp(min=1e-8)).clamp(max=1.0)


def _norm(delta):
    """Return the L2 norm of each row's perturbation, [B, 1, 1]."""
    return delta.flatten(1).norm(dim=1)[:, None, None]
