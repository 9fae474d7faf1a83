"""Lists whose items may hold brackets, and patterns of names, as text: nothing that they name is looked up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from bench.errors import UsageError, quoted

_DEEPEST = 20


def split_list(text: str, separator: str = ",") -> list[str]:
    """Split ``a,b[c=1,d=2],e(f,g)`` at the commas outside brackets; UsageError where one is not closed."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if depth < 0:
            break
        if depth > _DEEPEST:
            raise UsageError(f"{quoted(text)} has brackets more than {_DEEPEST} deep")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth != 0:
        raise UsageError(f"the brackets of {text!r} do not match")
    return [part.strip() for part in parts if part.strip()]


def options_in(text: str, brackets: str) -> dict[str, str]:
    """Return the options in the ``brackets`` of ``text``, "[a=1,b=2]"; UsageError where one is odd or given twice."""
    given: dict[str, str] = {}
    for item in split_list(brackets[1:-1]):
        key, equals, value = item.partition("=")
        if not equals:
            raise UsageError(f"{text!r}: write options as name=value, not {item!r}")
        if key.strip() in given:
            raise UsageError(f"{text!r}: the option {key.strip()} is given twice")
        given[key.strip()] = value.strip()
    return given


def is_pattern(text: str) -> bool:
    """Return whether ``text`` is a name with * or ?, options in brackets behind it apart: ``nlpaug:*[side=first]``."""
    return re.fullmatch(r"[^\[\]()+]*[*?][^\[\]()+]*(\[.*\])?", text) is not None


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that ``pattern`` means: the one of just that name, or all that it matches."""
    names = list(names)
    # Exactly equal first: the brackets of mate-kd[rho=0.4] mean something else to a pattern.
    return [name for name in names if name == pattern] or [name for name in names if fnmatchcase(name, pattern)]
