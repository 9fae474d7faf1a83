"""VDA against its equation, token by token and word by word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import END, PAD, SPECIAL, START, VOCAB, every_family
from tiny import CLASSES, SCORES, make_models, rows

from bench.errors import UsageError
from bench.models.inputs import accepted
from bench.spec import StrategySpec
from bench.strategy import Batch, Models
from strategies.vda import VDA


def batch_of(models: Models, n: int = 6) -> Batch:
    data = rows(n, models.task)
    return Batch(np.arange(n), data.inputs(np.arange(n)), torch.from_numpy(data.labels))


def plain(models: Models, batch: Batch, rate: float, sigma: float, matrix: torch.Tensor) -> torch.Tensor:
    """The mixtures [B, L, H] over ``matrix`` [V, H], each row read alone and without its padding."""
    ids = batch.inputs["input_ids"]
    uniform = torch.rand(ids.shape, generator=models.rng)
    chosen = [
        (b, i)
        for b, row in enumerate(ids.tolist())
        for i, token in enumerate(row)
        if token not in (START, PAD, END) and uniform[b, i] < rate
    ]
    noise = torch.randn((len(chosen), VOCAB), generator=models.rng)
    mixed = matrix[ids].double()
    for (b, i), epsilon in zip(chosen, noise.double(), strict=True):
        length = int(batch.inputs["attention_mask"][b].sum())
        row = {key: value[b : b + 1, :length] for key, value in batch.inputs.items()}
        z = models.generator(**accepted(models.generator, row)).logits[0, i].double()
        weights = {v: float((z[v] + sigma * epsilon[v]).exp()) for v in range(VOCAB) if v not in SPECIAL}
        total = sum(weights.values())
        mixed[b, i] = sum(weight / total * matrix[v].double() for v, weight in weights.items())
    return mixed.float()


@every_family
@pytest.mark.parametrize(("rate", "sigma"), [(1.0, 1.0), (0.5, 0.3), (1.0, 0.0)])
@torch.no_grad()
def test_both_models_read_the_mixture_of_their_own_embeddings(family, rate, sigma):
    models = make_models(family)
    # Another space of embeddings than the student's.
    models.teacher.get_input_embeddings().weight.mul_(-2)
    batch, state = batch_of(models), models.rng.get_state()
    (view,) = VDA(rate=rate, sigma=sigma).views(batch, models)
    for model, inputs in ((models.student, view.student), (models.teacher, view.teacher)):
        models.rng.set_state(state)
        expected = plain(models, batch, rate, sigma, model.get_input_embeddings().weight)
        torch.testing.assert_close(inputs["inputs_embeds"], expected, rtol=1e-4, atol=1e-5)
        assert "input_ids" not in inputs
        assert torch.equal(inputs["attention_mask"], batch.inputs["attention_mask"])


def test_more_noise_is_less_of_the_model_and_markup_keeps_its_embeddings():
    models = make_models()
    batch = batch_of(models)
    words = models.student.get_input_embeddings()(batch.inputs["input_ids"]).detach()

    def view(sigma):
        return next(VDA(sigma=sigma).views(batch, models)).student["inputs_embeds"].detach()

    certain, slight, strong = view(0.0), view(0.1), view(5.0)
    assert torch.equal(certain, view(0.0))
    assert (slight - certain).norm() < (strong - certain).norm() / 5
    special = torch.isin(batch.inputs["input_ids"], torch.tensor([START, PAD, END]))
    assert torch.equal(strong[special], words[special])
    assert not torch.equal(view(1.0), view(1.0))


@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])
def test_the_student_s_embeddings_learn_from_the_mixture_and_nothing_else_does(task):
    models = make_models(task=task)
    batch = batch_of(models)
    (view,) = VDA().views(batch, models)
    assert models.teacher_targets(view, batch).shape == (6, task.n_outputs)
    models.logits("student", view.student).square().sum().backward()
    gradient = models.student.get_input_embeddings().weight.grad
    unused = [v for v in range(4, VOCAB - 1) if not (batch.inputs["input_ids"] == v).any()]
    assert unused
    assert gradient[unused].abs().sum(dim=1).min() > 0
    for model in (models.generator, models.teacher):
        assert all(parameter.grad is None for parameter in model.parameters())
    assert models.cost.forwards == {"generator": 6, "teacher": 6, "student": 6}


@pytest.mark.parametrize("text", ["vda[rate=0]", "vda[rate=1.1]", "vda[sigma=-1]"])
def test_impossible_options_are_refused(text):
    with pytest.raises(UsageError):
        StrategySpec.parse(text)
