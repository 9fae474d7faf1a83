"""The base of strategies that rewrite one text at a time: which side of a pair, how many copies, one view per step."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.errors import BenchError
from bench.options import option
from bench.rewriter import Attacked, Context, Forms, Rewriter
from bench.strategy import Batch, Models, Strategy, View

if TYPE_CHECKING:
    import torch

    from bench.data.tasks import Example, Task

Side = Literal["task", "first", "second", "both"]

SIDE = "the text of a pair that changes; task: of a directed pair (premise and hypothesis, say) the second, else both"
"""The meaning of every option ``side``. Its default is both: the teacher answers for whatever comes out."""


def changeable(task: Task, side: Side) -> tuple[int, ...]:
    """Return the numbers of the texts of a row of ``task`` that ``side`` lets change."""
    if len(task.texts) == 1 or side == "both":
        return tuple(range(len(task.texts)))
    return {"task": task.changeable, "first": (0,), "second": (1,)}[side]


@dataclass(kw_only=True)
class TextStrategy(Strategy, Rewriter):
    """A strategy that is its own rewriter: a subclass overrides ``rewrite_texts``.

    A training step sees one of a row's ``copies``.
    """

    side: Side = option("both", SIDE)
    copies: int = option(1, "the number of independent rewrites per row; a training step sees one", at_least=1)
    # As a generator does: a step sees one form of a row, so that many copies show no more texts than epochs do.
    refresh: int = option(1, "the number of epochs after which all texts are rewritten anew; 0: never", at_least=0)

    @property
    def forms(self) -> int:
        """How many forms of each row it makes: its copies."""
        return self.copies

    def changeable(self, task: Task) -> tuple[int, ...]:
        """Return the numbers of the texts of a row of ``task`` that may change."""
        return changeable(task, self.side)

    def rewrite(
        self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context
    ) -> Sequence[Forms | Attacked]:
        """Return ``copies`` forms of each example; texts that are blank stay as they are."""
        texts, seeds, places = [], [], []
        forms: list[Forms] = [[example.texts] * self.copies for example in examples]
        for row, (example, rng) in enumerate(zip(examples, rngs, strict=True)):
            for copy in range(self.copies):
                for side in self.changeable(context.task):
                    # Drawn even where there is nothing to rewrite, so that an empty text moves no other's draw.
                    seed = rng.getrandbits(64)
                    if example.texts[side].strip():
                        texts.append(example.texts[side])
                        seeds.append(random.Random(seed))
                        places.append((row, copy, side))
        rewritten = self.rewrite_texts(texts, seeds, context)
        if len(rewritten) != len(texts):
            raise BenchError(
                f"{type(self).__name__}.rewrite_texts() returned {len(rewritten)} texts of {len(texts)}; "
                "return a rewrite of each, in order"
            )
        for (row, copy, side), text in zip(places, rewritten, strict=True):
            form = list(forms[row][copy])
            form[side] = text
            forms[row][copy] = tuple(form)
        return forms

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        """Return a rewrite of each of ``texts`` (none is blank), drawing randomness from its own generator."""
        raise NotImplementedError(f"{type(self).__name__} has no rewrite_texts()")

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        """Yield one of each row's copies, drawn at random where there are several."""
        yield from one_form(batch.rewritten_by(self), batch, models)


def one_form(forms: Sequence[View], batch: Batch, models: Models) -> Iterator[View]:
    """Yield one of the ``forms`` of each row of ``batch``, drawn at random where there are several."""
    import torch

    if len(forms) <= 1:
        yield from forms
        return
    shape = (len(batch.rows),)
    yield pick(forms, torch.randint(len(forms), shape, generator=models.rng, device=batch.labels.device))


def pick(views: Sequence[View], choice: torch.Tensor) -> View:
    """Return the view whose row b is row b of ``views[choice[b]]``; all views carry ids and teacher logits [B, C]."""
    import torch
    import torch.nn.functional as F

    rows = torch.arange(len(choice), device=choice.device)
    longest = max(view.student["attention_mask"].shape[1] for view in views)

    def stacked(key: str) -> torch.Tensor:
        # A padding id of 0 is as good as any other: the attention mask hides it.
        parts = [F.pad(v.student[key], (0, longest - v.student[key].shape[1])) for v in views]
        return torch.stack(parts)[choice, rows]

    chosen = {key: stacked(key) for key in views[0].student}
    width = int(chosen["attention_mask"].sum(dim=1).max())
    logits = [view.teacher_logits for view in views if view.teacher_logits is not None]
    return View(
        student={key: value[:, :width].contiguous() for key, value in chosen.items()},
        teacher_logits=torch.stack(logits)[choice, rows] if logits else None,
    )
