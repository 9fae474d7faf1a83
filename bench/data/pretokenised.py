"""Splits as word pieces, tokenised once and memory-mapped from then on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.encode import Encoded, encode
from bench.data.tasks import Example
from bench.files import whole_folder

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
) -> Encoded:
    """Return ``encode`` of the same arguments, memory-mapped from ``cache``, where the first call writes it.

    Cached by content: the examples, all that the tokenizer is made of, and ``max_length``.
    """
    home = cache / "encoded" / _key(examples, tokenizer, max_length, is_regression)
    if not (home / "rest.json").is_file():
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
    made_of = json.loads(tokenizer.backend_tokenizer.to_str())
    # Left behind by the last call, and set anew by the next.
    made_of |= {"truncation": None, "padding": None}
    settings = (_FORMAT, type(tokenizer).__name__, tokenizer.model_input_names, tokenizer.pad_token_id)
    digest = hashlib.sha256(repr((*settings, max_length, is_regression)).encode())
    digest.update(json.dumps(made_of, sort_keys=True).encode())
    for example in examples:
        digest.update(repr((example.id, example.texts, example.label)).encode())
    return digest.hexdigest()[:16]
