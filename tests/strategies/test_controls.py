"""The controls: what they hold constant, and R-Drop against its equation."""

from __future__ import annotations

import copy
import dataclasses
import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import CLASSES, SCORES, Notes, make_models, rows

from bench.data.encode import BatchOrder
from bench.distill.feed import Feed
from bench.distill.loop import distil, learning_rate
from bench.errors import BenchError, UsageError
from bench.evaluation.predict import predict
from bench.evaluation.selection import selection
from bench.models.streams import start_stream
from bench.rewriter import Context
from bench.settings import Recipe
from bench.spec import StrategySpec
from bench.strategy import Strategy, View
from strategies.shuffled_words import ShuffledWords

RECIPE = Recipe(epochs=1, batch_size=8, lr=1e-3, warmup=0.0, clip=1e9, checkpoint_seconds=math.inf)


def in_double(task=CLASSES, dropout=0.0):
    """Models whose student rounds so little that Adam, which divides a gradient by its size, shows none of it."""
    models = make_models(task=task, dropout=dropout)
    models.student.double()
    return models


def train(strategy, recipe=RECIPE, task=CLASSES, dropout=0.1, updates=None):
    models = in_double(task, dropout)
    data = rows(40, task)
    if updates is not None:
        recipe = dataclasses.replace(recipe, epochs=updates / 5)
    logits = predict(models.teacher, data, models.accelerator)
    strategy = StrategySpec.parse(strategy).create() if isinstance(strategy, str) else strategy
    feed = Feed(data, logits, cost=models.cost)
    splits = {"train": data, "dev": data}
    distil(models, strategy, recipe, selection("last"), feed, splits, seed=5, observer=Notes())
    return models


def weights(models):
    return torch.cat([parameter.detach().reshape(-1) for parameter in models.student.parameters()])


def test_weights_of_a_control_are_those_of_the_recipe():
    recipe = dataclasses.replace(RECIPE, weights=(1.0, 2.0, 0.0))
    own = weights(train("none[weights=(1,2)]"))
    assert torch.equal(own, weights(train("none", recipe)))
    assert not torch.equal(own, weights(train("none")))
    thrice = dataclasses.replace(RECIPE, weights=(1.0, 1.0, 4.0))
    assert torch.equal(weights(train("clean-twice[weights=(1,1,4)]")), weights(train("clean-twice", thrice)))


@pytest.mark.parametrize("given", ["(1)", "(0,0)", "(1,1,1,1)", "(0,0,1)"])
def test_weights_that_leave_nothing_to_learn_are_refused(given):
    with pytest.raises(UsageError, match="weights are of labels, teacher and perhaps views"):
        StrategySpec.parse(f"none[weights={given}]")
    with pytest.raises(UsageError, match="at least 0"):
        StrategySpec.parse("none[weights=(2,-1)]")


def test_a_part_of_a_composition_has_no_weights_of_its_own():
    with pytest.raises(UsageError, match=r"set recipe\.weights"):
        StrategySpec.parse("none[weights=(1,2)]+aeda")


def test_without_dropout_the_clean_batch_twice_is_plain_distillation_with_other_weights():
    # w_ce = 1/3, w_kd = 1/3 and the view's 1/3 of the same rows: labels 1, teacher 2.
    found, expected = train("clean-twice", dropout=0.0), train("none[weights=(1,2)]", dropout=0.0)
    torch.testing.assert_close(weights(found), weights(expected), rtol=1e-6, atol=1e-9)
    assert found.cost.backwards["student"] == 2 * expected.cost.backwards["student"]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])
def test_r_drop_is_its_equation(task, accumulate):
    """One update against the paper's loss, written out, with gradient through both passes."""
    models = train("r-drop", dataclasses.replace(RECIPE, accumulate=accumulate), task, updates=1)
    start = in_double(task, dropout=0.1)
    student, data = copy.deepcopy(start.student).train(), rows(40, task)
    batch = BatchOrder(data.lengths, 8, seed=5)[0]
    labels = torch.from_numpy(data.labels[batch])
    with torch.no_grad():
        teacher = torch.from_numpy(predict(start.teacher, data, start.accelerator)[batch])
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3 * learning_rate(0, 1, 0.0), weight_decay=0.0)
    first, second = [], []
    for part in range(accumulate):
        share = slice(part * 8 // accumulate, (part + 1) * 8 // accumulate)
        inputs = data.inputs(batch[share])
        for name, passes in (("clean", first), ("view 0", second)):
            start_stream(torch.device("cpu"), 5, name, 0, part)
            passes.append(student(**inputs).logits)
    one, two = torch.cat(first), torch.cat(second)
    if task.is_regression:
        loss = ((one[:, 0] - labels) ** 2).mean() + ((one - teacher) ** 2).mean() + ((one - two) ** 2).mean()
    else:
        p, q, t = one.softmax(1), two.softmax(1), teacher.softmax(1)
        there, back = (p * (p / q).log()).sum(1).mean(), (q * (q / p).log()).sum(1).mean()
        supervised = F.nll_loss(p.log(), labels) + (t * (t / p).log()).sum(1).mean()
        loss = supervised + (there + back) / 2
    assert not torch.allclose(one, two)
    (loss / 3).backward()
    optimizer.step()
    expected = torch.cat([parameter.detach().reshape(-1) for parameter in student.parameters()])
    torch.testing.assert_close(weights(models), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["kd", "annealing"])
def test_without_dropout_r_drop_adds_nothing(method):
    # Nor where a recipe scales the teacher's logits: the student's own stay as they are.
    recipe = dataclasses.replace(RECIPE, method=method)
    alone = train("none", recipe, dropout=0.0)
    # Both learn the same of the clean rows, and the third part of the loss is zero: Adam hardly sees the scale.
    torch.testing.assert_close(weights(train("r-drop", recipe, dropout=0.0)), weights(alone), rtol=1e-2, atol=2e-4)


def test_r_drop_goes_with_others_but_not_after_a_view_that_is_waited_for():
    train("freelb+r-drop")

    @dataclasses.dataclass
    class Late(Strategy):
        def views(self, batch, models):
            yield View(batch.inputs, teacher_logits=batch.teacher_logits, weight=0.5, wait=True)
            yield View(batch.inputs, weight=0.5, mutual=True)

    with pytest.raises(BenchError, match="yield it before those that are waited for"):
        train(Late())


def shuffled(text, share=1.0, seed=0):
    context = Context(task=CLASSES, device="cpu")
    return ShuffledWords(share=share).rewrite_texts([text], [random.Random(seed)], context)[0]


def test_shuffled_words_are_the_same_words_with_the_same_gaps():
    text = "The  quick brown fox jumps\tover the lazy dog ."
    found = [shuffled(text, seed=seed) for seed in range(20)]
    assert all(sorted(new.split()) == sorted(text.split()) for new in found)
    assert all("  " in new and "\t" in new for new in found)
    assert len(set(found)) == 20
    assert shuffled("alone") == "alone"


def test_every_order_is_as_likely_as_another():
    counts = {}
    for seed in range(1200):
        counts[shuffled("a b c", seed=seed)] = counts.get(shuffled("a b c", seed=seed), 0) + 1
    assert len(counts) == 6
    # Of 1,200 draws, 200 each with a standard deviation of 13.
    assert max(abs(count - 200) for count in counts.values()) < 55


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_the_share_of_words_that_move_is_the_option(share):
    words = [f"w{i}" for i in range(400)]
    moved = np.mean([new != old for new, old in zip(shuffled(" ".join(words), share).split(), words, strict=True)])
    assert abs(moved - share) < 0.1
