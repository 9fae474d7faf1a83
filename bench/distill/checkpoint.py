"""The training state of an interrupted run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from bench.files import whole_file

FORMAT = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` to ``path``."""
    with whole_file(path) as part:
        torch.save({"format": FORMAT, **state}, part)


def load(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """Return (state, None), or (None, None) if there is no file, or (None, why) if it cannot be used.

    An unusable file is set aside as ``<name>.corrupt``, so that it is neither resumed from nor lost.
    """
    if not path.exists():
        return None, None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["format"] != FORMAT:
            raise ValueError(f"format {state['format']}, expected {FORMAT}")
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        aside = path.with_name(path.name + ".corrupt")
        os.replace(path, aside)
        return None, f"unusable checkpoint set aside as {aside} ({type(error).__name__}: {error})"
    return state, None
