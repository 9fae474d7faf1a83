"""MATE-KD's generator left untrained: the paper's ablation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import Batch, Models, Strategy, View
from bench.errors import UsageError
from strategies.mate_kd import MateKD


@dataclass
class MaskedLM(Strategy):
    """Words refilled by a masked LM that never learns: MATE-KD's ablation (Rashid et al., 2021).

    A share ``rho`` of the tokens is masked anew for every batch and filled by a sample at temperature ``tau``.
    """

    rho: float = 0.3
    tau: float = 1.0

    needs = ("teacher", "generator")

    def __post_init__(self) -> None:
        if not 0 < self.rho <= 1 or self.tau <= 0:
            raise UsageError(f"mlm.rho is a share of the tokens and mlm.tau above 0, not {self.rho} and {self.tau}")
        self._refill = MateKD(rho=self.rho, tau=self.tau, generator_steps=0)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        yield from self._refill.views(batch, models)
