"""Plain distillation: the row every other strategy is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import Strategy, option
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.cost import CostModel


@dataclass
class Control(Strategy):
    """A strategy that others are held against, whose loss weights and budget can be set without leaving their table."""

    weights: tuple[float, ...] | None = option(
        None, "the weights of labels, teacher and, where it has any, views, in the place of recipe.weights", at_least=0
    )

    forwards_of: str | None = option(
        None,
        "the strategy whose forward and backward passes it may make in the place of the recipe's updates; a pass "
        "counts by the size of its model, a backward pass twice",
    )
    seconds_of: str | None = option(
        None, "the strategy for whose training time it may train in the place of the recipe's updates"
    )

    def __post_init__(self) -> None:
        if self.forwards_of and self.seconds_of:
            raise UsageError("there is one budget: give forwards_of or seconds_of")
        if self.weights is not None and len(self.weights) == 2 and type(self).views is not Strategy.views:
            raise UsageError(
                f"weights are of labels, teacher and views here, not {self.weights}: write weights=(1,2,1)"
            )
        if self.weights is not None and (len(self.weights) not in (2, 3) or sum(self.weights[:2]) <= 0):
            raise UsageError(
                f"weights are of labels, teacher and perhaps views, of labels or teacher above 0, not {self.weights}; "
                f"for example weights=(1,2)"
            )

    def budget(self) -> tuple[str, str] | None:
        if self.forwards_of:
            return "forwards", self.forwards_of
        return ("seconds", self.seconds_of) if self.seconds_of else None

    def loss_weights(self) -> tuple[float, ...] | None:
        return None if self.weights is None else (*self.weights, 0.0)[:3]


@dataclass
class PlainDistillation(Control):
    """Plain knowledge distillation on the original text (Hinton et al., 2015, arXiv 1503.02531).

    With views a strategy gives labels and teacher on the clean text a third of the loss each, here they have half
    each; ``weights=(1,2)`` is the control whose labels count as little as beside views.
    """

    verified = (
        "one update equals the formula written out, the square of the temperature and the student's weights included; "
        "no published number is reproduced"
    )

    def cost_model(self) -> CostModel:
        from bench.cost import CostModel, Work

        return CostModel(work=lambda update: Work())
