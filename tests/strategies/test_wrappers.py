"""best-of-k(...) and a+b: what their views are, exactly."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tiny import CLASSES, SCORES, make_models, rows

from bench import Batch, Context, Example, Strategy, TextStrategy, View
from bench.data.tasks import GLUE
from bench.spec import StrategySpec
from strategies.best_of_k import BestOfK
from strategies.composition import Composition


@dataclass
class Numbered(TextStrategy):
    """Every rewrite another number."""

    def rewrite_texts(self, texts, rngs, context):
        return [str(rng.getrandbits(40)) for rng in rngs]


@dataclass
class OneView(Strategy):
    """A view of its own, not of rewritten texts."""

    weight: float = 1.0

    def views(self, batch, models):
        yield View(batch.inputs, weight=self.weight)


def wrapped(wrapper: Strategy, *inner: Strategy):
    wrapper.wrap(inner)
    return wrapper


def batch_with_rewrites(models, forms: int, makers=(None,), n: int = 6) -> Batch:
    clean = rows(n, models.task)
    which = np.arange(n)
    batch = Batch(which, clean.inputs(which), torch.from_numpy(clean.labels))
    with torch.no_grad():
        batch.teacher_logits = models.logits("teacher", batch.inputs)
        for number in range(forms):
            inputs = rows(n, models.task, seed=50 + number).inputs(which)
            known = models.logits("teacher", inputs)
            batch.rewrites.append(View(inputs, teacher_logits=known, maker=makers[number % len(makers)]))
    return batch


def test_the_pool_is_independent_rewrites_of_each_row():
    strategy = wrapped(BestOfK(pool=5), Numbered())
    examples = [Example(i, (text,)) for i, text in enumerate("abc")]

    def pools(order):
        rngs = [random.Random(i) for i in order]
        return strategy.rewrite([examples[i] for i in order], rngs, Context(GLUE["sst2"]))

    together = pools([0, 1, 2])
    assert [len(set(pool)) for pool in together] == [5, 5, 5]
    assert len({form for pool in together for form in pool}) == 15
    assert pools([2])[0] == together[2]


@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])
@pytest.mark.parametrize("k", [1, 2])
def test_the_k_most_divergent_of_the_candidates_are_the_views(task, k):
    models = make_models(task=task)
    batch = batch_with_rewrites(models, forms=4)
    models.student.eval()
    with torch.no_grad():
        gains = []
        for view in batch.rewrites:
            t, s = view.teacher_logits, models.logits("student", view.student)
            if task.is_regression:
                gains.append((t - s).square()[:, 0])
            else:
                gains.append((t.softmax(1) * (t.log_softmax(1) - s.log_softmax(1))).sum(1))
    best = torch.stack(gains).topk(k, dim=0).indices  # [k, B]
    models.student.train()
    views = list(wrapped(BestOfK(k=k, pool=4, candidates=4), Numbered()).views(batch, models))
    assert models.student.training
    assert len(views) == k
    for number, view in enumerate(views):
        for row in range(6):
            source = batch.rewrites[best[number, row]].student
            length = int(source["attention_mask"][row].sum())
            assert torch.equal(view.student["input_ids"][row][:length], source["input_ids"][row][:length])
            assert int(view.student["attention_mask"][row].sum()) == length
            assert torch.equal(view.teacher_logits[row], batch.rewrites[best[number, row]].teacher_logits[row])
        assert not view.teacher_logits.requires_grad


def test_candidates_are_drawn_without_repetition_and_the_student_is_asked_only_about_them():
    models = make_models()
    batch = batch_with_rewrites(models, forms=4)
    before = models.cost.forwards["student"]
    list(wrapped(BestOfK(k=1, pool=4, candidates=2), Numbered()).views(batch, models))
    assert models.cost.forwards["student"] - before == 2 * 6
    both = list(wrapped(BestOfK(k=2, pool=4, candidates=2), Numbered()).views(batch, models))
    for row in range(6):
        one, other = (view.student["input_ids"][row] for view in both)
        width = min(len(one), len(other))
        assert not torch.equal(one[:width], other[:width])


def test_a_composition_gives_each_part_its_own_rewrites_and_an_equal_share():
    first, second, third = Numbered(), Numbered(), OneView(weight=3.0)
    strategy = wrapped(Composition(), first, wrapped(BestOfK(k=2, pool=2, candidates=2), second), third)
    models = make_models()
    makers = strategy.rewriters()
    assert [maker is other for maker, other in zip(makers, (first, strategy.parts[1]), strict=True)] == [True, True]
    batch = batch_with_rewrites(models, forms=3, makers=(makers[0], makers[1], makers[1]))
    views = list(strategy.views(batch, models))
    assert [view.weight for view in views] == pytest.approx([1 / 3, 1 / 6, 1 / 6, 1 / 3])
    assert views[0].student is batch.rewrites[0].student
    assert views[3].student is batch.inputs


def test_a_composition_trains_its_adversary_and_keeps_every_part_s_state():
    strategy = StrategySpec.parse("aeda+mate-kd[generator_steps=1,student_steps=2]").create()
    models = make_models()
    strategy.setup(models)
    assert set(strategy.needs) == {"teacher", "generator"}
    batch = batch_with_rewrites(models, forms=1, makers=strategy.rewriters())
    before = [p.clone() for p in models.generator.parameters()]
    strategy.fit_adversary(batch, models)
    assert any(not torch.equal(a, b) for a, b in zip(before, models.generator.parameters(), strict=True))
    assert [view.weight for view in strategy.views(batch, models)] == [0.5, 0.5]
    again = StrategySpec.parse(str(strategy.spec)).create()
    again.setup(models)
    again.load_state_dict(strategy.state_dict())
    state = again.parts[1].optimizer.state_dict()["state"]
    assert state
    assert float(state[0]["step"]) == 1.0


def test_a_composition_with_an_ascent_is_sequential_and_its_weights_sum_to_one():
    strategy = StrategySpec.parse("aeda+freelb[steps=2]").create()
    assert strategy.sequential
    models = make_models()
    batch = batch_with_rewrites(models, forms=1, makers=strategy.rewriters())
    weights = []
    for view in strategy.views(batch, models):
        weights.append(view.weight)
        models.logits("student", view.student).square().mean().backward()
    assert weights == pytest.approx([0.5, 0.25, 0.25])
