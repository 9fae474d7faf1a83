"""Catalogues: what a library's augmenters and attacks are called, take and use; the families are made of them.

A library's own folder holds the command that writes its catalogue, by importing it. The catalogue is checked in, since
importing the libraries takes up to ten seconds and a listing must not.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.options import option
from bench.registry import rebuilt
from bench.strength import Strength

if TYPE_CHECKING:
    from bench.strategy import Strategy

_TYPES: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "list": tuple[str, ...]}


@dataclass(frozen=True)
class Entry:
    """An augmenter or attack of a library.

    ``target`` is the library's "module:Class". An option is a table: "type" (a key of ``_TYPES``) or "choices",
    "optional" where None is a value too, "default", "meaning" and "bounds" (see ``bench.options.option``). ``uses``
    names the library's classes that it is made of, ``language`` the language whose words it changes, where not English.
    """

    target: str
    kind: str
    description: str
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    uses: frozenset[str] = frozenset()
    language: str = ""

    def fields(self, strengths: Mapping[str, Strength] = MappingProxyType({})) -> list[tuple[str, Any, Any]]:
        """Return the options as ``dataclasses.make_dataclass`` takes fields; one has its place in ``strengths``."""
        return [
            (
                name,
                _type(about),
                option(
                    _default(about), about["meaning"], **about.get("bounds", {}), strength=strengths.get(name, False)
                ),
            )
            for name, about in self.options.items()
        ]


def _type(about: Mapping[str, Any]) -> Any:
    kind = Literal[tuple(about["choices"])] if "choices" in about else _TYPES[about["type"]]
    return kind | None if about.get("optional") else kind


def _default(about: Mapping[str, Any]) -> Any:
    default = about["default"]
    return tuple(default) if isinstance(default, list) else default


@dataclass(frozen=True)
class Catalogue:
    """The entries of a library's ``version``, by their names here."""

    library: str
    version: str
    entries: Mapping[str, Entry]

    @classmethod
    def read(cls, path: Path) -> Catalogue:
        """Return the catalogue in the file ``path``."""
        content = json.loads(path.read_text("utf-8"))
        entries = {
            name: Entry(**{**entry, "uses": frozenset(entry.get("uses", ()))})
            for name, entry in content["entries"].items()
        }
        return cls(content["library"], content["version"], entries)

    @staticmethod
    def text(library: str, entries: Mapping[str, Mapping[str, Any]]) -> str:
        """Return what a file with ``entries`` of the installed ``library`` holds."""
        content = {"library": library, "version": version(library), "entries": entries}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def mismatch(self) -> str | None:
        """Return why the installed library may differ from the catalogue and what to type; None if it cannot."""
        try:
            installed = version(self.library)
        except PackageNotFoundError:
            installed = "no version"
        if installed == self.version:
            return None
        return (
            f"{self.library} {self.version} is what this suite knows, and {installed} is installed; type: "
            f"pip install {self.library}=={self.version}"
        )


class Member:
    """Base of the classes that a family makes of its entries; ``name`` is what a member is registered as."""

    name: ClassVar[str]

    def __reduce__(self) -> tuple[Any, ...]:
        # Its class is in no module: another process makes it anew.
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return rebuilt, (self.name, values)


class CatalogueFamily(ABC):
    """A family (see ``bench.registry``) whose members are the entries of the catalogue in the file ``path``."""

    path: ClassVar[Path]

    @cached_property
    def catalogue(self) -> Catalogue:
        """The catalogue, read when first asked for."""
        return Catalogue.read(self.path)

    @property
    @abstractmethod
    def missing(self) -> str | None:
        """None, or why there are no members here and what to type."""

    @abstractmethod
    def strategy(self, name: str, entry: Entry) -> type[Strategy]:
        """Return a new strategy class for ``entry``, the member called ``name``."""

    def members(self) -> Sequence[str]:
        """Return the members' names."""
        return [] if self.missing else self.documented()

    def documented(self) -> Sequence[str]:
        """Return the members' names, the library being here or not."""
        return list(self.catalogue.entries)

    @cache  # noqa: B019 - there is one family per library, and a class must stay the same class
    def load(self, member: str) -> type[Strategy]:
        """Return the strategy class of ``member``."""
        return self.strategy(member, self.catalogue.entries[member])
