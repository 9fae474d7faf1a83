"""The options that a strategy's search has, and what they are in each trial: a function of seed and trial."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator
from typing import Any

from bench.errors import UsageError
from bench.files import digest
from bench.options import Search, fields_of
from bench.registry import load
from bench.spec import StrategySpec
from bench.strength import Dial

_TRIES = 50


def searched(spec: StrategySpec) -> list[str]:
    """Return the options of ``spec`` that a search changes, those of strategies inside as "inner.option".

    They are its strength, and those that declare where to search; an option that ``spec`` sets stays as it is.
    """
    own = [name for name, _ in _ranges(spec)]
    return [*own, *(f"{inner.name}.{name}" for inner in spec.inner for name in searched(inner))]


def _ranges(spec: StrategySpec) -> Iterator[tuple[str, Search]]:
    """Yield the options of ``spec`` itself that are searched, "strength" first, and where."""
    cls, given = load(spec.name), dict(spec.options)
    dial = Dial.of(cls)
    if dial is not None and not {dial.option, *dial.strength.also} & given.keys():
        yield "strength", dial.searched
    for field in dataclasses.fields(cls):
        search = field.metadata.get("search")
        if search is not None and field.name not in given and (dial is None or field.name != dial.option):
            yield field.name, search


def trial(spec: StrategySpec, seed: int, number: int) -> StrategySpec:
    """Return ``spec`` as trial ``number`` of the search under ``seed`` has it: number 0 as it is.

    A trial has one strength, the same for every strategy whose range holds it. Values that a strategy refuses
    together are drawn again.
    """
    if number == 0:
        return spec
    for attempt in range(_TRIES):
        try:
            return _drawn(spec, f"{seed} {number} {attempt}")
        except UsageError as error:
            refusal = error
    raise UsageError(f"{spec} refuses {_TRIES} draws of {', '.join(searched(spec))} one after another: {refusal}")


def _drawn(spec: StrategySpec, key: str) -> StrategySpec:
    spec = dataclasses.replace(spec, inner=tuple(_drawn(inner, key) for inner in spec.inner))
    given: dict[str, Any] = {}
    dial, kinds = Dial.of(load(spec.name)), fields_of(load(spec.name))
    for name, search in _ranges(spec):
        # A strength is drawn alike for all; other options of one name mean other things elsewhere.
        own = name if name == "strength" else f"{spec.name}.{name}"
        number = random.Random(digest(key, own)).random()
        if name == "strength" and dial is not None:
            given |= dial.options(_between(search, number), spec.name)
        else:
            value = _between(search, number)
            given[name] = round(value) if kinds[name][0] in (int, int | None) else value
    return spec.with_options(given)


def _between(search: Search, number: float) -> Any:
    """Return what ``number``, in [0, 1), stands for in ``search``; numbers to three digits."""
    if isinstance(search, list):
        return search[int(number * len(search))]
    low, high = search[:2]
    if len(search) == 3:
        return float(f"{math.exp(math.log(low) + number * math.log(high / low)):.3g}")
    return float(f"{low + number * (high - low):.3g}")
