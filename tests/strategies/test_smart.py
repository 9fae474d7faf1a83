"""SMART: the ascent, step by step, and what it leaves untouched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import CLASSES, SCORES, Notes, make_models, rows

from bench.distill.feed import Feed
from bench.distill.loop import distil
from bench.distill.losses import divergence
from bench.distill.student_updates import StudentUpdates
from bench.errors import UsageError
from bench.evaluation.selection import selection
from bench.settings import Recipe
from bench.spec import StrategySpec
from bench.strategy import Batch, Models
from strategies.smart import Smart

both_tasks = pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])


def batch_of(models: Models, n: int = 6) -> Batch:
    data = rows(n, models.task)
    which = np.arange(n)
    return Batch(which, data.inputs(which), torch.from_numpy(data.labels))


def view_and_delta(models: Models, batch: Batch, **options):
    (view,) = Smart(**options).views(batch, models)
    words = models.student.get_input_embeddings()(batch.inputs["input_ids"])
    return view, (view.student["inputs_embeds"] - words).detach()


def climbed(models: Models, batch: Batch, delta: torch.Tensor) -> float:
    """The divergence of the student at ``delta`` from itself, in double precision and eval mode."""
    student = models.student.double().eval()
    words = student.get_input_embeddings()(batch.inputs["input_ids"])
    rest = {k: v for k, v in batch.inputs.items() if k != "input_ids"}
    with torch.no_grad():
        own, moved = (student(**rest, inputs_embeds=e).logits for e in (words, words + delta.double()))
    student.float()
    return float(divergence(own, moved, is_regression=models.task.is_regression))


@both_tasks
def test_a_step_is_sigma_times_noise_plus_the_scaled_gradient(task) -> None:
    models = make_models(task=task)
    batch = batch_of(models)
    state = models.rng.get_state()
    _, delta = view_and_delta(models, batch, sigma=0.01, lr=0.02, epsilon=1.0)

    models.rng.set_state(state)
    real = batch.inputs["attention_mask"].unsqueeze(2)
    start = 0.01 * torch.randn(delta.shape, generator=models.rng) * real
    start.requires_grad_(True)
    words = models.student.get_input_embeddings()(batch.inputs["input_ids"]).detach()
    rest = {k: v for k, v in batch.inputs.items() if k != "input_ids"}
    own = models.student(**batch.inputs).logits.detach()
    moved = models.student(**rest, inputs_embeds=words + start).logits
    if task.is_regression:
        loss = ((moved - own) ** 2).mean()
    else:
        loss = F.kl_div(moved.log_softmax(-1), own.softmax(-1), reduction="batchmean")
    (gradient,) = torch.autograd.grad(loss, start)
    expected = start + 0.02 * real * gradient / gradient.abs().max(dim=2, keepdim=True).values.clamp(min=1e-30)
    torch.testing.assert_close(delta, expected.detach(), rtol=1e-3, atol=1e-5)


@both_tasks
def test_it_stays_within_epsilon_and_moves_no_padding(task) -> None:
    models = make_models(task=task)
    batch = batch_of(models)
    for options in ({}, {"epsilon": 0.003, "lr": 0.1, "steps": 3}, {"epsilon": 0.001, "sigma": 1.0}):
        _, delta = view_and_delta(models, batch, **options)
        epsilon = options.get("epsilon", 1e-3)
        assert float(delta.abs().max()) == pytest.approx(epsilon, rel=2e-3)
        assert not delta[batch.inputs["attention_mask"] == 0].any()
        assert delta[batch.inputs["attention_mask"] == 1].any(dim=1).all()


@both_tasks
def test_the_ascent_climbs(task) -> None:
    models = make_models(task=task)
    batch = batch_of(models, 12)
    rng = torch.Generator().manual_seed(1)
    one, three = (
        climbed(models, batch, view_and_delta(models, batch, epsilon=0.02, lr=0.01, steps=steps)[1]) for steps in (1, 3)
    )
    shape = (*batch.inputs["input_ids"].shape, 16)
    noise = (0.01 * torch.randn(shape, generator=rng)).clamp(-0.01, 0.01)
    assert one > 2 * climbed(models, batch, noise)
    assert three > 1.5 * one


def test_nothing_is_left_behind_but_the_view() -> None:
    models = make_models(dropout=0.5)
    batch = batch_of(models)
    models.student.train()
    weights = {name: p.detach().clone() for name, p in models.student.named_parameters()}
    view, _ = view_and_delta(models, batch, steps=2)
    assert models.student.training
    assert all(p.grad is None for model in (models.student, models.teacher) for p in model.parameters())
    assert all(torch.equal(p, weights[name]) for name, p in models.student.named_parameters())
    assert view.mutual
    assert view.teacher is view.teacher_logits is None
    # The noise is a constant: the embeddings learn from the view.
    assert view.student["inputs_embeds"].requires_grad
    assert models.cost.forwards == {"student": 6 * 3}
    assert models.cost.backwards == {"student": 6 * 2}


@both_tasks
@pytest.mark.parametrize("dropout", ["same", "own"])
def test_the_loss_is_that_of_the_perturbation_and_not_of_dropout(task, dropout) -> None:
    """The symmetric divergence of one update, written out; with one mask for both it is the perturbation's alone."""
    models, batch = make_models(task=task, dropout=0.1), batch_of(make_models(task=task))
    strategy = Smart(epsilon=0.05, lr=0.05, dropout=dropout)
    seen, original = [], models.logits

    def watched(role, inputs):
        seen.append((torch.get_rng_state(), models.student.training, logits := original(role, inputs)))
        return logits

    models.logits = watched
    recipe = Recipe(weights=(1e-9, 0.0, 1.0), temperature=1.0)
    batch.teacher_logits = torch.zeros(6, task.n_outputs)
    updates = StudentUpdates(models, strategy, recipe, seed=3)
    loss = updates.update(batch, updates.objective(0.0), 0.0)
    (_, clean), (state, moved) = ((state, logits.detach()) for state, training, logits in seen if training)
    if task.is_regression:
        expected = ((clean - moved) ** 2).mean()
    else:
        p, q = clean.softmax(1), moved.softmax(1)
        expected = (((p - q) * (p / q).log()).sum(1)).mean() / 2
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-7)
    # The same words without a perturbation, under the view's mask.
    torch.set_rng_state(state)
    with torch.no_grad():
        still = models.student.train()(**batch.inputs).logits
    assert torch.allclose(still, clean, atol=1e-5) == (dropout == "same")


@both_tasks
def test_it_trains_the_student_on_the_same_budget_and_leaves_the_teacher_alone(task) -> None:
    models = make_models(task=task, dropout=0.1)
    before = [p.detach().clone() for p in models.teacher.parameters()]
    train = rows(12, task)
    with torch.no_grad():
        logits = models.logits("teacher", train.inputs(np.arange(12))).numpy()
    outcome = distil(
        models,
        StrategySpec.parse("smart[steps=2]").create(),
        Recipe(epochs=2, batch_size=4, lr=1e-3),
        selection("last"),
        Feed(train, logits),
        {"dev": rows(6, task, seed=1)},
        seed=0,
        observer=Notes(),
    )
    assert models.cost.student_updates == 6
    assert models.cost.forwards["teacher"] == 12
    assert np.isfinite(outcome.logits["dev"]).all()
    assert all(torch.equal(a, b) for a, b in zip(before, models.teacher.parameters(), strict=True))


@pytest.mark.parametrize("text", ["smart[epsilon=0]", "smart[sigma=0]", "smart[lr=-1]", "smart[steps=0]"])
def test_impossible_options_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        StrategySpec.parse(text)
