"""Plain distillation: the row every other strategy is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import Strategy

if TYPE_CHECKING:
    from bench.cost import CostModel


@dataclass
class PlainDistillation(Strategy):
    """Plain knowledge distillation on the original text (Hinton et al., 2015, arXiv 1503.02531)."""

    def cost_model(self) -> CostModel:
        from bench.cost import CostModel, Work

        return CostModel(work=lambda update: Work())
