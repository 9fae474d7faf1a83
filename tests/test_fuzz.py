"""Whatever is given to a reader or a parser, it is read or refused with the suite's own error: see fuzzing.py."""

from __future__ import annotations

import pytest
from fuzzing import TARGETS, fuzz


@pytest.mark.texts_alone
@pytest.mark.parametrize("name", TARGETS)
def test_any_input_is_read_or_refused_in_words(name: str) -> None:
    read, refused = fuzz(name, 150)
    assert read + refused >= 20  # of structures so small that there are not more, fewer are tried
    assert refused
