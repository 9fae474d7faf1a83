from __future__ import annotations

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
import torch
from families import MASK, every_family, tokenizer
from tiny import Notes, make_models
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bench.distill import generator
from bench.distill.checkpoint import Checkpoints
from bench.distill.generator import MaskedLMTraining, held_out, train_generator
from bench.errors import BenchError
from bench.interrupts import Interrupted
from bench.models.load import build_scratch, content_hash
from bench.settings import Generator

SETTINGS = Generator(passes=100.0, tokens=60_000, batch_tokens=512, lr=1e-2)
SHAPE = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
ACCELERATOR = make_models().accelerator


def texts(n=400):
    """Pairs and single texts in which a word is followed by its successor: easy to fill in."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        first, length = rng.integers(4, MASK - 10), rng.integers(4, 9)
        half = " ".join(f"w{first + step}" for step in range(length))
        rows.append((half,) if i % 2 else (half, " ".join(f"w{first + step}" for step in range(3))))
    return rows


def start(seed=0):
    return build_scratch(SHAPE, tokenizer(), seed)


def train(cache, notes=None, settings=SETTINGS, model=None, rows=None):
    model = model or start()
    return train_generator(model, tokenizer(), rows or texts(), settings, 24, ACCELERATOR, cache, notes or Notes())


def perplexity_of(model):
    encoded = generator._encode(sorted(set(texts())), tokenizer(), 24)
    return MaskedLMTraining(model, tokenizer(), encoded, SETTINGS, ACCELERATOR).perplexity(np.arange(100))


def test_training_lowers_the_perplexity_and_is_done_once(tmp_path):
    untrained = perplexity_of(start())
    notes = Notes()
    first = train(tmp_path, notes)
    assert 30 < untrained < 80  # 45 words, about equally likely
    assert perplexity_of(first.model) < 0.5 * untrained
    assert first.card["perplexity"] < 0.6 * untrained
    assert first.card["hash"] == content_hash(first.model)
    assert first.card["held_out_texts"] == len(set(texts())) // 50
    assert 0.5 * len(texts()) < first.card["train_texts"] < len(set(texts()))
    assert 60_000 <= first.card["tokens"] < 60_000 + 512
    assert "training the generator" in notes.notes[0]
    assert notes.updates[-1][3] < notes.updates[1][3]
    assert json.loads((first.home / "card.json").read_text()) == first.card

    quiet = Notes()
    # The same texts in another order, some of them twice.
    again = train(tmp_path, quiet, rows=texts()[::-1] + texts()[:5])
    assert (quiet.notes, quiet.updates) == ([], [])
    assert again.home == first.home
    assert again.card == first.card
    assert content_hash(again.model) == first.card["hash"]
    # What is kept is an ordinary checkpoint with its tokenizer.
    assert content_hash(AutoModelForMaskedLM.from_pretrained(first.home)) == first.card["hash"]
    assert AutoTokenizer.from_pretrained(first.home).get_vocab() == tokenizer().get_vocab()
    assert [path.name for path in (tmp_path / "generators").glob("[!.]*")] == [first.home.name]


def test_no_sentence_held_out_is_trained_on_in_another_pair():
    # Each premise stands in three pairs, one of them turned round.
    rows = [(f"p{i}", f"h{i}{j}") for i in range(100) for j in range(2)] + [(f"h{i}2", f"p{i}") for i in range(100)]
    unseen, trained_on = held_out(rows)
    assert len(unseen) == 300 // 50
    seen = {sentence for row in trained_on for sentence in rows[row]}
    assert seen.isdisjoint(sentence for row in unseen for sentence in rows[row])
    # And no more is lost than that asks for.
    premises = {sentence for row in unseen for sentence in rows[row] if sentence.startswith("p")}
    assert len(trained_on) == 300 - 3 * len(premises)


def test_what_the_generator_depends_on_makes_another_one(tmp_path):
    short = dataclasses.replace(SETTINGS, tokens=600)
    homes = {train(tmp_path, settings=short).home}
    for change in ({"lr": 1e-3}, {"mask_rate": 0.5}, {"seed": 1}, {"batch_tokens": 256}, {"tokens": 700}):
        homes.add(train(tmp_path, settings=dataclasses.replace(short, **change)).home)
    homes.add(train(tmp_path, settings=short, model=start(seed=1)).home)
    homes.add(train(tmp_path, settings=short, rows=[*texts(), ("w4 w6",)]).home)
    assert len(homes) == 8


def test_a_small_corpus_is_read_so_many_times_and_no_more(tmp_path):
    straight, notes = train(tmp_path, settings=dataclasses.replace(SETTINGS, tokens=3000)), Notes()
    pieces = int(generator._encode(sorted(set(texts())), tokenizer(), 24).lengths.sum())
    few = train(tmp_path, notes, dataclasses.replace(SETTINGS, tokens=10**9, passes=1.5))
    assert 1.4 * pieces < few.card["tokens"] < 1.5 * pieces + 512
    assert "each text 1.5 times, about 0:0" in notes.notes[0]
    # Where the corpus is large enough, the rule changes nothing; nor does timing the batches first.
    again = train(tmp_path / "again", settings=dataclasses.replace(SETTINGS, tokens=3000, passes=100.0))
    assert again.card["hash"] == straight.card["hash"]


class Cut(Exception):
    pass


class CutsAt(Notes):
    """Stops the training at its report number ``report``."""

    def __init__(self, report):
        super().__init__()
        self.report = report

    def update(self, *arguments):
        super().update(*arguments)
        if len(self.updates) == self.report:
            raise Cut


def test_training_that_was_cut_off_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    straight = train(tmp_path / "straight")
    monkeypatch.setattr(generator, "_CHECKPOINT_SECONDS", 0.0)
    for report in (3, 3):
        with pytest.raises(Cut):
            train(tmp_path / "cut", CutsAt(report))
    (state,) = (tmp_path / "cut" / "generators").glob("*.states")
    assert Checkpoints(state, Notes()).load()["done"] > 10_000
    resumed = train(tmp_path / "cut")
    assert {**resumed.card, "seconds": 0} == {**straight.card, "seconds": 0}
    assert content_hash(resumed.model) == straight.card["hash"]
    assert not state.exists()


def test_a_signal_leaves_a_checkpoint_of_the_update_it_came_in(tmp_path):
    class Signals(Notes):
        def update(self, *arguments):
            super().update(*arguments)
            if len(self.updates) == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(tmp_path / "cut", Signals())
    (state,) = (tmp_path / "cut" / "generators").glob("*.states")
    assert Checkpoints(state, Notes()).load()["position"] == 20  # losses are told every ten batches, first at none
    assert train(tmp_path / "cut").card["hash"] == train(tmp_path / "straight").card["hash"]


def test_a_corrupt_checkpoint_is_said_and_training_starts_over(tmp_path, monkeypatch):
    straight = train(tmp_path / "straight")
    monkeypatch.setattr(generator, "_CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Cut):
        train(tmp_path / "cut", CutsAt(2))
    (state,) = (tmp_path / "cut" / "generators").glob("*.states")
    for file in state.glob("*/rest.json"):
        file.write_bytes(b"garbage")
    notes = Notes()
    resumed = train(tmp_path / "cut", notes)
    assert any("damaged, set aside as" in note for note in notes.notes)
    assert resumed.card["hash"] == straight.card["hash"]


def test_too_few_texts_are_an_error(tmp_path):
    with pytest.raises(BenchError, match="only 60 different texts to train a language model on"):
        train(tmp_path, rows=[(f"w{4 + i % 40} w{4 + i // 40}",) for i in range(60)] * 3)


def test_a_loss_that_is_no_number_is_an_error(tmp_path):
    with pytest.raises(BenchError, match=r"the generator's loss is nan after \d+ word pieces; lower generator\.lr"):
        train(tmp_path, settings=dataclasses.replace(SETTINGS, lr=1e30))


@every_family
def test_perplexity_is_that_of_the_full_head(family):
    models = make_models(family)
    encoded = generator._encode(sorted(set(texts()))[:40], tokenizer(), 24)
    settings = dataclasses.replace(SETTINGS, mask_rate=1.0)
    training = MaskedLMTraining(models.generator, tokenizer(), encoded, settings, ACCELERATOR)
    found = training.perplexity(np.arange(40))
    total, count = 0.0, 0
    for row in range(40):
        inputs = encoded.inputs(np.array([row]))
        ordinary = ~torch.isin(inputs["input_ids"], torch.tensor([0, 1, 2]))
        hidden = inputs["input_ids"].masked_fill(ordinary, MASK)
        with torch.no_grad():
            logits = models.generator(
                input_ids=hidden,
                attention_mask=inputs["attention_mask"],
                **({"token_type_ids": inputs["token_type_ids"]} if family in ("bert", "electra") else {}),
            ).logits
        total -= float(logits.log_softmax(-1).gather(-1, inputs["input_ids"][..., None])[..., 0][ordinary].sum())
        count += int(ordinary.sum())
    assert found == pytest.approx(float(np.exp(total / count)), rel=1e-4)
