"""Numbers as tables print them: points of 100, gains with their intervals, costs as multiples, things counted."""

from __future__ import annotations

from bench.reporting.sheet import Cell

ABSENT = "–"


def points(fraction: float | None, sign: bool = False) -> str:
    """Return a fraction as points of 100 with one decimal, never a negative nought; a dash for what is missing."""
    if fraction is None or fraction != fraction:
        return ABSENT
    text = f"{100 * fraction:+.1f}" if sign else f"{100 * fraction:.1f}"
    return "0.0" if text.lstrip("+-") == "0.0" else text


def bounds(low: float | None, high: float | None) -> str:
    """Return an interval of gains as ``[-0.4, +2.0]``."""
    return f"[{points(low, sign=True):>4}, {points(high, sign=True):>4}]"


def has_interval(low: float | None, high: float | None) -> bool:
    """Return whether there is an interval to show a gain with."""
    return low is not None and high is not None and low == low and high == high


def gain_with_bounds(gain: float | None, low: float | None, high: float | None, mark: str = "") -> str:
    """Return ``+1.2 [-0.4, +2.0]``; a dash where there is no interval, as no gain is shown without one."""
    if gain is None or not has_interval(low, high):
        return ABSENT
    return f"{points(gain, sign=True)} {bounds(low, high)}{mark}"


def half_width(low: float, high: float) -> str:
    """Return half of an interval's width as ``±0.8``."""
    return f"±{points((high - low) / 2)}"


def multiple(ratio: float | None) -> str:
    """Return a cost over another as ``3.3×``."""
    if ratio is None or ratio != ratio:
        return ABSENT
    return f"{ratio:.0f}×" if ratio >= 99.5 else f"{ratio:.1f}×"


def percent(share: float | None) -> str:
    """Return a share as ``71%``."""
    return ABSENT if share is None or share != share else f"{share:.0%}"


def plural(count: int, word: str) -> str:
    """Return ``1 seed``, ``5 seeds``."""
    plain = {"strategy": "strategies"}.get(word, f"{word}s")
    return f"{count:,} {word if count == 1 else plain}"


def lines(*parts: str, bold: bool = False) -> Cell:
    """Return a cell of those of ``parts`` that are not empty, one below the other."""
    return Cell("\n".join(part for part in parts if part), bold)
