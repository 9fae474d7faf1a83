"""AD²: the student learns the teacher's answer to a text from word embeddings moved to where it errs most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import Batch, Models, Strategy, View, option


@dataclass
class AD2(Strategy):
    """Adversarial embeddings for task-specific distillation (AD², Zhang et al., AAAI 2022, no arXiv number).

    A perturbation delta [B, L, H] of the student's word embeddings climbs D(T(x), S(x + delta)) in ``steps`` steps of
    projected gradient ascent (Madry et al., 2018): delta += ``lr`` * g / |g|, projected row by row to a ball of radius
    ``max_norm``. Where it ends the student is held to T(x), beside the clean text. FreeLB climbs the same, but trains
    on every step of the way.

    The abstract and the caption of the paper's Figure 1 say this: the teacher makes soft labels from the text, the
    perturbation is on the embeddings, and the student is given both with these labels. So the teacher never reads a
    perturbed input, and embeddings may differ in size. The paper's Algorithm 1 was not at hand: start, norm and numbers
    here are FreeLB's for tasks it has none for, and the steps are taken with dropout off.
    """

    verified = (
        "the ascent equals plain projected gradient ascent, row by row; the paper's own algorithm was not at hand"
    )

    steps: int = option(3, "the number of steps up", at_least=1)
    lr: float = option(0.1, "the length of a step", above=0, search=(0.03, 1.0, "log"))
    initial: float = option(
        0.2,
        "the size of the uniform noise that delta starts from; divided by the square root of a text's pieces times H",
        at_least=0,
    )
    max_norm: float = option(0.3, "the largest L2 norm of a row's delta", above=0, search=(0.1, 3.0, "log"))

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        import torch

        from bench.distill.losses import divergence
        from strategies.freelb import ascended, start

        assert batch.teacher_logits is not None
        rest = {key: value for key, value in batch.inputs.items() if key != "input_ids"}
        words = models.student.get_input_embeddings()(batch.inputs["input_ids"])
        delta = start(batch, models, self.initial)
        with models.evaluating("student"):
            for _ in range(self.steps):
                delta.requires_grad_(True)
                logits = models.logits("student", {**rest, "inputs_embeds": words.detach() + delta})
                loss = divergence(batch.teacher_logits, logits, is_regression=models.task.is_regression)
                # With respect to delta alone: nothing is added to the gradients of the student's parameters.
                (uphill,) = torch.autograd.grad(loss, delta)
                models.cost.backwards["student"] += len(batch.rows)
                delta = ascended(delta.detach(), uphill, self.lr, self.max_norm)
        yield View({**rest, "inputs_embeds": words + delta})
