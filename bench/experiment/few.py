"""Training on few rows: which ones, and for how long."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.data.tasks import Example
from bench.errors import UsageError
from bench.settings import Recipe, Settings


def few_rows(rows: Sequence[Example], number: int, seed: int, *, is_regression: bool) -> list[Example]:
    """Return ``number`` of ``rows`` of each class, of scores ``number`` in all, in their order; fewer where there are.

    Samples of one seed are nested: that of fewer rows is part of that of more.
    """
    of_class: dict[int | float | None, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        of_class[None if is_regression else row.label].append(place)
    chosen: list[int] = []
    for label in sorted(of_class, key=str):
        places = of_class[label]
        # A stream for each class: how many rows another has moves none of this one's.
        stream = np.random.default_rng([seed, 0 if label is None else int(label)])
        chosen += (places[place] for place in stream.permutation(len(places))[:number])
    return [rows[place] for place in sorted(chosen)]


def prolonged(recipe: Recipe, per_epoch: int) -> Recipe:
    """Return ``recipe`` with epochs enough for ``few_updates`` where epochs have ``per_epoch`` batches.

    Dev is evaluated as often as before: so many more epochs lie between.
    """
    epochs = max(recipe.epochs, recipe.few_updates / per_epoch)
    return replace(recipe, epochs=epochs, evaluate_every=recipe.evaluate_every * epochs / recipe.epochs)


def at_sizes(settings: Settings, sizes: str, seeds: Sequence[int]) -> list[tuple[Settings, list[int]]]:
    """Return the settings of each of the comma-separated ``sizes`` ("8,64,all"), and the seeds that run under them.

    A size is a number of rows per class, and each seed has its own sample: what a strategy gains then holds the luck
    of the sample. "all" trains on all rows, with all seeds at once. UsageError for anything else.
    """
    sizes_seeds: list[tuple[Settings, list[int]]] = []
    for size in dict.fromkeys(part.strip() for part in sizes.split(",")):
        if size == "all":
            sizes_seeds.append((settings, list(seeds)))
        elif size.isascii() and size.isdigit() and 0 < int(size) <= 10**9:
            for seed in seeds:
                data = replace(settings.data, train_rows=int(size), sample_seed=seed)
                sizes_seeds.append((replace(settings, data=data), [seed]))
        else:
            raise UsageError(f"--train-rows takes numbers of rows per class and all, as 8,64,512,all; not {size!r}")
    return sizes_seeds
