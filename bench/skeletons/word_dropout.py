"""A strategy that rewrites texts: replace what rewrite_texts does by your idea."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench import Context, TextStrategy, option


@dataclass(kw_only=True)
class WordDropout(TextStrategy):
    """Words left out at random; a text that would lose all of them stays whole."""

    rate: float = option(0.15, "the share of the words left out", above=0, at_most=1)

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        """Return a rewrite of each text, drawing only from that text's own random generator."""
        return [self._rewritten(text, rng) for text, rng in zip(texts, rngs, strict=True)]

    def _rewritten(self, text: str, rng: random.Random) -> str:
        words = text.split()
        return " ".join([word for word in words if rng.random() >= self.rate] or words)
