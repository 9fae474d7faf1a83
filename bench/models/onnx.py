"""A kept student as ONNX, for programs without torch, held against the student's own answers."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from bench.errors import BenchError
from bench.models.classify import Classifier
from bench.models.inputs import accepted

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_SHORT, _LONG = "It rains.", "It has rained since the early morning, and nobody thinks that it will ever stop again. "
_ASKED: tuple[list[tuple[str, ...]], ...] = (
    [(_SHORT, _LONG), (_LONG, _SHORT)],
    [(_SHORT,)],
    [(_SHORT,), (_LONG,), (_LONG * 100,)],
)
"""Batches of texts and of pairs of several sizes, with padding, and with a text that is cut; the first is traced."""
_TOLERANCE = 1e-3
"""The same sums in another order part by about 1e-6, a graph that is wrong by far more."""


class _Logits(torch.nn.Module):
    """What the classifier answers to inputs in the order of ``names``."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits


def check_packages() -> None:
    """Raise BenchError, naming what to type, where ONNX cannot be written here."""
    if absent := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise BenchError(f"{absent[0]} is not installed; type: pip install 'distil-augment-bench[onnx]'")


def write_onnx(student: Path, file: Path) -> float:
    """Write the classifier in the folder ``student`` to ``file``; return how far a logit is from its own at most.

    Inputs are what the folder's tokenizer gives that the model reads, int64 [B, L] each, of any B and L up to the
    model's longest; the output ``logits`` is float32 [B, C]. Raises BenchError where a package is missing, the model
    has no ONNX, or ONNX Runtime's logits differ from torch's.
    """
    check_packages()
    classifier = Classifier(str(student), "cpu")

    def inputs_of(rows: list[tuple[str, ...]]) -> dict[str, torch.Tensor]:
        return accepted(classifier.model, dict(classifier.encoded(rows)))

    traced = inputs_of(_ASKED[0])
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=classifier.max_length)}
    # What the exporter says of its own parts, and of packages that texts do not need.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                _Logits(classifier.model, list(traced)).eval(),
                tuple(traced.values()),
                file,
                input_names=list(traced),
                output_names=["logits"],
                dynamic_shapes=(tuple(axes for _ in traced),),
                external_data=False,
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise BenchError(f"torch cannot write {type(classifier.model).__name__} as ONNX: {error}") from error
    furthest = 0.0
    answers = _answers(file, [inputs_of(rows) for rows in _ASKED])
    for rows, logits in zip(_ASKED, answers, strict=True):
        own = classifier.logits(rows)
        apart = float((logits - own).abs().max()) if logits.shape == own.shape else float("nan")
        if not apart <= _TOLERANCE:
            raise BenchError(f"the ONNX file's logits are {apart:.2g} from the student's own: it is not the same model")
        furthest = max(furthest, apart)
    return furthest


def _answers(file: Path, batches: list[dict[str, torch.Tensor]]) -> list[torch.Tensor]:
    """Return the logits of ``file`` on each of ``batches``, in double precision."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        plain = [{name: values.numpy() for name, values in inputs.items()} for inputs in batches]
        answers = [session.run(["logits"], inputs)[0] for inputs in plain]
    except Exception as error:  # of its own kinds, which have no other parent
        raise BenchError(f"ONNX Runtime cannot run the student's ONNX file: {error}") from error
    return [torch.from_numpy(logits).double() for logits in answers]
