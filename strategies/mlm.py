"""MATE-KD's generator left untrained: the paper's ablation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import Batch, Models, Strategy, View, option
from bench.text_strategy import SIDE, Side, changeable

if TYPE_CHECKING:
    from bench.cost import CostModel


@dataclass
class MaskedLM(Strategy):
    """Words refilled by a masked LM that never learns: MATE-KD's ablation (Rashid et al., 2021).

    A share ``rho`` of the tokens is masked anew for every batch and filled by a sample at temperature ``tau``.
    """

    verified = "equal to mate-kd without generator updates, which is checked against a plain reference"

    rho: float = option(
        0.3, "the share of tokens masked; some come back as they were", above=0, at_most=1, strength=True
    )
    tau: float = option(1.0, "the temperature of the sample", above=0)
    side: Side = option("both", SIDE)

    needs = ("teacher", "generator")

    def cost_model(self) -> CostModel:
        from bench.cost import CostModel, Work

        return CostModel(work=lambda update: Work(views=1, new=1, masked=self.rho))

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        from bench.models.masked_lm import refilled

        texts = changeable(models.task, self.side)
        perturbed = refilled(models, batch.inputs, self.rho, self.tau, texts)
        yield View(student=perturbed, teacher=perturbed)
