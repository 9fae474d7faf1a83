"""The control of all strategies with views: the clean batch is its own view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import Batch, Models, View
from strategies.none import Control


@dataclass
class CleanTwice(Control):
    """The clean batch seen a second time, under dropout of its own: a control for what comes with any view.

    A view brings more than other texts: twice the rows in an update, a second draw of dropout, and less weight for
    the labels. What a strategy gains over this row is its texts' doing.
    """

    verified = (
        "without dropout it equals plain distillation under other weights; a control of this suite, without a paper"
    )

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        yield View(student=batch.inputs, teacher_logits=batch.teacher_logits)
