"""Streams of random numbers that share nothing: each is named by a seed and by what it is for."""

from __future__ import annotations

import torch

from bench.files import digest


def stream_seed(seed: int, purpose: str, *place: int) -> int:
    """Return the seed of the stream for ``purpose`` at ``place`` (an update, a micro-batch) of a run under ``seed``.

    Two generators that were seeded with one number give the same numbers; those of two purposes must not.
    """
    return int(digest(seed, purpose, place), 16)


def start_stream(device: torch.device, seed: int, purpose: str, *place: int) -> None:
    """Start the stream of ``stream_seed``'s arguments where dropout on ``device`` draws from: torch's global state."""
    number = stream_seed(seed, purpose, *place)
    # Not torch.manual_seed, which walks the call stack for every kind of device that is not in use.
    torch.default_generator.manual_seed(number)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(number)
