"""TinyBERT's data augmentation: words replaced by what a masked language model or word vectors put in their place."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from bench import Context, Strength, TextStrategy, option
from bench.resources import file
from bench.rewriter import Reads
from strategies.words import STOP_WORDS, Words, core, in_place_of

if TYPE_CHECKING:
    from bench import Resource
    from bench.models.vectors import WordVectors

# TinyBERT's authors read this many of GloVe's words, the most frequent.
_VECTORS = 100_000
# The words TinyBERT leaves alone are the usual stop words without the question words.
_UNTOUCHED = STOP_WORDS - {"what", "which", "who", "whom", "when", "where", "why", "how"}


@dataclass(kw_only=True)
class TinyBertDA(TextStrategy):
    """Words replaced by a masked LM's, or GloVe's, nearest candidates (TinyBERT, Jiao et al., 2020, arXiv 1909.10351).

    Algorithm 1: each word (letters only, no stop word) is replaced with probability ``rate`` by one of
    ``candidates``, uniformly. For a word of one piece they are the masked LM's most likely words there, asked of
    the text with the word masked, beside the whole text as the second of a pair; for a word of several pieces its
    nearest neighbours by cosine among the first 100,000 words of ``vectors``, a GloVe text file. Without ``vectors``
    words of several pieces stay as they are, unlike in the paper. The masked LM is the preset's generator.

    The paper makes 10 to 30 copies of a text, by task, and trains on all of them. Here a step sees one rewrite of a
    row, so that a new one in every epoch (``refresh``) gives as many different texts as there is room for. The original
    word is one of the candidates, as in the paper; special tokens and pieces from inside words are none, so that there
    are always 15 (the authors drop the latter afterwards). Case, spacing and punctuation stay. Both texts of a pair
    change, as in the authors' code for MNLI, QNLI and RTE.
    """

    verified = (
        "the words' distribution equals that of a plain reading of the paper's Algorithm 1, one masked word and one "
        "forward at a time; not the authors' outputs"
    )

    rate: float = option(
        0.4,
        "the share of the words replaced; stop words and numbers, about half of a text, are none of these",
        above=0,
        at_most=1,
        strength=Strength(0.5),
    )
    candidates: int = option(15, "the number of words that a replacement is drawn from", at_least=1)
    vectors: str | None = option(None, "a GloVe text file, for words of several pieces")

    def reads(self) -> tuple[Reads, ...]:
        return ("generator",)

    def resources(self) -> Sequence[Resource]:
        if self.vectors is None:
            return ()
        command = "unzip glove.6B.zip from https://nlp.stanford.edu/projects/glove and give vectors=FILE"
        return (file(self.vectors, command, f"GloVe vectors {self.vectors}"),)

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        from bench.models.fill import filler

        engine = filler(context.models["generator"], context.device)
        drawn = [self._draw(Words.of(text), rng) for text, rng in zip(texts, rngs, strict=True)]
        readings = {
            text: engine.read(text, Words.of(text).cores(), beside=text)
            for text, chosen in zip(texts, drawn, strict=True)
            if chosen
        }
        asked, masked = [], []
        for text, word in sorted({(text, word) for text, chosen in zip(texts, drawn, strict=True) for word in chosen}):
            read, places = readings[text]
            if len(place := places.get(word, range(0))) == 1:
                ids = [*read.ids]
                ids[place[0]] = engine.tokenizer.mask_token_id
                asked.append((text, word))
                masked.append(replace(read, ids=ids, places=place))
        # In the vocabulary's order, not by likelihood, so that rounding does not choose.
        offers = {
            key: [engine.words[i] for i in sorted(ids[0].tolist())]
            for key, (_, ids) in zip(asked, engine.best(masked, self.candidates), strict=True)
        }
        return [
            self._replaced(text, chosen, offers, readings[text][1]) if chosen else text
            for text, chosen in zip(texts, drawn, strict=True)
        ]

    def _draw(self, words: Words, rng: random.Random) -> dict[int, float]:
        """Return the words to replace, each with a number in [0, 1) that says by which candidate."""
        chosen = {}
        for place, word in enumerate(words.words):
            plain = core(word)
            if plain.isalpha() and plain.lower() not in _UNTOUCHED and rng.random() < self.rate:
                chosen[place] = rng.random()
        return chosen

    def _replaced(
        self,
        text: str,
        chosen: dict[int, float],
        offers: dict[tuple[str, int], list[str]],
        places: dict[int, range],
    ) -> str:
        words = Words.of(text)
        for place, number in chosen.items():
            choices: Sequence[str] = offers.get((text, place), ())
            if len(places.get(place, range(0))) > 1 and self.vectors is not None:
                choices = _neighbours(self.vectors, core(words.words[place]).lower(), self.candidates)
            if choices:
                words.words[place] = in_place_of(words.words[place], choices[int(number * len(choices))])
        return str(words)


@lru_cache(maxsize=1)
def _vectors(path: str) -> WordVectors:
    from bench.models.vectors import read_vectors

    return read_vectors(path, _VECTORS).normalised()


@lru_cache(maxsize=50_000)
def _neighbours(path: str, word: str, count: int) -> tuple[str, ...]:
    """Return the ``count`` words most like ``word`` by cosine, nearest first; none where it has no vector."""
    vectors = _vectors(path)
    row = vectors.index.get(word)
    return () if row is None else tuple(vectors.words[i] for i in vectors.nearest(row, count))
