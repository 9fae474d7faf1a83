"""Offline rewriting of a training set by a strategy: row by row, each with its own random generator."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.data.tasks import Example
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.strategy import Models, Strategy


def rewrite_all(
    strategy: Strategy, examples: Sequence[Example], seed: int, epoch: int, models: Models
) -> list[list[Example]]:
    """Return the rewritten forms of ``examples``: as many training sets as the strategy makes forms of a row.

    A row's random generator is a function of (seed, epoch, row), so the result does not depend on the order of
    the rows. Raises BenchError, naming the row, where a strategy returns another number of forms or texts.
    """
    sets: list[list[Example]] = []
    for example in examples:
        rng = random.Random(f"{seed}/{epoch}/{example.id}")
        (forms,) = strategy.rewrite([example], rng, models)
        sets = sets or [[] for _ in forms]
        if len(forms) != len(sets) or any(len(form) != len(example.texts) for form in forms):
            raise BenchError(
                f"{type(strategy).__name__}.rewrite made {len(forms)} forms of {[len(f) for f in forms]} texts "
                f"of example {example.id}; every row needs {len(sets)} forms of {len(example.texts)} texts"
            )
        for made, form in zip(sets, forms, strict=True):
            made.append(dataclasses.replace(example, texts=tuple(form)))
    return sets
