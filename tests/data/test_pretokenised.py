from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from families import tokenizer
from tiny import CLASSES, SCORES, Notes, examples, make_models, rows

from bench.data import pretokenised as module
from bench.data.encode import Encoded, encode
from bench.data.pretokenised import pretokenised
from bench.distill.feed import Feed
from bench.distill.loop import distil
from bench.evaluation.selection import selection
from bench.settings import Recipe
from strategies.none import PlainDistillation


@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])
def test_a_split_is_tokenised_once_and_memory_mapped_from_then_on(task, tmp_path, monkeypatch):
    texts, options = examples(20, task), {"is_regression": task.is_regression}
    expected = encode(texts, tokenizer(), 12, **options)
    first = pretokenised(texts, tokenizer(), 12, tmp_path, **options)

    def never(*_, **__):
        raise AssertionError("tokenised a second time")

    monkeypatch.setattr(module, "encode", never)
    used = tokenizer()
    # A tokenizer remembers how it was asked to cut and pad; that is no part of what it is.
    used("w4 w5", truncation=True, max_length=3, padding="max_length")
    for found in (first, pretokenised(texts, used, 12, tmp_path, **options)):
        assert isinstance(found.ids, np.memmap)
        for field in dataclasses.fields(Encoded):
            value, wanted = getattr(found, field.name), getattr(expected, field.name)
            np.testing.assert_array_equal(value, wanted)
            assert getattr(value, "dtype", None) == getattr(wanted, "dtype", None)
    assert expected.truncated > 0


def test_what_the_word_pieces_depend_on_is_tokenised_anew(tmp_path):
    texts = examples(6)
    pretokenised(texts, tokenizer(), 12, tmp_path)
    other_words, other_side = tokenizer(), tokenizer()
    other_words.add_tokens(["w999"])
    other_side.model_input_names = ["input_ids", "attention_mask"]
    pretokenised(texts, tokenizer(), 13, tmp_path)
    pretokenised(texts, tokenizer(), 12, tmp_path, is_regression=True)
    pretokenised(texts, other_words, 12, tmp_path)
    pretokenised(texts, other_side, 12, tmp_path)
    pretokenised([dataclasses.replace(texts[0], label=texts[0].label + 1), *texts[1:]], tokenizer(), 12, tmp_path)
    pretokenised(texts[:5], tokenizer(), 12, tmp_path)
    assert len(list((tmp_path / "encoded").iterdir())) == 7


def test_memory_mapped_rows_and_logits_train_to_the_same_student_and_stay_as_they_are(tmp_path, recwarn):
    train, dev = rows(40), rows(10, seed=1)
    mapped = pretokenised(examples(40), tokenizer(), 24, tmp_path)
    np.save(tmp_path / "logits.npy", np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32))
    students = []
    for data, mode in ((train, None), (mapped, "r")):
        models = make_models()
        distil(
            models,
            PlainDistillation(),
            Recipe(epochs=1, batch_size=8, lr=1e-3),
            selection("last"),
            Feed(data, np.load(tmp_path / "logits.npy", mmap_mode=mode)),
            {"dev": dev},
            seed=0,
            observer=Notes(),
        )
        students.append(torch.cat([p.detach().reshape(-1) for p in models.student.parameters()]))
    assert torch.equal(*students)
    assert not [w for w in recwarn if "not writable" in str(w.message)]
    kept = Encoded.from_tensors(mapped.tensors())
    assert np.array_equal(kept.ids, train.ids)
    assert np.array_equal(kept.labels, train.labels)
