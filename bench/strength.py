"""Strength: the share of a text's words or tokens that a strategy changes, in one unit for all strategies."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.errors import UsageError, quoted

SEARCHED = (0.05, 0.5)
"""The strengths that `bench tune` draws from, for every strategy."""


@dataclass(frozen=True)
class Strength:
    """What an option has to do with strength, said where the option is: ``option(0.1, "…", strength=True)``.

    Strength is the word edit rate that is to be expected: words (of views without texts: tokens) inserted, deleted or
    replaced, over those of the texts that may change. ``words`` is that rate for one unit of the option, ``most`` the
    largest that the strategy reaches. ``also`` holds options that stand in the way, at values with which they do not.
    """

    words: float = 1.0
    most: float = 1.0
    also: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dial:
    """The strength of one class of strategies: the ``option`` that sets it, and its bounds."""

    option: str
    strength: Strength
    bounds: Mapping[str, float]

    @classmethod
    def of(cls, strategy: type) -> Dial | None:
        """Return what sets the strength of the dataclass ``strategy``; None if it has none, or an option so called."""
        fields = dataclasses.fields(strategy)
        own = next((f for f in fields if f.metadata.get("strength") is not None), None)
        if own is None or any(f.name == "strength" for f in fields):
            return None
        strength, bounds = own.metadata["strength"], {"above": 0.0, "at_most": own.metadata["strength"].most}
        for word, limit in own.metadata.get("bounds", {}).items():
            share = round(limit * strength.words, 4)
            if word in ("below", "at_most") and share <= bounds.get("at_most", 1.0):
                del bounds["at_most"]
                bounds[word] = share
        return cls(own.name, strength, bounds)

    @property
    def searched(self) -> tuple[float, float]:
        """The strengths to draw from: what of ``SEARCHED`` the strategy reaches."""
        return SEARCHED[0], min(SEARCHED[1], *(self.bounds.get(word, 1.0) for word in ("below", "at_most")))

    def options(self, share: float, where: str) -> dict[str, Any]:
        """Return the options under which about ``share`` of the words change; UsageError, of ``where``, if none do."""
        within = {"above": operator.gt, "below": operator.lt, "at_most": operator.le}
        if not all(within[word](share, limit) for word, limit in self.bounds.items()):
            raise UsageError(
                f"{where}.strength is the share of the words or tokens changed: {self.in_words()}, not {quoted(share)}"
            )
        return {self.option: float(f"{share / self.strength.words:.4g}"), **self.strength.also}

    def about(self) -> str:
        """Return in words what setting the strength does."""
        strength, (low, high) = self.strength, self.searched
        times = "" if strength.words == 1 else f" to {1 / strength.words:.2g} × SHARE"
        also = "".join(f", and {key}={value}" for key, value in strength.also.items())
        return (
            f"SHARE sets {self.option}{times}{also}: about this share of the words or tokens changes "
            f"({self.in_words()}; searched: {low:g} to {high:g})"
        )

    def in_words(self) -> str:
        """Return the strengths that there are: "above 0 and at most 0.5"."""
        return " and ".join(f"{word.replace('_', ' ')} {limit:g}" for word, limit in self.bounds.items())
