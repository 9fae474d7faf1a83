"""What a model reads, and which of it a family of models takes."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


Role = Literal["student", "teacher", "generator"]


Inputs = dict[str, "torch.Tensor"]
"""What a model reads: ``input_ids`` [B, L] or ``inputs_embeds`` [B, L, H], ``attention_mask`` [B, L],
and ``token_type_ids`` [B, L] where the tokenizer makes them."""


@lru_cache(maxsize=32)
def _parameters(forward: Any) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)


def accepted(model: PreTrainedModel, inputs: Inputs) -> Inputs:
    """Return ``inputs`` without the keys that this family's forward does not take."""
    accepts = _parameters(type(model).forward)
    if getattr(model.config, "type_vocab_size", 2) < 2:
        # RoBERTa takes token types but knows a single one.
        accepts = accepts - {"token_type_ids"}
    return {key: value for key, value in inputs.items() if key in accepts}


def longest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many word pieces ``model`` can read at once, special tokens included."""
    # XLNet and its like say -1: no limit; then the tokenizer's counts, if it has one.
    positions = max(getattr(model.config, "max_position_embeddings", 0), 0) or 512
    for name, module in model.base_model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            # RoBERTa and its kin count positions from behind the padding's.
            positions = module.num_embeddings - module.padding_idx - 1
    return min(tokenizer.model_max_length, positions)


def portions(rows: int, parts: int) -> list[slice]:
    """Return slices that cover ``rows`` rows in ``parts`` nearly equal parts, fewer where there are fewer rows.

    A mean over the rows of a batch is the sum over its portions of share_of(portion) times the portion's mean.
    """
    parts = max(1, min(parts, rows))
    return [slice(i * rows // parts, (i + 1) * rows // parts) for i in range(parts)]


def share_of(portion: slice, rows: int) -> float:
    """Return the share of a batch's rows that are in ``portion``."""
    return (portion.stop - portion.start) / rows


def rows_of(inputs: Inputs, portion: slice) -> Inputs:
    """Return the rows of ``inputs`` in ``portion``, without the padding that none of them needs."""
    mask = inputs["attention_mask"]
    if portion == slice(0, len(mask)):
        return inputs
    width = int(mask[portion].sum(dim=1).max())
    return {key: value[portion, :width] for key, value in inputs.items()}
