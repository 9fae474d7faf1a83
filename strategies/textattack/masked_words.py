"""The library's transformations that ask a masked language model (BAE, BERT-Attack, A2T, CLARE), asking a local one.

What they override of the library is not public, so ``TextAttackMember.supports`` asks for a version it was tested with.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from bench.errors import BenchError
from bench.models.inputs import accepted, longest
from bench.models.load import load_masked_lm, load_tokenizer
from strategies.textattack.library import textattack
from strategies.textattack.requirements import MERGES, Model

utils: Any = textattack.shared.utils
transformations: Any = textattack.transformations


class GeneratorTokenizer:
    """A tokenizer that pads to the longest text of a batch, where the library pads to the most the model reads."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, text: str | Sequence[str], padding: str, **options: Any) -> Any:
        """Return ``text`` in pieces."""
        return self._tokenizer(text, padding=True, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


class WordGenerator:
    """The run's generator as the library asks a masked LM, of whatever type it is."""

    def __init__(self, folder: str, device: str) -> None:
        model, trained = load_masked_lm(folder, seed=0)
        if not trained:
            raise BenchError(f"{folder} is no masked language model, its head is missing: name another generator")
        tokenizer = load_tokenizer(folder)
        self.model: Any = model
        self.model.eval().requires_grad_(False).to(device)
        self.tokenizer, self.longest = GeneratorTokenizer(tokenizer), longest(model, tokenizer)
        # The library knows few model types by name; what matters is how their word pieces are written.
        marked = any(piece.startswith("##") for piece in tokenizer.get_vocab())
        self.config = SimpleNamespace(model_type="bert" if marked else "roberta")

    def __call__(self, **inputs: torch.Tensor) -> tuple[torch.Tensor]:
        """Return the logits, [B, L, V]."""
        return (self.model(**accepted(self.model, inputs)).logits,)

    def to(self, device: torch.device) -> WordGenerator:
        """Return this generator, which is on its device already."""
        return self

    def eval(self) -> WordGenerator:
        """Return this generator, which has no dropout already."""
        return self

    def parts(self, tagger: str = "flair") -> dict[str, Any]:
        """Return the library's classes, asking this generator, by their names in the library."""
        merge = MergeByNltk if tagger == "nltk" else transformations.WordMergeMaskedLM
        asked = {"masked_language_model": self, "tokenizer": self.tokenizer, "max_length": self.longest}
        return {
            "WordSwapMaskedLM": functools.partial(SwapInTime, batch_size=32, **asked),
            "WordInsertionMaskedLM": functools.partial(transformations.WordInsertionMaskedLM, batch_size=32, **asked),
            MERGES: functools.partial(merge, batch_size=32, **asked),
        }


@functools.lru_cache(maxsize=1)
def generator(model: Model, device: str) -> WordGenerator:
    """Return the masked LM ``model``, loaded anew where its contents are others."""
    return WordGenerator(model.folder, device)


class SwapInTime(transformations.WordSwapMaskedLM):
    """The library's swap without the scores of a word's combinations of pieces, which it computes and does not use.

    A word of k pieces has ``max_candidates`` ** k, and the library takes the first that are words.
    """

    def _bert_attack_replacement_words(
        self, current_text: Any, index: int, id_preds: torch.Tensor, masked_lm_logits: torch.Tensor
    ) -> list[str]:
        tokenizer = self._lm_tokenizer
        pieces = len(tokenizer.encode(current_text.words[index], add_special_tokens=False))
        if pieces == 1:
            return super()._bert_attack_replacement_words(current_text, index, id_preds, masked_lm_logits)
        masked = current_text.replace_word_at_index(index, tokenizer.mask_token)
        ids = self._encode_text(masked.text)["input_ids"][0].tolist()
        if tokenizer.mask_token_id not in ids:  # cut off
            return []
        start = ids.index(tokenizer.mask_token_id)
        combinations = itertools.product(*id_preds[start : start + pieces].tolist())
        joined = ("".join(tokenizer.convert_ids_to_tokens(list(c))).replace("##", "") for c in combinations)
        # Few combinations are no words, but a hundred thousand that are none must not hold up the rest.
        whole = (word for word in itertools.islice(joined, 100_000) if utils.is_one_word(word))
        return list(itertools.islice(whole, self.max_candidates))

    def _get_transformations(self, current_text: Any, indices_to_modify: Any) -> list[Any]:
        if self.method == "bert-attack" and len(self._lm_tokenizer.get_vocab()) < self.max_candidates:
            raise BenchError(f"the masked LM has fewer than {self.max_candidates} word pieces: name another generator")
        return super()._get_transformations(current_text, indices_to_modify)


class MergeByNltk(transformations.WordMergeMaskedLM):
    """The library's merge of two neighbouring words; which two, NLTK's part-of-speech tags say and not flair's."""

    def _get_transformations(self, current_text: Any, indices_to_modify: Any) -> list[Any]:
        import nltk

        tags = [tag for _, tag in nltk.pos_tag(current_text.words, tagset="universal")]
        places = transformations.word_merges.word_merge_masked_lm.find_merge_index(tags)
        merged = []
        for place, offered in zip(places, self._get_merged_words(current_text, places), strict=True):
            shorter = current_text.delete_word_at_index(place + 1)
            for word in (word.strip("Ġ") for word in offered):
                if word != current_text.words[place] and re.search("[a-zA-Z]", word):
                    merged.append(shorter.replace_word_at_index(place, word))
        return merged
