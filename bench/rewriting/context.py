"""The models that rewriters read, as folders that worker processes can load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.tasks import Example, Task
from bench.files import is_whole, whole_folder
from bench.models.inputs import Role
from bench.observer import Observer, Silent
from bench.rewriter import Context, Corpus, Rewriter

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FolderOf = Callable[[Role], tuple[str, str]]
"""From a role to the folder of its model and tokenizer, and the digest of its contents."""


def context_for(
    rewriter: Rewriter,
    task: Task,
    folder_of: FolderOf,
    device: str = "cpu",
    rows: Sequence[Example] = (),
    corpus: Callable[[], Corpus] = lambda: Corpus(()),
) -> Context:
    """Return what ``rewriter`` says that it reads, on ``device``; ``rows`` are the task's training rows.

    ``corpus`` is only called where it is read.
    """
    reads = rewriter.reads()
    places: dict[Role, tuple[str, str]] = {
        role: folder_of(role) for role in reads if role != "texts" and role != "corpus"
    }
    return Context(
        task=task,
        models={role: folder for role, (folder, _) in places.items()},
        digests={role: digest for role, (_, digest) in places.items()},
        device=device,
        texts=[row.texts for row in rows] if "texts" in reads else (),
        ids=[row.id for row in rows] if "texts" in reads else (),
        corpus=corpus() if "corpus" in reads else None,
    )


def saved(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, observer: Observer | None = None
) -> tuple[str, str]:
    """Save ``model`` under ``folder``, unless it is there already; return where, and the digest of its contents."""
    from bench.models.keep import save
    from bench.models.load import content_hash

    digest = content_hash(model)
    home = folder / digest
    if not is_whole(home, observer or Silent()):
        with whole_folder(home) as part:
            save(model, tokenizer, part)
    return str(home), digest
