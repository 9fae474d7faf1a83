"""Gradient accumulation: a batch taken apart into micro-batches whose gradients sum to the batch's."""

from __future__ import annotations

import dataclasses

import torch

from bench.models.inputs import Inputs
from bench.strategy import Batch


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


def micro_batch(batch: Batch, portion: slice) -> Batch:
    """Return the rows of ``batch`` in ``portion``, their rewrites included."""
    if portion == slice(0, len(batch.rows)):
        return batch

    def cut(tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else tensor[portion]

    rewrites = [
        dataclasses.replace(view, student=rows_of(view.student, portion), teacher_logits=cut(view.teacher_logits))
        for view in batch.rewrites
    ]
    return Batch(
        rows=batch.rows[portion],
        inputs=rows_of(batch.inputs, portion),
        labels=batch.labels[portion],
        teacher_logits=cut(batch.teacher_logits),
        rewrites=rewrites,
    )
