"""TextAttack's recipes against finished students: each row as the library's own Attacker attacks it, many at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from bench.errors import UsageError
from bench.rewriter import Attacked, Context, Reads, Rewriter
from strategies.textattack.attacks import Attack
from strategies.textattack.family import FAMILY
from strategies.textattack.requirements import OURS, Model, notes

if TYPE_CHECKING:
    from bench.data.tasks import Example
    from bench.strategy import Strategy

GOAL = "UntargetedClassification"
"""The library's goal that there is an accuracy under: any class but the label's."""

_TRAINING = tuple(field.name for field in fields(Attack))
"""Options that say how the recipe makes training texts."""


@dataclass
class AsPublished(Rewriter):
    """The ``recipe`` with at most ``budget`` questions a row, counted as the library counts them.

    All texts of a row may change, as far as the recipe lets them. A row without success comes back as it was.
    """

    recipe: Attack
    budget: int

    libraries: ClassVar[tuple[str, ...]] = Attack.libraries

    def reads(self) -> tuple[Reads, ...]:
        return self.recipe.reads()

    def rewrite(
        self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context
    ) -> Sequence[Attacked]:
        # Imports TextAttack; only worker processes come here.
        from strategies.textattack.build import Local, attack
        from strategies.textattack.row_by_row import attack_rows

        ours = {*_TRAINING, *OURS}
        given = {f.name: getattr(self.recipe, f.name) for f in fields(self.recipe) if f.name not in ours}
        student = Model.of(context, "student")
        built = attack(self.recipe.target, tuple(sorted(given.items())), Local.of(self.recipe, context), (student,))
        # The library calls a lone text "text", and the texts of a pair what the columns of GLUE's tasks are called.
        columns = context.task.texts if len(context.task.texts) > 1 else ("text",)
        return attack_rows(built, columns, examples, [rng.getrandbits(32) for rng in rngs], self.budget)


class StudentAttacks:
    """The recipes among the members of the family."""

    def names(self) -> Sequence[str]:
        members = {name: FAMILY.load(name) for name in FAMILY.documented()}
        return [name for name, cls in members.items() if issubclass(cls, Attack) and GOAL in cls.uses]

    def against_student(self, strategy: Strategy, budget: int) -> Rewriter:
        name = getattr(type(strategy), "name", type(strategy).__name__).partition(":")[2]
        if not isinstance(strategy, Attack):
            raise UsageError(f"{name} rewrites texts and attacks no model; attacks: {', '.join(self.names())}")
        if GOAL not in strategy.uses:
            raise UsageError(f"{name} does not lead a student away from the label, so it has no accuracy under attack")
        defaults = type(strategy)()
        if given := [key for key in _TRAINING if getattr(strategy, key) != getattr(defaults, key)]:
            raise UsageError(f"{name}: the option {given[0]} is of training; here there are --rows and --budget")
        return AsPublished(defaults if strategy == defaults else strategy, budget)

    def notes(self, strategy: Strategy) -> list[str]:
        return notes(strategy.uses) if isinstance(strategy, Attack) else []


ATTACKS = StudentAttacks()
