"""A masked language model that offers words for masked places of texts, many texts per forward."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
import torch

from bench.errors import BenchError
from bench.models.inputs import accepted, longest
from bench.models.load import load_masked_lm, load_tokenizer
from bench.models.masked_lm import gathered

# Word pieces per forward. On a processor one text at a time is about as fast as many.
_PIECES = {"cpu": 64, "cuda": 8192}
# Lengths are rounded up to multiples of this, so that many texts share a shape.
_STEP = 8

Words = tuple[np.ndarray, np.ndarray]
"""Of M masked places the K most likely words each, best first: their logits and their ids, both [M, K]."""


@dataclass(frozen=True)
class Masked:
    """A text with masks: ``ids`` and token ``types`` [L] (none: all 0), and where the masks are, in ascending order."""

    ids: Sequence[int]
    places: Sequence[int]
    types: Sequence[int] = ()


@lru_cache(maxsize=1)
def filler(folder: str, device: str) -> Filler:
    """Return the filler of the masked LM in ``folder``, loaded once per process."""
    return Filler(folder, device)


class Filler:
    """The masked LM in ``folder``: which words it would put in masked places of texts.

    A text's answer does not depend on which texts are asked about beside it: its own length and number of masks
    decide the shape of the forward, short batches being filled up, for a matrix product's shape decides its last bits.
    Raises BenchError for a model without a trained head, and for a tokenizer without a mask or places in the text.
    """

    def __init__(self, folder: str, device: str) -> None:
        self.tokenizer: Any = load_tokenizer(folder)
        if not self.tokenizer.is_fast or self.tokenizer.mask_token_id is None:
            raise BenchError(f"{folder} has no fast tokenizer with a mask token: name another masked LM")
        model: Any
        model, trained = load_masked_lm(folder, seed=0)
        if not trained:
            raise BenchError(f"{folder} is no masked LM, its head is missing: name another")
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.longest = longest(model, self.tokenizer)
        self.words = whole_words(self.tokenizer)
        self._allowed = torch.tensor(sorted(self.words), device=self.device)

    def read(
        self, text: str, spans: Mapping[int, tuple[int, int]], beside: str | None = None, most: int | None = None
    ) -> tuple[Masked, dict[int, range]]:
        """Return ``text`` (first of a pair with ``beside``) in pieces, without masks, and at which each word stands.

        ``spans`` are the words, from where to where in ``text``. A word that is not exactly some of the pieces, or is
        cut off behind ``most`` pieces (none: as many as the model reads), stands nowhere.
        """
        texts = (text,) if beside is None else (text, beside)
        encoding = self.tokenizer(
            *texts, truncation="longest_first", max_length=most or self.longest, return_offsets_mapping=True
        )
        owners = {at: word for word, span in spans.items() for at in range(*span)}
        pieces: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for position, side in enumerate(encoding.sequence_ids()):
            start, end = encoding["offset_mapping"][position]
            # Some tokenizers count the space before a word as its first piece's.
            start = end - len(text[start:end].lstrip())
            if side == 0 and start in owners:
                pieces[owners[start]].append((start, end, position))
        places = {
            word: range(its[0][2], its[-1][2] + 1)
            for word, its in pieces.items()
            if (its[0][0], its[-1][1]) == spans[word]
        }
        return Masked(encoding["input_ids"], (), encoding.get("token_type_ids", ())), places

    def best(self, texts: Sequence[Masked], count: int | None = None) -> list[Words]:
        """Return for each text the ``count`` (none: all) most likely words at each of its masks."""
        groups: dict[tuple[int, int, bool], list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            groups[self._shape(text)].append(number)
        answers: dict[int, Words] = {}
        for (length, masks, _), group in groups.items():
            size = max(1, _PIECES.get(self.device.type, 8192) // length)
            for start in range(0, len(group), size):
                some = group[start : start + size]
                answers |= zip(some, self._forward([texts[i] for i in some], (size, length, masks), count), strict=True)
        return [answers[number] for number in range(len(texts))]

    def _shape(self, text: Masked) -> tuple[int, int, bool]:
        """Return in how many pieces, masks of them, ``text`` is computed, and whether none of them is padding."""
        pieces, masks = len(text.ids), len(text.places)
        # With no padding at all another kernel runs, so that is never left to the texts beside it.
        length = min(self.longest, (pieces // _STEP + 1) * _STEP)
        return length, min(length, 1 << (masks - 1).bit_length()), pieces == length

    def _forward(self, texts: Sequence[Masked], shape: tuple[int, int, int], count: int | None) -> Iterator[Words]:
        size, length, masks = shape
        ids = torch.full((size, length), self.tokenizer.pad_token_id or 0)
        types, attended = torch.zeros_like(ids), torch.zeros_like(ids)
        masked = torch.zeros((size, length), dtype=torch.bool)
        for row, text in enumerate([*texts, *repeat(texts[-1], size - len(texts))]):
            ids[row, : len(text.ids)] = torch.tensor(text.ids)
            types[row, : len(text.types)] = torch.tensor(text.types, dtype=torch.long)
            attended[row, : len(text.ids)] = 1
            masked[row, list(text.places)] = True
        # Equally many positions per text: its masks, and others that nobody asks about.
        read = torch.zeros_like(masked).scatter_(1, masked.int().topk(masks, dim=1).indices, True)
        inputs = {"input_ids": ids, "attention_mask": attended, "token_type_ids": types}
        inputs = {key: value.to(self.device) for key, value in accepted(self.model, inputs).items()}
        with torch.inference_mode(), gathered(self.model, read.to(self.device)):
            logits = self.model(**inputs).logits[0]
        masked[len(texts) :] = False
        logits = logits[masked[read].to(self.device)][:, self._allowed].float()
        top = logits.topk(min(count or logits.shape[1], logits.shape[1]), dim=1)
        counts = [len(text.places) for text in texts]
        return zip(
            (values.cpu().numpy() for values in top.values.split(counts)),
            (numbers.cpu().numpy() for numbers in self._allowed[top.indices].split(counts)),
            strict=True,
        )


def whole_words(tokenizer: Any) -> dict[int, str]:
    """Return the pieces of ``tokenizer`` that are a word by themselves, letters and digits alone, as text."""
    special = set(tokenizer.all_special_ids)
    words = {}
    for piece, number in tokenizer.get_vocab().items():
        if number not in special:
            # Behind another word, a piece that begins one is set off by a space, whatever the tokenizer's marks.
            before, space, word = tokenizer.convert_tokens_to_string(["a", piece]).partition(" ")
            if before == "a" and space and word.isalnum():
                words[number] = word
    if not words:
        raise BenchError(f"the tokenizer {tokenizer.name_or_path} has no piece that is a word by itself")
    return words
