"""A fine-tuned classifier that is asked about texts: what rewriters that look for its mistakes work with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from bench.models.inputs import accepted, longest
from bench.models.load import explained, load_tokenizer


class Classifier:
    """The classifier in ``folder`` and its tokenizer, without dropout and with nothing to learn."""

    def __init__(self, folder: str, device: str) -> None:
        with explained(folder):
            model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False)
        self.model: Any = model.float().eval().requires_grad_(False).to(device)
        self.tokenizer = load_tokenizer(folder)
        self.max_length = longest(model, self.tokenizer)

    def encoded(self, rows: Sequence[Sequence[str]]) -> Any:
        """Return ``rows`` of one or two texts in pieces, padded to the longest of them."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        encoded = self.tokenizer(
            *columns, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return encoded.to(self.model.device)

    def logits(self, rows: Sequence[Sequence[str]]) -> torch.Tensor:
        """Return the logits [N, C] (fp64, on the CPU) of N rows of texts, which are read in one pass."""
        with torch.no_grad():
            return self.model(**accepted(self.model, self.encoded(rows))).logits.double().cpu()


@lru_cache(maxsize=2)
def classifier(folder: str, device: str, digest: str = "") -> Classifier:
    """Return the classifier in ``folder``, loaded anew where its contents, by their ``digest``, are others."""
    return Classifier(folder, device)
