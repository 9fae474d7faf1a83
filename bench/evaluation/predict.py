"""Logits of a model over a whole split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from bench.data.encode import Encoded, by_length
from bench.models.inputs import accepted
from bench.models.ranks import ALONE, Ranks


@torch.inference_mode()
def predict(
    model: PreTrainedModel,
    data: Encoded,
    accelerator: Any,
    batch_size: int = 128,
    progress: Callable[[int, int], None] = lambda done, total: None,
    ranks: Ranks = ALONE,
) -> np.ndarray:
    """Return the logits [N, C] (fp32) of ``model`` in eval mode for the N rows of ``data``, in their order.

    ``progress`` is called after each batch with the number of rows done and N. Each of several ``ranks`` that all call
    it computes a part of the batches.
    """
    done = 0
    was_training = model.training
    model.eval()
    logits = np.zeros((len(data), int(model.config.num_labels or 1)), dtype=np.float32)
    for number, rows in enumerate(by_length(data.lengths, batch_size)):
        if number % ranks.count != ranks.number:
            continue
        inputs = accepted(model, data.inputs(rows, accelerator.device))
        with accelerator.autocast():
            logits[rows] = model(**inputs).logits.float().cpu().numpy()
        done += len(rows)
        progress(done, len(data))
    model.train(was_training)
    if ranks.count > 1:
        return ranks.total(torch.from_numpy(logits).to(accelerator.device)).cpu().numpy()
    return logits
