"""Attack recipes by name, as `bench attack` takes them: what each needs, and which sets of scores it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.data.tasks import GLUE
from bench.errors import UsageError, unknown
from bench.registry import Attacks, about, attacks, families
from bench.reporting.evaluations import attack_name
from bench.rewriter import Rewriter
from bench.spec import StrategySpec, lacking
from bench.strategy import Strategy


@dataclass(frozen=True)
class Recipe:
    """An attack on finished students: its ``title`` as one types it, and the ``name`` of the scores it makes."""

    title: str
    strategy: Strategy
    spec: StrategySpec
    rewriter: Rewriter
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What its evaluations are called."""
        return attack_name(self.title)

    def lacking(self) -> str:
        """Return in words what is missing on this machine; empty if all is there."""
        return lacking(self.strategy)


def recipe_names() -> list[str]:
    """Return the names of all recipes, those of libraries that are not installed too."""
    return [name for attack in attacks().values() for name in attack.names()]


def recipes_of(names: Sequence[str], budget: int) -> list[Recipe]:
    """Return the recipes called ``names``, with at most ``budget`` questions a row.

    UsageError for one that is not known, is no attack on students, or whose library is not installed.
    """
    recipes: dict[str, Recipe] = {}
    for text in names:
        family, title = _home(text)
        spec = StrategySpec.parse(f"{family}:{title}")
        strategy, attack = spec.create(), attacks()[family]
        rewriter = attack.against_student(strategy, budget)
        title = str(spec).removeprefix(f"{family}:")
        recipes[title] = Recipe(title, strategy, spec, rewriter, tuple(attack.notes(strategy)))
    if not recipes:
        raise UsageError("which recipes? --recipes deepwordbug,pwws; all there are: bench attack --list")
    return list(recipes.values())


def _home(text: str) -> tuple[str, str]:
    """Return the family of the recipe ``text``, and the recipe without it."""
    for family, attack in attacks().items():
        title = text.removeprefix(f"{family}:")
        members = {*attack.names(), *families()[family].documented()}
        if title.partition("[")[0] in members:
            if (missing := families()[family].missing) is not None:
                raise UsageError(f"no attack {text}: {missing}")
            return family, title
    raise unknown("recipe", text.partition("[")[0], recipe_names(), "(see: bench attack --list)")


def recipe_rows() -> list[dict[str, Any]]:
    """Return of every recipe its name, what it is about, and in sentences what keeps it from running here."""
    rows: list[dict[str, Any]] = []
    for family, attack in attacks().items():
        home = families()[family]
        for name in attack.names():
            cls = home.load(name)
            lacks = [home.missing] if home.missing is not None else _lacks(attack, cls())
            rows.append({"name": name, "about": about(cls).removeprefix("attack: "), "lacks": lacks})
    return rows


def _lacks(attack: Attacks, strategy: Strategy) -> list[str]:
    try:
        attack.against_student(strategy, 2)
    except UsageError as error:
        return [f"not here: {error}"]
    return [sentence for sentence in (strategy.supports(GLUE["sst2"]), lacking(strategy)) if sentence]
