"""What the installed nlpaug offers, read from its source files: augmenters, their options and descriptions.

Nothing is imported: nlpaug takes seconds to, and a listing must not.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

LEVELS = ("char", "word", "sentence")
"""The packages of nlpaug whose augmenters work on text."""

# What belongs to the harness (device, batches, tokenisation that keeps the text) or returns other than one text.
_HARNESS = re.compile(
    "name|verbose|silence|device|batch_size|force_reload|use_custom_api|(reverse_)?tokenizer|generate_all_combinations"
)
_TYPES: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "list": tuple[str, ...]}


@dataclass(frozen=True)
class Option:
    """A parameter of an augmenter's ``__init__``; ``required`` where the library has no default."""

    name: str
    kind: Any
    default: Any
    required: bool = False


@dataclass(frozen=True)
class Augmenter:
    """One of nlpaug's text augmenters, and where the library defines it."""

    member: str
    module: str
    cls: str
    about: str
    options: tuple[Option, ...]


def folder() -> Path | None:
    """Return the folder of the installed nlpaug, or None."""
    spec = importlib.util.find_spec("nlpaug")
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def member_name(cls: str) -> str:
    """Return an augmenter's name here: its class without "Aug", in kebab case ("KeyboardAug": "keyboard").

    "WordEmbs" after another word is left out: ContextualWordEmbsAug is "contextual".
    """
    short = re.sub(r"(?<=[a-z])WordEmbs", "", cls.removesuffix("Aug"))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", short).lower()


@cache
def augmenters(root: Path) -> dict[str, Augmenter]:
    """Return the text augmenters of the nlpaug in ``root`` by name, in the library's order."""
    actions = _constants(_parse(root / "util" / "action.py"))
    found: dict[str, Augmenter] = {}
    for level in LEVELS:
        package = root / "augmenter" / level
        base = f"{level.capitalize()}Augmenter"
        for line in _parse(package / "__init__.py").body:
            if not isinstance(line, ast.ImportFrom) or not (line.module or "").startswith("nlpaug."):
                continue
            assert line.module is not None
            for node in _parse(package / f"{line.module.rpartition('.')[2]}.py").body:
                if isinstance(node, ast.ClassDef) and base in [ast.unparse(b) for b in node.bases]:
                    name = member_name(node.name)
                    found[name] = Augmenter(name, line.module, node.name, _about(node), _options(node, actions))
    return found


def _parse(path: Path) -> ast.Module:
    with warnings.catch_warnings():
        # The library's own string escapes are none of the user's business.
        warnings.simplefilter("ignore")
        return ast.parse(path.read_text(encoding="utf-8"))


def _constants(module: ast.Module) -> dict[str, str]:
    """Return {"Action.INSERT": "insert", …} for the string constants of ``module``'s classes."""
    return {
        f"{node.name}.{ast.unparse(line.targets[0])}": line.value.value
        for node in module.body
        if isinstance(node, ast.ClassDef)
        for line in node.body
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
    }


def _about(node: ast.ClassDef) -> str:
    """Return the first sentence of the class's docstring in one line."""
    text = " ".join((ast.get_docstring(node) or node.name).split(":param")[0].replace("\\", " ").split())
    sentence = text.partition(". ")[0].removeprefix("Augmenter that ").rstrip(".")
    return f"{sentence[0].upper()}{sentence[1:]}."


def _options(node: ast.ClassDef, actions: dict[str, str]) -> tuple[Option, ...]:
    methods = {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}
    signature = methods["__init__"].args
    required = [None] * (len(signature.args) - len(signature.defaults))
    documented = _documented(ast.get_docstring(node) or "")
    own_actions = tuple(value for value in actions.values() if value in methods)
    options = []
    for argument, given in zip(signature.args, [*required, *signature.defaults], strict=True):
        name = argument.arg
        if _HARNESS.fullmatch(name) or name == "self":
            continue
        default = None if given is None else _value(given, actions)
        said, text = documented.get(name, ("", ""))
        kind: Any
        if name == "action":
            if len(own_actions) < 2:
                continue
            kind = Literal[own_actions]
        else:
            kind = _kind(name, default, said, text, set(actions.values()))
        if kind is None:
            continue
        if kind == tuple[str, ...]:
            default = tuple(default or ())
        elif default is None or " None " in text:
            # "If None is passed": the library has a meaning for it.
            kind = kind | None
        options.append(Option(name, kind, default, required=given is None))
    return tuple(options)


def _value(node: ast.expr, constants: dict[str, str]) -> Any:
    return constants[ast.unparse(node)] if isinstance(node, ast.Attribute) else ast.literal_eval(node)


def _documented(text: str) -> dict[str, tuple[str, str]]:
    """Return {parameter: (type, description)} of a docstring; the type is "" where it names none."""
    found = {}
    for entry in text.split(":param ")[1:]:
        head, _, about = entry.partition(":")
        *kind, name = head.split()
        found[name] = (kind[0].lower() if kind else "", " ".join(about.split(">>>")[0].split()))
    return found


def _kind(name: str, default: Any, said: str, text: str, actions: set[str]) -> Any:
    """Return the type of a parameter, or None if a command line cannot spell it (a function, a model)."""
    if name.endswith("path"):
        return str
    if isinstance(default, str) or (default is None and said == "str"):
        quoted = dict.fromkeys(re.findall(r"['`](\w+)['`]", text))
        choices = tuple(choice for choice in quoted if choice not in actions)
        # A text whose description quotes several values, the default among them if it has one, is a choice.
        is_choice = len(choices) > 1 and default in (None, *choices)
        return Literal[choices] if is_choice else str
    if default is not None:
        return type(default)
    return _TYPES.get(said)
