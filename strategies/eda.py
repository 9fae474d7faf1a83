"""EDA: a few words of a text are replaced by synonyms, inserted, swapped or deleted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from bench import Context, Strength, TextStrategy, option
from bench.resources import nltk_data, python_package
from strategies.wordnet import senses
from strategies.words import STOP_WORDS, Words, core, in_place_of

if TYPE_CHECKING:
    from bench import Resource


@dataclass(kw_only=True)
class EDA(TextStrategy):
    """Easy data augmentation: words replaced, inserted, swapped or deleted (Wei & Zou, EMNLP 2019, arXiv 1901.11196).

    Every rewrite draws one of the paper's four operations with n = max(1, ``alpha`` * words): synonyms from
    WordNet for n different words that are no stop words; n synonyms of such words, inserted anywhere; n swaps of
    two words; or each word deleted with probability ``alpha``, never all of them. Where a text offers nothing to
    an operation it stays as it is.

    The paper makes its 4 to 16 rewrites of a text in equal shares of the operations; here each rewrite, a new one in
    every epoch, draws its own.
    Unlike the authors' code, this keeps case, spacing and punctuation (a word is looked up without the marks around
    it), takes a stop word's synonym nowhere, as the paper says, and orders synonyms by the alphabet.
    """

    verified = (
        "each of the four operations is held to what the paper says of it, WordNet's synonyms to NLTK's; not the "
        "authors' outputs or numbers"
    )

    alpha: float = option(
        0.1,
        "the share of the words that an operation draws; swaps change more of them, and no text fewer than one",
        above=0,
        at_most=1,
        strength=Strength(1.15, most=0.7),
    )

    # Reading WordNet is a global, and slow to open: once in each worker process.
    libraries = ("nltk",)

    def resources(self) -> Sequence[Resource]:
        return (python_package("nltk", "nltk>=3.9.1,<4"), nltk_data("corpora/wordnet"))

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        return [self._rewritten(text, rng) for text, rng in zip(texts, rngs, strict=True)]

    def _rewritten(self, text: str, rng: random.Random) -> str:
        words = Words.of(text)
        rng.choice((_replace, _insert, _swap, _delete))(words, self.alpha, rng)
        return str(words)


def _number(words: Words, alpha: float) -> int:
    """Return the paper's n: how many words an operation changes."""
    return max(1, int(alpha * len(words)))


def _replace(words: Words, alpha: float, rng: random.Random) -> None:
    """Replace n different words, each wherever it stands, by one of its synonyms."""
    n = _number(words, alpha)
    distinct = list(dict.fromkeys(core(word).lower() for word in words.words))
    rng.shuffle(distinct)
    for word in distinct:
        if synonyms := _synonyms(word):
            synonym = rng.choice(synonyms)
            words.words = [in_place_of(w, synonym) if core(w).lower() == word else w for w in words.words]
            n -= 1
        if n == 0:
            return


def _insert(words: Words, alpha: float, rng: random.Random) -> None:
    """Insert n synonyms of words of the text, each at a place of its own."""
    offers = [synonyms for word in words.words if (synonyms := _synonyms(core(word).lower()))]
    for _ in range(_number(words, alpha) if offers else 0):
        words.insert(rng.randrange(len(words) + 1), rng.choice(rng.choice(offers)))


def _swap(words: Words, alpha: float, rng: random.Random) -> None:
    """Let two words change places, n times."""
    for _ in range(_number(words, alpha) if len(words) > 1 else 0):
        one, other = rng.sample(range(len(words)), 2)
        words.words[one], words.words[other] = words.words[other], words.words[one]


def _delete(words: Words, alpha: float, rng: random.Random) -> None:
    """Delete each word with probability ``alpha``; where all would go, one stays."""
    lost = [place for place in range(len(words)) if rng.random() < alpha]
    if len(lost) == len(words):
        lost.remove(rng.choice(lost))
    for place in reversed(lost):
        words.remove(place)


@lru_cache(maxsize=100_000)
def _synonyms(word: str) -> tuple[str, ...]:
    """Return WordNet's other names for ``word`` (lower case) in any of its senses, sorted; none for a stop word."""
    if not word or word in STOP_WORDS:
        return ()
    names = {name.replace("_", " ") for sense in senses(word) for name in sense}
    return tuple(sorted(name for name in names if name.lower() != word))
