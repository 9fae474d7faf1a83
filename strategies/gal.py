"""GAL: rows that a causal language model writes, labelled softly by the teacher."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import Batch, Context, Models, Strategy, View, Writer, option
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench import Example, Resource, Task
    from bench.observer import Observer
    from bench.rewriter import Forms, Reads

_AT_ONCE = 64
_TRIES = 4


@dataclass(kw_only=True)
class GAL(Strategy, Writer):
    """New rows that a causal language model writes, with the teacher's soft labels (He et al., 2022, arXiv 2106.06168).

    The LM at ``model`` is first trained on the task's training texts, without labels, then writes rows of its own; of a
    pair both texts, one after the other. What is empty, unfinished, a training row or a repeat is dropped and counted,
    and as many are drawn again, up to four for each row wanted. The student learns from the clean rows and from these,
    which are dealt out to the steps in turn. The paper fine-tunes GPT-2 large and writes many times the training rows.
    """

    verified = "loss and sampling of a tiny causal LM equal plain ones; not the authors' rows or numbers"

    model: str = option("gpt2", "the causal language model: a folder, or a name on the hub")
    passes: float = option(3.0, "the number of times the LM reads the training texts; 0: it stays as it is", at_least=0)
    lr: float = option(5e-5, "the highest learning rate of that", above=0)
    rows: int | None = option(None, "the number of rows it writes; none: as many as training rows", at_least=1)
    temperature: float = option(1.0, "the temperature of sampling", at_least=0.01)
    top_p: float = option(0.95, "the mass of the likeliest tokens that are drawn from; 1: all", above=0, at_most=1)
    most: int = option(128, "the number of tokens of a row, those beyond it are lost", at_least=4)
    seed: int = option(0, "the seed of training and sampling", at_least=0, below=2**31)

    def supports(self, task: Task) -> str | None:
        if self.passes == 0 and len(task.texts) > 1:
            return "a language model that has not read pairs writes none: give passes above 0"
        return None

    def resources(self) -> Sequence[Resource]:
        from bench.resources import hub_model

        return (hub_model(self.model),)

    def files(self, task: Task) -> tuple[str, ...]:
        return (self.model,)

    def reads(self) -> tuple[Reads, ...]:
        return ("texts",)

    def prepare(self, examples: Sequence[Example], context: Context, observer: Observer) -> None:
        if context.cache is not None:
            self.write_all(context, context.cache, observer)

    def rewrite(self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context) -> list[Forms]:
        from bench.rewriter import dealt

        options = tuple((field.name, getattr(self, field.name)) for field in fields(self))
        return dealt(_written(options, context), examples, context)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        from bench.text_strategy import one_form

        yield from one_form(batch.rewritten_by(self), batch, models)

    def write_all(self, context: Context, cache: Path, observer: Observer) -> list[tuple[str, ...]]:
        """Return the rows it writes for a task, all different; the trained LM and the samples are kept in ``cache``."""
        from bench.files import digest

        where, settings = self.model, (self.temperature, self.top_p, self.most, self.seed)
        if self.passes:
            where = self._trained(context, cache, observer)
        wanted = self.rows or len(context.texts)
        home = cache / "samples" / digest(_identity(where), len(context.task.texts), settings)
        known, rows, dropped = set(context.texts), dict[tuple[str, ...], None](), Counter[str]()
        for row in itertools.islice(self._samples(where, context, home), _TRIES * max(wanted, _AT_ONCE)):
            if row is None:
                dropped["empty or unfinished"] += 1
            elif row in known:
                dropped["training rows"] += 1
            elif row in rows:
                dropped["repeats"] += 1
            else:
                rows[row] = None
                observer.update("samples", len(rows), wanted)
            if len(rows) == wanted:
                break
        counts = ", ".join(f"{count:,} {kind}" for kind, count in dropped.items()) or "none"
        samples = len(rows) + dropped.total()
        told = f"gal: {len(rows):,} of {wanted:,} rows wanted in {samples:,} samples; dropped: {counts}"
        if not rows:
            raise BenchError(f"{told}; give another model, more passes or a higher temperature")
        if dropped:
            observer.note(told)
        return list(rows)

    def _trained(self, context: Context, cache: Path, observer: Observer) -> str:
        from bench.distill.causal_lm import train_causal_lm
        from bench.settings import Generator

        recipe = Generator(model=self.model, tokens=2**62, passes=self.passes, lr=self.lr, seed=self.seed)
        home = cache / "causal-lms"
        return train_causal_lm(self.model, context.texts, recipe, self.most, context.device, home, observer)

    def _samples(self, where: str, context: Context, home: Path) -> Iterator[tuple[str, ...] | None]:
        """Yield sample after sample without end; those in ``home`` are not drawn again."""
        from bench.distill.causal_lm import load_causal_lm, sample
        from bench.files import write_json

        model: Any = None
        for number in itertools.count():
            part = home / f"{number:06}.json"
            rows = _kept(part, len(context.task.texts))
            if rows is None:
                if model is None:
                    model, tokenizer = load_causal_lm(where)
                    model.to(context.device)
                options: dict[str, Any] = {"most": self.most, "temperature": self.temperature, "top_p": self.top_p}
                seed = 1_000_003 * self.seed + number
                rows = sample(model, tokenizer, len(context.task.texts), _AT_ONCE, seed, **options)
                write_json(part, rows)
            yield from rows


def _kept(part: Path, texts: int) -> list[tuple[str, ...] | None] | None:
    """Return the samples in the file ``part``, each a row of ``texts`` or None; None where it is missing or damaged."""
    import msgspec

    try:
        rows = msgspec.json.decode(part.read_bytes(), type=list[tuple[str, ...] | None])
    except (OSError, ValueError, RecursionError):
        return None
    whole = len(rows) == _AT_ONCE and all(row is None or (len(row) == texts and all(row)) for row in rows)
    return rows if whole else None


def _identity(where: str) -> str:
    from bench.files import content_digest

    return content_digest(Path(where).expanduser()) or where


@lru_cache(maxsize=1)
def _written(options: tuple[tuple[str, Any], ...], context: Context) -> list[tuple[str, ...]]:
    """Return the rows that GAL with these options writes; a context is hashed as the object that it is."""
    from bench.observer import Silent

    gal = GAL(**dict(options))
    if context.cache is not None:
        return gal.write_all(context, context.cache, Silent())
    with tempfile.TemporaryDirectory() as folder:
        return gal.write_all(context, Path(folder), Silent())
