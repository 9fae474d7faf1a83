"""A cell's rewritten texts: made by worker processes or taken from the cache, encoded, with the teacher's logits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.tasks import Example
from bench.distill.loop import RewrittenSet
from bench.distill.teacher import TrainedTeacher
from bench.experiment.parts import Parts
from bench.files import is_whole, whole_folder
from bench.models.inputs import Role
from bench.models.load import content_hash
from bench.rewriting.engine import rewrite_all
from bench.strategy import Context, Models, Strategy


@dataclass
class Rewriting:
    """Makes the rewritten training sets of one run; ``scratch`` is a folder for the models that rewriting asks."""

    parts: Parts
    models: Models
    rows: Sequence[Example]
    scratch: Path
    teacher: TrainedTeacher | None

    def of(self, strategy: Strategy, epoch: int) -> list[RewrittenSet]:
        """Return what every part of ``strategy`` that rewrites makes of the rows for ``epoch``."""
        return [made for maker in strategy.rewriters() for made in self._made_by(maker, epoch)]

    def _made_by(self, maker: Strategy, epoch: int) -> Iterator[RewrittenSet]:
        task, cost = self.models.task, self.models.cost
        edition = maker.edition(epoch)
        made = rewrite_all(
            maker,
            self.rows,
            self._context(maker, edition),
            seed=self.parts.settings.data.rewrite_seed,
            edition=edition,
            workers=self.parts.workers,
            cache=self.parts.cache,
            observer=self.parts.observer,
        )
        cost.attack_queries += made.queries
        cost.seconds["rewrite"] += made.work_seconds  # type: ignore[assignment]  # Counter is typed for int
        copies = len(made.forms[0])
        cost.rewritten.update(made.outcomes, rows=len(self.rows), forms=len(self.rows) * copies)
        cost.rewritten.update(cached=made.cached, failed=len(made.failed))
        for copy in range(copies):
            texts = [
                dataclasses.replace(row, texts=forms[copy]) for row, forms in zip(self.rows, made.forms, strict=True)
            ]
            encoded, logits = self.parts.encode(texts, task), None
            cost.rewritten["truncated"] += encoded.truncated
            if self.teacher is not None:
                # Counted though they may be cached: the strategy needs them.
                cost.forwards["teacher"] += len(encoded)
                logits = self.parts.logits_of(self.teacher, encoded)
            yield RewrittenSet(encoded, logits, maker, 1 / copies)

    def _context(self, maker: Strategy, edition: int) -> Context:
        folders: dict[Role, str] = {}
        digests: dict[Role, str] = {}
        for role in maker.reads():
            if role == "generator":
                folder, digest = self.parts.generator_folder(), self.parts.generator.card["hash"]
            else:
                model = getattr(self.models, role)
                digest = content_hash(model)
                folder = self.scratch / f"{role}-{digest}"
                if not is_whole(folder, self.parts.observer):
                    with whole_folder(folder) as part:
                        model.save_pretrained(part)
                        self.models.tokenizer.save_pretrained(part)
            folders[role], digests[role] = str(folder), digest
        texts = [row.texts for row in self.rows] if maker.learns_from_texts else []
        return Context(self.models.task, folders, digests, self.parts.accelerator.device.type, texts)
