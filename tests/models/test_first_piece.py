from __future__ import annotations

import pytest
import torch
from families import LENGTH, VOCAB, build, every_family

from bench.models.first_piece import first_piece_alone, last_attention


@every_family
def test_logits_are_those_of_the_whole_model_and_the_last_block_works_for_one_piece(family):
    model = build(family, "classifier", seed=1, layers=2)
    ids = torch.randint(4, VOCAB - 1, (3, LENGTH), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    widths = []
    block = last_attention(model)
    linear = [module for module in model.base_model.modules() if isinstance(module, torch.nn.Linear)]
    hooks = [module.register_forward_hook(lambda m, args, out: widths.append(tuple(out.shape))) for module in linear]
    with torch.no_grad():
        whole = model(input_ids=ids, attention_mask=mask).logits
        before, widths[:] = list(widths), []
        with first_piece_alone(model):
            short = model(input_ids=ids, attention_mask=mask).logits
        after, widths[:] = list(widths), []
        again = model(input_ids=ids, attention_mask=mask).logits
    for hook in hooks:
        hook.remove()
    assert block is not None
    torch.testing.assert_close(short, whole, rtol=0, atol=1e-12)
    assert torch.equal(again, whole)
    narrower = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert [(a[1], b[1]) for a, b in narrower] == [(LENGTH, 1)] * 2  # into the wider space and back


def test_where_the_last_block_is_not_known_the_model_is_left_alone():
    class Odd(torch.nn.Module):
        base_model = torch.nn.Linear(2, 2)

    assert last_attention(Odd()) is None
    with first_piece_alone(Odd()):
        pass


@pytest.mark.parametrize("family", ["bert"])
def test_a_head_that_reads_every_piece_is_told_by_its_logits(family):
    model = build(family, "classifier", seed=1)
    model.bert.pooler.forward = lambda hidden: hidden.mean(dim=1)
    ids = torch.randint(4, VOCAB - 1, (2, LENGTH), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = model(input_ids=ids).logits
        with first_piece_alone(model):
            assert not torch.allclose(model(input_ids=ids).logits, whole, atol=1e-4)
