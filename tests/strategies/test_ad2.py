"""AD² against plain projected gradient ascent, one row at a time and without padding."""

from __future__ import annotations

import math

import pytest
import torch
from families import build, every_family
from tiny import CLASSES, SCORES, models_and_batch

from bench.errors import UsageError
from bench.models.inputs import accepted
from bench.spec import StrategySpec
from bench.strategy import Batch, Models
from strategies.ad2 import AD2

both_tasks = pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])


def distance(target: torch.Tensor, logits: torch.Tensor, regression: bool) -> torch.Tensor:
    """D of one row: the squared error of a score, or KL(p_T || p_S)."""
    if regression:
        return (logits[0] - target[0]) ** 2
    p, q = target.softmax(dim=0), logits.softmax(dim=0)
    return (p * (p / q).log()).sum()


def plain(models: Models, batch: Batch, steps: int, lr: float, initial: float, radius: float):
    """Each row's delta [l, H] and D before and after, the row alone, from the noise that ``models.rng`` draws."""
    words = models.student.get_input_embeddings()
    noise = 2 * torch.rand((*batch.inputs["input_ids"].shape, words.embedding_dim), generator=models.rng) - 1
    ends = []
    for b, target in enumerate(batch.teacher_logits):
        length = int(batch.inputs["attention_mask"][b].sum())
        row = accepted(models.student, {key: value[b : b + 1, :length] for key, value in batch.inputs.items()})
        embedded = words(row.pop("input_ids")).detach()

        def divergence(delta, row=row, embedded=embedded, target=target):
            logits = models.student(**row, inputs_embeds=embedded + delta).logits[0]
            return distance(target, logits, models.task.is_regression)

        delta = noise[b, :length].double() * initial / math.sqrt(length * words.embedding_dim)
        first = float(divergence(delta).detach())
        for _ in range(steps):
            delta.requires_grad_()
            (g,) = torch.autograd.grad(divergence(delta), delta)
            delta = delta.detach() + lr * g / math.sqrt(float((g**2).sum()))
            size = math.sqrt(float((delta**2).sum()))
            if size > radius:
                delta = delta * radius / size
        ends.append((delta, first, float(divergence(delta).detach())))
    return ends


@every_family
@both_tasks
@pytest.mark.parametrize("numbers", [(1, 0.1, 0.2, 0.3), (3, 0.1, 0.2, 0.25), (4, 0.05, 0.0, 1.0)], ids=str)
def test_delta_is_that_of_projected_gradient_ascent(family, task, numbers):
    models, batch = models_and_batch(family, task)
    state = models.rng.get_state()
    (view,) = AD2(*numbers).views(batch, models)
    words = models.student.get_input_embeddings()(batch.inputs["input_ids"])
    delta = (view.student["inputs_embeds"] - words).detach()

    models.rng.set_state(state)
    ends = plain(models, batch, *numbers)
    for found, (expected, _, _) in zip(delta, ends, strict=True):
        torch.testing.assert_close(found[: len(expected)], expected, rtol=1e-3, atol=1e-5)
        assert not found[len(expected) :].any()
        assert float(found.norm()) <= numbers[3] + 1e-6
    # Uphill, and not by chance.
    assert sum(after for _, _, after in ends) > sum(before for _, before, _ in ends)
    count = numbers[0] * len(batch.rows)
    assert models.cost.forwards["student"] == models.cost.backwards["student"] == count


@both_tasks
def test_the_student_is_held_to_the_teacher_s_answer_to_the_clean_text(task):
    models, batch = models_and_batch("bert", task)
    models.cost.forwards.clear()
    (view,) = AD2().views(batch, models)
    assert models.teacher_targets(view, batch) is batch.teacher_logits
    assert models.cost.forwards["teacher"] == 0
    # Its word embeddings learn as well; nothing did while delta climbed.
    assert all(parameter.grad is None for parameter in models.student.parameters())
    models.logits("student", view.student).square().sum().backward()
    assert models.student.get_input_embeddings().weight.grad.abs().sum() > 0


def test_a_teacher_of_another_width_will_do():
    models, batch = models_and_batch("electra", CLASSES)
    wide = build("bert", "classifier", seed=1).float().requires_grad_(False)
    assert wide.get_input_embeddings().embedding_dim != models.student.get_input_embeddings().embedding_dim
    models.teacher = wide
    assert len(list(AD2().views(batch, models))) == 1


@pytest.mark.parametrize("text", ["steps=0", "lr=0", "initial=-1", "max_norm=0"])
def test_impossible_options_are_refused(text):
    with pytest.raises(UsageError):
        StrategySpec.parse(f"ad2[{text}]")
