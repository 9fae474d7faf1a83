"""R-Drop: two passes over the same text, under different dropout, must agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import Batch, Models, View
from strategies.none import Control


@dataclass
class RDrop(Control):
    """Two dropout passes held to each other (Liang et al., NeurIPS 2021, arXiv 2106.14448): a control without new text.

    The view is the clean batch under dropout of its own, its loss the paper's (KL(P1 || P2) + KL(P2 || P1)) / 2 with
    gradient through both; for scores, where the paper says nothing of squared errors, the squared difference. It has
    the recipe's weight of a view in the place of the paper's alpha, and labels and teacher train the first pass alone,
    where the paper trains both by the labels: the same gradient on average.
    """

    verified = (
        "one update equals the paper's equation written out, weights of the student included; not the authors' code "
        "or numbers"
    )

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        yield View(student=batch.inputs, mutual=True)
