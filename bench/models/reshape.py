"""Changing how a model computes: fewer layers, activations computed again, compiled layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from bench.errors import BenchError, UsageError


def chosen_layers(total: int, layers: int | tuple[int, ...], role: str = "model") -> tuple[int, ...]:
    """Return the layer numbers to keep of ``total``: those given, or that many evenly from first to last."""
    if isinstance(layers, int):
        if layers > total:
            raise UsageError(f"{role}.layers={layers}, but the model has only {total} layers")
        if layers <= 1:
            return tuple(range(total)) if layers <= 0 else (0,)
        return tuple(round(i * (total - 1) / (layers - 1)) for i in range(layers))
    if not layers or min(layers) < 0 or max(layers) >= total:
        raise UsageError(f"{role}.layers={layers}: the model's layers are numbered 0 to {total - 1}")
    return layers


def keep_layers(model: PreTrainedModel, layers: int | tuple[int, ...]) -> PreTrainedModel:
    """Return ``model`` with only the ``layers`` of its encoder (0 or (): all of them)."""
    total = model.config.num_hidden_layers
    if not layers or chosen_layers(total, layers) == tuple(range(total)):
        return model
    parent, name = _layer_stack(model)
    old = getattr(parent, name)
    setattr(parent, name, nn.ModuleList(old[i] for i in chosen_layers(total, layers)))
    model.config.num_hidden_layers = len(getattr(parent, name))
    return model


def _layer_stack(model: PreTrainedModel) -> tuple[nn.Module, str]:
    """Return the module that holds the encoder's layers, and the name under which it does."""
    stacks = [
        (parent, name)
        for parent in model.base_model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == model.config.num_hidden_layers
    ]
    if len(stacks) != 1:
        raise BenchError(f"cannot tell which modules are the encoder layers of a {model.config.model_type} model")
    return stacks[0]


def encoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """Return the layers of ``model``'s encoder, first to last."""
    parent, name = _layer_stack(model)
    return list(getattr(parent, name))


def recompute_activations(model: PreTrainedModel, on: bool) -> None:
    """Have the encoder's layers compute their activations again in the backward pass, or (off) keep them.

    The gradients stay the same, dropout included. transformers' own checkpointing does so in training mode only,
    but a generator's gradient comes through teacher and student in eval mode.
    """
    for module in model.modules():
        if getattr(vars(module).get("forward"), "func", None) is _recomputed:
            del module.forward
    for layer in encoder_layers(model) if on else ():
        layer.forward = partial(_recomputed, layer.forward)


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)


def compile_layers(model: PreTrainedModel, backend: str | Callable[..., Any] = "inductor") -> None:
    """Have torch.compile make kernels of the encoder's layers, one for texts of every length.

    Layer by layer, since the layers of a model share what is compiled, and hooks on the model stay as they are.
    """
    for layer in encoder_layers(model):
        if layer._compiled_call_impl is None:
            layer.compile(dynamic=True, backend=backend)
