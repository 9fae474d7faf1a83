"""Plain distillation: the row every other strategy is held against."""

from dataclasses import dataclass

from bench import Strategy


@dataclass
class Clean(Strategy):
    """Plain knowledge distillation on the original text (Hinton et al., 2015, arXiv 1503.02531)."""
