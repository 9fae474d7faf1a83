from __future__ import annotations

import pytest
import torch
from families import END, MASK, PAD, SPECIAL, START, VOCAB, build, every_family, tokenizer
from tiny import make_models

from bench.models.inputs import accepted
from bench.models.masked_lm import (
    draw_mask,
    gathered,
    gumbel,
    masked_logits,
    not_text,
    ordinary_tokens,
    refilled,
    sample,
    soft_inputs,
    text_numbers,
)

IDS = torch.tensor([[START, 10, 11, 12, END, 13, END], [START, 20, 3, END, 22, END, PAD]])
INPUTS = {
    "input_ids": IDS,
    "attention_mask": (IDS != PAD).long(),
    "token_type_ids": torch.tensor([[0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1, 0]]),
}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_ordinary_tokens_are_neither_padding_nor_markup():
    # Token 3 is [UNK]: a word of the text, though not one the generator may write.
    expected = [[0, 1, 1, 1, 0, 1, 0], [0, 1, 1, 0, 1, 0, 0]]
    assert ordinary_tokens(INPUTS, tokenizer()).int().tolist() == expected


def test_a_mask_takes_its_share_of_the_ordinary_tokens_and_nothing_else():
    many = {key: value.repeat(2000, 1) for key, value in INPUTS.items()}
    masked = draw_mask(many, tokenizer(), 0.3, rng())
    ordinary = ordinary_tokens(many, tokenizer())
    assert not (masked & ~ordinary).any()
    assert masked[ordinary].double().mean() == pytest.approx(0.3, abs=0.015)
    assert torch.equal(masked, draw_mask(many, tokenizer(), 0.3, rng()))
    assert not torch.equal(masked, draw_mask(many, tokenizer(), 0.3, rng(1)))
    assert torch.equal(draw_mask(many, tokenizer(), 1.0, rng()), ordinary)


def test_a_mask_may_be_kept_to_some_of_the_texts():
    everything = [draw_mask(INPUTS, tokenizer(), 1.0, rng(), texts).int().tolist() for texts in ((0,), (1,), (0, 1))]
    assert everything[0] == [[0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0]]
    assert everything[1] == [[0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0, 0]]
    assert everything[2] == ordinary_tokens(INPUTS, tokenizer()).int().tolist()
    # The draw is the same whichever texts are asked for.
    assert torch.equal(draw_mask(INPUTS, tokenizer(), 0.5, rng()), draw_mask(INPUTS, tokenizer(), 0.5, rng(), (0, 1)))


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [
        ([START, 7, 8, END, 9, END, PAD], [0, 0, 0, 0, 1, 1, 2]),  # BERT
        ([START, 7, END, END, 9, 8, END], [0, 0, 0, 0, 1, 1, 1]),  # RoBERTa
        ([START, END, 9, END, PAD, PAD, PAD], [0, 0, 1, 1, 2, 2, 2]),  # the first text is empty
    ],
)
def test_texts_are_told_by_the_separators(ids, numbers):
    assert text_numbers(torch.tensor([ids]), tokenizer()).tolist() == [numbers]


@every_family
def test_the_head_at_the_masked_positions_is_the_full_head_there(family):
    model = build(family, "masked_lm", seed=3, layers=2)
    masked = torch.zeros_like(IDS, dtype=torch.bool)
    masked[0, 1] = masked[0, 5] = masked[1, 4] = True
    inputs = accepted(model, INPUTS)
    full = model(**inputs).logits
    with gathered(model, masked):
        some = model(**inputs).logits
    assert some.shape == (1, 3, VOCAB)
    torch.testing.assert_close(some[0], full[masked], rtol=1e-9, atol=1e-9)
    # Outside the block the model is itself again.
    assert torch.equal(model(**inputs).logits, full)


def test_the_hook_is_gone_after_an_error():
    model = build("bert", "masked_lm", seed=3)
    with pytest.raises(RuntimeError, match="inside"), gathered(model, IDS == 10):
        raise RuntimeError("inside")
    assert model(**accepted(model, INPUTS)).logits.shape == (*IDS.shape, VOCAB)


@every_family
def test_masked_logits_hide_the_masked_words_and_forbid_markup(family):
    models = make_models(family)
    masked = (IDS == 11) | (IDS == 22)
    logits = masked_logits(models, INPUTS, masked)
    assert logits.shape == (2, VOCAB)
    assert torch.isinf(logits[:, SPECIAL]).all()
    assert torch.isfinite(logits[:, [i for i in range(VOCAB) if i not in SPECIAL]]).all()
    # What stood under the mask makes no difference.
    other = {**INPUTS, "input_ids": IDS.masked_fill(masked, 30)}
    assert torch.equal(masked_logits(models, other, masked), logits)
    hidden = {**INPUTS, "input_ids": IDS.masked_fill(masked, MASK)}
    full = models.generator(**accepted(models.generator, hidden)).logits[masked]
    torch.testing.assert_close(logits[:, 4:MASK], full[:, 4:MASK])
    assert models.cost.forwards["generator"] == 4


def test_rows_of_the_embedding_beyond_the_tokenizer_are_no_tokens():
    models = make_models()
    models.generator.resize_token_embeddings(VOCAB + 14)
    assert masked_logits(models, INPUTS, IDS == 11).shape == (1, VOCAB)


def test_pieces_that_occur_in_no_text_are_never_written():
    models = make_models()
    models.tokenizer.add_tokens(["[unused0]", "[unused12]", "madeupword0001", "unused"])
    models.generator.resize_token_embeddings(VOCAB + 4)
    assert not_text(models.tokenizer) == sorted([*SPECIAL, VOCAB, VOCAB + 1, VOCAB + 2])
    logits = masked_logits(models, INPUTS, IDS == 11)
    assert torch.isinf(logits[0, VOCAB : VOCAB + 3]).all()
    assert torch.isfinite(logits[0, VOCAB + 3])


def test_refilling_touches_the_masked_words_alone_and_takes_a_temperature():
    models = make_models()
    models.generator.train()
    filled = refilled(models, INPUTS, 0.5)
    masked = draw_mask(INPUTS, tokenizer(), 0.5, rng(7))  # the models' own random generator starts at 7
    assert torch.equal(filled["input_ids"][~masked], IDS[~masked])
    assert not torch.isin(filled["input_ids"][masked], torch.tensor(SPECIAL)).any()
    assert filled["attention_mask"] is INPUTS["attention_mask"]
    assert models.generator.training
    cold = refilled(models, INPUTS, 1.0, temperature=1e-4)["input_ids"]
    every = ordinary_tokens(INPUTS, tokenizer())
    assert torch.equal(cold[every], masked_logits(models, INPUTS, every).argmax(dim=-1))


DRAWS = 60_000


@pytest.mark.parametrize("vocabulary", [7, 256, 1000])
@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
def test_a_sample_follows_softmax_of_the_logits_over_the_temperature(vocabulary, tau):
    logits = 2 * torch.randn(vocabulary, generator=rng(vocabulary))
    logits[[0, 3, vocabulary - 1]] = float("-inf")
    expected = (logits.double() / tau).softmax(0)
    drawn = torch.zeros(vocabulary, dtype=torch.float64)
    generator = rng(1)
    for _ in range(10):
        ids = sample(logits.expand(DRAWS // 10, -1), generator, tau)
        drawn += torch.bincount(ids, minlength=vocabulary)
    assert drawn[[0, 3, vocabulary - 1]].tolist() == [0, 0, 0]
    # Words of fewer than five expected draws are counted together.
    rare = expected * DRAWS < 5
    observed = torch.cat([drawn[~rare], drawn[rare].sum()[None]])
    wanted = torch.cat([expected[~rare], expected[rare].sum()[None]]) * DRAWS
    observed, wanted = observed[wanted > 0], wanted[wanted > 0]
    # Chi-square with k - 1 degrees of freedom has mean k - 1 and variance 2 (k - 1).
    freedom = len(wanted) - 1
    chi_square = float(((observed - wanted) ** 2 / wanted).sum())
    assert abs(chi_square - freedom) < 5 * (2 * freedom) ** 0.5
    assert 0.5 * float((drawn / DRAWS - expected).abs().sum()) < 0.06


def test_every_row_is_drawn_from_its_own_distribution():
    logits = torch.full((300, 600), float("-inf"))
    only = torch.randint(600, (300,), generator=rng())
    logits[torch.arange(300), only] = -50.0
    assert torch.equal(sample(logits, rng()), only)


def test_a_sample_is_a_function_of_the_generator():
    logits = torch.randn(50, 300, generator=rng())
    assert torch.equal(sample(logits, rng(4)), sample(logits, rng(4)))
    assert not torch.equal(sample(logits, rng(4)), sample(logits, rng(5)))


def test_gumbel_noise_has_its_distribution():
    noise = gumbel(torch.Size((200_000,)), rng(), torch.device("cpu")).double()
    assert noise.dtype == torch.float64
    assert torch.isfinite(noise).all()
    for at in (-1.0, 0.0, 1.0, 3.0):
        share = float((noise <= at).double().mean())
        assert share == pytest.approx(float(torch.exp(-torch.exp(torch.tensor(-at)))), abs=0.005)


@every_family
def test_soft_inputs_are_the_sampled_words_with_the_gradient_of_the_dense_product(family):
    model = build(family, "classifier", seed=1)
    masked = (IDS == 11) | (IDS == 13) | (IDS == 22)
    scores = torch.randn(3, VOCAB, generator=rng(), dtype=torch.float64)
    ids = scores.argmax(dim=1)
    filled = IDS.clone()
    filled[masked] = ids
    matrix = model.get_input_embeddings().weight.detach()

    leaf = scores.clone().requires_grad_()
    soft = soft_inputs(model, INPUTS, masked, leaf.softmax(1), ids)
    assert "input_ids" not in soft
    assert torch.equal(soft["inputs_embeds"], matrix[filled])
    logits = model(**accepted(model, soft)).logits
    by_ids = model(**accepted(model, {**INPUTS, "input_ids": filled})).logits
    torch.testing.assert_close(logits, by_ids, rtol=1e-9, atol=1e-9)
    logits[:, 0].sum().backward()

    dense = scores.clone().requires_grad_()
    relaxed = dense.softmax(1)
    one_hot = torch.nn.functional.one_hot(ids, VOCAB).double()
    straight_through = one_hot + relaxed - relaxed.detach()
    rows = torch.nn.functional.one_hot(IDS, VOCAB).double()
    rows = rows.index_put(torch.nonzero(masked, as_tuple=True), straight_through)
    rest = {key: value for key, value in INPUTS.items() if key != "input_ids"}
    model(**accepted(model, {**rest, "inputs_embeds": rows @ matrix})).logits[:, 0].sum().backward()
    assert leaf.grad.abs().max() > 1e-6
    torch.testing.assert_close(leaf.grad, dense.grad, rtol=1e-9, atol=1e-12)


def test_soft_inputs_with_nothing_masked_are_the_plain_embeddings():
    model = build("bert", "classifier", seed=1)
    nothing = torch.zeros_like(IDS, dtype=torch.bool)
    soft = soft_inputs(model, INPUTS, nothing, torch.zeros(0, VOCAB), torch.zeros(0, dtype=torch.long))
    assert torch.equal(soft["inputs_embeds"], model.get_input_embeddings().weight[IDS])


@pytest.mark.parametrize(("uniform", "drawn"), [(0.0, 300), (1 - 2**-53, 420)])
def test_the_ends_of_the_uniform_draw_are_words_that_are_possible(monkeypatch, uniform, drawn):
    monkeypatch.setattr(torch, "rand", lambda *shape, **kind: torch.full(shape, uniform, dtype=kind["dtype"]))
    logits = torch.full((5, 1000), float("-inf"))
    logits[:, [300, 420]] = torch.tensor([0.1, 0.2])
    assert sample(logits, rng()).tolist() == [drawn] * 5
