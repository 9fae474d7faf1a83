"""The global random states of this process: whether they were changed, and a scope with states of its own."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def global_states() -> dict[str, bytes]:
    """Return the global random states of this process by library."""
    return {
        "random": pickle.dumps(random.getstate()),
        "numpy.random": pickle.dumps(np.random.get_state()),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def changed_since(states: dict[str, bytes]) -> list[str]:
    """Return the libraries whose global random state is not as it was in ``states``."""
    return [name for name, state in global_states().items() if state != states[name]]


@contextmanager
def own_global_state(seed: int) -> Iterator[None]:
    """Inside, the global random states start from ``seed``; outside they are as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
