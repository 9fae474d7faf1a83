"""Retrieval against a plain search, what the bank may not hold, and what is kept of it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from families import build, tokenizer

from bench import Example
from bench.data.tables import write_table
from bench.data.tasks import GLUE
from bench.errors import BenchError
from bench.experiment.parts import Parts
from bench.experiment.presets import open_data
from bench.models.sentences import embed
from bench.rewriter import Corpus
from bench.rewriting.context import context_for
from bench.rewriting.engine import rewrite_all
from bench.spec import StrategySpec
from strategies import retrieve

DRAW = np.random.default_rng(0)
BANK = [" ".join(f"w{n}" for n in DRAW.integers(4, 49, DRAW.integers(2, 8))) for _ in range(200)]
ROWS = [Example(n, (BANK[n] if n < 2 else f"{BANK[n]} w5",), 0) for n in range(6)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    build("bert", "classifier", seed=1).float().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def neighbours(encoder, rows=ROWS, task="sst2", corpus=None, cache=None, options=""):
    strategy = StrategySpec.parse(f"retrieve[encoder={encoder},copies=3{options}]").create()
    corpus = corpus or Corpus(BANK)
    context = context_for(strategy, GLUE[task], lambda role: ("", ""), corpus=lambda: corpus)
    return rewrite_all(strategy, rows, context, cache=cache).forms


def nearest(text, bank, encoder, count):
    """The plain search: all cosines, one by one, sorted."""
    own, others = embed([text], encoder=encoder)[0], embed(bank, encoder=encoder)
    cosines = [float(own @ other) / float(np.linalg.norm(own) * np.linalg.norm(other)) for other in others]
    ranked = sorted(zip(cosines, bank, strict=True), reverse=True)
    return [sentence for _, sentence in ranked if sentence != text][:count]


def test_the_forms_are_the_nearest_sentences_in_order_and_never_the_text_itself(encoder):
    found = neighbours(encoder)
    assert found == [[(s,) for s in nearest(row.texts[0], BANK, encoder, 3)] for row in ROWS]
    assert found[0][0] != ROWS[0].texts


def test_each_text_of_a_pair_that_changes_has_neighbours_of_its_own(encoder):
    one, other = ROWS[2].texts[0], ROWS[3].texts[0]
    (forms,) = neighbours(encoder, [Example(0, (one, other), 0)], "mrpc", options=",side=both")
    assert forms == list(zip(nearest(one, BANK, encoder, 3), nearest(other, BANK, encoder, 3), strict=True))
    (forms,) = neighbours(encoder, [Example(0, (one, other), 0)], "mrpc", options=",side=second")
    assert {first for first, _ in forms} == {one}
    (forms,) = neighbours(encoder, [Example(0, (one, " "), 0)], "mrpc", options=",side=both")
    assert {second for _, second in forms} == {" "}


def test_no_text_that_the_task_is_scored_on_is_in_a_bank(encoder, tmp_path):
    ((first,), *_), *_ = neighbours(encoder)
    without = neighbours(encoder, corpus=Corpus(BANK, {first}))
    assert first not in {text for forms in without for (text,) in forms}
    table = tmp_path / "bank.tsv"
    write_table(table, {"text": BANK})
    options = f",bank={table},column=text"
    assert neighbours(encoder, corpus=Corpus(["w4"]), options=options) == neighbours(encoder)
    assert neighbours(encoder, corpus=Corpus(["w4"], {first}), options=options) == without


def test_the_harness_leaves_dev_and_test_texts_out_of_the_corpus(tmp_path):
    settings, source = open_data("mini", [], None)
    parts = Parts(settings, source, tmp_path, None)
    corpus = parts.corpus("rte")
    scored = {
        t for name, rows in parts.data("rte").splits.items() if name != "train" for row in rows for t in row.texts
    }
    assert scored == corpus.held_out
    assert not scored & set(corpus.texts)
    assert len(set(corpus.texts)) == len(corpus.texts) > 1000
    others = {text for row in source.load("cola").splits["train"] for text in row.texts}
    assert others - scored <= set(corpus.texts)


def test_the_bank_is_embedded_once_in_parts_that_survive(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(retrieve, "_CHUNK", 64)
    first = neighbours(encoder, cache=tmp_path)
    parts = sorted((tmp_path / "banks").iterdir())
    assert len(parts) == 4
    parts[0].write_bytes(b"damaged")
    asked = []
    monkeypatch.setattr("bench.models.sentences.embed", lambda texts, *more: asked.append(texts) or embed(texts, *more))
    # Another number of neighbours: the rewrites are made anew, the bank is not.
    assert neighbours(encoder, cache=tmp_path, options=",side=first") == first
    assert [len(texts) for texts in asked if len(texts) > len(ROWS)] in ([64], [8])


def test_of_a_large_bank_a_part_is_drawn(encoder):
    found = neighbours(encoder, options=",bank_size=20")
    drawn = {text for forms in found for (text,) in forms}
    assert len(drawn) <= 20
    assert found == neighbours(encoder, options=",bank_size=20")


def test_minimax_knn_is_a_composition(encoder):
    (pool,) = (
        StrategySpec.parse(f"best-of-k(retrieve[encoder={encoder}])[pool=8,candidates=8,k=2]").create().rewriters()
    )
    context = context_for(pool, GLUE["sst2"], lambda role: ("", ""), corpus=lambda: Corpus(BANK))
    (attacked,) = pool.rewrite(ROWS[:1], [random.Random(0)], context)
    assert [text for (text,) in attacked.forms] == nearest(ROWS[0].texts[0], BANK, encoder, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (",bank_size=3", "the bank has 3 sentences, too few for copies=3"),
        (",bank=/nowhere.tsv", "there is no table /nowhere.tsv"),
    ],
)
def test_a_bank_too_small_or_not_there(encoder, options, message):
    with pytest.raises(BenchError, match=message):
        neighbours(encoder, options=options)


def test_a_table_without_the_column(encoder, tmp_path):
    write_table(tmp_path / "bank.tsv", {"text": BANK})
    with pytest.raises(BenchError, match="column 'sentence' is missing; columns found: text"):
        neighbours(encoder, options=f",bank={tmp_path}/bank.tsv")
