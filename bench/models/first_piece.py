"""A classifier without the part of its last block that nobody reads: its head looks at the first word piece alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def last_attention(model: Any) -> Any | None:
    """Return the module after whose output the last block goes on piece by piece; None where that is not known."""
    base = model.base_model
    layers = getattr(getattr(base, "encoder", getattr(base, "transformer", None)), "layer", None)
    if layers is None or not len(layers):
        return None
    # DistilBERT adds what comes into a block, and normalises, behind its attention; others inside.
    return getattr(layers[-1], "sa_layer_norm", getattr(layers[-1], "attention", None))


@contextmanager
def first_piece_alone(model: Any) -> Iterator[None]:
    """Inside, the feed-forward part of ``model``'s last block is worked out for the first piece of each row alone.

    Its logits stay the same but for rounding where its head reads no other, and with L layers about 2 / 3L of the work
    is saved. Nothing changes where ``last_attention`` is None.
    """
    attention = last_attention(model)
    if attention is None:
        yield
        return
    hook = attention.register_forward_hook(_first)
    try:
        yield
    finally:
        hook.remove()


def _first(module: Any, args: Any, output: Any) -> Any:
    """Return the output of an attention, [B, L, H] or a tuple that begins with it, for the first piece: [B, 1, H]."""
    return (output[0][:, :1], *output[1:]) if isinstance(output, tuple) else output[:, :1]
