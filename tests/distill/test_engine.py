"""Options of the training loop that save time or memory: what each may change, and that it changes nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from families import every_family
from tiny import CLASSES, Notes, make_models, rows

from bench.data.encode import TokenBatchOrder
from bench.distill.feed import Feed
from bench.distill.loop import distil
from bench.distill.objective import Objective
from bench.distill.student_updates import StudentUpdates
from bench.evaluation.predict import predict
from bench.evaluation.selection import selection
from bench.models.inputs import portions, rows_of, share_of
from bench.models.reshape import compile_layers, encoder_layers, recompute_activations
from bench.settings import Recipe, Settings
from bench.strategy import Strategy, View
from strategies.freelb import FreeLB
from strategies.mate_kd.strategy import MateKD
from strategies.none import PlainDistillation

# Clipping bites in every update: a gradient that is clipped micro-batch by micro-batch would be another one.
RECIPE = Recipe(epochs=1, batch_size=8, lr=1e-3, warmup=0.2, clip=0.05, checkpoint_seconds=math.inf)
SPLITS = {"train": rows(28), "dev": rows(10, seed=1)}


def mate_kd():
    return MateKD(generator_steps=2, student_steps=3, generator_lr=1e-3, generator_clip=1e-3)


@dataclass
class Embedded(Strategy):
    """A view whose embeddings carry a graph back to the student."""

    def views(self, batch, models):
        embedded = models.student.get_input_embeddings()(batch.inputs["input_ids"].flip(1))
        yield View({"inputs_embeds": 0.5 * embedded, "attention_mask": batch.inputs["attention_mask"]})


def train(models, strategy, recipe, *, splits=SPLITS):
    logits = predict(models.teacher, splits["train"], models.accelerator)
    feed = Feed(splits["train"], logits, cost=models.cost)
    return distil(models, strategy, recipe, selection("last"), feed, splits, seed=5, observer=Notes())


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def in_double(family="bert"):
    models = make_models(family)
    for model in (models.student, models.teacher, models.generator):
        model.double()
    return models


# --- gradient accumulation


def test_portions_cover_the_rows_in_nearly_equal_parts():
    assert portions(8, 3) == [slice(0, 2), slice(2, 5), slice(5, 8)]
    assert portions(2, 5) == [slice(0, 1), slice(1, 2)]
    assert sum(share_of(part, 7) for part in portions(7, 3)) == pytest.approx(1)


def test_a_micro_batch_has_no_padding_of_its_own():
    inputs = SPLITS["train"].inputs(np.argsort(SPLITS["train"].lengths)[:6])
    part = rows_of(inputs, slice(0, 2))
    assert part["attention_mask"].sum(dim=1).max() == part["input_ids"].shape[1] < inputs["input_ids"].shape[1]
    assert torch.equal(part["input_ids"], inputs["input_ids"][:2, : part["input_ids"].shape[1]])


@every_family
@pytest.mark.parametrize("strategy", [PlainDistillation, Embedded, mate_kd], ids=["none", "embedded", "mate-kd"])
def test_an_accumulated_update_is_the_update_of_the_whole_batch(family, strategy, monkeypatch):
    # Noise is drawn micro-batch by micro-batch, in another order; without it both runs see the same texts.
    monkeypatch.setattr("bench.models.masked_lm.gumbel", lambda shape, rng, device: torch.zeros(shape))
    start, whole, parts = in_double(family), in_double(family), in_double(family)
    train(whole, strategy(), RECIPE)
    seen = []
    original = parts.logits

    def watched(role, inputs):
        seen.append((role, torch.is_grad_enabled(), len(inputs["attention_mask"])))
        return original(role, inputs)

    parts.logits = watched
    train(parts, strategy(), dataclasses.replace(RECIPE, accumulate=3))
    # Of 8 rows and as many of a view, never more than 3 and 3 are in one forward that keeps activations.
    assert max(n for role, graph, n in seen if role == "student" and graph) <= 6
    for name in ("student", "generator"):
        moved, expected = (flat(getattr(models, name)) - flat(getattr(start, name)) for models in (parts, whole))
        if name == "student" or strategy is mate_kd:
            assert expected.norm() > 0
            assert (moved - expected).norm() < 1e-6 * expected.norm()
    assert {k: v for k, v in vars(parts.cost).items() if k not in ("seconds", "processor")} == {
        k: v for k, v in vars(whole.cost).items() if k not in ("seconds", "processor")
    }


def test_views_that_are_waited_for_are_accumulated_too():
    start, whole, parts = in_double(), in_double(), in_double()
    strategy = FreeLB(steps=2, lr=0.1, initial=0.2, max_norm=0.3)
    train(whole, strategy, RECIPE)
    train(parts, strategy, dataclasses.replace(RECIPE, accumulate=3))
    moved, expected = (flat(models.student) - flat(start.student) for models in (parts, whole))
    assert expected.norm() > 0
    assert (moved - expected).norm() < 1e-6 * expected.norm()
    assert parts.cost.backwards == whole.cost.backwards


# --- activation checkpointing


@every_family
def test_recomputed_activations_change_no_bit_and_are_not_kept(family):
    kept, recomputed = make_models(family, dropout=0.1), make_models(family, dropout=0.1)
    train(kept, mate_kd(), RECIPE)
    train(recomputed, mate_kd(), dataclasses.replace(RECIPE, recompute=True))
    for name in ("student", "generator"):
        assert torch.equal(flat(getattr(kept, name)), flat(getattr(recomputed, name)))
    dropped = make_models(family)
    train(dropped, mate_kd(), RECIPE)
    assert not torch.equal(flat(kept.student), flat(dropped.student))


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_layer_keeps_its_input_only_in_training_and_in_eval_mode(mode):
    """transformers' own checkpointing does nothing in eval mode, where the generator's gradient comes through."""
    model = make_models("bert").teacher
    model.train(mode == "train")
    inputs = SPLITS["train"].inputs(np.arange(8))
    embedded = model.get_input_embeddings()(inputs.pop("input_ids")).detach()

    def kept_and_gradient():
        bytes_kept = 0

        def count(tensor):
            nonlocal bytes_kept
            bytes_kept += tensor.nbytes
            return tensor

        leaf = embedded.clone().requires_grad_(True)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = model(inputs_embeds=leaf, **inputs).logits.square().sum()
        loss.backward()
        return bytes_kept, leaf.grad

    before, expected = kept_and_gradient()
    calls = Counter()
    for number, layer in enumerate(encoder_layers(model)):
        layer.attention.register_forward_hook(lambda *_, number=number: calls.update([number]))
    recompute_activations(model, True)
    after, gradient = kept_and_gradient()
    assert calls == {0: 2, 1: 2}
    assert torch.equal(gradient, expected)
    assert after < 0.5 * before
    recompute_activations(model, False)
    assert kept_and_gradient()[0] == before


def test_recomputing_is_no_part_of_what_a_result_depends_on():
    plain = Settings("x").identity()
    assert Settings("x", recipe=Recipe(recompute=True)).identity() == plain
    for change in ({"accumulate": 2}, {"compile": True}, {"batch_tokens": 100}):
        assert Settings("x", recipe=Recipe(**change)).identity() != plain


# --- batches of a number of word pieces


def test_batches_of_a_token_budget_train_every_row_once_an_epoch():
    models, recipe = make_models(), dataclasses.replace(RECIPE, batch_tokens=60, epochs=2)
    seen = []
    strategy = PlainDistillation()
    strategy.views = lambda batch, models: seen.append(batch.rows.tolist()) or iter(())
    outcome = train(models, strategy, recipe)
    order = TokenBatchOrder(SPLITS["train"].lengths, 60, seed=5)
    assert order.per_epoch > 4
    assert seen == [order[i].tolist() for i in range(2 * order.per_epoch)]
    assert models.cost.student_updates == outcome.step == 2 * order.per_epoch
    assert models.cost.examples == 2 * 28
    assert all(len(batch) * SPLITS["train"].lengths[batch].max() <= 60 for batch in seen)


# --- torch.compile


def test_captured_layers_train_to_the_same_student(monkeypatch):
    """Without inductor, which takes minutes to compile: that the layers are captured, hooks and lengths and all."""
    captured = []

    def backend(graph, _):
        captured.append(graph)
        return graph.forward

    monkeypatch.setattr("bench.distill.loop.compile_layers", lambda model: compile_layers(model, backend))
    plain, compiled = make_models(), make_models()
    short = dataclasses.replace(RECIPE, epochs=0.25)
    train(plain, mate_kd(), short)
    train(compiled, mate_kd(), dataclasses.replace(short, compile=True))
    # With and without gradient, in training and in eval mode: not one a length.
    assert 0 < len(captured) < 20
    for name in ("student", "generator"):
        torch.testing.assert_close(flat(getattr(compiled, name)), flat(getattr(plain, name)), rtol=1e-5, atol=1e-7)


# --- a teacher in lower precision


@every_family
def test_the_generator_climbs_through_a_teacher_in_bf16(family):
    gradients = []
    for lowered in (False, True):
        models = make_models(family)
        if lowered:
            models.teacher.bfloat16()
        strategy = MateKD(rho=0.5, generator_clip=1e9)
        strategy.setup(models)
        strategy.optimizer = torch.optim.SGD(models.generator.parameters(), lr=1.0)
        before = flat(models.generator)
        batch = Feed(SPLITS["train"]).batch(np.arange(20))
        strategy.fit_adversary(batch, models)
        gradients.append(flat(models.generator) - before)
    assert not torch.equal(*gradients)
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.98


# --- parts of very different lengths


@dataclass
class Cut(Strategy):
    """A view of the first three word pieces."""

    def views(self, batch, models):
        yield View({key: value[:, :3] for key, value in batch.inputs.items()}, teacher_logits=batch.teacher_logits)


def test_a_view_much_shorter_than_the_text_is_not_padded_to_its_length():
    models, shapes = make_models(), []
    original = models.logits
    models.logits = lambda role, inputs: shapes.append(inputs["attention_mask"].shape) or original(role, inputs)
    data = SPLITS["train"]
    batch = Feed(data, np.zeros((28, CLASSES.n_outputs), np.float32)).batch(np.arange(8))
    StudentUpdates(models, Cut(), RECIPE, seed=5).update(batch, Objective(RECIPE, 0.0, False), 1e-3)
    assert shapes == [batch.inputs["attention_mask"].shape, (8, 3)]
