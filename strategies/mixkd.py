"""MixKD: teacher and student are asked about a random interpolation of two texts' embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import Batch, Models, Strategy, View, option


@dataclass
class MixKD(Strategy):
    """Interpolated embeddings, labelled by the teacher (Liang et al., ICLR 2021, arXiv 2011.00593).

    Each row of a batch is mixed with another: share ~ Beta(``alpha``, ``alpha``) of its word embeddings, each
    model's own, and the rest from the other row. Positions that only one of the two has count as text, and of a pair
    each position keeps the first row's segment. The paper's further term, the student's own mixup loss with mixed
    labels, is not part of it: the labels' share of the objective is the recipe's, on clean rows.
    """

    verified = (
        "the mixtures are solved for their shares and partners, one for both models; not the authors' code or numbers"
    )

    alpha: float = option(
        0.4,
        "the parameter of the Beta distribution; 1 draws every share alike, less keeps near one text",
        above=0,
        search=(0.1, 2.0, "log"),
    )

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        import torch

        ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
        partner = torch.randperm(len(ids), generator=models.rng, device=ids.device)
        # The ratio of two Gamma draws is a Beta draw; torch samples Gamma from a given generator.
        concentration = torch.full((2, len(ids), 1, 1), self.alpha, device=ids.device)
        first, second = torch._standard_gamma(concentration, generator=models.rng)
        share = first / (first + second).clamp(min=1e-12)
        rest = {**batch.inputs, "attention_mask": torch.maximum(mask, mask[partner])}
        del rest["input_ids"]

        def mixed(model) -> dict[str, torch.Tensor]:
            words = model.get_input_embeddings()(ids)
            return {**rest, "inputs_embeds": share * words + (1 - share) * words[partner]}

        assert models.teacher is not None
        yield View(student=mixed(models.student), teacher=mixed(models.teacher))
