"""FreeLB, MixKD, token cutoff and the untrained masked LM: what their views are, exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from families import END, PAD, SPECIAL, START
from tiny import CLASSES, SCORES, Notes, make_models, rows

from bench.data.tasks import GLUE
from bench.distill.feed import Feed
from bench.distill.loop import distil
from bench.distill.losses import divergence
from bench.errors import UsageError
from bench.evaluation.selection import selection
from bench.settings import Recipe
from bench.spec import StrategySpec
from bench.strategy import Batch, Models
from strategies.freelb import PUBLISHED, FreeLB
from strategies.mixkd import MixKD
from strategies.token_cutoff import TokenCutoff


def batch_of(models: Models, n: int = 6) -> Batch:
    data = rows(n, models.task)
    which = np.arange(n)
    batch = Batch(which, data.inputs(which), torch.from_numpy(data.labels))
    with torch.no_grad():
        batch.teacher_logits = models.logits("teacher", batch.inputs)
    return batch


@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])
def test_freelb_climbs_by_normalised_steps_and_stays_in_its_ball(task) -> None:
    models = make_models(task=task)
    batch = batch_of(models)
    strategy = FreeLB(steps=3, lr=0.05, initial=0.2, max_norm=0.12)
    words = models.student.get_input_embeddings()(batch.inputs["input_ids"]).detach()
    real = batch.inputs["attention_mask"].bool()
    deltas, losses = [], []
    for view in strategy.views(batch, models):
        assert view.teacher is None
        assert view.weight == pytest.approx(1 / 3)
        deltas.append((view.student["inputs_embeds"] - words).detach())
        loss = divergence(
            batch.teacher_logits, models.logits("student", view.student), is_regression=task.is_regression
        )
        gradient = torch.autograd.grad(loss, view.student["inputs_embeds"], retain_graph=True)[0]
        losses.append((loss.item(), gradient))
        loss.backward()

    start = deltas[0].flatten(1).norm(dim=1)
    width = words.shape[2]
    # Uniform in [-m, m] with m = 0.2 / sqrt(pieces * H) over pieces * H numbers: at most 0.2 in norm.
    assert (start <= 0.2).all()
    assert start.mean() == pytest.approx(0.2 / math.sqrt(3), rel=0.15)
    assert not deltas[0][~real].any()
    for before, after, (_, gradient) in zip(deltas, deltas[1:], losses, strict=False):
        norm = gradient.flatten(1).norm(dim=1)[:, None, None]
        moved = before + 0.05 * gradient / norm
        size = moved.flatten(1).norm(dim=1)[:, None, None]
        torch.testing.assert_close(after, moved * (0.12 / size).clamp(max=1.0), rtol=1e-4, atol=1e-6)
        assert (after.flatten(1).norm(dim=1) <= 0.12 + 1e-6).all()
    assert width == 16
    assert losses[-1][0] > losses[0][0]


def test_freelb_takes_the_published_numbers_of_the_task_unless_told() -> None:
    models = make_models()
    models.task = CLASSES.__class__(**{**vars(CLASSES), "name": "rte"})
    views = 0
    words = models.student.get_input_embeddings()
    batch = batch_of(models)
    for view in FreeLB().views(batch, models):
        views += 1
        models.logits("student", view.student).sum().backward()
        last = (view.student["inputs_embeds"] - words(batch.inputs["input_ids"])).detach()
    assert views == PUBLISHED["rte"][1] == 3
    assert float(last.flatten(1).norm(dim=1).max()) <= PUBLISHED["rte"][3] + 1e-6


def test_mixkd_gives_both_models_the_same_mixture_of_their_own_embeddings() -> None:
    models = make_models()
    batch = batch_of(models)
    (view,) = MixKD(alpha=0.4).views(batch, models)
    ids = batch.inputs["input_ids"]
    shares = []
    for model, inputs in ((models.student, view.student), (models.teacher, view.teacher)):
        words = model.get_input_embeddings()(ids).detach()
        mixed = inputs["inputs_embeds"].detach()
        # Solve mixed = s * own + (1 - s) * other for each row and every possible partner; one partner fits.
        found = []
        for i in range(len(ids)):
            for j in range(len(ids)):
                difference = words[i] - words[j]
                if i == j:
                    fits, share = torch.allclose(mixed[i], words[i], atol=1e-5), 1.0
                else:
                    share = float(((mixed[i] - words[j]) * difference).sum() / (difference**2).sum())
                    fits = torch.allclose(mixed[i], share * words[i] + (1 - share) * words[j], atol=1e-5)
                if fits:
                    found.append((i, j, round(share, 3)))
                    both = torch.maximum(batch.inputs["attention_mask"][i], batch.inputs["attention_mask"][j])
                    assert torch.equal(inputs["attention_mask"][i], both)
        assert {i for i, _, _ in found} == set(range(len(ids)))
        shares.append(found)
    assert shares[0] == shares[1]
    assert all(-1e-3 <= share <= 1 + 1e-3 for _, _, share in shares[0])


def test_token_cutoff_erases_ordinary_tokens_only_and_keeps_the_target() -> None:
    models = make_models()
    batch = batch_of(models, 60)
    (view,) = TokenCutoff(rate=0.3).views(batch, models)
    erased = (view.student["inputs_embeds"] == 0).all(dim=2)
    special = torch.isin(batch.inputs["input_ids"], torch.tensor([START, PAD, END]))
    assert not erased[special].any()
    assert erased[~special].float().mean() == pytest.approx(0.3, abs=0.06)
    kept = ~erased
    words = models.student.get_input_embeddings()(batch.inputs["input_ids"])
    assert torch.equal(view.student["inputs_embeds"][kept], words[kept])
    assert view.teacher is None
    assert view.teacher_logits is None


@pytest.mark.parametrize(("side", "texts"), [("first", {0}), ("task", {1}), ("both", {0, 1})])
@pytest.mark.parametrize(
    "name", ["token-cutoff[rate=0.5,{}]", "mlm[rho=0.9,{}]", "mate-kd[rho=0.9,{}]", "vda[{}]", "augpro[rate=0.9,{}]"]
)
def test_only_the_texts_that_side_names_are_changed(name, side, texts) -> None:
    models = make_models(task=GLUE["mnli"])
    batch = batch_of(models, 60)
    strategy = StrategySpec.parse(name.format(f"side={side}")).create()
    strategy.setup(models)
    (view,) = strategy.views(batch, models)
    if "input_ids" in view.student:
        changed = view.student["input_ids"] != batch.inputs["input_ids"]
    else:
        words = models.student.get_input_embeddings()(batch.inputs["input_ids"])
        changed = (view.student["inputs_embeds"] != words).any(dim=2)
    assert set(batch.inputs["token_type_ids"][changed].tolist()) == texts


def test_mlm_is_mate_kd_without_generator_updates() -> None:
    models = make_models()
    batch = batch_of(models)
    ours, theirs = (StrategySpec.parse(text).create() for text in ("mlm[rho=0.5]", "mate-kd[rho=0.5]"))
    state = models.rng.get_state()
    (view,) = ours.views(batch, models)
    models.rng.set_state(state)
    (expected,) = theirs.views(batch, models)
    assert torch.equal(view.student["input_ids"], expected.student["input_ids"])
    assert not torch.equal(view.student["input_ids"], batch.inputs["input_ids"])
    assert not torch.isin(view.student["input_ids"], torch.tensor([s for s in SPECIAL if s not in (0, 1, 2)])).any()


@pytest.mark.parametrize("name", ["freelb", "mixkd", "token-cutoff", "mlm"])
@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])
def test_each_trains_the_student_on_the_same_budget_and_leaves_the_teacher_alone(name: str, task) -> None:
    models = make_models(task=task)
    before = [p.detach().clone() for p in models.teacher.parameters()]
    generator = [p.detach().clone() for p in models.generator.parameters()]
    train = rows(12, task)
    with torch.no_grad():
        logits = models.logits("teacher", train.inputs(np.arange(12))).numpy()
    strategy = StrategySpec.parse(name).create()
    distil(
        models,
        strategy,
        Recipe(epochs=2, batch_size=4, lr=1e-3),
        selection("last"),
        Feed(train, logits),
        {"dev": rows(6, task, seed=1)},
        seed=0,
        observer=Notes(),
    )
    assert models.cost.student_updates == 6
    assert models.cost.adversary_updates == 0
    assert all(torch.equal(a, b) for a, b in zip(before, models.teacher.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(generator, models.generator.parameters(), strict=True))


@pytest.mark.parametrize("text", ["freelb[steps=0]", "mixkd[alpha=0]", "token-cutoff[rate=1.0]", "mlm[rho=0]"])
def test_impossible_options_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        StrategySpec.parse(text)
