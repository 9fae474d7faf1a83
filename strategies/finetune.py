"""The reference row without a teacher."""

from dataclasses import dataclass

from bench import Strategy


@dataclass
class Finetune(Strategy):
    """The student trained on the labels alone, without a teacher: a reference row."""

    needs = ()
