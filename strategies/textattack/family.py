"""The strategies ``textattack:…``: the augmenters and attack recipes that the installed TextAttack lists.

Names, options and descriptions are read from the library's source files: importing it takes ten seconds.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from strategies.textattack.augmenters import Augmentation
from strategies.textattack.parts import ENCODERS, MINILM, VECTORS, Member, notes
from strategies.textattack.recipes import Attack

# Of the library's own options: how many rewrites a text gets is ``copies``, the metrics need models of their own,
# and which masked LM is asked is the run's affair.
_NOT_OPTIONS = {"transformations_per_example", "enable_advanced_metrics", "model", "tokenizer"}


@dataclass(frozen=True)
class _Source:
    """Where the library defines a member: "textattack.…:Class", the file, and which kind it is."""

    target: str
    path: Path
    base: type[Member]

    @property
    def name(self) -> str:
        return self.target.rpartition(":")[2]


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower().replace("_", "-")


@cache
def _parsed(path: Path) -> ast.Module:
    with warnings.catch_warnings():
        # The library's own string escapes are none of the user's business.
        warnings.simplefilter("ignore")
        return ast.parse(path.read_text("utf-8"))


def _dictionary(path: Path, name: str) -> dict[str, str]:
    """Return the dict of strings that a module assigns to ``name``."""
    source = path.read_text("utf-8")
    # The rest of that file is long, and parsing it takes longer than all else here.
    match = re.search(rf"^{name} = (\{{.*?^\}})", source, re.MULTILINE | re.DOTALL)
    return ast.literal_eval(match[1]) if match else {}


def _classes(path: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in _parsed(path).body if isinstance(node, ast.ClassDef)}


def _function(cls: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == name), None)


def _options(function: ast.FunctionDef | None) -> dict[str, Any]:
    """Return the arguments of ``function`` whose defaults are numbers, texts, True, False or None."""
    if function is None:
        return {}
    names = [argument.arg for argument in function.args.args]
    defaults = function.args.defaults
    pairs = zip(names[len(names) - len(defaults) :], defaults, strict=True)
    plain = {name: default.value for name, default in pairs if isinstance(default, ast.Constant)}
    return {name: value for name, value in plain.items() if name not in _NOT_OPTIONS}


def _names(tree: ast.AST) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def _language(tree: ast.AST, uses: frozenset[str]) -> str:
    given = (
        keyword.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "language" and isinstance(keyword.value, ast.Constant)
    )
    return str(next(given, "zho" if any(name.startswith("Chinese") for name in uses) else ""))


class TextAttack:
    """The family: its members' names and classes, made from the installed library's sources."""

    @cached_property
    def missing(self) -> str | None:
        """None, or why there are no members here and what to type."""
        remedy = (
            "in an environment of its own, type: pip install 'distil-augment-bench[textattack]' (it needs "
            "transformers below 5)"
        )
        for module in ("textattack", "flair", "nltk"):
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed; {remedy}"
        try:
            transformers = version("transformers")
        except PackageNotFoundError:
            return f"transformers is not installed; {remedy}"
        if int(transformers.partition(".")[0]) >= 5:
            return f"TextAttack's flair cannot be imported beside transformers {transformers}; {remedy}"
        return None

    @cached_property
    def _root(self) -> Path:
        spec = importlib.util.find_spec("textattack")
        assert spec is not None
        assert spec.origin is not None
        return Path(spec.origin).parent

    @cached_property
    def _sources(self) -> dict[str, _Source]:
        if self.missing is not None:
            return {}
        recipes = self._recipes()
        augmenters = self._augmenters()
        both = recipes.keys() & augmenters.keys()
        return recipes | {f"{name}-augmenter" if name in both else name: made for name, made in augmenters.items()}

    def _recipes(self) -> dict[str, _Source]:
        package = self._root / "attack_recipes"
        files = {
            alias.name: f"{node.module}"
            for node in _parsed(package / "__init__.py").body
            if isinstance(node, ast.ImportFrom) and node.module != "attack_recipe"
            for alias in node.names
        }
        listed = _dictionary(self._root / "attack_args.py", "ATTACK_RECIPE_NAMES")
        names = {target.rpartition(".")[2]: name for name, target in listed.items()}
        return {
            names.get(cls) or _kebab(cls.removesuffix("Recipe")): _Source(
                f"textattack.attack_recipes.{module}:{cls}", package / f"{module}.py", Attack
            )
            for cls, module in files.items()
        }

    def _augmenters(self) -> dict[str, _Source]:
        path = self._root / "augmentation" / "recipes.py"
        listed = _dictionary(self._root / "augment_args.py", "AUGMENTATION_RECIPE_NAMES")
        names = {target.rpartition(".")[2]: name for name, target in listed.items()}
        return {
            _kebab(names.get(cls) or cls.removesuffix("Augmenter")): _Source(
                f"textattack.augmentation.recipes:{cls}", path, Augmentation
            )
            for cls in _classes(path)
        }

    def members(self) -> Sequence[str]:
        """Return the members' names: recipes, then augmenters."""
        return list(self._sources)

    @cache  # noqa: B019 - there is one family, and a class must stay the same class
    def load(self, member: str) -> type[Member]:
        """Return the strategy class of ``member``."""
        source = self._sources[member]
        node = _classes(source.path)[source.name]
        if source.base is Attack:
            body: ast.AST = _function(node, "build") or node
            options = _options(_function(node, "build"))
        else:
            body = node
            base = _classes(self._root / "augmentation" / "augmenter.py")["Augmenter"]
            options = _options(_function(base, "__init__"))
            options |= _options(_function(node, "__init__"))
        uses = _names(body)
        for name in uses & _classes(source.path).keys() - {source.name}:  # EDA is made of other augmenters
            uses |= _names(_classes(source.path)[name])
        fields: list[Any] = [
            (name, type(value) if value is not None else str | None, field(default=value))
            for name, value in options.items()
        ]
        if uses & VECTORS:
            fields.append(("vectors", str | None, field(default=None)))
        if uses & ENCODERS:
            fields.append(("sentence_encoder", str, field(default=MINILM)))
        namespace = {
            "__doc__": _description(source, ast.get_docstring(node), uses),
            "__module__": __name__,
            "target": source.target,
            "uses": uses,
            "language": _language(body, uses),
        }
        return make_dataclass(source.name, fields, bases=(source.base,), namespace=namespace, kw_only=True, eq=True)


def _description(source: _Source, docstring: str | None, uses: frozenset[str]) -> str:
    kind = "attack" if source.base is Attack else "augmenter"
    made_of = ", ".join(sorted(name for name in uses if name.startswith("Word")))
    told = " ".join((docstring or f"Made of {made_of}").partition("http")[0].split())
    first = textwrap.shorten(f"{kind}: {told}".strip(), 160, placeholder=" …")
    return "\n\n".join([first, *notes(uses), *([docstring] if docstring else [])])


FAMILY = TextAttack()
