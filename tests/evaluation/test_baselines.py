"""Baselines that see too little of a row: exact on rows made so that the right score is known."""

from __future__ import annotations

from random import Random

from bench.data.tasks import GLUE, Example
from bench.evaluation.baselines import baselines


def pairs(n: int, text) -> list[Example]:
    rng = Random(n)
    labels = [i % 2 for i in range(n)]
    return [Example(i, text(rng, label), label) for i, label in enumerate(labels)]


def test_a_word_of_the_second_text_that_tells_the_label_is_found_there_alone():
    rows = pairs(200, lambda rng, label: (f"a {rng.choice('xyz')}", f"b {('no', 'yes')[label]}"))
    scores = baselines(GLUE["rte"], rows[:100], rows[100:])
    assert set(scores) == {"majority", "first text", "second text", "overlap"}
    assert scores["majority"] == 0.5
    assert scores["second text"] == 1.0
    assert scores["first text"] < 0.7
    assert scores["overlap"] < 0.7


def test_what_two_texts_share_is_seen_by_the_overlap_alone():
    def text(rng: Random, label: int) -> tuple[str, str]:
        one = rng.choice("pqrstuv")
        return f"the {one}", f"the {one if label else rng.choice([c for c in 'pqrstuv' if c != one])}"

    rows = pairs(400, text)
    scores = baselines(GLUE["rte"], rows[:200], rows[200:])
    assert scores["overlap"] == 1.0
    assert scores["second text"] < 0.65
    assert scores["first text"] < 0.65


def test_single_texts_have_words_and_bigrams():
    rows = pairs(200, lambda rng, label: (("a b c", "b a c")[label] + rng.choice([" d", " e"]),))
    scores = baselines(GLUE["sst2"], rows[:100], rows[100:])
    assert set(scores) == {"majority", "words", "bigrams"}
    assert scores["words"] < 0.6
    assert scores["bigrams"] == 1.0


def test_scores_are_predicted_and_correlated():
    rng = Random(0)
    words = [f"w{i}" for i in range(6)]
    rows = []
    for i in range(300):
        said = rng.sample(words, 3)
        rows.append(Example(i, ("same", " ".join(said)), float("w0" in said) + float("w1" in said)))
    scores = baselines(GLUE["stsb"], rows[:200], rows[200:])
    assert scores["majority"] == 0.0
    assert scores["second text"] > 0.99
    assert scores["first text"] == 0.0


def test_rows_of_one_label_are_answered_with_it():
    rows = pairs(100, lambda rng, label: ("a", ("no", "yes")[label]))
    scores = baselines(GLUE["rte"], [row for row in rows if row.label == 1], rows)
    assert scores["second text"] == 0.5


def test_a_cap_takes_a_sample_of_the_training_rows_not_the_first_of_them():
    rows = pairs(400, lambda rng, label: ("a", ("no", "yes")[label]))
    by_label = sorted(rows, key=lambda row: row.label)
    assert baselines(GLUE["rte"], by_label, rows, most=50)["second text"] == 1.0
