"""Flips: of each row a form a few words away to which the teacher gives another class."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench import Attacked, Batch, Context, Models, Rewriter, Strategy, View, option
from bench.errors import UsageError
from strategies.best_of_k import Pool
from strategies.textattack.attacks import Attack

if TYPE_CHECKING:
    from bench import Example, Resource, Task
    from bench.rewriter import Reads


class Flipped(Pool):
    """Of a pool of forms of each row the nearest that flips the teacher's class; the row itself where none does.

    Nearest is by words inserted, deleted or replaced (Levenshtein), and of equals the first.
    """

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the forms are made with, and what the teacher runs on: in worker processes of one thread each."""
        return tuple(dict.fromkeys((*super().libraries, "torch", "transformers")))

    @property
    def forms(self) -> int:
        """One form of each row."""
        return 1

    def reads(self) -> tuple[Reads, ...]:
        return tuple(dict.fromkeys(("teacher", *super().reads())))

    def rewrite(self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context) -> list[Attacked]:
        from bench.models.classify import classifier

        teacher = classifier(context.models["teacher"], context.device, context.digests.get("teacher", ""))
        made = []
        for example, pool in zip(examples, super().rewrite(examples, rngs, context), strict=True):
            # A row's forms are read together, and no other row's beside them: padding moves the last bits of logits.
            texts = tuple(example.texts)
            forms = [texts, *(form for form in dict.fromkeys(pool.forms) if form != texts)]
            own, *classes = teacher.logits(forms).argmax(dim=1).tolist()
            flips = [form for form, answer in zip(forms[1:], classes, strict=True) if answer != own]
            nearest = min(flips, key=lambda form: edits(texts, form), default=texts)
            made.append(Attacked([nearest], "success" if flips else "failure", pool.queries + len(forms)))
        return made


def edits(texts: Sequence[str], form: Sequence[str]) -> int:
    """Return how many words are inserted, deleted or replaced between two rows of texts."""
    from rapidfuzz.distance import Levenshtein

    return sum(Levenshtein.distance(old.split(), new.split()) for old, new in zip(texts, form, strict=True))


@dataclass
class Flips(Strategy):
    """Texts a few words from the original on which the teacher changes its mind, half of the time (CoD, FlipDA).

    Written flips(STRATEGY), around a strategy that rewrites texts offline: of a ``pool`` of rewrites of each row, those
    to which the teacher gives another class than to the row are its flips, and the one with the fewest words changed is
    taken. At each step ``share`` of the batch's rows, drawn anew, are shown flipped and the others as they are; so is a
    row that nothing in its pool flips. The student is held to the teacher's own answer to the flipped text.

    Around an attack recipe of TextAttack there is no pool: the recipe attacks the teacher on every row, away from the
    class that the teacher gives it. Flips are looked for once, since the teacher stays what it is.

    Counterfactual-infused distillation (arXiv 2510.21631, NeurIPS 2025) spends half of its few examples on such
    pairs, written by a large language model; FlipDA (Zhou et al., ACL 2022, arXiv 2108.06332) has T5 fill blanks
    towards another label and keeps what a classifier is surest of. Both find flipped labels worth more than kept ones.
    """

    verified = "the flips chosen equal those of a plain search by words changed"

    inner: Strategy
    share: float = option(0.5, "the share of a batch's rows that are shown flipped", above=0, at_most=1)
    pool: int = option(8, "the number of rewrites of each row in which a flip is looked for", at_least=1)
    refresh: int = option(0, "the number of epochs after which flips are looked for anew; 0: never", at_least=0)

    def __post_init__(self) -> None:
        if isinstance(self.inner, Attack):
            attack = replace(self.inner, victim="teacher", goal="prediction", share=1.0, refresh=0)
            self.inner, self.rewrites = attack, Flipped(attack, 1, self.refresh)
        elif isinstance(self.inner, Rewriter):
            self.rewrites = Flipped(self.inner, self.pool, self.refresh)
        else:
            raise UsageError("flips looks for them among rewritten texts, which the strategy inside does not make")

    def supports(self, task: Task) -> str | None:
        return "a score has no class to flip" if task.is_regression else self.inner.supports(task)

    def resources(self) -> Sequence[Resource]:
        return self.inner.resources()

    def rewriters(self) -> tuple[Rewriter, ...]:
        return (self.rewrites,)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        import torch

        from bench.text_strategy import pick

        rows, device = len(batch.rows), batch.labels.device
        shown = torch.zeros(rows, dtype=torch.long, device=device)
        drawn = torch.randperm(rows, generator=models.rng, device=device)
        shown[drawn[: round(self.share * rows)]] = 1
        clean = View(batch.inputs, teacher_logits=batch.teacher_logits)
        yield pick([clean, *batch.rewritten_by(self.rewrites)], shown)
