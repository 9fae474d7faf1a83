from __future__ import annotations

import pytest
from families import build, tokenizer

from bench.conformance.tiny_tasks import PAIR
from bench.data.tasks import GLUE
from bench.rewriter import Context


@pytest.fixture(scope="module", params=["bert", "roberta"])
def context(request, tmp_path_factory):
    """SST-2 with a tiny masked LM of each family as the generator."""
    folder = tmp_path_factory.mktemp("generator")
    build(request.param, "masked_lm", seed=3).float().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return Context(GLUE["sst2"], {"generator": str(folder)})


@pytest.fixture
def on_pairs(monkeypatch):
    """`bench check` looks at the tiny pairs alone: enough for what takes texts as it finds them."""
    monkeypatch.setattr("bench.conformance.subject.TASKS", (PAIR,))
