"""EDA's four operations, against what the paper says of each."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from checkout import ROOT

from bench.data.tasks import GLUE
from bench.errors import BenchError
from bench.rewriter import Context
from strategies import eda
from strategies.eda import EDA
from strategies.wordnet import senses, wordnet
from strategies.words import Words

pytestmark = pytest.mark.texts_alone
KNOWN = {f"k{i}": (f"s{i}-one", f"s{i} two") for i in range(10)}
TEXT = " ".join([*KNOWN, *(f"u{i}" for i in range(10))])


@pytest.fixture
def known(monkeypatch):
    """A small dictionary in place of WordNet: k0 … k9 have two synonyms each, other words none."""
    monkeypatch.setattr(eda, "_synonyms", lambda word: KNOWN.get(word, ()))


def apply(operation, text, alpha, seed):
    words = Words.of(text)
    operation(words, alpha, random.Random(seed))
    return str(words)


def rewrite(text, seed, **options):
    (made,) = EDA(**options).rewrite_texts([text], [random.Random(seed)], Context(GLUE["sst2"]))
    return made


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(("alpha", "n"), [(0.1, 2), (0.25, 5), (0.01, 1), (0.6, 10)])
def test_n_different_words_that_have_synonyms_are_replaced(alpha, n):
    replaced = Counter()
    for seed in range(300):
        made = apply(eda._replace, TEXT, alpha, seed)
        new = [w for w in KNOWN if w not in made.split()]
        assert len(new) == n
        expected = made
        for word in new:
            (synonym,) = [s for s in KNOWN[word] if s in made]
            expected = expected.replace(synonym, word)
            replaced[synonym] += 1
        assert expected == TEXT
    assert len(replaced) == 20


@pytest.mark.usefixtures("known")
def test_a_replaced_word_is_replaced_wherever_it_stands_and_keeps_case_and_punctuation():
    made = {apply(eda._replace, "K1, u1 (k1) k1's u2", 0.1, seed) for seed in range(20)}
    assert made == {"S1-one, u1 (s1-one) k1's u2", "S1 two, u1 (s1 two) k1's u2"}


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(("alpha", "n"), [(0.1, 2), (0.25, 5)])
def test_n_synonyms_are_inserted_and_nothing_else_changes(alpha, n):
    places = Counter()
    for seed in range(400):
        made = apply(eda._insert, TEXT, alpha, seed)
        words = made.replace(" two", "-two").split()
        new = [i for i, word in enumerate(words) if word not in TEXT.split()]
        assert len(new) == n
        assert [word for i, word in enumerate(words) if i not in new] == TEXT.split()
        assert {words[i].replace("-two", " two") for i in new} <= {s for both in KNOWN.values() for s in both}
        places.update(new)
    assert set(places) == set(range(20 + n))


@pytest.mark.parametrize("n", [1, 2])
def test_n_pairs_of_words_change_places(n):
    words = TEXT.split()
    moved = Counter()
    for seed in range(400):
        made = apply(eda._swap, TEXT, n / 20, seed).split()
        assert sorted(made) == sorted(words)
        places = [i for i in range(20) if made[i] != words[i]]
        # Two swaps may share a word (3 places) or undo each other (0).
        assert len(places) in {1: {2}, 2: {0, 3, 4}}[n]
        moved.update(places)
    assert set(moved) == set(range(20))
    assert apply(eda._swap, " a\tb  c ", 0.1, 0) in {" b\ta  c ", " c\tb  a ", " a\tc  b "}


def test_each_word_is_deleted_with_probability_alpha_and_never_all():
    gone = 0
    for seed in range(2000):
        made = apply(eda._delete, TEXT, 0.1, seed).split()
        left = iter(TEXT.split())
        assert all(word in left for word in made)
        gone += 20 - len(made)
    assert abs(gone - 4000) < 4 * (40_000 * 0.1 * 0.9) ** 0.5
    kept = Counter(apply(eda._delete, "a b c", 1.0, seed) for seed in range(300))
    assert set(kept) == {"a", "b", "c"}


@pytest.mark.usefixtures("known")
def test_a_rewrite_is_one_operation_each_as_likely_as_the_others():
    kinds = Counter()
    for seed in range(2000):
        made = rewrite(TEXT, seed)
        words = made.replace(" two", "-two").split()
        new = any("-" in word for word in words)
        if new:
            kinds["insert" if len(words) > 20 else "replace"] += 1
        else:
            # The share of deletions that delete nothing, 0.9^20, cannot be told from a swap that undid itself.
            kinds["delete" if len(words) < 20 else "swap" if made != TEXT else "nothing"] += 1
    sd = (2000 * 0.25 * 0.75) ** 0.5
    assert abs(kinds["insert"] - 500) < 4 * sd
    assert abs(kinds["replace"] - 500) < 4 * sd
    assert abs(kinds["delete"] - 500 * (1 - 0.9**20)) < 4 * sd
    assert abs(kinds["nothing"] - 500 * 0.9**20) < 4 * sd
    assert rewrite(TEXT, 5) == rewrite(TEXT, 5)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("text", ["u1", "...", "!!! ???", "😀", "  u1  "])
def test_a_text_that_offers_nothing_stays(text):
    made = {rewrite(text, seed) for seed in range(20)}
    assert made <= {text, "??? !!!", "!!!", "???"}
    assert all(m.strip() for m in made)


@pytest.fixture
def corpus():
    """NLTK's WordNet, where NLTK finds it: set NLTK_DATA."""
    pytest.importorskip("nltk")
    wordnet.cache_clear()
    eda._synonyms.cache_clear()
    try:
        yield wordnet()
    except BenchError as error:
        pytest.skip(str(error))
    wordnet.cache_clear()
    eda._synonyms.cache_clear()


@pytest.mark.usefixtures("corpus")
def test_synonyms_are_wordnet_s_other_lemmas_sorted_and_none_for_stop_words():
    assert {"movie", "motion picture", "pic"} <= set(eda._synonyms("films"))
    for word in ("film", "love", "dogs"):
        found = eda._synonyms(word)
        assert list(found) == sorted(set(found))
        assert word not in found
    assert eda._synonyms("the") == eda._synonyms("re") == eda._synonyms("zqx") == eda._synonyms("") == ()


@pytest.mark.usefixtures("corpus")
def test_a_sentence_is_rewritten_with_wordnet():
    made = {rewrite("A charming film.", seed) for seed in range(400)}
    assert "A charming movie." in made
    assert "film. charming A" in made
    assert all("_" not in text for text in made)


@pytest.mark.filterwarnings("ignore:The multilingual functions")
def test_wordnet_is_what_nltk_reads(corpus):
    assert (type(corpus).__module__, type(corpus).__name__) == ("strategies.wordnet", "Reader")
    plain = type(corpus).__mro__[1](corpus.root, None)
    assert corpus.map30 == plain.map30
    for word in ("film", "films", "better", "love", "slow", "zqx", "in", "well", "Galore", "many"):
        ours, theirs = corpus.synsets(word), plain.synsets(word)
        assert [repr(sense) for sense in ours] == [repr(sense) for sense in theirs]
        assert list(map(list, senses(word))) == [sense.lemma_names() for sense in theirs]
        assert [sense.definition() for sense in ours] == [sense.definition() for sense in theirs]


def test_with_a_release_of_nltk_not_tried_it_is_nltk_s_own_reader():
    code = (
        "import nltk; nltk.__version__ = '3.99'; from strategies.wordnet import senses, wordnet\n"
        "print(type(wordnet()).__module__, type(wordnet()).__name__, len(senses('film')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    if "finds no WordNet" in done.stderr:
        pytest.skip("NLTK finds no WordNet: set NLTK_DATA")
    assert done.stdout == "nltk.corpus.reader.wordnet WordNetCorpusReader 7\n", done.stderr


def test_without_wordnet_it_says_what_to_type(monkeypatch):
    nltk = pytest.importorskip("nltk")
    corpus = pytest.importorskip("nltk.corpus")
    monkeypatch.setattr(nltk.data, "path", [os.devnull])
    monkeypatch.setattr(corpus, "wordnet", corpus.LazyCorpusLoader("wordnet", corpus.WordNetCorpusReader, None))
    wordnet.cache_clear()
    with pytest.raises(BenchError, match=r"NLTK finds no WordNet; type: python -m nltk\.downloader wordnet"):
        wordnet()
    wordnet.cache_clear()
