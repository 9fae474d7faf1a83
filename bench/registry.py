"""Strategies by name: this repository's, other packages' (entry points) and single files."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

from bench.errors import UsageError, unknown
from bench.options import build, fields_of

if TYPE_CHECKING:
    from bench.strategy import Strategy

GROUP = "bench.strategies"
C = TypeVar("C", bound=type)

_registered: dict[str, str | type] = {}


def register(name: str, target: str | type | None = None) -> Any:
    """Register a strategy under ``name``: a lazy ``"module:Class"`` string, or as ``@register(name)``.

    Raises ValueError if another strategy already has the name.
    """
    if target is None:

        def decorate(cls: C) -> C:
            register(name, cls)
            return cls

        return decorate
    if _registered.setdefault(name, target) != target:
        raise ValueError(f"two strategies are called {name!r}: {_registered[name]} and {target}")
    return target


@cache
def _installed() -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entry_points(group=GROUP):
        if found.setdefault(entry.name, entry.value) != entry.value:
            raise UsageError(
                f"two installed packages register a strategy {entry.name!r}: {found[entry.name]} and "
                f"{entry.value}; uninstall one"
            )
    return found


def targets() -> dict[str, str | type]:
    """Return every registered name with its class or lazy string, importing none of them."""
    importlib.import_module("strategies")
    both = _installed().keys() & _registered.keys()
    for name in both:
        raise UsageError(f"an installed package registers {name!r}, which this suite already has")
    return {**_registered, **_installed()}


def strategy_file(name: str) -> Path | None:
    """Return the file that ``path/to/file.py:Class`` names, or None for a registered name."""
    path, colon, _ = name.rpartition(":")
    return Path(path) if colon and path.endswith(".py") else None


def load(name: str) -> type[Strategy]:
    """Return the strategy class called ``name``, or the class in ``path/to/file.py:Class``."""
    from bench.strategy import Strategy

    if (path := strategy_file(name)) is not None:
        attribute = name.rpartition(":")[2]
        cls = getattr(_import_file(path), attribute, None)
        if cls is None:
            raise UsageError(f"{path} has no class {attribute!r}")
    else:
        known = targets()
        if name not in known:
            raise unknown("strategy", name, known, "(see: bench list strategies)")
        target = known[name]
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            try:
                cls = getattr(importlib.import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise UsageError(f"the strategy {name} ({target}) cannot be loaded: {error}") from error
        else:
            cls = target
    # Not is_dataclass: a class that lacks the decorator inherits Strategy's, and its options would be lost.
    if not (isinstance(cls, type) and issubclass(cls, Strategy) and "__dataclass_fields__" in vars(cls)):
        raise UsageError(f"{name} is not a dataclass derived from bench.Strategy")
    return cls


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"no such strategy file: {path}")
    # The name is derived from the path so that worker processes can unpickle what the file defines.
    module_name = "bench_file_" + re.sub(r"\W", "_", str(path.resolve()))
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


@dataclass(frozen=True)
class StrategySpec:
    """A strategy as asked for: ``name[option=value,…]``, checked. ``str()`` gives the spelling back."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str) -> StrategySpec:
        """Return the spec of ``text``; UsageError for an unknown strategy or option, or a bad value."""
        match = re.fullmatch(r"(?P<name>.+?)(?:\[(?P<options>.*)\])?", text.strip())
        if match is None:
            raise UsageError("a strategy's name is missing; see: bench list strategies")
        given = {}
        for item in split_list(match["options"] or ""):
            key, equals, value = item.partition("=")
            if not equals:
                raise UsageError(f"{text!r}: write options as name=value, not {item!r}")
            given[key.strip()] = value.strip()
        strategy = load(match["name"])
        made = build(strategy, given, match["name"])
        changed = {
            key: getattr(made, key)
            for key, (_, default) in fields_of(strategy).items()
            if getattr(made, key) != default
        }
        return cls(match["name"], tuple(sorted(changed.items())))

    def create(self) -> Strategy:
        """Return a fresh strategy with these options."""
        return build(load(self.name), dict(self.options), self.name)

    def __str__(self) -> str:
        inside = ",".join(f"{k}={_spelled(v)}" for k, v in self.options)
        return f"{self.name}[{inside}]" if inside else self.name


def _spelled(value: Any) -> str:
    return f"({','.join(map(str, value))})" if isinstance(value, tuple) else str(value)


def split_list(text: str) -> list[str]:
    """Split ``a,b[c=1,d=2],e(f,g)`` at the commas outside brackets; UsageError where one is not closed."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth != 0:
        raise UsageError(f"the brackets of {text!r} do not match")
    return [part.strip() for part in parts if part.strip()]


def about(cls: type[Strategy]) -> str:
    """Return the one-line description of a strategy: the first line of its docstring."""
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    return str(getattr(kind, "__name__", kind) if isinstance(kind, type) else kind)


def listing() -> list[dict[str, Any]]:
    """Return one row a strategy: name, description, needs, options with type and default."""
    rows = []
    for name in targets():
        cls = load(name)
        options = {
            key: {"type": _type_name(kind), "default": default} for key, (kind, default) in fields_of(cls).items()
        }
        rows.append({"name": name, "about": about(cls), "needs": list(cls.needs), "options": options})
    return rows
