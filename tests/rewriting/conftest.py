from __future__ import annotations

import pytest
from rewriting_rows import OBEDIENT

from bench.spec import StrategySpec


@pytest.fixture(scope="session")
def create():
    """From name and options of a strategy in obedient.py to the strategy."""
    return lambda name: StrategySpec.parse(f"{OBEDIENT}:{name}").create()
