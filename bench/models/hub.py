"""The hub of models: what of it is on this machine, and whether it can be reached."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def cached_model(name: str) -> Path | None:
    """Return the folder in which the hub's cache holds configuration and weights of the model ``name``, or None."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        there = [try_to_load_from_cache(name, file) for file in ("config.json", *_WEIGHTS)]
    except HFValidationError:
        return None
    config, *weights = (Path(file) if isinstance(file, str) else None for file in there)
    return config.parent if config is not None and any(weights) else None


def unreachable() -> str | None:
    """Return why the hub cannot be reached, or None if it can: asked once per process, and before a library asks
    it, whose many tries take a minute."""
    from huggingface_hub import constants

    return _unreachable(constants.ENDPOINT)


@cache
def _unreachable(endpoint: str) -> str | None:
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=10).close()
    except urllib.error.HTTPError:
        return None  # it answers
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        # The library has certificates of its own.
        return None if isinstance(reason, ssl.SSLError) else f"{endpoint} does not answer: {reason}"
    return None
