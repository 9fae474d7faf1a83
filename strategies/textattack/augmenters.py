"""TextAttack's augmenters as strategies: each rewrites a text some of whose words it may change."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields

from bench.options import option
from bench.rewriter import Context
from bench.text_strategy import TextStrategy
from strategies.textattack.requirements import OURS, TextAttackMember


@dataclass(kw_only=True)
class TextAttackAugmenter(TextAttackMember, TextStrategy):
    """Base of the augmenters, whose own arguments are fields of the classes made from this one.

    A text in which nothing can change comes back as it was. Of a text longer than ``max_words`` the beginning is
    rewritten. Where the library makes several rewrites at once (``high_yield``), one is drawn.
    """

    max_words: int = option(128, "the number of words from a text's beginning that may change", at_least=1)

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        # Imports TextAttack; only worker processes come here.
        from strategies.textattack.build import Local, augmenter
        from strategies.textattack.library import seed, split_after

        ours = {field.name for field in fields(TextAttackAugmenter)} | {*OURS}
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ours}
        built = augmenter(self.target, tuple(sorted(given.items())), Local.of(self, context))
        rewritten = []
        for text, rng in zip(texts, rngs, strict=True):
            head, tail = split_after(text, self.max_words)
            seed(rng.getrandbits(32))
            forms = built.augment(head)
            rewritten.append(forms[rng.randrange(len(forms))] + tail)
        return rewritten
