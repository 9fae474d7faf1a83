"""What a process of ours does first."""

from __future__ import annotations

import gc


def collect_seldom() -> None:
    """Have Python look for circles of objects after every 50,000 new ones, and not after 700.

    Importing torch and transformers makes more than a million that stay: looking through them again and again is a
    fifth of the time that it takes.
    """
    gc.set_threshold(50_000)
