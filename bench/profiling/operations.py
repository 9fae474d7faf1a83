"""Floating-point operations: how many an update needs, how many were done, how fast the machine multiplies.

One multiply-add is two operations. Only matrix products and attention count; everything else is small.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers import PreTrainedModel


def encoder_forward(model: PreTrainedModel, lengths: torch.Tensor) -> float:
    """Return the operations of one forward of ``model``'s encoder over rows of ``lengths`` [B] real pieces.

    Every linear layer counts once per piece (a pooler or classification head once per row), and in each layer
    attention's two products, 4·l²·H for a row of l pieces.
    """
    tokens, rows = float(lengths.sum()), len(lengths)
    operations = 0.0
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not _is_masked_lm_head(name):
            per_row = any(part in name for part in ("pooler", "classifier"))
            operations += 2.0 * module.weight.numel() * (rows if per_row else tokens)
    width = model.config.hidden_size
    attention = 4.0 * float((lengths.double() ** 2).sum()) * width * model.config.num_hidden_layers
    return operations + attention


def _is_masked_lm_head(name: str) -> bool:
    return name.startswith(("cls.", "lm_head.", "vocab_", "generator_"))


def head_forward(model: PreTrainedModel, masked: float) -> float:
    """Return the operations of the masked-LM head at ``masked`` positions."""
    linear = [m for n, m in model.named_modules() if isinstance(m, nn.Linear) and _is_masked_lm_head(n)]
    return sum(2.0 * m.weight.numel() * masked for m in linear)


def necessary_student_step(
    student: PreTrainedModel,
    lengths: torch.Tensor,
    *,
    views: int = 0,
    new: int | None = None,
    teacher: PreTrainedModel | None = None,
    generator: PreTrainedModel | None = None,
    masked: float = 0.0,
) -> float:
    """Return the operations one student update needs.

    The student forward and backward (twice a forward) on the clean rows and on ``views`` views; for each view
    that is ``new`` (by default all; a view used before is not made again), ``teacher`` forward once, and
    ``generator`` forward once with its head at the ``masked`` positions. The teacher's answers to clean text are
    cached and free. So is the optimiser, which multiplies no matrices.
    """
    new = views if new is None else new
    need = 3 * (1 + views) * encoder_forward(student, lengths)
    if teacher is not None:
        need += new * encoder_forward(teacher, lengths)
    if generator is not None:
        need += new * (encoder_forward(generator, lengths) + head_forward(generator, masked))
    return need


def necessary_generator_step(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    generator: PreTrainedModel,
    lengths: torch.Tensor,
    masked: float,
) -> float:
    """Return the operations one generator update needs.

    The generator forward and backward with its head at ``masked`` positions; teacher and student forward, and
    backward to their inputs only; the gradient of the sample through both embedding matrices.
    """
    need = 3 * (encoder_forward(generator, lengths) + head_forward(generator, masked))
    for model in (teacher, student):
        need += 2 * encoder_forward(model, lengths)
        need += 2.0 * model.get_input_embeddings().get_parameter("weight").numel() * masked
    return need


# torch's counter knows the attention kernels of GPUs only.
_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *a, **n: sdpa_flop_count(q, k, v),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda gradient, q, k, v, *a, **n: sdpa_backward_flop_count(gradient, q, k, v)
    ),
}


def counted(action: Callable[[], object]) -> float:
    """Return the operations that torch's counter sees in ``action``."""
    with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        action()
    return float(counter.get_total_flops())


def matmul_peak(tokens: int, width: int, inner: int, device: torch.device, dtype: torch.dtype) -> float:
    """Return the machine's best measured rate, in operations per second, at [tokens, width] x [width, inner]."""
    left = torch.randn(tokens, width, device=device, dtype=dtype)
    right = torch.randn(width, inner, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(30):
        start = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2.0 * tokens * width * inner / best
