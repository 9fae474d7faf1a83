"""BAE's words for a mask, ranked and refused as the library does it, without asking a tensor about every piece."""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch

from strategies.textattack.library import textattack
from strategies.textattack.masked_words import SwapInTime

utils: Any = textattack.shared.utils


class TopWords(SwapInTime):
    """The library's swap; what a word piece comes to is worked out once."""

    _words: dict[tuple[int, bool], str | None]

    def _bae_replacement_words(self, current_text: Any, indices_to_modify: Any) -> list[list[str]]:
        mask = self._lm_tokenizer.mask_token
        texts = [current_text.replace_word_at_index(index, mask).text for index in indices_to_modify]
        offered: list[list[str]] = []
        for start in range(0, len(texts), self.batch_size):
            inputs = self._encode_text(texts[start : start + self.batch_size])
            with torch.no_grad():
                logits = self._language_model(**inputs)[0]
            for ids, of_row in zip(inputs["input_ids"].tolist(), logits, strict=True):
                place = ids.index(self._lm_tokenizer.mask_token_id) if self._lm_tokenizer.mask_token_id in ids else None
                offered.append([] if place is None else self._best(of_row[place], place == 1))
        return offered

    def _best(self, logits: torch.Tensor, is_first: bool) -> list[str]:
        """Return the most probable words for the mask, the best first; ``is_first``: the mask begins the text."""
        probabilities = torch.softmax(logits, dim=0)
        # As the library sorts, so that pieces of equal probability come in its order.
        ranked = torch.argsort(probabilities, descending=True)
        best: list[str] = []
        for piece, probability in zip(ranked.tolist(), probabilities[ranked].tolist(), strict=True):
            if probability < self.min_confidence:
                break
            if (word := self._word(piece, is_first)) is not None:
                best.append(word)
                if len(best) >= self.max_candidates:
                    break
        return best

    def _word(self, piece: int, is_first: bool) -> str | None:
        """Return what the word piece is as a word, or None where it is none."""
        if (piece, is_first) not in self._words:
            kind = self._language_model.config.model_type
            word = self._lm_tokenizer.convert_ids_to_tokens(piece)
            if utils.check_if_subword(word, kind, is_first):
                word = utils.strip_BPE_artifacts(word, kind)
            is_word = utils.is_one_word(word) and not utils.check_if_punctuations(word)
            self._words[piece, is_first] = word if is_word else None
        return self._words[piece, is_first]


@functools.lru_cache(maxsize=4)
def in_time(transformation: Any) -> Any:
    """Return ``transformation`` with ``TopWords`` in the place of the swaps that it is, or is made of."""
    made = copy.copy(transformation)
    if isinstance(made, textattack.transformations.CompositeTransformation):
        made.transformations = [in_time(each) for each in made.transformations]
    elif type(made) is SwapInTime:
        made.__class__ = TopWords
        made._words = {}
    return made
