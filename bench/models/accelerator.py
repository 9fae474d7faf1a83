"""accelerate's handle: the device, the processes that share the work, and the precision of passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator


class PreciseAccelerator(Accelerator):
    """An Accelerator whose ``precision``, "fp32" or "bf16", is its own.

    accelerate keeps one for all of a process and refuses a second: students trained in bf16 could not be scored in
    fp32 by the process that makes their generator, nor settings of both kinds be run from one notebook.
    """

    def __init__(self, precision: str = "fp32", **options: Any) -> None:
        super().__init__(**options)
        # Of what the process was told before, or its environment tells; the first scales the losses of fp16.
        self.scaler, self.native_amp = None, False
        self._precision = precision

    @property
    def mixed_precision(self) -> str:
        """The precision of passes, as accelerate calls it."""
        return "bf16" if self._precision == "bf16" else "no"

    @contextmanager
    def autocast(self, autocast_handler: Any = None) -> Iterator[None]:
        """Make passes inside the block with matrices in bf16, where that is the precision."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._precision == "bf16"):
            yield
