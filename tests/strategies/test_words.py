"""Words and gaps, and AEDA, which needs nothing else."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from bench.data.tasks import GLUE, Example
from bench.errors import UsageError
from bench.rewriter import Context
from bench.spec import StrategySpec
from strategies.aeda import AEDA, MARKS
from strategies.words import STOP_WORDS, Words, core, in_place_of

pytestmark = pytest.mark.texts_alone
ODD = [
    "one",
    "  two  words ",
    "tab\there\nnew line",
    '(quoted), "text" don\'t!',
    "你好 世界 😀",
    "... !!! ?",
    "  naïve",
]
TEXT = "a film that keeps its audience guessing until the very last scene of all"


@pytest.mark.parametrize("text", [*ODD, "", "   "])
def test_a_text_is_its_words_and_gaps(text):
    words = Words.of(text)
    assert words.words == text.split()
    assert str(words) == text


def test_inserting_and_removing_leave_the_rest_as_it_was():
    for place, expected in [(0, "  X a\tb "), (1, "  a\tX b "), (2, "  a\tb X ")]:
        words = Words.of("  a\tb ")
        words.insert(place, "X")
        assert str(words) == expected
    for place, expected in [(0, " b\tc\n"), (1, " a\tc\n"), (2, " a  b\n")]:
        words = Words.of(" a  b\tc\n")
        words.remove(place)
        assert str(words) == expected


@pytest.mark.parametrize(
    ("word", "plain", "replaced"),
    [("(Dogs),", "Dogs", "(Cats),"), ("dog's", "dog's", "cats"), ("_x_", "x", "_cats_"), ("a.b", "a.b", "cats")],
)
def test_a_word_is_looked_up_without_its_punctuation_and_put_back_with_it(word, plain, replaced):
    assert core(word) == plain
    assert in_place_of(word, "cats") == replaced


def test_punctuation_has_no_core():
    assert [core(word) for word in ("...", "--", "'", "")] == ["", "", "", ""]


def test_the_stop_words_are_those_of_the_authors_and_rests_of_verbs():
    assert len(STOP_WORDS) == 127 + 5
    assert {"i", "the", "not", "very", "now", "re"} <= STOP_WORDS
    assert not {"film", "good", "one", "never"} & STOP_WORDS


def aeda(text, seed=0, **options):
    (made,) = AEDA(**options).rewrite_texts([text], [random.Random(seed)], Context(GLUE["sst2"]))
    return made


def test_aeda_only_inserts_marks_from_one_to_a_third_of_the_words():
    n = len(TEXT.split())
    assert n == 14
    counts, where = Counter(), Counter()
    for seed in range(4000):
        made = aeda(TEXT, seed)
        assert re.sub(rf" [{MARKS}]$|[{MARKS}] ", "", made) == TEXT
        marks = [word for word in made.split() if word in MARKS]
        counts[len(marks)] += 1
        where.update(marks)
    # Uniform over 1 to 14 // 3; four standard deviations of a binomial.
    assert set(counts) == {1, 2, 3, 4}
    for count in counts.values():
        assert abs(count - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5
    assert set(where) == set(MARKS)
    total = where.total()
    for count in where.values():
        assert abs(count - total / 6) < 4 * (total * 5 / 36) ** 0.5


def test_aeda_reaches_every_place_between_the_words_and_both_ends():
    places = set()
    for seed in range(400):
        words = aeda("a b c", seed).split()
        places.update(i for i, word in enumerate(words) if word in MARKS)
    assert places == {0, 1, 2, 3}


@pytest.mark.parametrize("text", ODD)
def test_aeda_keeps_odd_texts_but_for_its_marks(text):
    made = aeda(text, seed=3)
    left = iter(made.split())
    assert all(word in left for word in text.split())
    assert len(made.split()) == len(text.split()) + 1
    assert made == aeda(text, seed=3)


def test_aeda_of_a_pair_changes_what_the_task_lets_it_and_no_blank():
    for task, changed in [("mnli", [False, True]), ("mrpc", [True, True])]:
        (forms,) = AEDA(side="task").rewrite([Example(0, ("a b c", "d e f"))], [random.Random(0)], Context(GLUE[task]))
        assert [new != old for new, old in zip(forms[0], ("a b c", "d e f"), strict=True)] == changed
    (forms,) = AEDA(copies=3).rewrite([Example(0, ("", "  "))], [random.Random(0)], Context(GLUE["mrpc"]))
    assert forms == [("", "  ")] * 3


@pytest.mark.parametrize("text", ["aeda[ratio=0]", "aeda[ratio=1.5]", "aeda[copies=0]", "eda[alpha=0]", "eda[alpha=2]"])
def test_impossible_options_are_refused(text):
    with pytest.raises(UsageError):
        StrategySpec.parse(text)
