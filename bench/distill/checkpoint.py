"""Files and folders that are whole or absent, and the training state of an interrupted run."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

FORMAT = 1


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill that becomes ``path`` when the block ends well, and vanishes if it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=path.parent, suffix=".part"))
    try:
        yield part
        # mkdtemp makes folders for their owner alone; a cache may be shared.
        part.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a file name to write to that becomes ``path`` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=path.parent, suffix=".part"))
    try:
        yield folder / path.name
        os.replace(folder / path.name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
