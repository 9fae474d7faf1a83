"""What a model reads, and which of it a family of models takes."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


Role = Literal["student", "teacher", "generator"]


Inputs = dict[str, "torch.Tensor"]
"""What a model reads: ``input_ids`` [B, L] or ``inputs_embeds`` [B, L, H], ``attention_mask`` [B, L],
and ``token_type_ids`` [B, L] where the tokenizer makes them."""


@lru_cache(maxsize=32)
def _parameters(forward: Any) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)


def accepted(model: PreTrainedModel, inputs: Inputs) -> Inputs:
    """Return ``inputs`` without the keys that this family's forward does not take."""
    known = _parameters(type(model).forward)
    if getattr(model.config, "type_vocab_size", 2) < 2:
        # RoBERTa takes token types but knows a single one.
        known = known - {"token_type_ids"}
    return {key: value for key, value in inputs.items() if key in known}
