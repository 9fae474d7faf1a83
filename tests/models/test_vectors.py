from __future__ import annotations

import numpy as np
import pytest

from bench.errors import BenchError
from bench.models.vectors import read_vectors


def test_words_and_numbers_are_read_up_to_the_limit(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("film 1 0.5\nnew-york -2 0\n<unk> 3 3\nlater 4 4\n")
    vectors = read_vectors(path, limit=3)
    assert vectors.words == ("film", "new-york", "<unk>")
    assert vectors.matrix.dtype == np.float32
    assert vectors.matrix.tolist() == [[1, 0.5], [-2, 0], [3, 3]]
    assert vectors.index == {"film": 0, "new-york": 1, "<unk>": 2}
    # The limit counts lines, so that what is left out moves no other word into it.
    assert read_vectors(path, limit=3, wanted=str.isalpha).words == ("film",)


@pytest.mark.parametrize("normalise", [False, True])
def test_neighbours_are_those_by_euclid_and_with_length_one_by_cosine(tmp_path, normalise):
    matrix = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    path = tmp_path / "vectors.txt"
    path.write_text("\n".join(f"w{i} " + " ".join(map(str, row)) for i, row in enumerate(matrix)))
    vectors = read_vectors(path)
    if normalise:
        vectors = vectors.normalised()
        cosine = matrix @ matrix.T / np.outer(*[np.linalg.norm(matrix, axis=1)] * 2)
        distances = 1 - cosine
    else:
        distances = np.linalg.norm(matrix[:, None] - matrix[None], axis=2)
    for row in range(60):
        expected = [i for i in np.argsort(distances[row]).tolist() if i != row]
        assert vectors.nearest(row, 7) == expected[:7]
    assert len(vectors.nearest(0, 100)) == 59


@pytest.mark.parametrize(
    ("content", "words"),
    [("400000 50\na 1 2\n", "line 2: 2 numbers"), ("a 1 x\n", "line 1, is no word"), ("", "no word vectors")],
)
def test_a_file_of_no_vectors_is_named(tmp_path, content, words):
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    with pytest.raises(BenchError, match=words):
        read_vectors(path)
