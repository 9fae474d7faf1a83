"""What a run's adversary has learned by its end, beside what it was before its first update."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from bench.cost import Cost
from bench.distill.feed import Feed
from bench.strategy import Models, Strategy

_ROWS = 512


def gain_of_adversary(strategy: Strategy, models: Models, start: Models, feed: Feed) -> dict[str, Any] | None:
    """Return how far the adversary of ``strategy`` moved and what that was worth; None where none learned.

    Seen on a fixed sample of ``feed``'s rows, by the run's final student. ``start`` are the same models, but the
    generator as it was before the run. Noise and masks are the same in every run.
    """
    if not models.cost.adversary_updates:
        return None
    rows = np.sort(np.random.default_rng(0).permutation(len(feed.train))[:_ROWS])
    # What looking costs is no cost of the run, and its noise none of the run's.
    rng = torch.Generator(models.rng.device).manual_seed(0)
    models, start = (dataclasses.replace(each, cost=Cost(), rng=rng, training=False) for each in (models, start))
    gains = []
    for at in range(0, len(rows), models.recipe.batch_size):
        gain = strategy.adversary_gain(feed.batch(rows[at : at + models.recipe.batch_size], None), models, start)
        if gain is None:
            return None
        gains.append(gain)
    now, before = (torch.cat([getattr(g, name) for g in gains]) for name in ("divergence", "divergence_at_start"))
    moved = [gain.moved for gain in gains if gain.moved is not None]
    return {
        "rows": len(rows),
        "divergence": now.mean().item(),
        "divergence_at_start": before.mean().item(),
        "standard_error": (now - before).std(correction=0).item() / len(rows) ** 0.5,
        **({"words": sum(map(len, moved)), "kl_from_start": torch.cat(moved).mean().item()} if moved else {}),
    }
