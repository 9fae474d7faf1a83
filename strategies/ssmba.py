"""SSMBA: a text corrupted as a masked LM's training texts are, and what the masked LM reconstructs from that."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from bench import Context, Strength, TextStrategy, option
from bench.errors import UsageError
from bench.rewriter import Reads
from strategies.words import Words, core, in_place_of

if TYPE_CHECKING:
    from bench.models.fill import Filler, Masked


@dataclass(kw_only=True)
class SSMBA(TextStrategy):
    """Texts corrupted, then reconstructed by a masked LM (SSMBA, Ng et al., EMNLP 2020, arXiv 2009.10195).

    Of a text's n words floor(``rate`` * n + u) are selected, u uniform in [0, 1). Of these a share ``random_share`` is
    replaced by words drawn evenly from the vocabulary, a share ``kept_share`` stays, and the rest is masked. The
    masked LM, the preset's generator, reads that once, and each word that was masked or replaced is drawn from its
    softmax there, over all words or the ``top_k`` likeliest. What comes out as it went in is tried again.

    All as in the authors' code, except: it selects word pieces, and draws them; here they are whole words, a word of
    several pieces under one mask, so that case, spacing and punctuation stay. It reads a pair as one text, here each
    text is read alone. It takes the softmax of the ``top_k`` probabilities, which makes them nearly even; here these
    are renormalised. It makes four different texts of a row and corrupts an earlier one where a try failed; here
    ``copies`` are independent and made of the original. There a text keeps its label, or a teacher gives one, as here.
    """

    verified = (
        "outcomes have the chances computed from plain forwards of the masked LM; not the authors' outputs or numbers"
    )

    rate: float = option(
        0.15, "the share of a text's words selected", above=0, at_most=1, strength=Strength(0.9, most=0.8)
    )
    random_share: float = option(0.1, "the share of the selected words replaced by any word", at_least=0, at_most=1)
    kept_share: float = option(0.1, "the share of the selected words that stay", at_least=0, below=1)
    top_k: int | None = option(None, "how many of the likeliest words are drawn from; none: all", at_least=1)
    tries: int = option(10, "how often at most a text is corrupted until another comes out", at_least=1)

    # Small forwards, which worker processes of one thread each do faster than all threads together.
    libraries = ("transformers",)

    def __post_init__(self) -> None:
        if self.random_share + self.kept_share > 1:
            raise UsageError(
                f"ssmba: random_share and kept_share are shares of the same words and sum to at most 1, not to "
                f"{self.random_share:g} + {self.kept_share:g}"
            )

    def reads(self) -> tuple[Reads, ...]:
        return ("generator",)

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        from bench.models.fill import filler

        engine = filler(context.models["generator"], context.device)
        anything = sorted(engine.words)
        readings = [engine.read(text, Words.of(text).cores()) for text in texts]
        made = list(texts)
        for _ in range(self.tries):
            tried = {
                number: self._corrupted(*readings[number], rngs[number], engine.tokenizer.mask_token_id, anything)
                for number, (text, new) in enumerate(zip(texts, made, strict=True))
                if text == new
            }
            asked = {number: pair for number, pair in tried.items() if pair[0]}
            answers = engine.best([masked for _, masked in asked.values()], self.top_k)
            for (number, (words, _)), (logits, ids) in zip(asked.items(), answers, strict=True):
                made[number] = self._filled(texts[number], words, logits, ids, engine, rngs[number])
        return made

    def _corrupted(
        self, read: Masked, places: dict[int, range], rng: random.Random, mask: int, anything: Sequence[int]
    ) -> tuple[list[int], Masked]:
        """Return the words to draw, and the corrupted text with where each of them stands in it."""
        from bench.models.fill import Masked

        count = math.floor(self.rate * len(places) + rng.random())
        pieces = [[piece] for piece in read.ids]
        drawn = []
        for word in sorted(rng.sample(sorted(places), min(count, len(places)))):
            kind = rng.random()
            if kind < self.kept_share:
                continue
            new = rng.choice(anything) if kind < self.kept_share + self.random_share else mask
            place = places[word]
            pieces[place.start : place.stop] = [[new], *([] for _ in place[1:])]
            drawn.append(word)
        starts = [sum(map(len, pieces[: places[word].start])) for word in drawn]
        return drawn, Masked(list(chain(*pieces)), starts)

    def _filled(self, text, drawn, logits, ids, engine: Filler, rng: random.Random) -> str:
        """Return ``text`` with a draw from ``ids`` [M, K], by the softmax of their ``logits`` [M, K], for each word."""
        words = Words.of(text)
        for word, scores, offers in zip(drawn, logits.tolist(), ids.tolist(), strict=True):
            (piece,) = rng.choices(offers, [math.exp(score - scores[0]) for score in scores])
            if engine.words[piece].lower() != core(words.words[word]).lower():
                words.words[word] = in_place_of(words.words[word], engine.words[piece])
        return str(words)
