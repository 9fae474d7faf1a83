"""Writes ``catalogue.json``, by importing the installed TextAttack: ``python -m strategies.textattack.catalogue``.

A developer's command, for a new release of the library; what is run with reads the file alone. Names and defaults are
the library's; what options mean, and their bounds, come from ``meanings.toml``.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from textattack import attack_recipes, transformations
from textattack.attack_args import ATTACK_RECIPE_NAMES
from textattack.attack_recipes import AttackRecipe
from textattack.augment_args import AUGMENTATION_RECIPE_NAMES
from textattack.augmentation import Augmenter, recipes
from textattack.constraints import Constraint, PreTransformationConstraint, semantics
from textattack.goal_functions import GoalFunction
from textattack.search_methods import SearchMethod
from textattack.transformations import Transformation

from bench.toml import tomllib
from strategies.catalogues import Catalogue

_PARTS = (Constraint, PreTransformationConstraint, GoalFunction, SearchMethod, Transformation)
# How many rewrites a text gets is ``copies``, the metrics need models of their own, and which masked LM is asked is
# the run's affair.
_NOT_OPTIONS = {"transformations_per_example", "enable_advanced_metrics", "model", "tokenizer"}
MEANINGS = Path(__file__).with_name("meanings.toml")


def entries() -> dict[str, dict[str, Any]]:
    """Return what the catalogue says of the installed library: its attack recipes, then its augmenters."""
    names = {target.rpartition(".")[2]: name for name, target in ATTACK_RECIPE_NAMES.items()}
    by_name = {
        _kebab(names.get(cls.__name__) or cls.__name__.removesuffix("Recipe")): _entry(cls, "attack", cls.build)
        for cls in _classes(attack_recipes, AttackRecipe)
    }
    names = {target.rpartition(".")[2]: name for name, target in AUGMENTATION_RECIPE_NAMES.items()}
    for cls in _classes(recipes, Augmenter):
        name = _kebab(names.get(cls.__name__) or cls.__name__.removesuffix("Augmenter"))
        entry = _entry(cls, "augmenter", Augmenter.__init__, cls.__init__)
        by_name[f"{name}-augmenter" if name in by_name else name] = entry
    return by_name


def _classes(module: ModuleType, base: type) -> list[Any]:
    return [cls for cls in vars(module).values() if inspect.isclass(cls) and issubclass(cls, base) and cls is not base]


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower().replace("_", "-")


def _entry(cls: type, kind: str, *functions: Any) -> dict[str, Any]:
    """Return the entry of ``cls``, the last of whose ``functions`` puts it together."""
    uses = sorted(_parts_of(functions[-1]))
    language = re.search(r'language="(\w+)"', inspect.getsource(cls))
    chinese = any(name.startswith("Chinese") for name in uses)
    parameters = {name: p for function in functions for name, p in inspect.signature(function).parameters.items()}
    docstring = inspect.cleandoc(vars(cls).get("__doc__") or "")
    words = ", ".join(name for name in uses if name.startswith("Word"))
    first = " ".join((docstring or f"Made of {words}").partition("http")[0].split())
    summary = textwrap.shorten(f"{kind}: {first}", 160, placeholder=" …")
    entry = {
        "target": f"{cls.__module__}:{cls.__qualname__}",
        "kind": kind,
        "description": f"{summary}\n\n{docstring}".strip(),
        "options": {
            name: _option(name, parameter.default)
            for name, parameter in parameters.items()
            if isinstance(parameter.default, bool | int | float | str | None) and name not in _NOT_OPTIONS
        },
        "uses": uses,
        "language": language[1] if language else "zho" if chinese else "",
    }
    return {key: value for key, value in entry.items() if value}


def _option(name: str, default: Any) -> dict[str, Any]:
    meanings = tomllib.loads(MEANINGS.read_text("utf-8"))
    if name not in meanings:
        raise SystemExit(f"say in {MEANINGS} what the option {name!r} means")
    kind = {"type": "str", "optional": True} if default is None else {"type": type(default).__name__}
    return {**kind, "default": default, **meanings[name]}


def _parts_of(function: Any) -> set[str]:
    """Return what ``function``'s code calls the library's classes that it puts together."""

    def names_in(code: CodeType) -> Iterator[str]:
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from names_in(constant)

    parts: set[str] = set()
    for name in set(names_in(function.__code__)):
        # Recipes import classes at the top of their module, augmenters inside the function.
        part = function.__globals__.get(name, getattr(transformations, name, getattr(semantics, name, None)))
        if inspect.isclass(part) and issubclass(part, _PARTS):
            parts.add(name)
        elif inspect.isclass(part) and issubclass(part, Augmenter):  # EDA is made of other augmenters
            parts |= _parts_of(part.__init__)
    return parts


if __name__ == "__main__":
    Path(__file__).with_suffix(".json").write_text(Catalogue.text("textattack", entries()), "utf-8")
