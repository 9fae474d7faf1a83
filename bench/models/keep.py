"""A trained classifier as a folder that anybody's transformers can load: weights, tokenizer, and what it answers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from bench.data.tasks import Task
from bench.errors import BenchError
from bench.files import remove, whole_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write ``model`` and ``tokenizer`` to ``folder``, the same files whatever the tokenizer was used for before."""
    if tokenizer.is_fast:
        # It keeps how its last call truncated and padded, and would write that as well.
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def keep_classifier(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    folder: Path,
    *,
    max_length: int,
    card: str,
) -> None:
    """Write ``model`` to ``folder``, whole or not at all, in the place of what was there; ``card`` is its README.

    ``transformers.pipeline("text-classification", folder)`` then answers with the class names of ``task``, or with
    its score as it is; with ``truncation=True`` it cuts texts where training did. Raises BenchError where the folder
    cannot be written.
    """
    config, own = copy.deepcopy(model.config), copy.deepcopy(tokenizer)
    # Without it the pipeline puts a lone logit, a score, through a sigmoid.
    config.problem_type = "regression" if task.is_regression else "single_label_classification"
    if task.is_regression:
        config.id2label, config.label2id = {0: "score"}, {"score": 0}
    own.model_max_length = max_length
    remove(folder)
    trained_with, model.config = model.config, config
    try:
        with whole_folder(folder) as part:
            save(model, own, part)
            (part / "README.md").write_text(card, encoding="utf-8")
    except SafetensorError as error:  # its own kind, also where the disk is full
        raise BenchError(f"cannot write {folder}: {error}; make room and the folder writable") from error
    finally:
        model.config = trained_with
