"""The two kinds of error a person sees, and the nearest-match hint both use."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Something failed; the message says what, with the value, and what to type next. Exit code 1."""


class UsageError(BenchError):
    """The request itself is wrong (unknown name, bad option, missing file). Exit code 2."""


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> UsageError:
    """Return the error for a name nobody knows: names the nearest match, or lists what exists."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    tail = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}"
    return UsageError(f"unknown {kind} {name!r}; {tail}" + (f" {hint}" if hint else ""))
