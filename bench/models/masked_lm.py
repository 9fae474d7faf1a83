"""A masked language model as a source of perturbed text: mask, fill by sampling, and let gradients back.

Everything here works at the masked positions only: the language-model head, the noise and the gradient of
the sample touch [M, V] for M masked tokens, never [B, L, V].
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bench.models.inputs import Inputs
    from bench.strategy import Models

# In a block of this many vocabulary entries one cumulative sum stays exact enough in fp32.
_BLOCK = 256
_KEPT_FREE = re.compile(r"\[unused\d+\]|madeupword\d+")


def ordinary_tokens(inputs: Inputs, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """Return where text stands, [B, L] bool: neither padding nor a token the tokenizer adds around texts."""
    ids = inputs["input_ids"]
    around = {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}
    special = torch.tensor(sorted(i for i in around if i is not None), device=ids.device)
    return inputs["attention_mask"].bool() & ~torch.isin(ids, special)


def text_numbers(ids: torch.Tensor, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """Return for each token of ``ids`` [B, L] which text of its row it stands in, from 0; separators end a text."""
    separators = ids == tokenizer.sep_token_id
    # Not every family has segment ids, and RoBERTa's put two separators between texts.
    begins = F.pad(separators[:, :-1], (1, 0)) & ~separators
    return begins.cumsum(dim=1)


def draw_mask(
    inputs: Inputs,
    tokenizer: PreTrainedTokenizerBase,
    rate: float,
    rng: torch.Generator,
    texts: Collection[int] | None = None,
) -> torch.Tensor:
    """Return which tokens to mask, [B, L] bool: every ordinary one with probability ``rate``.

    With ``texts`` only those in the texts with these numbers, as ``bench.text_strategy.changeable`` returns them.
    """
    ids = inputs["input_ids"]
    uniform = torch.rand(ids.shape, generator=rng, device=ids.device)
    mask = (uniform < rate) & ordinary_tokens(inputs, tokenizer)
    if texts is None:
        return mask
    return mask & torch.isin(text_numbers(ids, tokenizer), torch.tensor([*texts], device=ids.device))


def masked_logits(models: Models, inputs: Inputs, masked: torch.Tensor) -> torch.Tensor:
    """Return ``word_logits`` at the M positions of ``inputs`` that are ``masked`` [B, L], with masks there."""
    ids = inputs["input_ids"].masked_fill(masked, _id(models.tokenizer, "mask_token_id"))
    return word_logits(models, {**inputs, "input_ids": ids}, masked)


def word_logits(models: Models, inputs: Inputs, places: torch.Tensor) -> torch.Tensor:
    """Return the generator's logits [M, V] (fp32) at the M ``places`` [B, L] of ``inputs`` as they are, in row order.

    V is the size of the tokenizer's vocabulary.
    Tokens that are no text (``not_text``) get -inf: a sample is never one.
    """
    assert models.generator is not None
    with gathered(models.generator, places):
        logits = models.logits("generator", inputs)[0]
    # Checkpoints pad their embedding matrices, each to a size of its own; those rows are no tokens.
    logits = logits[:, : vocabulary(models.tokenizer)]
    forbidden = torch.tensor(not_text(models.tokenizer), device=logits.device)
    return logits.index_fill(1, forbidden, float("-inf"))


@lru_cache(maxsize=4)
def vocabulary(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many tokens there are: asked at every update, where ``len`` copies all of them to count them."""
    return len(tokenizer)


@lru_cache(maxsize=4)
def not_text(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids that stand for no text: markup (padding, mask, separators, unknown) and places kept free.

    BERT's [unused0] and RoBERTa's madeupword0000 occur in no text. Their embeddings are as they were initialised, so
    that an adversary would learn to write them.
    """
    free = {number for piece, number in tokenizer.get_vocab().items() if _KEPT_FREE.fullmatch(piece)}
    return sorted({*tokenizer.all_special_ids, *free})


def _id(tokenizer: Any, name: str) -> int:
    value = getattr(tokenizer, name)
    if value is None:
        raise ValueError(f"the tokenizer {tokenizer.name_or_path} has no {name}")
    return value


@contextmanager
def gathered(masked_lm: PreTrainedModel, positions: torch.Tensor) -> Iterator[None]:
    """Inside, the model's head sees only the hidden states at ``positions`` [B, L]: logits are [1, M, V].

    Done by a hook on the encoder, so that it serves every family's own head unchanged.
    """

    def keep(module: Any, args: Any, output: Any) -> Any:
        output["last_hidden_state"] = output["last_hidden_state"][positions][None]
        return output

    hook = masked_lm.base_model.register_forward_hook(keep)
    try:
        yield
    finally:
        hook.remove()


def refilled(
    models: Models, inputs: Inputs, rate: float, temperature: float = 1.0, texts: Collection[int] | None = None
) -> Inputs:
    """Return ``inputs`` with a share ``rate`` of the tokens masked and drawn by the generator, without gradient.

    ``texts`` is as for ``draw_mask``.
    """
    with torch.no_grad(), models.evaluating("generator"):
        masked = draw_mask(inputs, models.tokenizer, rate, models.rng, texts)
        # Where several processes train together each fills its own rows; who has none fills the first for nobody, so
        # that its random numbers stay in step.
        mine = models.ranks.rows(len(masked))
        own = mine if mine.start < mine.stop else slice(0, 1)
        within, ids = masked[own], inputs["input_ids"].clone()
        others = None if models.ranks.count == 1 else (int(masked[: own.start].sum()), int(masked.sum()))
        ids[own][within] = sample(
            masked_logits(models, {key: value[own] for key, value in inputs.items()}, within),
            models.rng,
            temperature,
            others,
        )
        if others is not None:
            models.cost.forwards["generator"] += len(masked) - len(within)
            filled = torch.zeros_like(ids)
            filled[mine] = ids[mine]
            ids = models.ranks.total(filled)
    return {**inputs, "input_ids": ids}


def gumbel(shape: torch.Size, rng: torch.Generator, device: torch.device) -> torch.Tensor:
    """Return standard Gumbel noise in fp32 (in bf16 the double logarithm overflows)."""
    uniform = torch.empty(shape, dtype=torch.float32, device=device).exponential_(generator=rng)
    return -uniform.log()


def sample(
    logits: torch.Tensor, rng: torch.Generator, temperature: float = 1.0, within: tuple[int, int] | None = None
) -> torch.Tensor:
    """Return one token per row, [M], drawn from softmax(logits / temperature) for ``logits`` [M, V].

    The same distribution as the arg-max of logits plus Gumbel noise, from two uniform numbers per row instead
    of V: first a block of the vocabulary, then a token within it. ``within``, (first, all), says which of ``all`` rows
    these are: each gets the number that it would get among all.
    """
    rows, vocabulary = logits.shape
    blocks = -(-vocabulary // _BLOCK)
    weights = torch.zeros(rows, blocks * _BLOCK, device=logits.device)
    shifted = logits - logits.amax(dim=1, keepdim=True)
    torch.exp(shifted if temperature == 1.0 else shifted / temperature, out=weights[:, :vocabulary])
    weights = weights.view(rows, blocks, _BLOCK)
    block = _invert(weights.sum(dim=2), rng, within)
    inside = weights[torch.arange(rows, device=logits.device), block]
    return block * _BLOCK + _invert(inside, rng, within)


def _invert(weights: torch.Tensor, rng: torch.Generator, within: tuple[int, int] | None) -> torch.Tensor:
    """Draw a column per row with probability proportional to ``weights`` [M, K], by the inverse distribution."""
    # Apple's GPUs have no fp64; over at most a few hundred columns fp32 will do.
    exact = torch.float32 if weights.device.type == "mps" else torch.float64
    cumulative = weights.to(exact).cumsum(dim=1)
    first, rows = within or (0, len(weights))
    uniform = torch.rand(rows, 1, generator=rng, device=weights.device, dtype=exact)[first : first + len(weights)]
    # right=True steps over columns of weight zero, which must never be drawn.
    columns = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)[:, 0]
    return columns.clamp_(max=weights.shape[1] - 1)


class _StraightThrough(torch.autograd.Function):
    """Forward: the embedding of the sampled token. Backward: as if it were ``probabilities @ matrix``."""

    @staticmethod
    def forward(ctx: Any, probabilities: torch.Tensor, ids: torch.Tensor, matrix: torch.Tensor):
        ctx.save_for_backward(matrix)
        return matrix[ids]

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor):
        (matrix,) = ctx.saved_tensors
        return gradients[0].to(matrix.dtype) @ matrix.T, None, None


def soft_inputs(
    model: PreTrainedModel,
    inputs: Inputs,
    masked: torch.Tensor,
    probabilities: torch.Tensor,
    ids: torch.Tensor,
) -> Inputs:
    """Return ``inputs`` with the sampled tokens in place, as embeddings the generator gets gradients through.

    ``probabilities`` [M, V] is the relaxed (Gumbel-softmax) sample and ``ids`` [M] its arg-max; the straight-
    through one-hot of the two is multiplied with ``model``'s own word embeddings.
    """
    matrix = model.get_input_embeddings().get_parameter("weight").detach()
    vocabulary = probabilities.shape[1]
    embedded = matrix[inputs["input_ids"]]
    filled = _StraightThrough.apply(probabilities, ids, matrix[:vocabulary])
    embedded = embedded.index_put(torch.nonzero(masked, as_tuple=True), filled)
    rest = {key: value for key, value in inputs.items() if key != "input_ids"}
    return {**rest, "inputs_embeds": embedded}
