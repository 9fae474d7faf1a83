"""How many different texts a row gives the student over a run, counted at a few rows as they are shown."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.cost import Cost
from bench.files import digest
from bench.models.inputs import Inputs
from bench.strategy import Batch, View

ROWS = 64
"""The first so many training rows are counted: enough for the mean, and few batches have to be looked into."""


def noted(views: Iterator[View], batch: Batch, cost: Cost) -> Iterator[View]:
    """Yield ``views`` as they come, and note in ``cost.shown`` which texts of the first ``ROWS`` rows they show.

    A text is a row's word pieces as the student reads them; the clean row itself is none.
    """
    few = np.flatnonzero(batch.rows < ROWS)
    for view in views:
        if len(few) and "input_ids" in view.student:
            texts = zip(batch.rows[few].tolist(), _pieces(batch.inputs, few), _pieces(view.student, few), strict=True)
            for row, clean, shown in texts:
                cost.shown[str(row) if shown == clean else f"{row} {digest(shown)}"] += 1
        yield view


def _pieces(inputs: Inputs, rows: np.ndarray) -> list[list[int]]:
    ids, real = inputs["input_ids"][rows].tolist(), inputs["attention_mask"][rows].tolist()
    return [[piece for piece, kept in zip(*row, strict=True) if kept] for row in zip(ids, real, strict=True)]


def texts_per_row(cost: Cost) -> float | None:
    """Return the mean number of different texts that ``noted`` saw of a row; None where there were no texts."""
    rows = {key.partition(" ")[0] for key in cost.shown}
    return sum(" " in key for key in cost.shown) / len(rows) if rows else None
