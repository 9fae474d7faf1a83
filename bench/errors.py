"""The two kinds of error a person sees, and the nearest-match hint both use."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable


class BenchError(Exception):
    """Something failed; the message says what, with the value, and what to type next. Exit code 1."""


class UsageError(BenchError):
    """The request itself is wrong (unknown name, bad option, missing file). Exit code 2."""


_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxlong = _shortened.maxother = 80


def quoted(value: object) -> str:
    """Return ``repr(value)``, of a long one beginning and end."""
    return _shortened.repr(value)


def printable(text: str) -> str:
    r"""Return ``text`` with what a terminal would obey and not show spelled out, an escape as ``\x1b``."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


# So many names are listed in full.
_FEW = 12


def unknown(kind: str, name: str, possible: Iterable[str], hint: str = "") -> UsageError:
    """Return the error for a name, or a pattern with * or ?, of nothing: says the nearest, or all where there are few.

    A pattern of a family ("nlpag:*") gets the nearest family's.
    """
    names = sorted(set(possible))
    plain = name.replace("*", "").replace("?", "")
    families = {f"{each.partition(':')[0]}:": None for each in names if ":" in each} if plain != name else {}
    near = difflib.get_close_matches(plain, [*families, *names], n=1, cutoff=0.5)
    if near:
        tail = f"did you mean {near[0] + ('*' if near[0] in families else '')!r}?"
    elif len(names) <= _FEW:
        tail = f"known: {', '.join(names) or 'none'}"
    else:
        tail = f"nearest of {len(names)}: {', '.join(difflib.get_close_matches(plain, names, n=5, cutoff=0.0))}"
    what = f"unknown {kind} {quoted(name)}" if plain == name else f"{quoted(name)} matches no {kind.rstrip(':')}"
    return UsageError(f"{what}; {tail}" + (f" {hint}" if hint else ""))
