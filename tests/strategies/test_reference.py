"""Properties of the plain MATE-KD reference, on tiny random models of five architectures, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import CLASSES, END, LENGTH, MASK, PAD, SPECIAL, START, UNK, VOCAB, build, every_family
from torch import Tensor

from strategies.mate_kd.reference import PlainMateKD, Tensors, pad_to


def make_batch(family: str = "bert", labels: int = CLASSES) -> dict[str, Tensor]:
    """Three texts of 9, 6 and 4 pieces, padded on the right, the first two of them pairs."""
    rng = torch.Generator().manual_seed(5)
    ids = torch.randint(4, MASK, (3, LENGTH), generator=rng)
    ids[:, 0] = START
    ids[0, [4, 8]], ids[1, [3, 5]], ids[2, 3] = END, END, END
    ids[0, 6] = UNK
    attention = torch.ones_like(ids)
    attention[1, 6:], attention[2, 4:] = 0, 0
    ids[attention == 0] = PAD
    second = torch.zeros_like(ids)
    if family != "roberta":  # it knows one token type only
        second[0, 5:], second[1, 4:6] = 1, 1
    y = torch.tensor([2, 0, 1]) if labels > 1 else torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    return {"input_ids": ids, "attention_mask": attention, "token_type_ids": second, "labels": y}


def noise(seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    uniform = torch.rand(3, LENGTH, generator=rng, dtype=torch.float64)
    gumbel = -(-torch.rand(3, LENGTH, VOCAB, generator=rng, dtype=torch.float64).log()).log()
    return uniform, gumbel


def make_game(
    family: str = "bert",
    *,
    labels: int = CLASSES,
    optimizer: Callable[[Any], Any] | None = None,
    **options: Any,
) -> PlainMateKD:
    teacher = build(family, "classifier", seed=1, layers=2, labels=labels)
    student = build(family, "classifier", seed=2, labels=labels)
    generator = build(family, "masked_lm", seed=3)
    if optimizer:
        options["student_optimizer"] = optimizer(student.parameters())
        options["generator_optimizer"] = optimizer(generator.parameters())
    options = {"rho": 0.5, **options}
    return PlainMateKD(teacher, student, generator, special_ids=SPECIAL, mask_id=MASK, forbidden_ids=SPECIAL, **options)


def gradients(loss: Tensor, model: Any) -> list[Tensor]:
    wanted = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(wanted, found, strict=True)]


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


def weights_of(model: Any) -> Tensor:
    return flat([p.detach().clone() for p in model.parameters()])


def on_ids(model: Any, batch: Tensors, ids: Tensor) -> Tensor:
    """The ordinary forward, by ids."""
    return model(input_ids=ids, **beside(model, batch)).logits


def on_mixture(model: Any, batch: Tensors, mixture: Tensor) -> Tensor:
    """The forward of weighted mixtures [B, L, V] of word embeddings."""
    return model(inputs_embeds=mixture @ embedding(model), **beside(model, batch)).logits


def beside(model: Any, batch: Tensors) -> dict[str, Tensor]:
    untyped = model.config.model_type in ("distilbert", "mpnet")
    return {k: batch[k] for k in ("attention_mask", *(() if untyped else ("token_type_ids",)))}


def embedding(model: Any) -> Tensor:
    return model.get_input_embeddings().weight


def kl(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    p, q = teacher_logits.softmax(-1), student_logits.softmax(-1)
    return (p * (p / q).log()).sum(-1).mean()


# --- how X' enters a model


@every_family
def test_one_hot_of_a_padded_text_is_the_text(family: str) -> None:
    game, batch = make_game(family), make_batch(family)
    one_hot = torch.nn.functional.one_hot(batch["input_ids"], VOCAB).double()
    for model in (game.teacher, game.student):
        expected = on_ids(model, batch, batch["input_ids"])
        assert expected.std(dim=0).min() > 1e-2  # the answers do depend on the text
        torch.testing.assert_close(game.on_one_hot(model, batch, one_hot), expected)
        torch.testing.assert_close(game.on_text(model, batch), expected)


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_token_types_reach_the_models_that_know_them(family: str) -> None:
    game, batch = make_game(family), make_batch(family)
    untyped = {k: v for k, v in batch.items() if k != "token_type_ids"}
    assert not torch.allclose(game.on_text(game.student, batch), game.on_text(game.student, untyped))


@every_family
def test_padding_to_a_fixed_length_changes_nothing(family: str) -> None:
    game, batch = make_game(family), make_batch(family)
    uniform, gumbel = noise()
    longer = pad_to(batch, LENGTH + 5, PAD)
    assert longer["input_ids"].shape == longer["attention_mask"].shape == (3, LENGTH + 5)
    assert (longer["input_ids"][:, LENGTH:] == PAD).all()
    assert not longer["attention_mask"][:, LENGTH:].any()
    wide = torch.zeros(3, 5, dtype=torch.float64), torch.zeros(3, 5, VOCAB, dtype=torch.float64)
    padded_noise = torch.cat([uniform, wide[0]], dim=1), torch.cat([gumbel, wide[1]], dim=1)
    torch.testing.assert_close(game.student_loss(longer, *padded_noise), game.student_loss(batch, uniform, gumbel))
    torch.testing.assert_close(game.generator_loss(longer, *padded_noise), game.generator_loss(batch, uniform, gumbel))


def test_pad_to_refuses_to_truncate() -> None:
    with pytest.raises(ValueError, match="9 pieces do not fit in 8"):
        pad_to(make_batch(), 8, PAD)


# --- the mask and the sample


def test_mask_takes_ordinary_pieces_below_rho_only() -> None:
    game, batch = make_game(rho=0.3), make_batch()
    game.special_ids.remove(PAD)  # padding is told by the attention mask, whatever piece fills it
    uniform = torch.full((3, LENGTH), 0.3)
    uniform[:, ::2] = 0.29
    ordinary = torch.tensor([[0, 1, 1, 1, 0, 1, 0, 1, 0], [0, 1, 1, 0, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0, 0, 0]])
    even = torch.arange(LENGTH) % 2 == 0
    assert torch.equal(game.mask(batch["input_ids"], batch["attention_mask"], uniform), (ordinary == 1) & even)


@every_family
def test_only_masked_positions_change_and_never_to_a_forbidden_id(family: str) -> None:
    game, batch = make_game(family), make_batch(family)
    game.forbidden_ids = [*range(40), MASK]  # leaves 40..48: the model would rarely choose them alone
    changed = 0
    for seed in range(20):
        uniform, gumbel = noise(seed)
        masked = game.mask(batch["input_ids"], batch["attention_mask"], uniform)
        one_hot, ids = game.perturb(batch, uniform, gumbel)
        assert torch.equal(one_hot.detach(), torch.nn.functional.one_hot(ids, VOCAB).double())  # exactly, no rounding
        assert torch.equal(ids[~masked], batch["input_ids"][~masked])
        assert ((ids[masked] >= 40) & (ids[masked] < MASK)).all()
        changed += int((ids != batch["input_ids"]).sum())
    assert changed > 50


def test_a_text_without_masks_is_left_as_it_is() -> None:
    game, batch = make_game(), make_batch()
    uniform, gumbel = noise()
    uniform[1] = 0.99
    one_hot, ids = game.perturb(batch, uniform, gumbel)
    assert torch.equal(ids[1], batch["input_ids"][1])
    assert not torch.equal(ids[0], batch["input_ids"][0])
    (reach,) = torch.autograd.grad(one_hot[1].square().sum(), embedding(game.generator))
    assert not reach.any()


def test_without_masks_the_divergence_is_that_of_the_clean_text_and_has_no_slope() -> None:
    game, batch = make_game(), make_batch()
    uniform, gumbel = torch.ones(3, LENGTH, dtype=torch.float64), noise()[1]
    assert not flat(gradients(game.generator_loss(batch, uniform, gumbel), game.generator)).any()
    clean = kl(game.on_text(game.teacher, batch), game.on_text(game.student, batch))
    torch.testing.assert_close(game.generator_loss(batch, uniform, gumbel), -clean)


def test_samples_follow_the_generators_distribution() -> None:
    """A sample, not the argmax, of the distribution that G gives to the *masked* text."""
    game, batch = make_game(rho=1.0), make_batch()
    draws = 20_000
    row = {k: v[2:3, :4] for k, v in batch.items() if k != "labels"}  # START a b END: both ordinary pieces masked
    masked = row["input_ids"].clone()
    masked[0, 1:3] = MASK
    scores = on_ids(game.generator, row, masked)[0].detach()
    scores[:, SPECIAL] = -math.inf
    many = {k: v.expand(draws, *v.shape[1:]) for k, v in row.items()}
    rng = torch.Generator().manual_seed(11)
    gumbel = -(-torch.rand(draws, 4, VOCAB, generator=rng, dtype=torch.float64).log()).log()
    with torch.no_grad():
        _, ids = game.perturb(many, torch.zeros(draws, 4), gumbel)
    for position in (1, 2):
        frequency = torch.bincount(ids[:, position], minlength=VOCAB) / draws
        expected = scores[position].softmax(-1)
        assert (frequency - expected).abs().max() < 4 * 0.5 / math.sqrt(draws)
        assert expected.max() < 0.9


def test_tau_sharpens_the_gradient_and_leaves_the_sample() -> None:
    batch, (uniform, gumbel) = make_batch(), noise()
    at_one, at_half = (make_game(tau=tau) for tau in (1.0, 0.5))
    assert torch.equal(at_one.perturb(batch, uniform, gumbel)[1], at_half.perturb(batch, uniform, gumbel)[1])
    a, b = (flat(gradients(g.generator_loss(batch, uniform, gumbel), g.generator)) for g in (at_one, at_half))
    assert not torch.allclose(a, b)


# --- the generator's step


def soft_sample(game: PlainMateKD, batch: Tensors, uniform: Tensor, gumbel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The Gumbel-softmax, its hard choice and where it applies, written a second time."""
    ids = batch["input_ids"]
    masked = (uniform < game.rho) & (batch["attention_mask"] == 1) & ~torch.isin(ids, torch.tensor(SPECIAL))
    scores = on_ids(game.generator, batch, ids.masked_fill(masked, MASK)) + gumbel
    scores[..., SPECIAL] = -math.inf
    return (scores / game.tau).softmax(-1), torch.nn.functional.one_hot(scores.argmax(-1), VOCAB), masked


def relaxed_divergence(game: PlainMateKD, batch: Tensors, uniform: Tensor, gumbel: Tensor, anchor: Tensor) -> Tensor:
    """KL at hard + (soft(phi) - anchor), whose true slope where soft = anchor is the straight-through one."""
    soft, hard, masked = soft_sample(game, batch, uniform, gumbel)
    original = torch.nn.functional.one_hot(batch["input_ids"], VOCAB).double()
    mixed = torch.where(masked[..., None], hard + soft - anchor, original)
    return kl(on_mixture(game.teacher, batch, mixed), on_mixture(game.student, batch, mixed))


@every_family
def test_generator_gradient_is_the_finite_difference_of_the_relaxation(family: str) -> None:
    game, batch = make_game(family, tau=0.7), make_batch(family)
    uniform, gumbel = noise(4)
    slope = flat(gradients(game.generator_loss(batch, uniform, gumbel), game.generator))
    parameters = list(game.generator.parameters())
    start = weights_of(game.generator)
    rng = torch.Generator().manual_seed(9)

    def at(weights: Tensor, anchor: Tensor) -> Tensor:
        torch.nn.utils.vector_to_parameters(weights, parameters)
        with torch.no_grad():
            return relaxed_divergence(game, batch, uniform, gumbel, anchor)

    anchor = soft_sample(game, batch, uniform, gumbel)[0].detach()
    for _ in range(3):
        direction = torch.randn(start.shape, generator=rng, dtype=torch.float64)
        eps = 1e-7  # small, for a ReLU in DistilBERT's classifier may have its kink near by
        rise = (at(start + eps * direction, anchor) - at(start - eps * direction, anchor)) / (2 * eps)
        assert abs(rise) > 1e-4
        torch.testing.assert_close(slope @ direction, -rise, rtol=1e-5, atol=1e-7)


def test_kl_slopes_are_those_worked_out_by_hand() -> None:
    rng = torch.Generator().manual_seed(1)
    t, s = (torch.randn(4, CLASSES, generator=rng, dtype=torch.float64, requires_grad=True) for _ in range(2))
    game = make_game(temperature=2.0)
    to_t, to_s = torch.autograd.grad(game.divergence(t, s), (t, s))
    p, q = (t / 2).softmax(-1).detach(), (s / 2).softmax(-1).detach()
    gap = (p / q).log()
    each = (p * gap).sum(-1, keepdim=True)
    torch.testing.assert_close(game.divergence(t, s), 4 * each.mean())  # temperature squared
    torch.testing.assert_close(to_s, 2 * (q - p) / 4)  # temperature^2 / temperature, over 4 texts
    torch.testing.assert_close(to_t, 2 * p * (gap - each) / 4)


def test_cross_entropy_pays_the_generator_for_the_teachers_entropy() -> None:
    """CE = KL + H(p_T): the generator's two gradients differ by that of H, the student's do not differ."""
    batch, (uniform, gumbel) = make_batch(), noise()
    by_kl, by_ce = make_game(objective="kl"), make_game(objective="ce")
    kl_slope = flat(gradients(by_kl.generator_loss(batch, uniform, gumbel), by_kl.generator))
    ce_slope = flat(gradients(by_ce.generator_loss(batch, uniform, gumbel), by_ce.generator))

    one_hot, _ = by_kl.perturb(batch, uniform, gumbel)
    p = on_mixture(by_kl.teacher, batch, one_hot).softmax(-1)
    entropy_slope = flat(gradients(-(p * p.log()).sum(-1).mean(), by_kl.generator))
    assert entropy_slope.norm() > 1e-3
    torch.testing.assert_close(ce_slope - kl_slope, -entropy_slope)

    of_student = [flat(gradients(g.student_loss(batch, uniform, gumbel), g.student)) for g in (by_kl, by_ce)]
    torch.testing.assert_close(*of_student)


def test_generator_steps_raise_the_divergence_and_touch_the_generator_alone() -> None:
    game = make_game(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e-3))
    batch, (uniform, gumbel) = make_batch(), noise()
    before = [weights_of(m) for m in (game.teacher, game.student, game.generator)]
    with torch.no_grad():
        anchor, _, _ = soft_sample(game, batch, uniform, gumbel)
        divergence = relaxed_divergence(game, batch, uniform, gumbel, anchor)
    loss = game.generator_step(batch, uniform, gumbel)
    torch.testing.assert_close(loss, -divergence)
    with torch.no_grad():
        assert relaxed_divergence(game, batch, uniform, gumbel, anchor) > divergence
    after = [weights_of(m) for m in (game.teacher, game.student, game.generator)]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False]


# --- the student's step


@every_family
def test_student_loss_and_gradient_are_those_of_looking_the_sampled_ids_up(family: str) -> None:
    game, batch = make_game(family, weights=(0.5, 0.3, 0.2)), make_batch(family)
    uniform, gumbel = noise()
    _, ids = game.perturb(batch, uniform, gumbel)
    assert (ids != batch["input_ids"]).any()
    student_clean = on_ids(game.student, batch, batch["input_ids"])
    terms = (
        -student_clean.log_softmax(-1)[range(3), batch["labels"]].mean(),
        kl(on_ids(game.teacher, batch, batch["input_ids"]), student_clean),
        kl(on_ids(game.teacher, batch, ids), on_ids(game.student, batch, ids)),
    )
    expected = 0.5 * terms[0] + 0.3 * terms[1] + 0.2 * terms[2]
    loss = game.student_loss(batch, uniform, gumbel)
    torch.testing.assert_close(loss, expected)
    got, wanted = flat(gradients(loss, game.student)), flat(gradients(expected, game.student))
    assert wanted.norm() > 1e-2
    torch.testing.assert_close(got, wanted)


def test_student_steps_touch_the_student_alone_even_across_turns() -> None:
    """What a student step leaves in the generator must not enter the generator's next update."""
    batch, draws = make_batch(), [noise(seed) for seed in range(4)]

    def sgd(parameters: Any) -> Any:
        return torch.optim.SGD(parameters, lr=0.1)

    game = make_game(optimizer=sgd, clip=math.inf)
    teacher, student, generator = (weights_of(m) for m in (game.teacher, game.student, game.generator))
    game.student_step(batch, *draws[0])
    assert all(p.grad is None for p in game.teacher.parameters())
    assert torch.equal(weights_of(game.teacher), teacher)
    assert torch.equal(weights_of(game.generator), generator)
    assert not torch.equal(weights_of(game.student), student)
    for step, loss, model, turn in (
        (game.generator_step, game.generator_loss, game.generator, 1),
        (game.student_step, game.student_loss, game.student, 2),
        (game.generator_step, game.generator_loss, game.generator, 3),
    ):
        before = weights_of(model)
        slope = flat(gradients(loss(batch, *draws[turn]), model))
        step(batch, *draws[turn])
        torch.testing.assert_close(weights_of(model), before - 0.1 * slope)


@pytest.mark.parametrize("player", ["student", "generator"])
def test_clipping_bounds_the_update(player: str) -> None:
    game = make_game(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0), clip=1e-3)
    model = getattr(game, player)
    before = weights_of(model)
    getattr(game, f"{player}_step")(make_batch(), *noise())
    torch.testing.assert_close((weights_of(model) - before).norm().item(), 1e-3, rtol=1e-2, atol=0)


# --- regression and settings


def test_regression_is_squared_error_in_every_term() -> None:
    game, batch = make_game(labels=1, regression=True), make_batch(labels=1)
    uniform, gumbel = noise()
    _, ids = game.perturb(batch, uniform, gumbel)
    t, s = (on_ids(m, batch, batch["input_ids"])[:, 0] for m in (game.teacher, game.student))
    t_adv, s_adv = (on_ids(m, batch, ids)[:, 0] for m in (game.teacher, game.student))
    parts = [((a - b) ** 2).mean() for a, b in ((s, batch["labels"]), (t, s), (t_adv, s_adv))]
    torch.testing.assert_close(game.student_loss(batch, uniform, gumbel), (parts[0] + parts[1] + parts[2]) / 3)
    loss = game.generator_loss(batch, uniform, gumbel)
    torch.testing.assert_close(loss, -parts[2])
    assert flat(gradients(loss, game.generator)).norm() > 1e-4


def test_the_published_settings_are_the_defaults() -> None:
    models = [build("bert", head, seed=0) for head in ("classifier", "classifier", "masked_lm")]
    game = PlainMateKD(*models, special_ids=SPECIAL, mask_id=MASK, forbidden_ids=SPECIAL)
    assert (game.rho, game.tau, game.temperature, game.objective, game.clip) == (0.3, 1.0, 1.0, "kl", 5.0)
    assert sum(game.weights) == pytest.approx(1.0)
    assert game.student_optimizer.param_groups[0]["lr"] == 2e-5
    assert game.generator_optimizer.param_groups[0]["lr"] == 5e-7
    assert isinstance(game.generator_optimizer, torch.optim.AdamW)
    with pytest.raises(ValueError, match="'js'"):
        make_game(objective="js")
