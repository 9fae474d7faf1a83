"""Words of a text and the way back: what a rewriter did not touch comes out byte for byte as it went in.

nlpaug's own tokeniser spells "don't" as "don ' t" and its way back guesses the spaces. Here the white space between
tokens is kept aside, and put back by which of the tokens are still there.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache

# "'s" and its like belong together: without the apostrophe WordNet takes the s for sulphur.
_CLITIC = re.compile(r"['’](?:s|re|ll|ve|d|m|t|em)", re.IGNORECASE)


class Token(str):
    """A word or one mark of punctuation of a text, told from what an augmenter makes by being this very object."""

    __slots__ = ()


@cache
def punctuation() -> str:
    """Return every character that counts as punctuation here: ASCII's, and what Unicode calls so."""
    found = map(chr, range(128, 0x20000))  # above are ideographs and what has no category
    return string.punctuation + "".join(c for c in found if unicodedata.category(c).startswith("P"))


def is_punctuation(token: str) -> bool:
    """Return whether ``token`` is made of punctuation alone."""
    marks = _marks()
    return token[0] in marks and all(character in marks for character in token)


@cache
def _marks() -> frozenset[str]:
    return frozenset(punctuation())


@lru_cache(maxsize=2**12)
def spans(text: str) -> Sequence[tuple[int, int]]:
    """Return (start, end) of every token: words as white space separates them, without punctuation at their ends.

    Each mark of punctuation there is a token of its own; inside a word ("don't", "well-made") it is part of it.
    """
    marks = punctuation()
    found: list[tuple[int, int]] = []
    for chunk in re.finditer(r"\S+", text):
        start, end = chunk.span()
        if chunk[0].isalnum() or end == start + 1:
            found.append((start, end))
            continue
        first = start + len(chunk[0]) - len(chunk[0].lstrip(marks))
        last = first + len(chunk[0].strip(marks))
        if start < first < last and _CLITIC.fullmatch(text, first - 1, last):
            first -= 1
        found += [(place, place + 1) for place in range(start, first)]
        if first < last:
            found.append((first, last))
        found += [(place, place + 1) for place in range(last, end)]
    return found


class Seam:
    """A tokenizer and its reverse for one augmenter: ``split`` remembers the white space, ``join`` puts it back."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.gaps: list[str] = [""]

    def split(self, text: str) -> list[str]:
        """Return the tokens of ``text``."""
        found = spans(text)
        self.words = [Token(text[start:end]) for start, end in found]
        ends = [0, *(end for _, end in found)]
        starts = [*(start for start, _ in found), len(text)]
        self.gaps = [text[end:start] for end, start in zip(ends, starts, strict=True)]
        return self.words

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text of ``tokens``, an augmenter's version of those that ``split`` returned last.

        Where as many come back as went out, the white space stays where it was. Else tokens that went through
        are the landmarks, and what is new between two of them is matched with what is gone.
        """
        if not tokens:
            return ""
        gaps = self.gaps if len(tokens) == len(self.words) else self._gaps(self._places(tokens))
        parts: list[str] = []
        for gap, token in zip(gaps, tokens, strict=False):
            # No two words may grow together, whatever stood here.
            if not gap and parts and not (is_punctuation(parts[-1][-1]) or is_punctuation(token[0])):
                gap = " "
            parts += (gap, token)
        return "".join([*parts, self.gaps[-1]])

    def _places(self, tokens: Sequence[str]) -> list[int]:
        """Return which old word each of ``tokens`` is, a part of, or was inserted in front of."""
        known = {id(word): place for place, word in enumerate(self.words)}
        through: list[tuple[int, int]] = []
        for number, token in enumerate(tokens):
            place = known.get(id(token), -1)
            if place > (through[-1][1] if through else -1):
                through.append((number, place))
        places: list[int] = []
        number, place = -1, -1
        for next_number, next_place in [*through, (len(tokens), len(self.words))]:
            new, gone = next_number - number - 1, next_place - place - 1
            if new <= gone:
                places += range(next_place - new, next_place)
            else:
                # A split word became several; without a word that is gone, the new were inserted.
                places += [place + 1 + gone * index // new for index in range(new)]
            places.append(next_place)
            number, place = next_number, next_place
        return places[:-1]

    def _gaps(self, places: Sequence[int]) -> list[str]:
        """Return the white space before each of the words ``places``, of which several may be one old word."""
        return [
            " " if place == last else self._gap(last, place) for last, place in zip([-1, *places], places, strict=False)
        ]

    def _gap(self, last: int, place: int) -> str:
        """Return the white space between the words ``last`` and ``place``; what stood between them is gone."""
        if last < 0 or place == last + 1:
            return self.gaps[0 if last < 0 else place]
        before, after = (is_punctuation(self.words[i]) if i < len(self.words) else True for i in (last, place))
        if before:  # "(good film)" without "good" is "(film)"
            return min(self.gaps[last + 1], self.gaps[place], key=len)
        # "A good, long film" without "good" is "A, long film".
        return self.gaps[place] if after else max(self.gaps[last + 1 : place + 1], key=len)
