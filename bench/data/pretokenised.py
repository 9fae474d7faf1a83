"""Splits as word pieces, tokenised once and memory-mapped from then on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.encode import Encoded, encode
from bench.data.tasks import Example
from bench.files import digest, is_whole, whole_folder
from bench.observer import Observer, Silent

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FORMAT = 1


def pretokenised(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    cache: Path,
    *,
    is_regression: bool = False,
    observer: Observer | None = None,
) -> Encoded:
    """Return ``encode`` of the same arguments, memory-mapped from ``cache``, where the first call writes it.

    Cached by content: the examples, all that the tokenizer is made of, and ``max_length``.
    """
    home = cache / "encoded" / _key(examples, tokenizer, max_length, is_regression)
    if not is_whole(home, observer or Silent()):
        with whole_folder(home) as part:
            _write(encode(examples, tokenizer, max_length, is_regression=is_regression), part)
    return _read(home)


def _write(data: Encoded, folder: Path) -> None:
    rest: dict[str, Any] = {}
    for field in dataclasses.fields(data):
        value = getattr(data, field.name)
        if isinstance(value, np.ndarray):
            np.save(folder / f"{field.name}.npy", value, allow_pickle=False)
        else:
            rest[field.name] = value
    (folder / "rest.json").write_text(json.dumps(rest))


def _read(folder: Path) -> Encoded:
    arrays: dict[str, Any] = {file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")}
    return Encoded(**arrays, **json.loads((folder / "rest.json").read_text()))


def _key(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int, is_regression: bool) -> str:
    # What the last call left behind in the tokenizer, the next sets anew.
    backend = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    settings = [_FORMAT, type(tokenizer).__name__, tokenizer.model_input_names, tokenizer.pad_token_id]
    rows = [(example.id, example.texts, example.label) for example in examples]
    return digest(*settings, max_length, is_regression, backend, rows)
