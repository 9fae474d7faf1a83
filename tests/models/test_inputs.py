from __future__ import annotations

import pytest
import torch
from families import FAMILIES, build, every_family, tokenizer

from bench.models.inputs import accepted, longest


@every_family
def test_a_model_reads_its_longest_text_and_nothing_longer(family):
    assert len(FAMILIES) == 5
    model, reader = build(family, "masked_lm", seed=0).float(), tokenizer()
    most = longest(model, reader)
    assert most == 24 - (2 if family in ("roberta", "mpnet") else 0)
    ids = torch.full((1, most), 5)
    model(**accepted(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}))
    longer = torch.full((1, most + 1), 5)
    with pytest.raises((IndexError, RuntimeError)):
        model(**accepted(model, {"input_ids": longer, "attention_mask": torch.ones_like(longer)}))


def test_the_tokenizer_s_own_limit_counts_too():
    reader = tokenizer()
    reader.model_max_length = 7
    assert longest(build("bert", "classifier", seed=0), reader) == 7
