"""Strategies by name: this repository's, other packages' (entry points) and single files."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args, get_origin

from bench.errors import UsageError, unknown
from bench.options import build, fields_of

if TYPE_CHECKING:
    from bench.resources import Resource
    from bench.strategy import Strategy

GROUP = "bench.strategies"
C = TypeVar("C", bound=type)

_registered: dict[str, str | type] = {}
_families: dict[str, str] = {}
COMPOSED = "+"


class Family(Protocol):
    """Strategies that a library brings, named ``family:member``; asking for them imports no library.

    ``missing`` is None, or why there are no members and what to type.
    """

    missing: str | None

    def members(self) -> Sequence[str]:
        """Return the members' names, from the installed library's own lists."""

    def load(self, member: str) -> type[Strategy]:
        """Return the strategy class of ``member``, its options those of the library's own signature."""


def register_family(name: str, target: str) -> None:
    """Register the family at ``target``, a lazy ``"module:object"`` string."""
    _families[name] = target


def families() -> dict[str, Family]:
    """Return the families by name."""
    importlib.import_module("strategies")
    return {name: _resolve(name, target) for name, target in _families.items()}


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
    """Return every registered name but the families' with its class or lazy string, importing none of them."""
    importlib.import_module("strategies")
    both = _installed().keys() & _registered.keys()
    for name in both:
        raise UsageError(f"an installed package registers {name!r}, which this suite already has")
    return {**_registered, **_installed()}


def names() -> list[str]:
    """Return every strategy's name, the members of families included."""
    members = [f"{family}:{member}" for family, found in families().items() for member in found.members()]
    return [*targets(), *members]


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
        cls = _named(name)
    # Not is_dataclass: a class that lacks the decorator inherits Strategy's, and its options would be lost.
    if not (isinstance(cls, type) and issubclass(cls, Strategy) and "__dataclass_fields__" in vars(cls)):
        raise UsageError(f"{name} is not a dataclass derived from bench.Strategy")
    return cls


def _named(name: str) -> Any:
    known = targets()
    if name in known:
        target = known[name]
        return _resolve(name, target) if isinstance(target, str) else target
    family, _, member = name.partition(":")
    if family in _families:
        found = families()[family]
        if found.missing is not None:
            raise UsageError(f"no strategy {name}: {found.missing}")
        if member in found.members():
            return found.load(member)
    raise unknown("strategy", name, names(), "(see: bench list strategies)")


def _resolve(name: str, target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the strategy {name} ({target}) cannot be loaded: {error}") from error


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
    """A strategy as asked for: ``name(inner)[option=value,…]`` or ``a+b``, checked. ``str()`` spells it again."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()
    inner: tuple[StrategySpec, ...] = ()

    @classmethod
    def parse(cls, text: str) -> StrategySpec:
        """Return the spec of ``text``; UsageError for an unknown strategy or option, or a bad value."""
        parts = split_list(text, "+")
        if len(parts) > 1:
            spec = cls(COMPOSED, inner=tuple(cls.parse(part) for part in parts))
            spec.create()  # says now what the parts have against each other
            return spec
        match = re.fullmatch(r"([^(\[]+)(\(.*\))?(\[.*\])?", text.strip())
        if match is None:
            raise UsageError(f"{text!r} is no strategy: write name, name[option=value] or name(strategy)[option=value]")
        name, inside, options = match[1].strip(), match[2], match[3] or "[]"
        given = {}
        for item in split_list(options[1:-1]):
            key, equals, value = item.partition("=")
            if not equals:
                raise UsageError(f"{text!r}: write options as name=value, not {item!r}")
            given[key.strip()] = value.strip()
        strategy = load(name)
        if strategy.wraps != (inside is not None):
            raise UsageError(
                f"write {name}(STRATEGY), for example {name}(eda)" if strategy.wraps else f"{name} wraps no strategy"
            )
        inner = (cls.parse(inside[1:-1]),) if inside is not None else ()
        made = build(strategy, given, name)
        changed = {
            key: getattr(made, key)
            for key, (_, default) in fields_of(strategy).items()
            if getattr(made, key) != default
        }
        spec = cls(name, tuple(sorted(changed.items())), inner)
        spec.create()  # what the wrapper has to say about its inner strategy, it says now
        return spec

    def create(self) -> Strategy:
        """Return a fresh strategy with these options, around its inner ones."""
        made = build(load(self.name), dict(self.options), self.name)
        made.spec = str(self)
        if self.inner:
            made.wrap([spec.create() for spec in self.inner])
        return made

    def names(self) -> list[str]:
        """Return the names of this strategy and of all it is made around."""
        return [self.name, *(name for spec in self.inner for name in spec.names())]

    def effective(self) -> dict[str, Any]:
        """Return every option with the value that took effect, those of inner strategies as "inner.option"."""
        own = asdict(build(load(self.name), dict(self.options), self.name))
        return own | {f"{spec.name}.{key}": value for spec in self.inner for key, value in spec.effective().items()}

    def __str__(self) -> str:
        if self.name == COMPOSED:
            return COMPOSED.join(map(str, self.inner))
        inner = f"({self.inner[0]})" if self.inner else ""
        options = ",".join(f"{k}={_spelled(v)}" for k, v in self.options)
        return self.name + inner + (f"[{options}]" if options else "")


def _spelled(value: Any) -> str:
    return f"({','.join(map(str, value))})" if isinstance(value, tuple) else str(value)


def split_list(text: str, separator: str = ",") -> list[str]:
    """Split ``a,b[c=1,d=2],e(f,g)`` at the commas outside brackets; UsageError where one is not closed."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if depth < 0:
            break
        if character == separator and depth == 0:
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


def missing(strategy: Strategy) -> list[Resource]:
    """Return what ``strategy`` needs on this machine and does not find."""
    return [resource for resource in strategy.resources() if not resource.ready()]


def lacking(strategy: Strategy) -> str:
    """Return in words what ``strategy`` does not find on this machine and how to get it; empty if it has all."""
    return "; ".join(f"{resource.name} is missing, get it with: {resource.command}" for resource in missing(strategy))


def listing() -> list[dict[str, Any]]:
    """Return one row a strategy: name, description, models needed, options with type and default, what is missing."""
    rows = []
    for name in names():
        cls = load(name)
        options = {
            key: {"type": _type_name(kind), "default": default} for key, (kind, default) in fields_of(cls).items()
        }
        # What a wrapper needs is what the strategies inside it need.
        made = None if cls.wraps else build(cls, {}, name)
        lacks = [] if made is None else [{"name": r.name, "command": r.command} for r in missing(made)]
        roles = sorted({*cls.needs, *(() if made is None else made.reads())})
        rows.append({"name": name, "about": about(cls), "needs": roles, "options": options, "missing": lacks})
    return rows
