from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def print_products():
    """accelerate's own handle in bf16, then ours beside it: what each makes of the same product."""
    torch.manual_seed(0)
    layer, rows = torch.nn.Linear(300, 40), torch.randn(7, 300)
    products = []
    for each in (Accelerator(mixed_precision="bf16", cpu=True), PreciseAccelerator("bf16", cpu=True)):
        with each.autocast():
            products.append(layer(rows))
    print([product.dtype for product in products], torch.equal(products[0], products[1]))


def test_it_is_the_library_s_own_precision_and_stands_beside_it():
    # In this process another test may have set what accelerate lets nobody set again.
    code = "import test_accelerator as a; a.print_products()"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.stdout.strip() == "[torch.bfloat16, torch.bfloat16] True", done.stderr
