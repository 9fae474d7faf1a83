from __future__ import annotations

import torch
from accelerate import Accelerator

from bench.models.accelerator import PreciseAccelerator


def kind_of_product(accelerator):
    with accelerator.autocast():
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_each_has_its_own_precision_whatever_came_before():
    half, whole = PreciseAccelerator("bf16", cpu=True), PreciseAccelerator(cpu=True)
    again = PreciseAccelerator("bf16", cpu=True)
    assert [kind_of_product(each) for each in (half, whole, again)] == [torch.bfloat16, torch.float32, torch.bfloat16]
    assert [each.mixed_precision for each in (half, whole, again)] == ["bf16", "no", "bf16"]


def test_it_is_the_librarys_own_precision():
    torch.manual_seed(0)
    layer, rows = torch.nn.Linear(300, 40), torch.randn(7, 300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = layer(rows)
    with PreciseAccelerator("bf16", cpu=True).autocast():
        assert torch.equal(layer(rows), expected)
    assert isinstance(PreciseAccelerator(cpu=True), Accelerator)
