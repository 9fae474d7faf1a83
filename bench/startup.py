"""What a process of ours does first."""

from __future__ import annotations

import gc
import os
import re

from bench.errors import UsageError, quoted


def collect_seldom() -> None:
    """Have Python look for circles of objects after every 50,000 new ones, and not after 700.

    Importing torch and transformers makes more than a million that stay: looking through them again and again is a
    fifth of the time that it takes.
    """
    gc.set_threshold(50_000)


def processes() -> int:
    """Return of how many processes of one command this is one, as ``accelerate launch`` or ``torchrun`` started it.

    UsageError where the variables that those set are no numbers.
    """
    if "LOCAL_RANK" not in os.environ:
        return 1
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"):
        if not re.fullmatch("[0-9]{1,9}", text := os.environ.get(name, "1")):
            raise UsageError(
                f"{name}={quoted(text)} is no number: torchrun and accelerate launch set LOCAL_RANK, RANK and "
                "WORLD_SIZE; without those: unset LOCAL_RANK"
            )
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Return whether this is the process of the command that writes files and talks to people."""
    return processes() == 1 or os.environ.get("RANK") == "0"
