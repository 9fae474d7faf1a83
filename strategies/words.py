"""Words of a text and the gaps between them: what strategies that change single words share."""

from __future__ import annotations

import re
from dataclasses import dataclass

# English words of the closed classes: the list that EDA's authors use, and what is left of a verb behind an
# apostrophe where words are already split (SST-2, MRPC): WordNet takes "re" for rhenium.
_CLOSED = (
    "i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself",
    "it its itself they them their theirs themselves what which who whom this that these those",
    "am is are was were be been being have has had having do does did doing can will just don should now s t",
    "d ll m re ve",
    "a an the and but if or because as until while",
    "of at by for with about against between into through during before after above below to from up down in out on",
    "off over under again further then once here there when where why how",
    "all any both each few more most other some such no nor not only own same so than too very",
)
STOP_WORDS = frozenset(word for group in _CLOSED for word in group.split())

_RUN = re.compile(r"(\S+)")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass
class Words:
    """A text as its words (if nothing else is said, runs of non-space) and the gaps: ``gaps[i]`` is before word i.

    There is one gap more than words; ``str()`` puts all together, so that a text not changed is itself.
    """

    words: list[str]
    gaps: list[str]

    @classmethod
    def of(cls, text: str, word: re.Pattern[str] = _RUN) -> Words:
        """Return the words of ``text``, each of which matches ``word``, a pattern that is one group."""
        parts = word.split(text)
        return cls(parts[1::2], parts[::2])

    def __len__(self) -> int:
        return len(self.words)

    def __str__(self) -> str:
        return "".join(gap + word for gap, word in zip(self.gaps, [*self.words, ""], strict=True))

    def cores(self) -> dict[int, tuple[int, int]]:
        """Return from where to where in the text each word that has one has its core."""
        spans, at = {}, 0
        for place, word in enumerate(self.words):
            at += len(self.gaps[place])
            if plain := core(word):
                start = at + word.index(plain)
                spans[place] = (start, start + len(plain))
            at += len(word)
        return spans

    def insert(self, place: int, word: str) -> None:
        """Put ``word`` before word ``place`` (at ``len(self)``: at the end), with a space of its own."""
        self.gaps.insert(place + 1 if place < len(self.words) else place, " ")
        self.words.insert(place, word)

    def remove(self, place: int) -> None:
        """Take word ``place`` out, and the gap before it (the first word's: behind it)."""
        del self.words[place]
        del self.gaps[max(place, 1)]


def core(word: str) -> str:
    """Return ``word`` without the punctuation around it: what one looks up."""
    return _EDGES.sub("", word)


def in_place_of(word: str, new: str) -> str:
    """Return ``word`` with ``new`` for its core: its punctuation stays, and its first letter's case."""
    old = core(word)
    if old[:1].isupper():
        new = new[:1].upper() + new[1:]
    return word.replace(old, new, 1)
