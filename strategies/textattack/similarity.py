"""What judges candidates here: a sentence encoder in the place of the library's, and local word vectors."""

from __future__ import annotations

import functools
import math
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from bench.errors import BenchError
from bench.models.sentences import embed
from bench.models.vectors import WordVectors, read_vectors
from strategies.textattack.library import textattack

Text = Any  # textattack.shared.AttackedText


class Anything(textattack.constraints.Constraint):
    """In the place of a sentence encoder that is left out: lets every candidate pass."""

    def __init__(self, **options: Any) -> None:
        super().__init__(compare_against_original=True)

    def _check_constraint(self, transformed_text: Text, reference_text: Text) -> bool:
        return True


class SimilarMeaning(textattack.constraints.Constraint):
    """Lets a candidate pass whose embedding is near the reference's, by cosine or one minus the angle over pi.

    Compared are ``window_size`` words around the change (none: all); a shorter candidate passes where
    ``skip_text_shorter_than_window`` says so.
    """

    def __init__(
        self,
        encoder: str,
        device: str,
        threshold: float,
        metric: str,
        compare_against_original: bool = True,
        window_size: int | None = None,
        skip_text_shorter_than_window: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(compare_against_original)
        self.encoder, self.device, self.threshold, self.metric = encoder, device, threshold, metric
        self.window = window_size or math.inf
        self.shortest = self.window if skip_text_shorter_than_window else 0

    def _check_constraint(self, transformed_text: Text, reference_text: Text) -> bool:
        return bool(self._check_constraint_many([transformed_text], reference_text))

    def _check_constraint_many(self, transformed_texts: Sequence[Text], reference_text: Text) -> list[Text]:
        pairs: dict[int, tuple[str, str]] = {}
        for number, text in enumerate(transformed_texts):
            changed = next(iter(text.attack_attrs["newly_modified_indices"]), None)
            # A candidate that lost its word has no place to compare windows at, and does not pass.
            text.attack_attrs["similarity_score"] = -math.inf if changed is None else 1.0
            if changed is not None and len(text.words) >= self.shortest:
                windows = (each.text_window_around_index(changed, self.window) for each in (reference_text, text))
                pairs[number] = tuple(windows)
        # Many windows are one text.
        distinct = list(dict.fromkeys(window for pair in pairs.values() for window in pair))
        vectors = dict(zip(distinct, embed(distinct, self.device, self.encoder), strict=True)) if distinct else {}
        for number, (before, after) in pairs.items():
            cosine = min(1.0, float(vectors[before] @ vectors[after]))
            score = cosine if self.metric == "cosine" else 1 - math.acos(max(-1.0, cosine)) / math.pi
            transformed_texts[number].attack_attrs["similarity_score"] = score
        return [text for text in transformed_texts if text.attack_attrs["similarity_score"] >= self.threshold]


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
