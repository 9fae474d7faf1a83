"""Students as ONNX: of every family, for any number and length of rows, and refused where the answers part."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from families import build, every_family, tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bench.errors import BenchError
from bench.models import onnx
from bench.models.keep import save

LONGEST = 12


@pytest.fixture
def kept(tmp_path):
    """Keeps a tiny student of a family; returns its folder."""

    def keep(family):
        words = tokenizer()
        words.model_max_length = LONGEST
        save(build(family, "classifier", seed=1, layers=2).float(), words, tmp_path / family)
        return tmp_path / family

    return keep


@every_family
def test_it_answers_as_the_student_does(kept, family):
    folder = kept(family)
    assert onnx.write_onnx(folder, folder / "model.onnx") < 1e-5
    model, words = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    texts = [" ".join(f"w{4 + (row * 7 + word) % 40}" for word in range(1 + 3 * row)) for row in range(5)]
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    read = [given.name for given in session.get_inputs()]
    for columns in ((texts,), (texts, texts[::-1]), (texts[:1],), (texts[3:4], texts[:1])):
        batch = words(*columns, padding=True, truncation=True)
        inputs = {name: np.array(batch[name]) for name in read}
        own = model(**{name: torch.tensor(values) for name, values in inputs.items()}).logits
        np.testing.assert_allclose(session.run(["logits"], inputs)[0], own.detach().numpy(), atol=1e-5)
    if family == "distilbert":
        assert read == ["input_ids", "attention_mask"], "what the tokenizer gives and the family does not read"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda logits: logits + 0.01, r"logits are 0\.01 from the student's own"),
        (lambda logits: logits * float("nan"), "logits are nan from the student's own"),
        (lambda logits: logits[:1], "logits are nan from the student's own"),
    ],
)
def test_answers_that_part_are_refused_though_the_first_ones_do_not(kept, monkeypatch, broken, message):
    folder = kept("bert")
    # The graph takes seconds to trace, and is not what this is about.
    monkeypatch.setattr(onnx.torch.onnx, "export", lambda *given, **how: None)
    own = onnx.Classifier(str(folder), "cpu").model

    def answers(file, batches):
        *first, last = [own(**inputs).logits.double() for inputs in batches]
        return [*first, broken(last)]

    monkeypatch.setattr(onnx, "_answers", answers)
    with pytest.raises(BenchError, match=message):
        onnx.write_onnx(folder, folder / "model.onnx")


def test_a_file_that_the_runtime_cannot_read_is_an_error_in_words(kept, monkeypatch):
    folder = kept("bert")
    monkeypatch.setattr(onnx.torch.onnx, "export", lambda *given, **how: given[2].write_bytes(b"not ONNX"))
    with pytest.raises(BenchError, match="ONNX Runtime cannot run the student's ONNX file"):
        onnx.write_onnx(folder, folder / "model.onnx")


def test_a_package_that_is_missing_is_named(kept, monkeypatch):
    find = onnx.importlib.util.find_spec
    monkeypatch.setattr(
        onnx.importlib.util, "find_spec", lambda name, *rest: None if name == "onnxruntime" else find(name, *rest)
    )
    with pytest.raises(BenchError, match=r"onnxruntime is not installed; type: pip install '.*\[onnx\]'"):
        onnx.write_onnx(kept("bert"), kept("bert") / "model.onnx")
