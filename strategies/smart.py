"""SMART: the student must not change its mind within a small ball around its word embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench import Batch, Models, Strategy, View, option


@dataclass
class Smart(Strategy):
    """Smoothness-inducing adversarial regularisation (SMART, Jiang et al., ACL 2020, arXiv 1911.03437).

    Noise ~ N(0, ``sigma``^2) on the student's word embeddings climbs, in ``steps`` steps, the divergence of the
    student from its own prediction on the clean text: delta += ``lr`` * g / max|g|, the maximum over a token's
    embedding, then clipped to ``epsilon`` in every component. The student is held to its own clean prediction
    there, not to the teacher's: the one strategy here whose view asks the teacher nothing. The step and its
    scaling are those of the authors' code, which never projects; ``epsilon`` is what its one step can reach.

    The loss is the paper's, (KL(S(x) || S(x + delta)) + KL(S(x + delta) || S(x))) / 2 with gradient through both, for
    scores the squared error, under the recipe's weight of a view in the place of the paper's lambda. Its second part,
    the Bregman proximal term, is about the optimiser and not here. The ascent runs with dropout off, so that what is
    climbed is a function of the text alone.

    S(x) and S(x + delta) lose the same units to dropout. The authors' code draws it anew (``dropout=own``), and then
    measures dropout: on the mini suite's CoLA the loss is 2.0e-3 with the perturbation and without it, and 1.0e-6 of
    the perturbation alone. At the published sizes that is little to learn from.
    """

    verified = "an ascent step equals the formula of the authors' code, written out; not their scores"

    epsilon: float = option(1e-3, "the largest size of a component of delta", above=0, search=(1e-4, 1e-1, "log"))
    lr: float = option(
        1e-3, "the length of a step, in a token's largest component", above=0, search=(1e-4, 1e-1, "log")
    )
    # At delta = 0 the divergence is at its minimum and has no gradient to follow, so sigma cannot be 0.
    sigma: float = option(1e-5, "the standard deviation of the noise that delta starts from", above=0)
    steps: int = option(1, "the number of steps up", at_least=1)
    dropout: Literal["same", "own"] = option("same", "whether S(x + delta) loses the units that S(x) lost, or its own")

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        import torch

        from bench.distill.losses import divergence

        student, is_regression = models.student, models.task.is_regression
        rest = {key: value for key, value in batch.inputs.items() if key != "input_ids"}
        real = rest["attention_mask"].unsqueeze(2)
        words = student.get_input_embeddings()(batch.inputs["input_ids"])
        with models.evaluating("student"):
            with torch.no_grad():
                own = models.logits("student", batch.inputs)
            noise = torch.randn(words.shape, generator=models.rng, device=words.device)
            delta = (self.sigma * noise * real).clamp(-self.epsilon, self.epsilon)
            for _ in range(self.steps):
                delta.requires_grad_(True)
                perturbed = {**rest, "inputs_embeds": words.detach() + delta}
                loss = divergence(own, models.logits("student", perturbed), is_regression=is_regression)
                # With respect to delta alone: nothing is added to the gradients of the student's parameters.
                (uphill,) = torch.autograd.grad(loss, delta)
                models.cost.backwards["student"] += len(batch.rows)
                scaled = uphill / uphill.abs().amax(dim=2, keepdim=True).clamp(min=torch.finfo(uphill.dtype).tiny)
                delta = (delta.detach() + self.lr * scaled * real).clamp(-self.epsilon, self.epsilon)
        yield View({**rest, "inputs_embeds": words + delta}, mutual=True, same_dropout=self.dropout == "same")
