"""What the rewrites of a row depend on besides the row: rewriter, fields, code, libraries, models, seed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from bench import __version__
from bench.code import sources, version
from bench.data.tasks import Task
from bench.files import content_digest, digest
from bench.rewriter import Context, Rewriter

FORMAT = 3
"""Part of what rewrites are cached by: raise it when this folder makes other rewrites of the same rows."""


def identity(rewriter: Rewriter, context: Context, seed: int, edition: int) -> dict[str, Any]:
    """Return what the rewrites of any row depend on besides the row, for people to read and for a cache to hash."""
    described, classes = describe(rewriter)
    task, files = context.task, contents(rewriter, context.task)
    ids = [list(context.ids)] if rewriter.by_id else []
    return {
        "format": FORMAT,
        # What rewriters use of this suite, the filler of masks say, counts by its version, as in a run's id.
        "bench": __version__,
        "rewriter": described,
        "code": sources(classes),
        "libraries": {name: version(name) for name in rewriter.libraries},
        "seed": seed,
        "edition": edition,
        "task": {"name": task.name, "texts": task.texts, "labels": task.labels, "changeable": task.changeable},
        "models": {**context.models, **context.digests},
        "texts": digest(list(context.texts), *ids) if context.texts else None,
        **({"corpus": digest(list(corpus.texts), sorted(corpus.held_out))} if (corpus := context.corpus) else {}),
        **({"files": files} if files else {}),
    }


def contents(rewriter: Rewriter, task: Task) -> list[str]:
    """Return what identifies the content of each of the rewriter's files: a digest; a name where there is no file."""
    return [content_digest(Path(name).expanduser()) or name for name in rewriter.files(task)]


def describe(rewriter: Rewriter) -> tuple[dict[str, Any], list[type]]:
    """Return class and fields of ``rewriter`` and of the rewriters in its fields, and all their classes."""
    classes: list[type] = [type(rewriter)]
    fields: dict[str, Any] = {}
    own: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(rewriter) if dataclasses.is_dataclass(rewriter) else ()
    for field in own:
        value = getattr(rewriter, field.name)
        if isinstance(value, Rewriter):
            value, more = describe(value)
            classes += more
        fields[field.name] = value
    return {"class": type(rewriter).__qualname__, "fields": fields}, classes
