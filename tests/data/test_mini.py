"""The mini suite: determinism, disjoint splits, the shape of its namesakes, and labels that are right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from random import Random

import pytest

from bench.data.mini import MiniSource
from bench.data.mini.grammar import mini_grammar
from bench.data.mini.pairs import similarity
from bench.data.mini.suite import TASKS, generate
from bench.data.mini.world import SLOTS, Voice, lexicon
from bench.data.source import differences
from bench.data.tasks import GLUE
from bench.errors import UsageError
from bench.evaluation.baselines import baselines

NAMES = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
SOURCE = MiniSource()


def words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def rows(task: str, split: str):
    return SOURCE.load(task).splits[split]


def test_the_nine_tasks_in_glues_order():
    assert tuple(SOURCE.tasks) == NAMES
    assert tuple(SOURCE.tasks) == tuple(name for name in GLUE if name != "ax")


@pytest.mark.parametrize("name", NAMES)
def test_a_task_has_its_namesakes_shape_but_not_its_name(name):
    mini, glue = SOURCE.tasks[name], GLUE[name]
    assert (mini.name, mini.texts, mini.labels, mini.metrics) == (
        glue.name,
        glue.texts,
        glue.labels,
        glue.metrics,
    )
    assert mini.score_range == glue.score_range
    assert mini.title == f"mini {glue.title}"
    data = SOURCE.load(name)
    assert data.source == "mini"
    assert set(data.splits) == {*glue.rows, "shifted"}
    assert differences(data.task, data.rows) == {}
    assert data.rows == SOURCE.count(name) == dict(mini.rows)
    assert 1000 <= data.rows["train"] <= 8000
    assert 300 <= data.rows["dev"] <= 500


@pytest.mark.parametrize("name", NAMES)
def test_ids_texts_and_labels_fit_the_task(name):
    data = SOURCE.load(name)
    for split, examples in data.splits.items():
        assert [example.id for example in examples] == list(range(len(examples)))
        for example in examples:
            assert len(example.texts) == len(data.task.texts)
            assert all(2 <= len(words(text)) <= 36 for text in example.texts)
            if split.startswith("test"):
                assert example.label is None
            elif data.task.is_regression:
                assert isinstance(example.label, float)
            else:
                assert example.label in range(len(data.task.labels))


@pytest.mark.parametrize("name", NAMES)
def test_no_row_occurs_twice_in_any_splits(name):
    texts = [example.texts for examples in SOURCE.load(name).splits.values() for example in examples]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "stsb"])
@pytest.mark.parametrize("split", ["train", "dev", "shifted"])
def test_no_class_is_rare(name, split):
    labels = Counter(example.label for example in rows(name, split))
    n_classes = SOURCE.tasks[name].n_outputs
    assert len(labels) == n_classes
    assert min(labels.values()) > 0.6 * sum(labels.values()) / n_classes


def test_similarity_scores_are_graded_over_the_whole_range():
    scores = [example.label for example in rows("stsb", "train")]
    assert (min(scores), max(scores)) == (0, 5)
    assert all(score == round(score, 1) for score in scores)
    for low in range(5):
        assert sum(low <= score <= low + 1 for score in scores) > 0.05 * len(scores)


def test_the_same_seed_gives_the_same_rows_and_another_seed_others():
    for name in NAMES:
        assert MiniSource(0).fingerprint(name) == SOURCE.fingerprint(name)
        assert MiniSource(1).fingerprint(name) != SOURCE.fingerprint(name)
        assert MiniSource(1).load(name).splits["train"] != SOURCE.load(name).splits["train"]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_rows_do_not_depend_on_the_process_or_its_hash_seed(hash_seed):
    program = "from bench.data.mini import MiniSource as M; s = M(); print(*(s.fingerprint(t) for t in s.tasks))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert printed.stdout.split() == [SOURCE.fingerprint(name) for name in NAMES]


def test_loading_gives_a_copy_nobody_else_sees():
    SOURCE.load("rte").splits["train"].clear()
    assert len(SOURCE.load("rte").splits["train"]) == SOURCE.count("rte")["train"]


def test_an_unknown_task_gets_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'mrpc'"):
        SOURCE.load("mrcp")


def test_the_vocabulary_is_bounded_and_dev_brings_few_new_words():
    seen: dict[str, set[str]] = {"train": set(), "dev": set(), "shifted": set()}
    for name in NAMES:
        for split, vocabulary in seen.items():
            vocabulary.update(word for example in rows(name, split) for text in example.texts for word in words(text))
    assert 400 <= len(seen["train"]) <= 900
    assert len((seen["dev"] | seen["shifted"]) - seen["train"]) <= 5


def test_dev_has_the_words_of_training_and_rare_ones_are_common_in_the_shifted_split():
    def share(split: str) -> float:
        counts = Counter(word for example in rows("sst2", split) for word in words(example.texts[0]))
        both = lexicon().sentiment["good"] + lexicon().sentiment["bad"]
        tail = lexicon().sentiment["good"][15:] + lexicon().sentiment["bad"][15:]
        return sum(counts[word] for word in tail) / sum(counts[word] for word in both)

    assert share("dev") == pytest.approx(share("train"), abs=0.04)
    assert share("train") < 0.3 < 0.4 < share("shifted")


@pytest.mark.parametrize("name", [name for name in NAMES if len(GLUE[name].texts) == 2])
def test_one_text_of_a_pair_does_not_tell_its_label(name):
    data = SOURCE.load(name)
    scores = baselines(data.task, data.splits["train"], data.splits["dev"])
    for text in ("first text", "second text"):
        # Of similarity scores: the share of their variance that is explained.
        gain = scores[text] ** 2 if data.task.is_regression else scores[text] - scores["majority"]
        assert gain <= 0.05, scores


@pytest.mark.parametrize(("name", "most"), [("cola", 0.5), ("sst2", 0.85)])
def test_pairs_of_neighbouring_words_do_not_tell_a_sentences_label(name, most):
    # The teachers, in results/reference/mini-teachers.md, have to be above this.
    data = SOURCE.load(name)
    assert baselines(data.task, data.splits["train"], data.splits["dev"])["bigrams"] <= most


@pytest.mark.parametrize(
    ("name", "most"), [("mrpc", 0.8), ("stsb", 0.5), ("qqp", 0.75), ("mnli", 0.65), ("qnli", 0.7), ("rte", 0.7)]
)
def test_what_two_texts_share_does_not_tell_their_label(name, most):
    data = SOURCE.load(name)
    assert baselines(data.task, data.splits["train"], data.splits["dev"])["overlap"] <= most


def test_generation_is_fast():
    start = time.process_time()
    for name in TASKS:
        generate.__wrapped__(name, 12345)
    assert time.process_time() - start < 5  # about one second on an idle core


@pytest.mark.parametrize("split", ["train", "dev"])
def test_acceptable_sentences_are_in_the_grammar_and_broken_ones_are_not(split):
    grammar = mini_grammar()
    for example in rows("cola", split):
        assert grammar.accepts(words(example.texts[0])) == bool(example.label), example


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("the girl likes herself .", True),
        ("the girl likes himself .", False),
        ("these dogs near the tree sleep .", True),
        ("these dogs near the tree sleeps .", False),
        ("does mary sleep ?", True),
        ("does mary sleeps ?", False),
        ("the old dog has seen .", True),
        ("the dog old sleeps .", False),
        ("", False),
    ],
)
def test_the_grammar_knows_agreement(text, accepted):
    assert mini_grammar().accepts(text.split()) == accepted


@pytest.mark.parametrize(
    ("text", "shows"),
    [
        ("the boy sleeps .", False),
        ("each car are falling .", False),  # "the boys near each car are falling"
        ("these dogs near the tree sleeps .", False),
        ("the sleeps boy .", True),
        ("the boy john sleeps .", True),
    ],
)
def test_the_grammar_knows_which_words_may_be_neighbours(text, shows):
    assert mini_grammar().breaks_neighbours(text.split()) == shows


def test_most_faults_show_in_no_pair_of_neighbours():
    grammar = mini_grammar()
    shown = [grammar.breaks_neighbours(words(e.texts[0])) for e in rows("cola", "train") if e.label == 0]
    assert sum(shown) / len(shown) < 0.02
    assert not any(grammar.breaks_neighbours(words(e.texts[0])) for e in rows("cola", "dev") if e.label == 1)


def nouns(text: str) -> set[str]:
    """Return the usual forms of the things and people ``text`` names."""
    groups = (*lexicon().nouns.values(), *lexicon().people.values())
    usual = {form: concept.key for group in groups for concept in group for form in concept.forms}
    return {usual[word] for word in words(text) if word in usual}


@pytest.mark.parametrize("name", ["mrpc", "qqp"])
def test_paraphrases_name_the_same_nouns(name):
    for example in rows(name, "dev"):
        if example.label == 1:
            assert nouns(example.texts[0]) == nouns(example.texts[1]), example
    assert any(nouns(e.texts[0]) != nouns(e.texts[1]) for e in rows(name, "dev") if e.label == 0)


def test_the_entailed_names_nothing_its_premise_does_not():
    for name in ("mnli", "rte"):
        for example in rows(name, "dev"):
            if example.label == 0:
                assert nouns(example.texts[1]) <= nouns(example.texts[0]), example


def test_an_unlike_event_is_of_another_theme_and_shares_no_slot():
    voice = Voice(Random(0), varied=True)
    for _ in range(200):
        event = voice.event(keep=0.5)
        other = voice.unlike(event)
        assert other.theme != event.theme
        assert other.present(*SLOTS) == event.present(*SLOTS)
        assert similarity(event, other) == 0


@pytest.mark.parametrize("split", ["train", "dev", "dev_mismatched", "shifted"])
def test_the_denied_contradicts_the_insisted_on(split):
    denials = lexicon().polarity[1].forms

    def denies(text: str) -> bool:
        return any(form in text.lower() for form in denials)

    for example in rows("mnli", split):
        one, two = map(denies, example.texts)
        assert (one == two) or example.label != 0, example
        assert (one != two) or example.label != 2, example
    neutral = [denies(example.texts[1]) for example in rows("mnli", split) if example.label == 1]
    assert 0.2 < sum(neutral) / len(neutral) < 0.8


def test_mismatched_genres_are_not_those_of_training():
    def premises(split: str) -> str:
        return " ".join(example.texts[0] for example in rows("mnli", split)).lower()

    for split in ("train", "dev", "test"):
        assert "according to the report" in premises(split)
        assert "you know" not in premises(split)
    for split in ("dev_mismatched", "test_mismatched"):
        assert "according to the report" not in premises(split)
        assert "you know" in premises(split)


def test_the_pronoun_is_resolved_as_the_lexicon_says():
    facts = {}
    for line in lexicon().because:
        verbs, doer_is, other_is = (part.strip() for part in line.split(">"))
        for of_doer, said in ((1, doer_is), (0, other_is)):
            facts |= {(verb, word): of_doer for verb in verbs.split("|") for word in said.split("|")}
    for example in rows("wnli", "dev"):
        sentence, named = (words(text) for text in example.texts)
        verb = next(word for word in sentence if any(word == known for known, _ in facts))
        said = sentence[sentence.index("was") + 1]
        assert named[4] in ("who", "whom")
        assert example.label == int((named[4] == "who") == bool(facts[verb, said])), example


def test_similarity_counts_what_two_events_share():
    voice = Voice(Random(0), varied=True)
    event = voice.event(keep=1.0)
    assert similarity(event, event) == 5
    assert similarity(event, voice.changed(event, "who")) == pytest.approx(5 * 10 / 12)
    assert similarity(event, event.without("when")) == pytest.approx(5 * 11.5 / 12)


def test_a_changed_slot_is_neither_the_same_nor_the_opposite():
    voice = Voice(Random(0), varied=True)
    for _ in range(300):
        event = voice.event(keep=1.0)
        for slot in ("did", "what_is", "how", "who"):
            was, now = getattr(event, slot), getattr(voice.changed(event, slot), slot)
            assert now is not was
            assert lexicon().opposite.get(was) is not now


def test_a_text_of_the_plain_register_says_the_usual_form_and_the_next_says_another():
    doctor = lexicon().people["city"][-1]

    def share(varied: bool, anew: bool) -> float:
        voices = (Voice(Random(i), varied) for i in range(2000))
        said = Counter((voice.anew() if anew else voice).word(doctor) for voice in voices)
        return said["doctor"] / 2000

    assert share(varied=False, anew=False) == pytest.approx(0.9, abs=0.03)
    assert share(varied=False, anew=True) == pytest.approx(0.1, abs=0.03)
    assert share(varied=True, anew=False) == pytest.approx(0.5, abs=0.04)
