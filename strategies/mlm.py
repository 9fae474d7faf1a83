"""MATE-KD's generator left untrained: the paper's ablation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench import Batch, Models, Strategy, View, option
from strategies.mate_kd.strategy import MateKD

if TYPE_CHECKING:
    from bench.cost import CostModel


@dataclass
class MaskedLM(Strategy):
    """Words refilled by a masked LM that never learns: MATE-KD's ablation (Rashid et al., 2021).

    A share ``rho`` of the tokens is masked anew for every batch and filled by a sample at temperature ``tau``.
    """

    rho: float = option(0.3, "the share of tokens masked", above=0, at_most=1)
    tau: float = option(1.0, "the temperature of the sample", above=0)

    needs = ("teacher", "generator")

    def __post_init__(self) -> None:
        self._refill = MateKD(rho=self.rho, tau=self.tau, generator_steps=0)

    def cost_model(self) -> CostModel:
        return replace(self._refill.cost_model(), reference=None)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        yield from self._refill.views(batch, models)
