"""What judges candidates here: a sentence encoder in the place of the library's, and local word vectors."""

from __future__ import annotations

import functools
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from bench.errors import BenchError
from bench.models.sentences import embed
from bench.models.vectors import WordVectors, read_vectors
from strategies.textattack.library import textattack


class Anything(textattack.constraints.Constraint):
    """In the place of a sentence encoder that is left out: lets every candidate pass."""

    def __init__(self, **options: Any) -> None:
        super().__init__(compare_against_original=True)

    def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
        return True


class LocalEncoder(textattack.constraints.semantics.sentence_encoders.SentenceEncoder):
    """The library's constraint on sentence embeddings, with ``encoder``'s: mean-pooled, of length one."""

    def __init__(self, encoder: str, device: str, model_name: str = "", large: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.encoder, self.device = encoder, device
        # Some of the library's code asks the constraint to encode, some its model.
        self.model = self

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return the embeddings [N, H] of N sentences; the library repeats many, which are encoded once."""
        distinct = list(dict.fromkeys(sentences))
        vectors = dict(zip(distinct, embed(distinct, self.device, self.encoder), strict=True))
        return torch.from_numpy(np.stack([vectors[sentence] for sentence in sentences]))

    def _check_constraint_many(self, transformed_texts: Sequence[Any], reference_text: Any) -> list[Any]:
        """Return the candidates that are similar enough; those too short for a window pass and are not encoded."""
        # In a candidate that lost its word, the library finds no place to compare windows at, and fails.
        changed = [text for text in transformed_texts if text.attack_attrs["newly_modified_indices"]]
        least = self.window_size if self.skip_text_shorter_than_window else 0
        read = [text for text in changed if len(text.words) >= least]
        passed = {id(text) for text in super()._check_constraint_many(read, reference_text)} if read else set()
        for text in changed:
            if len(text.words) < least:
                text.attack_attrs["similarity_score"] = 1.0
                passed.add(id(text))
        return [text for text in changed if id(text) in passed]


class LocalVectors(textattack.shared.WordEmbedding):
    """Word vectors whose neighbours are looked for when asked (the library's own way of doing that fails)."""

    def __init__(self, vectors: WordVectors) -> None:
        super().__init__(vectors.matrix, vectors.index, vectors.words)
        self._nearest = functools.lru_cache(maxsize=2**16)(vectors.nearest)

    def nearest_neighbours(self, index: int, topn: int) -> list[int]:
        """Return the numbers of the ``topn`` words that are nearest by Euclidean distance, nearest first."""
        return self._nearest(index, topn)


@functools.lru_cache(maxsize=1)
def word_vectors(path: str) -> Any:
    """Return the word vectors at ``path``: a folder in TextAttack's format, or a text file."""
    where = Path(path).expanduser()
    if where.is_dir():
        with (where / "wordlist.pickle").open("rb") as file:
            numbered = _PlainData(file, where).load()
        named = {number: word for word, number in numbered.items()}
        return textattack.shared.WordEmbedding(
            np.load(where / "paragram.npy"), numbered, named, np.load(where / "nn.npy")
        )
    # What TextAttack sees as no word or as several is nothing to put in a word's place.
    return LocalVectors(read_vectors(where, wanted=re.compile(r"\w+(?:['-]\w+)*").fullmatch))


class _PlainData(pickle.Unpickler):
    """Reads words and numbers; refuses a file that would run code."""

    def __init__(self, file: Any, folder: Path) -> None:
        super().__init__(file)
        self._folder = folder

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse whatever is not built in."""
        raise BenchError(
            f"{self._folder}/wordlist.pickle would run {module}.{name}, so it is not read; give the option vectors a "
            "text file with a word and its numbers on each line"
        )
