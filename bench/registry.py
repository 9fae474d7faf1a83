"""Strategies by name: this repository's, other packages' (entry points) and single files."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_args

from bench.errors import UsageError, quoted, unknown

if TYPE_CHECKING:
    from bench.rewriter import Rewriter
    from bench.strategy import Strategy

GROUP = "bench.strategies"
C = TypeVar("C", bound=type)

_registered: dict[str, str | type] = {}
_families: dict[str, str] = {}
_open_ended: set[str] = set()
_attacks: dict[str, str] = {}
_files: list[Path] = []


class Family(Protocol):
    """Strategies that a library brings, named ``family:member``; asking for them imports no library.

    ``missing`` is None, or why there are no members and what to type.
    """

    missing: str | None

    def members(self) -> Sequence[str]:
        """Return the members' names, none where the library is missing."""

    def documented(self) -> Sequence[str]:
        """Return the members' names, the library being here or not."""

    def load(self, member: str) -> type[Strategy]:
        """Return the strategy class of ``member``, its options those of the library's own signature."""


class Attacks(Protocol):
    """Which strategies of a family attack a model, and how they attack a finished student: `bench attack`."""

    def names(self) -> Sequence[str]:
        """Return the names of the members that do, the library being here or not."""

    def against_student(self, strategy: Strategy, budget: int) -> Rewriter:
        """Return what attacks a student with at most ``budget`` questions a row; UsageError where it cannot.

        It reads "student" and what else it needs. Of each row it gives the form in which it leaves it, and how the
        attack went (``bench.rewriter.Attacked``): "success", "failure", or "skipped" where the student was wrong.
        """

    def notes(self, strategy: Strategy) -> list[str]:
        """Return in sentences how what runs here differs from what the attack's authors ran."""


def register_attacks(family: str, target: str) -> None:
    """Register which members of ``family`` attack finished students: ``target``, a lazy ``"module:object"`` string."""
    _attacks[family] = target


def attacks() -> dict[str, Attacks]:
    """Return the attacks by family."""
    importlib.import_module("strategies")
    return {name: _resolve(name, target) for name, target in _attacks.items()}


def register_family(name: str, target: str, *, open_ended: bool = False) -> None:
    """Register the family at ``target``, a lazy ``"module:object"`` string; ``open_ended``: any text names a member."""
    _families[name] = target
    if open_ended:
        _open_ended.add(name)


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
    entries: dict[str, str] = {}
    for entry in entry_points(group=GROUP):
        if entries.setdefault(entry.name, entry.value) != entry.value:
            raise UsageError(
                f"two installed packages register a strategy {entry.name!r}: {entries[entry.name]} and "
                f"{entry.value}; uninstall one"
            )
    return entries


def targets() -> dict[str, str | type]:
    """Return every registered name but the families' with its class or lazy string, importing none of them."""
    importlib.import_module("strategies")
    both = _installed().keys() & _registered.keys()
    for name in both:
        raise UsageError(f"an installed package registers {name!r}, which this suite already has")
    return {**_registered, **_installed()}


def names() -> list[str]:
    """Return every strategy's name, the members of families included."""
    members = [f"{family}:{member}" for family, each in families().items() for member in each.members()]
    return [*targets(), *members]


def is_open_ended(name: str) -> bool:
    """Return whether ``name`` is of a family whose members are not names but texts: ``file:PATH``."""
    return name.partition(":")[0] in _open_ended


def strategy_file(name: str) -> Path | None:
    """Return the file that ``path/to/file.py:Class`` names, or None for a registered name."""
    path, colon, _ = name.rpartition(":")
    return Path(path) if colon and path.endswith(".py") else None


def load(name: str) -> type[Strategy]:
    """Return the strategy class called ``name``, or the class in ``path/to/file.py:Class``."""
    from bench.models.inputs import Role
    from bench.strategy import Strategy

    if (path := strategy_file(name)) is not None:
        attribute = name.rpartition(":")[2]
        module = import_file(path)
        cls = getattr(module, attribute, None)
        if cls is None:
            raise UsageError(f"{path} has no class {attribute!r}; {_classes_of(module, name[: name.rindex(':')])}")
    elif name.endswith(".py"):
        raise UsageError(f"{name} names a file without a class; {_classes_of(import_file(Path(name)), name)}")
    else:
        cls = _named(name)
    # Not is_dataclass: a class that lacks the decorator inherits Strategy's, and its options would be lost.
    if not (isinstance(cls, type) and issubclass(cls, Strategy) and "__dataclass_fields__" in vars(cls)):
        raise UsageError(f"{name} is not a dataclass derived from bench.Strategy")
    if not isinstance(cls.needs, tuple) or not set(cls.needs) <= set(get_args(Role)):
        raise UsageError(f"{name}: needs is a tuple of {', '.join(map(repr, get_args(Role)))}, not {cls.needs!r}")
    if not isinstance(cls.verified, str | None):
        raise UsageError(f"{name}: verified is None or a sentence that says how, not {quoted(cls.verified)}")
    return cls


def _named(name: str) -> Any:
    registered = targets()
    if name in registered:
        target = registered[name]
        return _resolve(name, target) if isinstance(target, str) else target
    family, _, member = name.partition(":")
    if family in _families:
        of_library = families()[family]
        if of_library.missing is not None:
            raise UsageError(f"no strategy {name}: {of_library.missing}")
        if member and (family in _open_ended or member in of_library.members()):
            return of_library.load(member)
    if "/" in name or "\\" in name:
        raise UsageError(f"{name!r} names no strategy: write FILE.py:Class, without + , ( ) [ ] in the file's path")
    raise unknown("strategy", name, names(), "(see: bench list strategies)")


def _resolve(name: str, target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the strategy {name} ({target}) cannot be loaded: {error}") from error


def imported_files() -> list[Path]:
    """Return the strategies' files imported so far: a process must import them before it can unpickle their classes."""
    return list(_files)


def rebuilt(name: str, fields: dict[str, Any]) -> Strategy:
    """Return the strategy registered as ``name`` with these fields: how members of families are unpickled."""
    return load(name)(**fields)


def _classes_of(module: Any, path: str) -> str:
    """Return in words which strategies ``module``, imported from ``path``, defines and how they are written."""
    from bench.strategy import Strategy

    classes = [cls for cls in vars(module).values() if isinstance(cls, type) and cls.__module__ == module.__name__]
    names = [f"{path}:{cls.__name__}" for cls in classes if issubclass(cls, Strategy)]
    return f"write {' or '.join(names)}" if names else "it defines no bench.Strategy"


def import_file(path: Path) -> Any:
    """Return the module in ``path``, imported once in a process."""
    # Not path.is_file(): a name that is too long is an error of its own there.
    if not os.path.isfile(path):
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
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    _files.append(path.resolve())
    return module


def about(cls: type[Strategy]) -> str:
    """Return the one-line description of a strategy: the first line of its docstring."""
    return (cls.__doc__ or "").strip().partition("\n")[0]


def verified(cls: type[Strategy]) -> str | None:
    """Return how ``cls`` says that it was checked against something other than itself; None: it was not.

    What another package says of its class is not said of a class derived from it.
    """
    package = cls.__module__.partition(".")[0]
    bodies = (vars(base) for base in cls.__mro__ if base.__module__.partition(".")[0] == package)
    return next((own["verified"] for own in bodies if "verified" in own), None)
