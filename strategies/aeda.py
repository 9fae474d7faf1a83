"""AEDA: punctuation marks are scattered over a text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench import Context, Strength, TextStrategy, option
from strategies.words import Words

MARKS = ".;?:!,"


@dataclass(kw_only=True)
class AEDA(TextStrategy):
    """Punctuation marks inserted at random (Karimi et al., Findings of EMNLP 2021, arXiv 2108.13230).

    Of n words, between 1 and n * ``ratio`` marks (a third; at least one) go to as many different places between
    the words, ahead of them or at the end, each mark drawn from . ; ? : ! and the comma.

    So the paper says it. The authors' code draws between 1 and int(0.3 * n + 1) marks, and puts none at the end.
    """

    verified = (
        "numbers, places and kinds of the marks have the paper's distribution; not the authors' outputs or numbers"
    )

    ratio: float = option(
        1 / 3,
        "the largest number of marks, as a share of the words; the mean is about half of it",
        above=0,
        at_most=1,
        strength=Strength(0.5),
    )

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        return [self._scatter(text, rng) for text, rng in zip(texts, rngs, strict=True)]

    def _scatter(self, text: str, rng: random.Random) -> str:
        words = Words.of(text)
        count = rng.randint(1, max(1, int(len(words) * self.ratio)))
        # From the back, so that the places ahead keep their numbers.
        for place in sorted(rng.sample(range(len(words) + 1), count), reverse=True):
            words.insert(place, rng.choice(MARKS))
        return str(words)
