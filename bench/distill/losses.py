"""The three terms of distillation, for classification and regression."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F

Divergence = Literal["kl", "ce", "mse"]


def supervised(logits: torch.Tensor, labels: torch.Tensor, is_regression: bool) -> torch.Tensor:
    """Return the mean cross-entropy of ``logits`` [B, C], or for regression the mean squared error of [B, 1]."""
    if is_regression:
        return F.mse_loss(logits[:, 0], labels)
    return F.cross_entropy(logits, labels)


def row_divergence(
    teacher: torch.Tensor,
    student: torch.Tensor,
    *,
    is_regression: bool,
    temperature: float = 1.0,
    objective: Divergence = "kl",
) -> torch.Tensor:
    """Return D(T, S) [B]: how far the student [B, C] is from the teacher [B, C], row by row.

    KL(p_T ‖ p_S) at ``temperature`` (times its square, Hinton et al., 2015), or with objective "ce" the
    cross-entropy -sum p_T log p_S; for regression, or with objective "mse", the squared error, a mean over C.
    Gradients flow into both arguments.
    """
    if is_regression or objective == "mse":
        return (student - teacher).square().mean(dim=-1)
    log_student = F.log_softmax(student / temperature, dim=-1)
    log_teacher = F.log_softmax(teacher / temperature, dim=-1)
    against = -log_student if objective == "ce" else log_teacher - log_student
    return (log_teacher.exp() * against).sum(dim=-1) * temperature**2


def divergence(teacher: torch.Tensor, student: torch.Tensor, **kind: Any) -> torch.Tensor:
    """Return the mean over rows of ``row_divergence``, which takes the same arguments."""
    return row_divergence(teacher, student, **kind).mean()
