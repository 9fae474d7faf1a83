"""TextAttack's attack recipes as strategies: texts changed until a model errs, or parts from its teacher."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from bench.errors import UsageError
from bench.options import option
from bench.rewriter import Attacked, Context, Reads
from bench.text_strategy import SIDE, Side, changeable
from strategies.textattack.requirements import OURS, Model, TextAttackMember

if TYPE_CHECKING:
    from bench.data.tasks import Example, Task
    from bench.models.inputs import Role
    from strategies.textattack.victim import RowAttack


@dataclass(kw_only=True)
class Attack(TextAttackMember):
    """Base of the recipes, whose own arguments are fields of the classes made from this one.

    Rows that are not attacked, and rows without a word, come back as they were ("left out"). A row is attacked where
    the victim agrees with its label ("skipped" where it does not). Input reduction, which keeps the label and shortens
    the text, succeeds where the text got shorter. Without success a row comes back as it was: with a ``share`` of a
    quarter, at least three quarters of what the student sees is clean text, as the leaderboard says (attacks are slow).
    Of a pair one text changes at a time while the victim reads both: the first that ``side`` lets change, and if that
    fails the other with what is left of the queries. Of a text longer than ``max_words`` the victim reads all.

    The ``goal`` is that the victim no longer says what the label says, or what it says of the row itself
    ("prediction"). With "divergence" it is KL(T || S) of the teacher from the student: words are chosen that raise it,
    and the attack has succeeded where it is ``threshold`` or more; rows that are there already are skipped. Both
    models are asked about every candidate, which counts as two queries; gradients, where a recipe ranks words by
    them, are the student's.

    The first edition (``refresh`` epochs) attacks the teacher, by the label where the goal is divergence: a student
    that knows nothing is fooled by anything, or wrong before anything changes.
    """

    victim: Literal["student", "teacher"] = option(
        "student", "the model under attack; student: the teacher first, until texts are attacked anew"
    )
    goal: Literal["label", "prediction", "divergence"] = option(
        "label", "what the victim is led away from: the row's label, its own answer to the row, or the teacher's answer"
    )
    threshold: float = option(
        0.5, "the divergence in nats from which an attack with goal=divergence has succeeded", above=0
    )
    side: Side = option("both", SIDE)
    share: float = option(0.25, "the share of rows that are attacked", above=0, at_most=1)
    queries: int = option(300, "the number of texts that the victim may be asked about per row", at_least=2)
    max_words: int = option(128, "the number of words from a text's beginning that may change", at_least=1)
    refresh: int = option(1, "the number of epochs after which texts are attacked anew; 0: never", at_least=0)
    batch_size: int = option(32, "the number of texts that the victim reads at once", at_least=1)

    libraries: ClassVar[tuple[str, ...]] = ("textattack", "nltk", "torch", "transformers")

    def __post_init__(self) -> None:
        if self.goal == "divergence" and self.victim == "teacher":
            raise UsageError("goal=divergence leads the student away from its teacher: leave out victim=teacher")
        if self.refresh == 0 and self.victim == "student":
            raise UsageError("refresh=0 attacks only once, before the student has learned anything: add victim=teacher")

    def supports(self, task: Task) -> str | None:
        if task.is_regression:
            return "attacks need classes, and this task's labels are scores"
        if self.goal != "label" and "UntargetedClassification" not in self.uses:
            return f"the recipe has a goal of its own, which goal={self.goal} cannot replace"
        return super().supports(task)

    def asked(self) -> tuple[Role, ...]:
        """Return the models that are asked about every candidate: the victim, and with it the teacher or not."""
        return ("student", "teacher") if self.goal == "divergence" else (self.victim,)

    def reads(self) -> tuple[Reads, ...]:
        return (*self.asked(), *super().reads())

    def at(self, edition: int) -> Attack:
        if edition or self.victim == "teacher":
            return self
        return replace(self, victim="teacher", goal="label" if self.goal == "divergence" else self.goal)

    def changeable(self, task: Task) -> tuple[int, ...]:
        """Return the numbers of the texts of a row of ``task`` that may change."""
        return changeable(task, self.side)

    def rewrite(
        self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context
    ) -> Sequence[Attacked]:
        # Imports TextAttack; only worker processes come here.
        from strategies.textattack.build import Local, attack

        ours = {field.name for field in fields(Attack)} | {*OURS}
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ours}
        models = tuple(Model.of(context, role) for role in self.asked())
        threshold = self.threshold if self.goal == "divergence" else None
        built = attack(self.target, tuple(sorted(given.items())), Local.of(self, context), models, threshold)
        built.goal_function.batch_size = self.batch_size
        sides = self.changeable(context.task)
        return [self._attacked(built, row, rng, sides) for row, rng in zip(examples, rngs, strict=True)]

    def _attacked(self, built: RowAttack, example: Example, rng: random.Random, sides: Sequence[int]) -> Attacked:
        from strategies.textattack.library import seed, split_after, words

        number = rng.getrandbits(32)
        asked, outcome, texts = 0, "left out", list(example.texts)
        if rng.random() >= self.share:
            return Attacked([example.texts], outcome)
        seed(number)
        for side in sides:
            head, tail = split_after(texts[side], self.max_words)
            # The victim's answer to the row itself takes one query, and no search copes with none beyond it.
            if not words(head) or self.queries - asked < 2 * len(self.asked()):
                continue
            label = None if self.goal == "prediction" else int(example.label or 0)
            outcome, head, queries = built.on_row(example.texts, side, head, tail, label, self.queries - asked)
            asked += queries
            if outcome == "success":
                texts[side] = head + tail
            if outcome != "failure":
                break
        return Attacked([tuple(texts)], outcome, asked)
