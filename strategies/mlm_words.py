"""Words of a text replaced, or words inserted, as a masked language model would: many texts, and words, per forward."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Literal

from bench import Context, TextStrategy, option
from bench.rewriter import Reads
from strategies.words import Words, core, in_place_of

if TYPE_CHECKING:
    import numpy as np

    from bench.models.fill import Filler, Masked


@dataclass(kw_only=True)
class MlmWords(TextStrategy):
    """Words replaced or inserted by draws from a masked LM, many per forward (Kobayashi, 2018, arXiv 1805.06201).

    The words to change are drawn with equal chances. For each the generator is asked with the word masked, or with a
    mask before it, and a word is drawn from its softmax over the ``top_k`` most likely whole words, without the one
    that stands there. Case, spacing and punctuation stay, and so does what the generator cannot read.

    It is what nlpaug's contextual augmenter does (``nlpaug:contextual``), in code of our own. That one masks one word
    per forward (here ``mask_rate=0``), counts word pieces where this counts words, draws with equal chances among ten
    of its draws, and returns the text as its tokenizer spells it. The paper also tells the model the row's label,
    which neither does.
    """

    verified = (
        "the words' distribution equals that of a plain reading of the masked LM, one mask and one forward at a time; "
        "the paper's label is left out"
    )

    rate: float = option(0.3, "the share of a text's words that change", above=0, at_most=1, strength=True)
    action: Literal["substitute", "insert"] = option("substitute", "whether new words replace others or precede them")
    top_k: int | None = option(100, "how many of the likeliest words are drawn from; none: all", at_least=1)
    mask_rate: float = option(
        0.3, "the share of a text's word pieces masked per forward; 0: one word at a time", at_least=0, at_most=1
    )

    # Small forwards, which worker processes of one thread each do faster than all threads together.
    libraries = ("transformers",)

    def reads(self) -> tuple[Reads, ...]:
        return ("generator",)

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        from bench.models.fill import filler

        engine = filler(context.models["generator"], context.device)
        rows = [self._row(engine, text, rng) for text, rng in zip(texts, rngs, strict=True)]
        while active := [row for row in rows if row.waiting]:
            masked = [row.mask(engine.tokenizer.mask_token_id, self.mask_rate) for row in active]
            # One more than is drawn from: the word that stands there is left out.
            answers = engine.best(masked, self.top_k + 1 if self.top_k else None)
            for row, (logits, ids) in zip(active, answers, strict=True):
                row.fill(engine.words, logits, ids, self.top_k)
        return [str(row) for row in rows]

    def _row(self, engine: Filler, text: str, rng: random.Random) -> _Row:
        words, insert = Words.of(text), self.action == "insert"
        # What is to be inserted needs room in the model.
        most = int(engine.longest / (1 + self.rate)) if insert else None
        read, places = engine.read(text, words.cores(), most=most)
        chosen = sorted(rng.sample(sorted(places), math.ceil(self.rate * len(places))))
        return _Row(words, rng, insert, [[piece] for piece in read.ids], places, chosen)


@dataclass
class _Row:
    """A text on its way: its words, what now stands at each of the ``pieces`` it had, and which words are to change."""

    words: Words
    rng: random.Random
    insert: bool
    pieces: list[list[int]]
    places: dict[int, range]
    waiting: list[int]
    masked: list[int] = field(default_factory=list)
    inserted: dict[int, str] = field(default_factory=dict)

    def mask(self, mask: int, share: float) -> Masked:
        """Mask some of the words to change, as many as ``share`` of the pieces and at least one, spread evenly."""
        from bench.models.fill import Masked

        every = math.ceil(len(self.waiting) / max(1, math.ceil(share * sum(map(len, self.pieces)))))
        self.masked = self.waiting[every - 1 :: every]
        del self.waiting[every - 1 :: every]
        for word in self.masked:
            place = self.places[word]
            if self.insert:
                self.pieces[place.start].insert(0, mask)
            else:
                self.pieces[place.start : place.stop] = [[mask], *([] for _ in place[1:])]
        starts = list(accumulate(map(len, self.pieces), initial=0))
        return Masked(list(chain(*self.pieces)), [starts[self.places[word].start] for word in self.masked])

    def fill(self, vocabulary: dict[int, str], logits: np.ndarray, ids: np.ndarray, top_k: int | None) -> None:
        """Draw a word for each mask from ``ids`` [M, K], best first, by the softmax of their ``logits`` [M, K]."""
        for word, scores, offers in zip(self.masked, logits.tolist(), ids.tolist(), strict=True):
            old = "" if self.insert else core(self.words.words[word]).lower()
            likely = [(s, i) for s, i in zip(scores, offers, strict=True) if vocabulary[i].lower() != old][:top_k]
            if not likely:  # a vocabulary of one word
                continue
            (piece,) = self.rng.choices([i for _, i in likely], [math.exp(s - likely[0][0]) for s, _ in likely])
            self.pieces[self.places[word].start][0] = piece
            if self.insert:
                self.inserted[word] = vocabulary[piece]
            else:
                self.words.words[word] = in_place_of(self.words.words[word], vocabulary[piece])

    def __str__(self) -> str:
        for word in sorted(self.inserted, reverse=True):
            self.words.insert(word, self.inserted[word])
        return str(self.words)
