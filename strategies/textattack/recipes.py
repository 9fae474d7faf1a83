"""TextAttack's attack recipes as strategies: texts changed until a model no longer says what their label says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.errors import UsageError
from bench.models.inputs import Role
from bench.rewriter import Side, TextStrategy
from bench.strategy import Attacked, Context
from strategies.textattack.parts import Member

if TYPE_CHECKING:
    from bench.data.tasks import Example, Task


@dataclass(kw_only=True)
class Attack(Member):
    """Base of the recipes, whose own arguments are fields of the classes made from this one.

    A ``share`` of the rows, drawn by each row's generator, is attacked; the others, and rows without a word, come back
    as they were ("left out"). The ``victim`` is asked about at most ``queries`` texts a row, and attacked where it
    agrees with the row's label ("skipped" where it does not). Input reduction, which keeps the label and shortens the
    text, succeeds where the text got shorter. Without success a row comes back as it was. Of a pair
    one text changes at a time while the victim reads both: the first that ``side`` lets change, and if that fails
    the other with what is left of the queries. Of a text longer than ``max_words`` the beginning is changed, while the
    victim reads all of it. Texts are attacked anew every ``refresh_epochs`` epochs.
    """

    victim: Literal["student", "teacher"] = "student"
    side: Side = "task"
    share: float = 0.25
    queries: int = 300
    max_words: int = 128
    refresh_epochs: int = 1
    batch_size: int = 32

    refresh = "epoch"
    libraries: ClassVar[tuple[str, ...]] = ("textattack", "nltk", "torch", "transformers")

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(f"share must be above 0 and at most 1, not {self.share:g}")
        for name, least in (("queries", 2), ("max_words", 1), ("refresh_epochs", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be {least} or more, not {getattr(self, name)}")

    def supports(self, task: Task) -> str | None:
        if task.is_regression:
            return "attacks need classes, and this task's labels are scores"
        return super().supports(task)

    def reads(self) -> tuple[Role, ...]:
        return (self.victim, *super().reads())

    def changeable(self, task: Task) -> tuple[int, ...]:
        """Return the numbers of the texts of a row of ``task`` that may change."""
        return TextStrategy(side=self.side).changeable(task)

    def edition(self, epoch: int) -> int:
        return epoch // self.refresh_epochs * self.refresh_epochs

    def rewrite(
        self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context
    ) -> Sequence[Attacked]:
        # Imports TextAttack; only worker processes come here.
        from strategies.textattack import worker

        ours = {field.name for field in fields(Attack)} | {"vectors", "sentence_encoder"}
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ours}
        attack = worker.attack(
            self.target,
            tuple(sorted(given.items())),
            worker.Local.of(self, context),
            worker.Model(context.models[self.victim], context.digests.get(self.victim, "")),
        )
        attack.goal_function.batch_size = self.batch_size
        return [
            self._attacked(worker, attack, example, rng, self.changeable(context.task))
            for example, rng in zip(examples, rngs, strict=True)
        ]

    def _attacked(
        self, worker: Any, attack: Any, example: Example, rng: random.Random, sides: Sequence[int]
    ) -> Attacked:
        seed = rng.getrandbits(32)
        asked, outcome, texts = 0, "left out", list(example.texts)
        if rng.random() >= self.share:
            return Attacked([example.texts], outcome)
        worker.seed(seed)
        for side in sides:
            head, tail = worker.cut(texts[side], self.max_words)
            # The victim's answer to the row itself takes one query, and no search copes with none beyond it.
            if not worker.words(head) or self.queries - asked < 2:
                continue
            outcome, head, queries = worker.attacked(
                attack, example.texts, side, head, tail, int(example.label or 0), self.queries - asked
            )
            asked += queries
            if outcome == "success":
                texts[side] = head + tail
            if outcome != "failure":
                break
        return Attacked([tuple(texts)], outcome, asked)
