"""What a learned adversary was worth: against a plain computation, and the note on one that did not learn."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from families import MASK, SPECIAL, VOCAB, every_family
from made_records import leaderboard, run
from tiny import CLASSES, SCORES, make_models, rows

from bench.distill.adversary_gain import gain_of_adversary
from bench.distill.feed import Feed
from bench.distill.loop import distil
from bench.evaluation.selection import selection
from bench.models.inputs import accepted
from bench.models.masked_lm import draw_mask, gumbel
from bench.observer import Silent
from bench.settings import Recipe
from bench.spec import StrategySpec

SUBJECT = "mate-kd[generator_steps=10,student_steps=5,rho=0.5{}]"


def trained(strategy, *, task=CLASSES, family="bert", recipe=None, size=24):
    """A run of ``strategy`` on tiny models: itself, its models, the models at the start, and what it was fed."""
    models, data = make_models(family, task), rows(size, task)
    start = dataclasses.replace(models, generator=copy.deepcopy(models.generator))
    strategy = StrategySpec.parse(strategy).create()
    with torch.no_grad():
        logits = models.logits("teacher", data.inputs(np.arange(size))).numpy()
    recipe = recipe or Recipe(epochs=4, batch_size=8, lr=1e-3)
    feed = Feed(data, logits)
    distil(models, strategy, recipe, selection("last"), feed, {"dev": rows(5, task)}, seed=3, observer=Silent())
    return strategy, models, start, feed


def plain_gain(models, start, feed, rho, temperature, regression):
    """The same numbers by loops over positions, words and classes, over the whole vocabulary."""
    rng = torch.Generator().manual_seed(0)
    words = [word for word in range(VOCAB) if word not in SPECIAL]
    moved, distances = [], {"now": [], "start": []}
    for at in range(0, len(feed.train), models.recipe.batch_size):
        inputs = feed.train.inputs(np.arange(at, min(at + models.recipe.batch_size, len(feed.train))))
        ids = inputs["input_ids"]
        masked = draw_mask(inputs, models.tokenizer, rho, rng)
        noise = gumbel(torch.Size((int(masked.sum()), VOCAB)), rng, ids.device).tolist()
        hidden = {**inputs, "input_ids": torch.where(masked, MASK, ids)}
        places = [(row, place) for row in range(len(ids)) for place in range(ids.shape[1]) if masked[row, place]]
        odds = {}
        for when, generator in (("now", models.generator), ("start", start.generator)):
            with torch.no_grad():
                logits = generator.eval()(**accepted(generator, hidden)).logits
            odds[when] = [{word: float(logits[row, place, word]) for word in words} for row, place in places]
        for now, before in zip(odds["now"], odds["start"], strict=True):
            p, q = softmax(now.values()), softmax(before.values())
            moved.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
        for when, fillings in odds.items():
            text = ids.clone()
            for (row, place), scores, drawn in zip(places, fillings, noise, strict=True):
                text[row, place] = max(words, key=lambda word: scores[word] + drawn[word])
            answers = []
            for model in (models.teacher, models.student):
                with torch.no_grad():
                    answers.append(model.eval()(**accepted(model, {**inputs, "input_ids": text})).logits.tolist())
            for t, s in zip(*answers, strict=True):
                if regression:
                    distances[when].append((t[0] - s[0]) ** 2)
                    continue
                p, q = softmax(x / temperature for x in t), softmax(x / temperature for x in s)
                kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
                distances[when].append(temperature**2 * kl)
    difference = np.array(distances["now"]) - np.array(distances["start"])
    return {
        "rows": len(feed.train),
        "divergence": np.mean(distances["now"]),
        "divergence_at_start": np.mean(distances["start"]),
        "standard_error": np.std(difference) / len(difference) ** 0.5,
        "words": len(moved),
        "kl_from_start": np.mean(moved),
    }


def softmax(values):
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


@every_family
@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])
def test_the_gain_is_that_of_a_plain_computation(family, task):
    recipe = Recipe(epochs=2, batch_size=10, lr=1e-3, temperature=2.0)
    strategy, models, start, feed = trained(
        SUBJECT.format(",generator_lr=0.01"), task=task, family=family, recipe=recipe
    )
    spent, state = copy.deepcopy(models.cost), models.rng.get_state()
    found = gain_of_adversary(strategy, models, start, feed)
    assert found == pytest.approx(plain_gain(models, start, feed, 0.5, 2.0, task.is_regression), rel=1e-4)
    assert found["kl_from_start"] > 0.01
    # It was looked at, and nothing else happened.
    assert models.cost == spent
    assert torch.equal(models.rng.get_state(), state)
    assert gain_of_adversary(strategy, models, start, feed) == found
    assert all(parameter.grad is None for parameter in start.generator.parameters())


def test_an_adversary_that_learns_gets_no_note_and_one_that_does_not_gets_it():
    sections = {}
    for rate in (0.01, 1e-12):
        for name in (SUBJECT, f"token-cutoff+{SUBJECT}"):
            strategy = name.format(f",generator_lr={rate}")
            sections[strategy] = gain_of_adversary(*trained(strategy, size=96))
    notes = {}
    for strategy, section in sections.items():
        frame = leaderboard([run(), run(strategy=strategy, adversary=section)])
        (row,) = frame[frame["strategy"] == strategy].to_dict("records")
        notes[strategy] = row["warnings"].get("adversary")
        lead = {"leads": 1, "log_lead": math.log(section["divergence"] / section["divergence_at_start"])}
        assert row["adversary"] == pytest.approx(section | lead)
    for strategy, note in notes.items():
        if "1e-12" in strategy:
            assert note is not None, strategy
            assert 0 <= float(note.partition("KL to its start ")[2]) < 1e-9
            assert sections[strategy]["divergence"] == pytest.approx(sections[strategy]["divergence_at_start"])
        else:
            assert note is None, sections[strategy]
            assert sections[strategy]["divergence"] > 1.2 * sections[strategy]["divergence_at_start"]


def test_who_has_learned_nothing_says_nothing():
    for name in ("none", "mlm", "mate-kd[generator_steps=0]", "mlm+token-cutoff"):
        assert gain_of_adversary(*trained(name)) is None
