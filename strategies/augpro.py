"""AugPro: embeddings mixed, or moved against the student, and brought back to the nearest tokens, which are text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench import Batch, Models, Strategy, View, option
from bench.text_strategy import SIDE, Side, changeable

if TYPE_CHECKING:
    import torch


@dataclass
class AugPro(Strategy):
    """Augmented embeddings projected back to tokens (AugPro, Wang et al., ICLR 2023, arXiv 2210.11768).

    ``method`` mix: the embeddings of two rows, interpolated by a share drawn evenly for each row. ``method`` fgsm: the
    embeddings plus ``epsilon`` times the sign of the gradient of the divergence between the teacher's answer and the
    student's, a step up. Each is then projected: the token whose embedding is ``nearest`` takes its place. Student and
    teacher read these tokens; the teacher labels them anew. Embeddings are the student's as they are at this update.

    Of the paper only the outline could be confirmed: interpolated or adversarial embeddings, projected to tokens, so
    that labels do not follow a point that is no text. The rest is our reading. A token's own embedding is nearly always
    the nearest, so that projecting changes next to nothing: the tokens that went into a point are left out of the
    choice (two equal ones stay). A share ``rate`` of the tokens is projected, drawn anew for every batch. A word may
    face padding or markup of the other row and is mixed with that, but what is no text is never chosen. FGSM's step
    is taken with dropout off. Both methods together are ``augpro+augpro[method=fgsm]``.
    """

    verified = (
        "the tokens chosen equal those of a plain search, one distance at a time; of the paper only the outline was "
        "at hand"
    )

    method: Literal["mix", "fgsm"] = option(
        "mix", "what becomes of the embeddings before they are projected", search=["mix", "fgsm"]
    )
    rate: float = option(0.3, "the share of the tokens projected", above=0, at_most=1, strength=True)
    nearest: Literal["cosine", "euclid"] = option("cosine", "by what the nearest embedding is found")
    epsilon: float = option(
        1.0, "fgsm: the step; in root mean squares of the student's word embeddings, component by component", above=0
    )
    side: Side = option("both", SIDE)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        import torch

        from bench.models.masked_lm import draw_mask, not_text, vocabulary

        ids = batch.inputs["input_ids"]
        matrix = models.student.get_input_embeddings().get_parameter("weight").detach()
        chosen = draw_mask(batch.inputs, models.tokenizer, self.rate, models.rng, changeable(models.task, self.side))
        other = ids
        if self.method == "mix":
            partner = torch.randperm(len(ids), generator=models.rng, device=ids.device)
            share = torch.rand((len(ids), 1, 1), generator=models.rng, device=ids.device)
            other = ids[partner]
            chosen &= other != ids
            points = share * matrix[ids] + (1 - share) * matrix[other]
        else:
            points = matrix[ids] + self.epsilon * matrix.square().mean().sqrt() * self._uphill(batch, models).sign()
        # Checkpoints pad their embedding matrices; those rows are no words.
        closeness = self._closeness(points[chosen], matrix[: vocabulary(models.tokenizer)])
        closeness[:, not_text(models.tokenizer)] = float("-inf")
        left_out = torch.stack([ids[chosen], other[chosen]], dim=1)
        new = ids.clone()
        new[chosen] = closeness.scatter(1, left_out, float("-inf")).argmax(dim=1)
        inputs = {**batch.inputs, "input_ids": new}
        yield View(student=inputs, teacher=inputs)

    def _closeness(self, points: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        """Return [M, V], the greater the nearer: of ``points`` [M, H] to the rows of ``matrix`` [V, H]."""
        import torch
        import torch.nn.functional as F

        if self.nearest == "euclid":
            return -torch.cdist(points, matrix)
        return F.normalize(points, dim=1) @ F.normalize(matrix, dim=1).T

    def _uphill(self, batch: Batch, models: Models) -> torch.Tensor:
        """Return the gradient of D(T, S) in the student's word embeddings of the clean text, [B, L, H]."""
        import torch

        from bench.distill.losses import divergence

        assert batch.teacher_logits is not None
        rest = {key: value for key, value in batch.inputs.items() if key != "input_ids"}
        words = models.student.get_input_embeddings()(batch.inputs["input_ids"]).detach().requires_grad_()
        with models.evaluating("student"):
            logits = models.logits("student", {**rest, "inputs_embeds": words})
            loss = divergence(batch.teacher_logits, logits, is_regression=models.task.is_regression)
            (uphill,) = torch.autograd.grad(loss, words)
        models.cost.backwards["student"] += len(batch.rows)
        return uphill
