"""GAL with a tiny causal LM: its loss and sampling against plain ones, what is dropped, what is kept."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from families import END, PAD, VOCAB, tokenizer
from tiny import Notes
from transformers import GPT2Config, GPT2LMHeadModel

from bench import Example
from bench.conformance import suite
from bench.data.tasks import GLUE
from bench.distill.causal_lm import CausalLMTraining, _encoded, load_causal_lm, sample, train_causal_lm
from bench.errors import BenchError
from bench.rewriting.context import context_for
from bench.rewriting.engine import rewrite_all
from bench.settings import Generator
from bench.spec import StrategySpec, lacking
from strategies.gal import _written

DRAW = np.random.default_rng(0)


def text(words=(4, 10)):
    return " ".join(f"w{n}" for n in DRAW.integers(*words, DRAW.integers(2, 5)))


# Firsts are made of other words than seconds, so that one can see what was learned.
PAIRS = [Example(n, (text(), text((30, 34))), 0) for n in range(200)]

SINGLE = [Example(n, (f"w{n + 4}",), 0) for n in range(20)]


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    shape = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 24}
    config = GPT2Config(
        vocab_size=VOCAB, bos_token_id=END, eos_token_id=END, pad_token_id=PAD, initializer_range=0.2, **shape
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def context(spec, rows=PAIRS, task="mrpc"):
    strategy = StrategySpec.parse(spec).create()
    return strategy, context_for(strategy, GLUE[task], lambda role: ("", ""), rows=rows)


def written(spec, cache, rows=PAIRS, task="mrpc", observer=None):
    strategy, its = context(spec, rows, task)
    return rewrite_all(strategy, rows, its, cache=cache, observer=observer).forms


def test_the_loss_is_the_mean_surprise_at_every_token_after_the_first(lm):
    model, tokens = load_causal_lm(lm)
    rows = [("w4 w5", "w6"), ("w7", "w8 w9 w10")]
    encoded = _encoded(rows, tokens, 24)
    training = CausalLMTraining(model.eval(), tokens, encoded, Generator(), Accelerator(cpu=True))
    surprises = []
    for first, second in rows:
        ids = [END, *(int(w[1:]) for w in first.split()), END, *(int(w[1:]) for w in second.split()), END]
        for n in range(1, len(ids)):
            odds = model(torch.tensor([ids[:n]])).logits[0, -1].softmax(0)
            surprises.append(-math.log(odds[ids[n]].item()))
    loss = training._loss(encoded.inputs(np.arange(2), "cpu"), torch.Generator())
    assert loss.item() == pytest.approx(sum(surprises) / len(surprises), rel=1e-4)
    assert training.perplexity(np.arange(2)) == pytest.approx(math.exp(sum(surprises) / len(surprises)), rel=1e-4)


@pytest.mark.parametrize("damage", ["{}", "[1]", '["ab"]', '[["w4"]]', '[["a", 3]]', '[["", "a"]]', "[" * 100_000])
def test_samples_of_another_shape_are_drawn_again(lm, tmp_path, damage):
    spec = f"gal[model={lm},passes=0]"
    first = written(spec, tmp_path, SINGLE, "sst2")
    (part,) = tmp_path.glob("samples/*/000000.json")
    whole = part.read_text()
    part.write_text(damage)
    _written.cache_clear()
    for rewrites in tmp_path.glob("rewrites/*/*.parquet"):
        rewrites.unlink()
    assert written(spec, tmp_path, SINGLE, "sst2") == first
    assert part.read_text() == whole


def test_samples_follow_the_model_s_probabilities(lm):
    model, tokens = load_causal_lm(lm)
    rows = [row for n in range(30) for row in sample(model, tokens, 1, 64, n, most=24, temperature=1.0, top_p=1.0)]
    odds = model(torch.tensor([[END]])).logits[0, -1].softmax(0).tolist()
    # A first word that the end follows at once, so that nothing is lost to the length.
    shares = {}
    for word in sorted(range(4, 49), key=lambda w: -odds[w])[:3]:
        ends = model(torch.tensor([[END, word]])).logits[0, -1].softmax(0)[END].item()
        expected = odds[word] * ends
        found = sum(row == (f"w{word}",) for row in rows) / len(rows)
        shares[word] = (found, expected)
        assert abs(found - expected) < 4 * math.sqrt(expected * (1 - expected) / len(rows)) + 1e-3, shares


def test_what_it_writes_after_training_looks_like_the_rows(lm, tmp_path):
    strategy, its = context(f"gal[model={lm},passes=40,lr=1e-2,rows=100]")
    rows = strategy.write_all(its, tmp_path, Notes())
    assert len(set(rows)) == len(rows) > 50
    assert not {row.texts for row in PAIRS} & set(rows)
    ordered = [
        all(4 <= int(w[1:]) < 10 for w in first.split()) and all(30 <= int(w[1:]) < 34 for w in second.split())
        for first, second in rows
    ]
    assert sum(ordered) / len(ordered) > 0.8
    untrained, its = context(f"gal[model={lm},passes=0,rows=100]", [Example(0, ("w4",), 0)], "sst2")
    plain = untrained.write_all(its, tmp_path, Notes())
    assert sum(all(4 <= int(w[1:]) < 10 for w in text.split()) for (text,) in plain) < 0.5 * len(plain)


def test_the_trained_model_and_the_samples_are_kept(lm, tmp_path, monkeypatch):
    spec = f"gal[model={lm},passes=1,rows=50]"
    notes = Notes()
    first = written(spec, tmp_path, observer=notes)
    assert len(first) == len(PAIRS)
    assert any("training the causal language model on" in note for note in notes.notes)
    assert any(note.startswith("gal: ") and "dropped:" in note for note in notes.notes)
    (folder,) = (home for home in (tmp_path / "causal-lms").iterdir() if home.is_dir())
    assert json.loads((folder / "card.json").read_text())["perplexity"] > 1
    parts = sorted((tmp_path / "samples").rglob("*.json"))
    parts[0].write_text("damaged")
    asked = []
    monkeypatch.setattr("bench.distill.causal_lm.sample", lambda *a, **k: asked.append(a[4]) or sample(*a, **k))
    for rewrites in (tmp_path / "rewrites").rglob("*.parquet"):
        rewrites.unlink()
    assert written(spec, tmp_path) == first
    assert asked == [0]


def test_a_model_that_repeats_itself_says_so(lm, tmp_path, monkeypatch):
    strategy, its = context(f"gal[model={lm},passes=0,rows=40]", [Example(0, ("w4",), 0)], "sst2")
    monkeypatch.setattr("bench.distill.causal_lm.sample", lambda *a, **k: [("w5",), ("w6",)] * 32)
    notes = Notes()
    assert strategy.write_all(its, tmp_path, notes) == [("w5",), ("w6",)]
    assert notes.notes == ["gal: 2 of 40 rows wanted in 256 samples; dropped: 254 repeats"]


def test_nothing_new_at_all_is_an_error(lm, tmp_path, monkeypatch):
    strategy, its = context(f"gal[model={lm},passes=0]", [Example(0, ("w4",), 0)], "sst2")
    monkeypatch.setattr("bench.distill.causal_lm.sample", lambda *a, **k: [("w4",)] * 63 + [None])
    with pytest.raises(BenchError, match="0 of 1 rows wanted in 256 samples; dropped: 252 training rows, 4 empty"):
        strategy.write_all(its, tmp_path, Notes())


def test_another_seed_or_model_is_another_set_of_rows(lm, tmp_path):
    one, other = (written(f"gal[model={lm},passes=0,seed={n}]", tmp_path, SINGLE, "sst2") for n in (0, 1))
    assert one != other


def test_pairs_need_a_model_that_has_read_pairs():
    strategy = StrategySpec.parse("gal[passes=0]").create()
    assert "has not read pairs" in strategy.supports(GLUE["rte"])
    assert strategy.supports(GLUE["cola"]) is None


def test_a_model_that_is_not_here_is_named_with_the_command_that_gets_it():
    assert "hf download no-such/model" in lacking(StrategySpec.parse("gal[model=no-such/model]").create())


def test_a_training_that_was_done_is_not_done_again(lm, tmp_path):
    rows = [row.texts for row in PAIRS]
    settings, notes = Generator(tokens=2**62, passes=1, lr=1e-3), Notes()
    first = train_causal_lm(lm, rows, settings, 24, "cpu", tmp_path, notes)
    told = len(notes.notes)
    assert train_causal_lm(lm, rows[::-1], settings, 24, "cpu", tmp_path, notes) == first
    assert len(notes.notes) == told


@pytest.mark.usefixtures("on_pairs")
def test_it_passes_every_check(lm):
    findings = list(suite.examine(StrategySpec.parse(f"gal[model={lm},passes=0,most=24,rows=4]")))
    assert {one.check: one.detail for one in findings if one.outcome == "failed"} == {}
