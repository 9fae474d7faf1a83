"""What the rewrites of a row depend on besides the row: strategy, options, code, libraries, models, seed."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.code import sources, version
from bench.files import digest
from bench.registry import load, strategy_file
from bench.spec import StrategySpec
from bench.strategy import Context, Strategy

FORMAT = 2
"""Part of what rewrites are cached by: raise it when this folder makes other rewrites of the same rows."""


def identity(strategy: Strategy, context: Context, seed: int, edition: int) -> dict[str, Any]:
    """Return what the rewrites of any row depend on besides the row, for people to read and for a cache to hash."""
    if strategy.spec:
        described, classes = _described(StrategySpec.parse(strategy.spec))
    else:
        described = {"name": type(strategy).__qualname__, "options": dataclasses.asdict(strategy)}
        classes = [type(strategy)]
    task = context.task
    return {
        "format": FORMAT,
        "strategy": described,
        "code": sources(classes),
        "libraries": {name: version(name) for name in strategy.libraries},
        "seed": seed,
        "edition": edition,
        "task": {"name": task.name, "texts": task.texts, "labels": task.labels, "changeable": task.changeable},
        "models": {**context.models, **context.digests},
        "texts": digest(list(context.texts)) if context.texts else None,
    }


def _described(spec: StrategySpec) -> tuple[dict[str, Any], list[type]]:
    """Return the name of ``spec`` and of what it wraps, every option that texts depend on, and the classes."""
    cls = load(spec.name)
    inner = [_described(part) for part in spec.inner]
    # A file counts by what is in it, wherever it lies.
    name = spec.name if strategy_file(spec.name) is None else spec.name.rpartition(":")[2]
    options = dataclasses.replace(spec, inner=()).effective()
    own = {"name": name, "options": {key: options[key] for key in options if key not in cls.options_of_views}}
    described = {**own, "of": [part for part, _ in inner]} if inner else own
    return described, [cls, *(each for _, classes in inner for each in classes)]
