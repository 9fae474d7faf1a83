"""Typed options: the fields of a dataclass, each with its meaning and bounds, and text turned into their values."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import operator
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from bench.errors import UsageError, quoted, unknown
from bench.strength import Strength
from bench.toml import tomllib

T = TypeVar("T")

Search = tuple[float, float] | tuple[float, float, Literal["log"]] | list[Any]
"""Where better values of an option are looked for."""

_BOUNDS = {"above": operator.gt, "at_least": operator.ge, "below": operator.lt, "at_most": operator.le}


def option(
    default: Any,
    meaning: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    strength: Strength | bool = False,
    search: Search | None = None,
) -> Any:
    """Return a dataclass field that says its meaning and bounds once; help, checks and errors come from there.

    ``meaning`` goes on after "rate is": "the share of words left out". Of it, an error shows what stands before the
    first ";". Bounds hold for every number of a tuple, and not for None. ``strength`` marks the one option that says
    how many words or tokens change; True: it is their share. ``search`` says where `bench tune` looks for better
    values: between two numbers, between their logarithms (1e-6, 1e-3, "log"), or in a list. A strength is searched
    in the same range everywhere.
    """
    if search is not None and not _can_be_searched(search):
        raise ValueError(f"a search is (lowest, highest), (lowest, highest, 'log') or [one, another], not {search}")
    given = {"above": above, "at_least": at_least, "below": below, "at_most": at_most}
    bounds = {word: limit for word, limit in given.items() if limit is not None}
    metadata: dict[str, Any] = {"meaning": meaning, "bounds": bounds, "search": search}
    metadata["strength"] = (Strength() if strength is True else strength) or None
    value: Any = {"default_factory": default.copy} if isinstance(default, dict) else {"default": default}
    return dataclasses.field(**value, metadata=metadata)


def _can_be_searched(search: Search) -> bool:
    if isinstance(search, list):
        return bool(search)
    return search[0] < search[1] and (len(search) == 2 or search[0] > 0)


def bounds_in_words(field: dataclasses.Field[Any]) -> str:
    """Return the bounds of an option, "above 0 and at most 1"; empty where it has none."""
    bounds = field.metadata.get("bounds", {})
    return " and ".join(f"{word.replace('_', ' ')} {limit:,}" for word, limit in bounds.items())


class Options:
    """Base of dataclasses whose fields are options: their bounds are checked whichever way one is constructed.

    A subclass's own ``__post_init__`` runs after that check, and need not call this one.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        own = vars(cls).get("__post_init__")
        if own is not None:

            @functools.wraps(own)
            def checked(self: Options) -> None:
                Options.__post_init__(self)
                own(self)

            cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        check_bounds(type(self), vars(self), type(self).__name__)


def check_bounds(cls: type, values: Mapping[str, Any], where: str) -> None:
    """Raise UsageError for a number in ``values`` that is not finite, or not within the bounds of its option."""
    for field in dataclasses.fields(cls):
        bounds, value = field.metadata.get("bounds", {}), values.get(field.name)
        for number in value if isinstance(value, tuple | list) else (value,):
            if number is None or not (bounds or isinstance(number, float)) or _is_within(number, bounds, field.default):
                continue
            takes = f"is {field.metadata['meaning'].partition(';')[0]}:" if "meaning" in field.metadata else "takes"
            finite = "a finite number " if str(number) in ("nan", "inf", "-inf") else ""
            wanted = f"{takes} {finite}{bounds_in_words(field)}".strip()
            raise UsageError(f"{_path(where, field.name)} {wanted}, not {quoted(value)}")


def _is_within(number: Any, bounds: Mapping[str, float], default: Any) -> bool:
    if not isinstance(number, numbers.Real) or number != number:
        return False
    # Infinite only where the default or the upper bound is.
    if abs(number) == math.inf and math.inf not in (default, bounds.get("at_most")):
        return False
    return all(_BOUNDS[word](number, limit) for word, limit in bounds.items())


def _path(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def coerce(value: Any, kind: Any, where: str) -> Any:
    """Return ``value`` (a string or a TOML value) as ``kind``; UsageError names ``where`` if it cannot be."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(value, typing.cast(type, kind)):
        return value
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
            if not isinstance(value, bool) and (kind is float or isinstance(value, str) or value == number):
                return number
    elif kind is str:
        if isinstance(value, str):
            return value
    elif kind is Any:
        return value
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if kind not in {**names, type(None): ""}:
        raise UsageError(
            f"{where} is of type {getattr(kind, '__name__', kind)}, which no option can have: use str, int, float, "
            f"bool, a Literal, a tuple of one of these, or one of these or None"
        )
    raise UsageError(f"{where} takes {names.get(kind, 'none')}, not {quoted(value)}")


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
    try:
        hints = typing.get_type_hints(cls)
    except NameError as error:
        raise UsageError(f"{cls.__name__}: the type of an option cannot be read where it runs: {error}") from error
    return {
        f.name: (
            hints[f.name],
            f.default if f.default_factory is dataclasses.MISSING else f.default_factory(),
        )
        for f in dataclasses.fields(cls)
    }


def describe(cls: type) -> dict[str, dict[str, Any]]:
    """Return {option: {"type", "default", "bounds", "meaning", "searched"}} of a dataclass, in words.

    The last three may be empty.
    """
    kinds = fields_of(cls)
    return {
        field.name: {
            "type": _type_name(kinds[field.name][0]),
            "default": kinds[field.name][1],
            "bounds": bounds_in_words(field),
            "meaning": field.metadata.get("meaning", ""),
            "searched": _search_in_words(field.metadata.get("search")),
        }
        for field in dataclasses.fields(cls)
    }


def _search_in_words(search: Search | None) -> str:
    if search is None:
        return ""
    if isinstance(search, list):
        return ", ".join(map(str, search))
    return f"{search[0]:g} to {search[1]:g}" + (", in logarithms" if len(search) == 3 else "")


def _type_name(kind: Any) -> str:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(map(str, args))
    if origin in (types.UnionType, typing.Union):
        return " or ".join("none" if part is type(None) else _type_name(part) for part in args)
    if origin in (tuple, dict):
        return f"list of {_type_name(args[0])}" if origin is tuple else "table"
    if dataclasses.is_dataclass(kind):
        return "table"
    return str(getattr(kind, "__name__", kind) if isinstance(kind, type) else kind)


def build(cls: type[T], given: Mapping[str, Any], where: str) -> T:
    """Return ``cls(**given)`` with every value coerced to its field's type, nested dataclasses included.

    Unknown keys are errors with the nearest match; ``where`` prefixes names in messages ("student").
    """
    fields = fields_of(cls)
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields:
            raise unknown(f"option of {where}:" if where else "key:", key, fields)
        kind = fields[key][0]
        name = _path(where, key)
        if dataclasses.is_dataclass(kind) and not isinstance(value, typing.cast(type, kind)):
            if not isinstance(value, Mapping):
                raise UsageError(f"{name} is a section, not {value!r}; set one of its keys: {name}.KEY=…")
            values[key] = build(typing.cast(type, kind), value, name)
        else:
            values[key] = coerce(value, kind, name)
    missing = [k for k, (_, default) in fields.items() if default is dataclasses.MISSING and k not in values]
    if missing:
        raise UsageError(f"{where or 'the file'} lacks {', '.join(missing)}")
    check_bounds(cls, values, where)
    try:
        return cls(**values)
    except UsageError:
        raise
    except (TypeError, ValueError) as error:
        # How a class written elsewhere refuses a value.
        raise UsageError(f"{where}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"{where} cannot be constructed: {type(error).__name__}: {error}") from error


def put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``tree["a"]["b"] = value`` for ``dotted`` "a.b"; UsageError where a part is no table."""
    *path, last = dotted.split(".")
    for key in path:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise UsageError(f"cannot set {dotted!r}: {key!r} is a value, not a section")
    tree[last] = value
