"""Word vectors from a text file (GloVe's format), and which words are nearest to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError


@dataclass(frozen=True)
class WordVectors:
    """Words with their vectors, ``matrix`` [N, D] (float32)."""

    words: tuple[str, ...]
    matrix: np.ndarray

    @cached_property
    def index(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def _half_squares(self) -> np.ndarray:
        return 0.5 * np.square(self.matrix).sum(axis=1)

    def normalised(self) -> WordVectors:
        """Return these words with vectors of length one, among which Euclid's neighbours are those by cosine."""
        lengths = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        return WordVectors(self.words, self.matrix / lengths.clip(min=1e-12))

    def nearest(self, row: int, count: int) -> list[int]:
        """Return the ``count`` other rows nearest to ``row`` by Euclidean distance, nearest first."""
        # |x - q|² / 2 without |q|², which is the same for every x.
        distances = self._half_squares - self.matrix @ self.matrix[row]
        distances[row] = np.inf
        return np.argsort(distances, kind="stable")[: min(count, len(self.words) - 1)].tolist()


def read_vectors(path: str | Path, limit: int | None = None, wanted: Callable[[str], Any] = bool) -> WordVectors:
    """Return the ``wanted`` ones among the first ``limit`` words of the text file at ``path``.

    Each line is a word and its numbers, apart by single spaces; there is no header. Raises BenchError with the number
    of the first line that is anything else.
    """
    words: list[str] = []
    rows: list[np.ndarray] = []
    with Path(path).expanduser().open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            word, *values = line.rstrip().split(" ")
            try:
                row = np.array(values, dtype=np.float32)
            except ValueError as error:
                raise BenchError(f"{path}, line {number}, is no word with its vector: {error}") from error
            if not len(row) or (rows and len(row) != len(rows[0])):
                raise BenchError(
                    f"{path}, line {number}: {len(row)} numbers; a GloVe file has a word and its vector in each line, "
                    f"all of one length, and no header"
                )
            if wanted(word):
                words.append(word)
                rows.append(row)
            if number == limit:
                break
    if not rows:
        raise BenchError(f"{path} holds no word vectors")
    return WordVectors(tuple(words), np.stack(rows))
