"""A tokenizer for nlpaug, and its reverse, that give back byte for byte what an augmenter did not touch.

nlpaug's own tokenizer spells "don't" as "don ' t" and its way back guesses the spaces. Here the white space between
tokens is kept aside, and put back by which of the tokens are still there.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache

from strategies.words import Words


class Token(str):
    """A token of a text; being an object of its own, it is told from an equal word that an augmenter puts in."""

    __slots__ = ()


@cache
def punctuation() -> frozenset[str]:
    """Return every character that counts as punctuation here: ASCII's, and what Unicode calls so."""
    others = map(chr, range(128, 0x20000))  # above are ideographs and what has no category
    return frozenset(string.punctuation).union(c for c in others if unicodedata.category(c).startswith("P"))


def is_punctuation(token: str) -> bool:
    """Return whether ``token`` is made of punctuation alone."""
    return punctuation().issuperset(token)


@cache
def tokens() -> re.Pattern[str]:
    """Return what matches, as its group, one token: a word as white space separates it, or a mark at its ends.

    Inside a word ("don't", "well-made") a mark is part of it.
    """
    marks = re.escape("".join(sorted(punctuation())))
    # "'s" and its like belong together: without the apostrophe WordNet takes the s for sulphur.
    clitic = rf"['’](?i:s|re|ll|ve|d|m|t|em)(?=[{marks}]*(?:\s|\Z))"
    # A plain word, found faster so, would also match the last.
    return re.compile(rf"([^\W_]+(?!\S)|{clitic}|[{marks}]|[^{marks}\s](?:\S*[^{marks}\s])?)")


class Spacing:
    """A tokenizer and its reverse for one augmenter: ``split`` remembers the white space, ``join`` puts it back."""

    def __init__(self) -> None:
        self.text = Words([], [""])

    def split(self, text: str) -> list[str]:
        """Return the tokens of ``text``."""
        self.text = Words.of(text, tokens())
        self.text.words = [Token(word) for word in self.text.words]
        return list(self.text.words)

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text of ``tokens``, an augmenter's version of those that ``split`` returned last.

        Where as many come back as went out, the white space stays where it was. Else tokens that went through
        are the landmarks, and what is new between two of them is matched with what is gone.
        """
        if not tokens:
            return ""
        gaps = self.text.gaps if len(tokens) == len(self.text) else self._gaps(tokens)
        parts: list[str] = []
        for gap, token in zip(gaps, tokens, strict=False):
            # No two words may grow together, whatever stood here.
            if not gap and parts and not (is_punctuation(parts[-1][-1]) or is_punctuation(token[0])):
                gap = " "
            parts += (gap, token)
        return "".join([*parts, self.text.gaps[-1]])

    def _gaps(self, tokens: Sequence[str]) -> list[str]:
        """Return the white space before each of ``tokens``."""
        # Which old token each is, stands for, or was inserted in front of.
        places: list[int] = []
        old, new = ([id(token) for token in some] for some in (self.text.words, tokens))
        for _, i, gone, j, come in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            count = come - j
            # A split word became several; without a word that is gone, the new were inserted.
            places += (
                range(gone - count, gone) if count <= gone - i else [i + (gone - i) * n // count for n in range(count)]
            )
        return [
            " " if place == last else self._gap(last, place) for last, place in zip([-1, *places], places, strict=False)
        ]

    def _gap(self, last: int, place: int) -> str:
        """Return the white space between the words ``last`` and ``place``; what stood between them is gone."""
        words, gaps = self.text.words, self.text.gaps
        if last < 0 or place == last + 1:
            return gaps[0 if last < 0 else place]
        before, after = (is_punctuation(words[i]) if i < len(words) else True for i in (last, place))
        if before:  # "(good film)" without "good" is "(film)"
            return min(gaps[last + 1], gaps[place], key=len)
        # "A good, long film" without "good" is "A, long film".
        return gaps[place] if after else max(gaps[last + 1 : place + 1], key=len)
