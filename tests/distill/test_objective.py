from __future__ import annotations

import dataclasses

import pytest
import torch

from bench.distill.losses import divergence
from bench.distill.objective import Objective
from bench.errors import UsageError
from bench.settings import Recipe

ANNEALING = Recipe(method="annealing", first_phase=0.5, levels=5)
CONTINUATION = Recipe(method="continuation", first_phase=0.5, levels=5, margin=2.0)


def weights(recipe, progress=0.0, **present):
    return Objective(recipe, progress, is_regression=False).weights(**present)


@pytest.fixture
def logits():
    rng = torch.Generator().manual_seed(0)
    return torch.randn((2, 6, 3), generator=rng)


def test_weights_sum_to_one_over_the_terms_present():
    assert weights(Recipe(), teacher=True, views=True) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert weights(Recipe(), teacher=True, views=False) == (0.5, 0.5, 0)
    assert weights(Recipe(), teacher=False, views=False) == (1, 0, 0)
    uneven = Recipe(weights=(0, 1, 3))
    assert weights(uneven, teacher=True, views=True) == (0, 0.25, 0.75)
    assert weights(uneven, teacher=True, views=False) == (0, 1, 0)
    # Distillation alone, asked of a strategy (or a teacher's own training) that has only labels.
    assert weights(uneven, teacher=False, views=False) == (1, 0, 0)


def test_plain_distillation_is_the_divergence_all_along(logits):
    for progress in (0.0, 0.9):
        objective = Objective(Recipe(temperature=2.0), progress, is_regression=False)
        assert not objective.labels_only
        expected = divergence(*logits, is_regression=False, temperature=2.0)
        assert torch.equal(objective.distance(*logits), expected)


def test_annealing_raises_the_teacher_s_logits_and_then_learns_from_labels_alone(logits):
    teacher, student = logits
    phis = [Objective(ANNEALING, step / 100, False).phi for step in range(50)]
    assert phis == pytest.approx([(step // 10 + 1) / 5 for step in range(50)])
    for step, phi in ((0, 0.2), (49, 1.0)):
        objective = Objective(ANNEALING, step / 100, is_regression=False)
        expected = (
            sum(float((s - phi * t) ** 2) for s, t in zip(student.flatten(), teacher.flatten(), strict=True)) / 18
        )
        assert float(objective.distance(teacher, student)) == pytest.approx(expected, rel=1e-5)
        assert objective.weights(teacher=True, views=True) == (0, 0.5, 0.5)
        assert objective.weights(teacher=True, views=False) == (0, 1, 0)
    assert not Objective(ANNEALING, 0.49, False).labels_only
    assert Objective(ANNEALING, 0.5, False).labels_only
    assert weights(ANNEALING, 0.5, teacher=True, views=True) == (1, 0, 0)


def test_continuation_moves_from_the_teacher_to_the_labels(logits):
    teacher, student = logits
    assert weights(CONTINUATION, 0.0, teacher=True, views=True) == (0, 0.5, 0.5)
    assert weights(CONTINUATION, 0.75, teacher=True, views=False) == pytest.approx((0.75, 0.25, 0))
    assert weights(CONTINUATION, 0.5, teacher=True, views=True) == pytest.approx((0.5, 0.25, 0.25))
    objective = Objective(CONTINUATION, 0.2, is_regression=False)
    assert objective.phi == pytest.approx(0.6)
    rows = [
        max(0.0, sum(float((s - 0.6 * t) ** 2) for s, t in zip(a, b, strict=True)) - 2.0 * 0.6)
        for a, b in zip(student, teacher, strict=True)
    ]
    assert min(rows) == 0 < max(rows)  # one row is within the margin, one is not
    assert float(objective.distance(teacher, student)) == pytest.approx(sum(rows) / len(rows), rel=1e-5)
    assert not objective.labels_only


@pytest.mark.parametrize(("recipe", "per_row"), [(ANNEALING, 1), (CONTINUATION, 3)])
def test_the_student_s_own_logits_are_neither_scaled_nor_given_a_margin(logits, recipe, per_row):
    # SMART's views move logits by far less than any margin: with one, they would train nothing.
    own, moved = logits[0], logits[0] + 0.01
    for progress in (0.0, 0.4):
        distance = Objective(recipe, progress, is_regression=False).distance(own, moved, own_target=True)
        assert float(distance) == pytest.approx(per_row * 0.01**2, rel=1e-3)


@pytest.mark.parametrize("recipe", [ANNEALING, CONTINUATION])
def test_without_a_teacher_every_recipe_is_fine_tuning(recipe):
    for progress in (0.0, 0.3, 0.8):
        assert weights(recipe, progress, teacher=False, views=False) == (1, 0, 0)


def test_a_recipe_without_sense_is_refused():
    with pytest.raises(UsageError, match=r"first_phase is the share of .*above 0 and at most 1, not 0"):
        dataclasses.replace(Recipe(), first_phase=0)
