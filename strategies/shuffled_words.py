"""The control of all strategies that change texts: the same words in another order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench import Context, Strength, TextStrategy, option
from strategies.words import Words


@dataclass(kw_only=True)
class ShuffledWords(TextStrategy):
    """A text's words in random order: a control of texts that nobody would write.

    Each word is drawn with probability ``share``, and those drawn change places among themselves. What a strategy
    gains over this row at equal strength is more than noise does.
    """

    verified = "every order of the words occurs equally often; a control of this suite, without a paper"

    share: float = option(1.0, "the share of the words that change places", above=0, at_most=1, strength=Strength(0.9))

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        return [self._shuffled(text, rng) for text, rng in zip(texts, rngs, strict=True)]

    def _shuffled(self, text: str, rng: random.Random) -> str:
        words = Words.of(text)
        places = [place for place in range(len(words)) if rng.random() < self.share]
        for place, word in zip(places, rng.sample([words.words[place] for place in places], len(places)), strict=True):
            words.words[place] = word
        return str(words)
