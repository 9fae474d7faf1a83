"""Typed options: text from a command line or a TOML file into the fields of a dataclass, checked."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from bench.errors import UsageError, unknown
from bench.toml import tomllib

T = TypeVar("T")


def coerce(value: Any, kind: Any, where: str) -> Any:
    """Return ``value`` (a string or a TOML value) as ``kind``; UsageError names ``where`` if it cannot be."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _first_that_fits(value, args, where)
    if origin is Literal:
        # A command line can only spell a number, so the choice 2 is also chosen by "2".
        for choice in args:
            if value == choice or value == str(choice):
                return choice
        raise unknown(f"value for {where}:", str(value), map(str, args))
    if origin is tuple:
        parts = value.strip("[]() ").split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise UsageError(f"{where} takes a list, not {value!r}")
        parts = [p for p in parts if not (isinstance(p, str) and not p.strip())]
        return tuple(coerce(p.strip() if isinstance(p, str) else p, args[0], where) for p in parts)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UsageError(f"{where} is a table of keys, not {value!r}; set one of its keys: {where}.KEY=…")
        return {key: _toml_value(item) if isinstance(item, str) else item for key, item in value.items()}
    if kind is type(None):
        if value is None or str(value).lower() in ("none", "null", ""):
            return None
    elif kind is bool:
        if isinstance(value, bool) or str(value).lower() in ("true", "false"):
            return value is True or str(value).lower() == "true"
    elif kind in (int, float):
        try:
            number = kind(value)
        except (TypeError, ValueError, OverflowError):
            pass
        else:
            if not isinstance(value, bool) and (kind is float or float(value) == number):
                return number
    elif kind is str:
        if isinstance(value, str):
            return value
    elif kind is Any:
        return value
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    raise UsageError(f"{where} takes {names.get(kind, kind)}, not {value!r}")


def _toml_value(text: str) -> Any:
    """Return what ``text``, a value from the command line, is in TOML; itself where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _first_that_fits(value: Any, kinds: tuple[Any, ...], where: str) -> Any:
    complaint: UsageError | None = None
    # None first, so that "none" is not taken for a piece of text.
    for kind in sorted(kinds, key=lambda k: k is not type(None)):
        try:
            return coerce(value, kind, where)
        except UsageError as error:
            complaint = error
    assert complaint is not None
    raise complaint


def fields_of(cls: type) -> dict[str, tuple[Any, Any]]:
    """Return {field: (type, default)} of a dataclass; the default is MISSING where there is none."""
    hints = typing.get_type_hints(cls)
    return {
        f.name: (
            hints[f.name],
            f.default if f.default_factory is dataclasses.MISSING else f.default_factory(),
        )
        for f in dataclasses.fields(cls)
    }


def build(cls: type[T], given: Mapping[str, Any], where: str) -> T:
    """Return ``cls(**given)`` with every value coerced to its field's type, nested dataclasses included.

    Unknown keys are errors with the nearest match; ``where`` prefixes names in messages ("student").
    """
    known = fields_of(cls)
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            raise unknown(f"option of {where}:" if where else "section:", key, known)
        kind = known[key][0]
        name = f"{where}.{key}" if where else key
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, Mapping):
                raise UsageError(f"{name} is a section, not {value!r}; set one of its keys: {name}.KEY=…")
            values[key] = build(typing.cast(type, kind), value, name)
        else:
            values[key] = coerce(value, kind, name)
    missing = [k for k, (_, default) in known.items() if default is dataclasses.MISSING and k not in values]
    if missing:
        raise UsageError(f"{where or 'the file'} lacks {', '.join(missing)}")
    return cls(**values)


def put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``tree["a"]["b"] = value`` for ``dotted`` "a.b"; UsageError where a part is no table."""
    *path, last = dotted.split(".")
    for key in path:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise UsageError(f"cannot set {dotted!r}: {key!r} is a value, not a section")
    tree[last] = value
