"""Texts to word pieces, and word pieces to length-bucketed batches."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.data.tasks import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from bench.models.inputs import Inputs

_CHUNK = 10_000


@dataclass(frozen=True)
class Encoded:
    """The N texts of a split as word pieces, without padding.

    ``ids`` and ``types`` are flat; row i is ``ids[offsets[i]:offsets[i + 1]]``. ``types`` is None where the
    tokenizer makes no segment ids. ``labels`` [N] is int64 (-1: none) or float32 (nan: none). ``truncated``
    counts rows cut at the maximum length.
    """

    ids: np.ndarray
    types: np.ndarray | None
    offsets: np.ndarray
    labels: np.ndarray
    example_ids: np.ndarray
    pad_id: int
    truncated: int

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Word pieces of every row, [N]."""
        return np.diff(self.offsets)

    def first(self, n: int) -> Encoded:
        """Return the first ``n`` rows, or all where there are fewer; ``truncated`` stays that of all."""
        end = int(self.offsets[: n + 1][-1])
        return dataclasses.replace(
            self,
            ids=self.ids[:end],
            types=None if self.types is None else self.types[:end],
            offsets=self.offsets[: n + 1],
            labels=self.labels[:n],
            example_ids=self.example_ids[:n],
        )

    def tensors(self) -> dict[str, torch.Tensor | int | None]:
        """Return the fields as a checkpoint keeps them."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        # Copied: what is memory-mapped must not be written to, and torch has no way to say so.
        return {k: torch.from_numpy(np.array(v)) if isinstance(v, np.ndarray) else v for k, v in fields.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Any]) -> Encoded:
        """Return what ``tensors`` was made of."""
        fields: dict[str, Any] = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in tensors.items()}
        return cls(**fields)

    def inputs(self, rows: np.ndarray, device: torch.device | str = "cpu") -> Inputs:
        """Return what a model reads for ``rows``, padded on the right to the longest of them."""
        starts, lengths = self.offsets[rows], self.lengths[rows]
        columns = np.arange(lengths.max())
        real = columns < lengths[:, None]
        places = np.where(real, starts[:, None] + columns, 0)
        arrays = {
            "input_ids": np.where(real, self.ids[places], self.pad_id).astype(np.int64),
            "attention_mask": real.astype(np.int64),
        }
        if self.types is not None:
            arrays["token_type_ids"] = np.where(real, self.types[places], 0).astype(np.int64)
        return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def encode(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    is_regression: bool = False,
) -> Encoded:
    """Tokenise ``examples``, cutting the longer text first where a row exceeds ``max_length`` pieces.

    All examples have the same number of texts. ``is_regression`` says of which type the labels are.
    """
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    lengths: list[int] = []
    truncated = 0
    for start in range(0, len(examples), _CHUNK):
        chunk = examples[start : start + _CHUNK]
        columns = list(zip(*(example.texts for example in chunk), strict=True))
        encoding = tokenizer(
            *(list(column) for column in columns),
            truncation="longest_first",
            max_length=max_length,
            return_attention_mask=False,
            return_overflowing_tokens=False,
        )
        lengths += [len(row) for row in encoding["input_ids"]]
        truncated += sum(bool(e.overflowing) for e in encoding.encodings or ())
        ids.append(np.concatenate([np.asarray(row, dtype=np.int32) for row in encoding["input_ids"]]))
        if "token_type_ids" in encoding:
            types.append(np.concatenate([np.asarray(r, dtype=np.int8) for r in encoding["token_type_ids"]]))
    missing = float("nan") if is_regression else -1
    return Encoded(
        ids=np.concatenate(ids),
        types=np.concatenate(types) if types else None,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        labels=np.asarray(
            [missing if e.label is None else e.label for e in examples],
            dtype=np.float32 if is_regression else np.int64,
        ),
        example_ids=np.asarray([e.id for e in examples]),
        pad_id=int(tokenizer.pad_token_id or 0),
        truncated=truncated,
    )


def join(parts: Sequence[Encoded]) -> Encoded:
    """Return the rows of all ``parts`` (made by one tokenizer) as one."""
    lengths = np.concatenate([part.lengths for part in parts])
    types = [part.types for part in parts if part.types is not None]
    return Encoded(
        ids=np.concatenate([part.ids for part in parts]),
        types=np.concatenate(types) if types else None,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        labels=np.concatenate([part.labels for part in parts]),
        example_ids=np.concatenate([part.example_ids for part in parts]),
        pad_id=parts[0].pad_id,
        truncated=sum(part.truncated for part in parts),
    )


class BatchOrder:
    """Which rows make batch number 0, 1, 2, … of an endless, reshuffled, length-bucketed pass over N rows.

    A pure function of (lengths, batch size, seed, position): a run resumes by its position alone, and two runs with
    one seed see the same batches whatever else they do. Every epoch sees every row once. Rows that fill no batch are
    drawn from all; the others are sorted by length within windows, so that a batch holds rows of similar length. A
    window is ``window`` batches, and at most a quarter of the epoch: batches of few rows are not the same every epoch.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, window: int = 10) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.per_epoch = -(-len(lengths) // batch_size)
        self.window = max(1, min(window, self.per_epoch // 4))
        self._epoch, self._batches = -1, [np.empty(0, dtype=np.int64)]

    def __getitem__(self, position: int) -> np.ndarray:
        """Return the row numbers of batch ``position`` (0-based, over all epochs)."""
        epoch, index = divmod(position, self.per_epoch)
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, epoch])
            batches = self._batched(rng.permutation(len(self.lengths)), rng)
            self._epoch, self._batches = epoch, [batches[i] for i in rng.permutation(len(batches))]
        return self._batches[index]

    def _batched(self, rows: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Return the shuffled ``rows`` of an epoch as batches."""
        size, span = self.batch_size, self.batch_size * self.window
        rest, rows = np.split(rows, [len(rows) % size])
        windows = [rows[start : start + span] for start in range(0, len(rows), span)]
        ordered = [part[np.argsort(self.lengths[part], kind="stable")] for part in windows]
        full = [part[start : start + size] for part in ordered for start in range(0, len(part), size)]
        return [rest, *full] if len(rest) else full


class TokenBatchOrder(BatchOrder):
    """As ``BatchOrder``, but with batches of up to ``budget`` tokens, padding included, of any number of rows.

    The loss being a mean over a batch's rows, a row counts the more the longer it and its neighbours are.
    """

    # A row is sorted as if it were shorter by up to this share, drawn anew every epoch: else it had the same company.
    _NOISE = 0.15

    def __init__(self, lengths: np.ndarray, budget: int, seed: int) -> None:
        super().__init__(lengths, 1, seed)
        # The k-th shortest row as sorted is at most so much longer than the k-th shortest: the ends of the batches can
        # be the same in every epoch.
        longest = np.sort(lengths) / (1 - self._NOISE)
        self._ends = _ends(longest, budget)
        # As many batches, but filled alike: greedy ones would leave a small last one to the longest rows.
        low, high = int(longest[-1]), budget
        while low < high:
            middle = (low + high) // 2
            if len(_ends(longest, middle)) > len(self._ends):
                low = middle + 1
            else:
                high = middle
        self._ends = _ends(longest, high)
        self.per_epoch = len(self._ends) + 1

    def _batched(self, rows: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        keys = self.lengths[rows] * (1 - self._NOISE * rng.random(len(rows)))
        return np.split(rows[np.argsort(keys, kind="stable")], self._ends)


def _ends(ordered: np.ndarray, budget: int) -> list[int]:
    """Return where to cut rows of the lengths ``ordered`` [N], ascending, into batches of up to ``budget`` tokens."""
    ends: list[int] = []
    start, rows = 0, range(len(ordered))
    while True:
        first = start
        start = bisect_right(rows, budget, lo=first + 1, key=lambda row: (row + 1 - first) * ordered[row])
        if start >= len(ordered):
            return ends
        ends.append(start)


def by_length(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return batches of rows, longest first, for evaluation: least padding, and memory fails at once if it does."""
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
