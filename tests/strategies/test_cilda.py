"""CILDA's generator step against MATE-KD's plain reference, and a contrast written out pair by pair."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from families import END, MASK, PAD, SPECIAL, START, VOCAB, build, every_family
from tiny import CLASSES, SCORES, make_models, rows

from bench.cost import Cost
from bench.errors import UsageError
from bench.models.inputs import accepted
from bench.models.masked_lm import gumbel
from bench.settings import Recipe
from bench.spec import StrategySpec
from bench.strategy import Batch, Models
from strategies.cilda import CILDA
from strategies.mate_kd.reference import PlainMateKD
from strategies.mate_kd.strategy import MateKD

both_tasks = pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])


def models_and_batch(family: str, task, n: int = 6) -> tuple[Models, Batch]:
    parts = {
        "student": build(family, "classifier", seed=2, labels=task.n_outputs),
        "teacher": build(family, "classifier", seed=1, layers=3, labels=task.n_outputs).requires_grad_(False),
        "generator": build(family, "masked_lm", seed=3),
    }
    models, data = make_models(family, task, **parts), rows(n, task)
    models.recipe = Recipe()
    return models, Batch(np.arange(n), data.inputs(np.arange(n)), torch.from_numpy(data.labels))


def noise(models: Models, batch: Batch, rho: float) -> tuple[torch.Tensor, torch.Tensor]:
    """What the strategy is about to draw, laid out for the reference."""
    rng, ids = models.rng.clone_state(), batch.inputs["input_ids"]
    uniform = torch.rand(ids.shape, generator=rng)
    masked = (uniform < rho) & ~torch.isin(ids, torch.tensor([START, PAD, END]))
    dense = torch.zeros(*ids.shape, VOCAB)
    dense[masked] = gumbel(torch.Size((int(masked.sum()), VOCAB)), rng, ids.device)
    return uniform, dense


def summaries(model, projection: torch.Tensor, inputs, one_hot: torch.Tensor) -> list[torch.Tensor]:
    """Each row's projected layer means, from the hidden states that transformers itself returns."""
    embedded = one_hot @ model.get_input_embeddings().weight
    states = model(**inputs, inputs_embeds=embedded, output_hidden_states=True).hidden_states[1:]
    rows_ = []
    for b, length in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
        means = [sum(state[b, i] for i in range(length)) / length for state in states]
        rows_.append(projection.T @ torch.cat(means))
    return rows_


def contrast(students: list[torch.Tensor], teachers: list[torch.Tensor], tau: float) -> torch.Tensor:
    """InfoNCE: for each row, minus the log of its own pair's share of e^(cos / tau) over all pairs with its student."""

    def weight(u, v):
        return ((u @ v) / (u.norm() * v.norm()) / tau).exp()

    losses = [-(weight(u, teachers[i]) / sum(weight(u, v) for v in teachers)).log() for i, u in enumerate(students)]
    return sum(losses) / len(losses)


@every_family
@both_tasks
def test_a_generator_step_climbs_d_and_the_contrast_and_the_projections_go_down_it(family, task):
    models, batch = models_and_batch(family, task)
    strategy = CILDA(rho=0.5, tau=0.8, contrast=0.7, contrast_tau=0.3, width=5, generator_clip=1e9)
    strategy.setup(models)
    strategy.optimizer = torch.optim.SGD(models.generator.parameters(), lr=1.0)
    strategy.contraster = torch.optim.SGD(strategy.projections, lr=1.0, maximize=True)
    plain = PlainMateKD(
        models.teacher,
        models.student,
        copy.deepcopy(models.generator),
        special_ids=[START, PAD, END],
        mask_id=MASK,
        forbidden_ids=SPECIAL,
        rho=0.5,
        tau=0.8,
        regression=task.is_regression,
    )
    start = [p.detach().clone() for p in (*models.generator.parameters(), *strategy.projections)]

    drawn, text = noise(models, batch, 0.5), accepted(models.student, batch.inputs)
    x, _ = plain.perturb(text, *drawn)
    inputs = {key: value for key, value in text.items() if key != "input_ids"}
    pairs = zip((models.student, models.teacher), strategy.projections, strict=True)
    c = contrast(*(summaries(model, weight, inputs, x) for model, weight in pairs), 0.3)
    objective = -plain.generator_loss(text, *drawn) + 0.7 * c
    wanted = torch.autograd.grad(objective, [*plain.generator.parameters()], retain_graph=True, allow_unused=True)
    downhill = [-0.7 * gradient for gradient in torch.autograd.grad(c, strategy.projections)]

    loss = strategy.fit_adversary(batch, models)
    assert float(loss) == pytest.approx(-float(objective.detach()), rel=1e-6)
    moved = [
        (p.detach() - before).flatten()
        for p, before in zip((*models.generator.parameters(), *strategy.projections), start, strict=True)
    ]
    expected = [
        (torch.zeros_like(before) if gradient is None else gradient).flatten()
        for gradient, before in zip((*wanted, *downhill), start, strict=True)
    ]
    for part in (slice(0, -2), slice(-2, None)):
        found, right = torch.cat(moved[part]), torch.cat(expected[part])
        assert right.norm() > 0
        assert float((found - right).norm() / right.norm()) < 1e-5
    assert all(parameter.grad is None for parameter in models.student.parameters())
    assert models.cost.forwards == {"generator": 6, "teacher": 6, "student": 6}


def test_the_projections_bring_the_layers_together_and_the_generator_parts_them():
    models, batch = models_and_batch("bert", CLASSES, 16)
    strategy = CILDA(rho=0.7, generator_lr=1e-9, contrast=10.0, contrast_lr=3e-3)
    strategy.setup(models)

    def climb(generator_lr: float, contrast_lr: float) -> tuple[float, float]:
        """Return what is climbed, at first and in the end of a hundred updates."""
        for optimizer, rate in ((strategy.optimizer, generator_lr), (strategy.contraster, contrast_lr)):
            for group in optimizer.param_groups:
                group["lr"] = rate
        losses = [-float(strategy.fit_adversary(batch, models)) for _ in range(100)]
        return sum(losses[:10]) / 10, sum(losses[-10:]) / 10

    chance, learned = climb(0.0, 3e-3)
    assert chance == pytest.approx(10 * math.log(16), rel=0.05)
    assert learned < 0.88 * chance
    before, after = climb(1e-2, 0.0)
    assert after > 1.1 * before


@both_tasks
def test_micro_batches_contrast_within_themselves_and_a_row_alone_has_nothing_to_contrast_with(task):
    models, batch = models_and_batch("bert", task)
    models.recipe = Recipe(accumulate=6)
    ours, theirs = CILDA(rho=0.5, generator_lr=1e-3), MateKD(rho=0.5, generator_lr=1e-3)
    losses = []
    for strategy in (ours, theirs):
        strategy.setup(models)
        models.rng.manual_seed(1)
        models.cost = Cost()  # a part's random stream is named by how much was done before
        models.generator = build("bert", "masked_lm", seed=3).eval()
        losses.append(float(strategy.fit_adversary(batch, models)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


@pytest.mark.parametrize("text", ["contrast=0", "contrast_tau=0", "width=0", "contrast_lr=0", "rho=0"])
def test_impossible_options_are_refused(text):
    with pytest.raises(UsageError):
        StrategySpec.parse(f"cilda[{text}]")
