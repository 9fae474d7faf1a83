"""Numbers of a comparison as a reader sees them: fractions in points of 100, a true minus, a dash where none is."""

from __future__ import annotations

import math
from typing import Any

NONE = "–"
VERDICTS = {
    "better": ("better", "▲"),
    "worse": ("worse", "▼"),
    "not distinguishable": ("same", "●"),
    "cannot tell": ("unknown", "○"),
}
"""What a verdict begins with: its class in the page, and its sign, so that colour never speaks alone."""


def number(value: Any) -> float | None:
    """Return ``value`` as a finite float; None for what is none, such as a missing value of pandas."""
    if value is None or isinstance(value, (str, bytes)):
        return None
    try:
        plain = float(value)
    except (TypeError, ValueError):
        return None
    return plain if math.isfinite(plain) else None


def points(value: Any, *, signed: bool = False) -> str:
    """Return a fraction in points of 100: ``0.0123`` as ``1.2``, signed ``+1.2``."""
    finite = number(value)
    if finite is None:
        return NONE
    text = f"{100 * finite:{'+' if signed else ''}.1f}"
    return text.replace("-", "−") if float(text) else "0.0"


def interval(low: Any, high: Any) -> str:
    """Return an interval of gains in points: ``−0.4 to +2.1``; a dash where an end is missing."""
    if number(low) is None or number(high) is None:
        return NONE
    return f"{points(low, signed=True)} to {points(high, signed=True)}"


def times(value: Any) -> str:
    """Return a ratio of costs: ``1.4×``, ``12×``."""
    finite = number(value)
    return NONE if finite is None else f"{finite:.1f}×" if finite < 10 else f"{finite:,.0f}×"


def probability(value: Any) -> str:
    """Return a p value: ``.031``, and ``<.001`` below that."""
    finite = number(value)
    if finite is None:
        return NONE
    return "<.001" if finite < 0.001 else f"{finite:.3f}".lstrip("0") if finite < 0.9995 else "1"


def share(value: Any) -> str:
    """Return a share as whole percent."""
    finite = number(value)
    return NONE if finite is None else f"{finite:.0%}"


def listed(names: list[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def word(value: Any) -> str:
    """Return a text, empty where it is none, such as a missing value of pandas."""
    return value if isinstance(value, str) else ""


def kind(verdict: Any) -> str:
    """Return the class of a verdict: better, worse, same or unknown; empty where there is none."""
    return next((name for start, (name, _) in VERDICTS.items() if word(verdict).startswith(start)), "")


def sign(verdict: Any) -> str:
    """Return the sign of a verdict."""
    return next((mark for start, (_, mark) in VERDICTS.items() if word(verdict).startswith(start)), "")
