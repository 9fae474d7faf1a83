"""FreeLB: a perturbation of the word embeddings, climbed in a few steps whose gradients all train the student."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import Batch, Models, Strategy, View, option

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

    steps: int | None = option(None, "the number of steps up", at_least=1)
    lr: float | None = option(None, "the length of a step", above=0)
    initial: float | None = option(
        None,
        "the size of the uniform noise that delta starts from; divided by the square root of a text's pieces times H",
        at_least=0,
    )
    max_norm: float | None = option(None, "the largest L2 norm of a row's delta", above=0)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        import torch

        given = (self.lr, self.steps, self.initial, self.max_norm)
        published = PUBLISHED.get(models.task.name, ELSEWHERE)
        lr, steps, initial, max_norm = (p if g is None else g for g, p in zip(given, published, strict=True))
        inputs = {key: value for key, value in batch.inputs.items() if key != "input_ids"}
        real = inputs["attention_mask"].unsqueeze(2)
        words = models.student.get_input_embeddings()
        shape = (*batch.inputs["input_ids"].shape, words.embedding_dim)
        noise = torch.rand(shape, generator=models.rng, device=real.device) * 2 - 1
        delta = noise * real * (initial / (real.sum(dim=1, keepdim=True) * shape[2]).sqrt())
        for _ in range(int(steps)):
            delta.requires_grad_(True)
            perturbed = words(batch.inputs["input_ids"]) + delta
            yield View({**inputs, "inputs_embeds": perturbed}, weight=1 / steps, wait=True)
            assert delta.grad is not None
            uphill = delta.grad / _norm(delta.grad).clamp(min=1e-8)
            delta = delta.detach() + lr * uphill
            delta = delta * (max_norm / _norm(delta).clamp(min=1e-8)).clamp(max=1.0)


def _norm(delta):
    """Return the L2 norm of each row's perturbation, [B, 1, 1]."""
    return delta.flatten(1).norm(dim=1)[:, None, None]
