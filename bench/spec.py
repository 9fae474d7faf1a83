"""Strategies as text: ``name(inner)[option=value]`` and ``a+b``, parsed, checked and spelled again."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.brackets import split_list
from bench.errors import UsageError
from bench.options import build, describe, fields_of
from bench.registry import about, load, names

if TYPE_CHECKING:
    from bench.resources import Resource
    from bench.strategy import Strategy


COMPOSED = "+"


@dataclass(frozen=True)
class StrategySpec:
    """A strategy as asked for: ``name(inner)[option=value,…]`` or ``a+b``, checked. ``str()`` spells it again."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()
    inner: tuple[StrategySpec, ...] = ()

    @classmethod
    def parse(cls, text: str) -> StrategySpec:
        """Return the spec of ``text``; UsageError for an unknown strategy or option, or a bad value."""
        parts = split_list(text, "+")
        if len(parts) > 1:
            spec = cls(COMPOSED, inner=tuple(cls.parse(part) for part in parts))
            spec.create()  # says now what the parts have against each other
            return spec
        match = re.fullmatch(r"([^(\[]+)(\(.*\))?(\[.*\])?", text.strip())
        if match is None:
            raise UsageError(f"{text!r} is no strategy: write name, name[option=value] or name(strategy)[option=value]")
        name, inside, options = match[1].strip(), match[2], match[3] or "[]"
        given = {}
        for item in split_list(options[1:-1]):
            key, equals, value = item.partition("=")
            if not equals:
                raise UsageError(f"{text!r}: write options as name=value, not {item!r}")
            given[key.strip()] = value.strip()
        strategy = load(name)
        if strategy.wraps != (inside is not None):
            raise UsageError(
                f"write {name}(STRATEGY), for example {name}(eda)" if strategy.wraps else f"{name} wraps no strategy"
            )
        inner = (cls.parse(inside[1:-1]),) if inside is not None else ()
        made = build(strategy, given, name)
        changed = {
            key: getattr(made, key)
            for key, (_, default) in fields_of(strategy).items()
            if getattr(made, key) != default
        }
        spec = cls(name, tuple(sorted(changed.items())), inner)
        spec.create()  # what the wrapper has to say about its inner strategy, it says now
        return spec

    def create(self) -> Strategy:
        """Return a fresh strategy with these options, around its inner ones."""
        made = build(load(self.name), dict(self.options), self.name)
        made.spec = str(self)
        if self.inner:
            made.wrap([spec.create() for spec in self.inner])
        return made

    def names(self) -> list[str]:
        """Return the names of this strategy and of all it is made around."""
        return [self.name, *(name for spec in self.inner for name in spec.names())]

    def effective(self) -> dict[str, Any]:
        """Return every option with the value that took effect, those of inner strategies as "inner.option"."""
        own = asdict(build(load(self.name), dict(self.options), self.name))
        return own | {f"{spec.name}.{key}": value for spec in self.inner for key, value in spec.effective().items()}

    def __str__(self) -> str:
        if self.name == COMPOSED:
            return COMPOSED.join(map(str, self.inner))
        inner = f"({self.inner[0]})" if self.inner else ""
        options = ",".join(f"{k}={_spelled(v)}" for k, v in self.options)
        return self.name + inner + (f"[{options}]" if options else "")


def _spelled(value: Any) -> str:
    return f"({','.join(map(str, value))})" if isinstance(value, tuple) else str(value)


def missing(strategy: Strategy) -> list[Resource]:
    """Return what ``strategy`` needs on this machine and does not find."""
    return [resource for resource in strategy.resources() if not resource.ready()]


def lacking(strategy: Strategy) -> str:
    """Return in words what ``strategy`` does not find on this machine and how to get it; empty if it has all."""
    return "; ".join(f"{resource.name} is missing, get it with: {resource.command}" for resource in missing(strategy))


def described(text: str) -> dict[str, Any]:
    """Return what there is to say of a strategy: description, models needed, options, what is missing here."""
    # A wrapper may stand alone here; what it needs is what the strategies inside it need.
    is_bare = text in names() and load(text).wraps
    spec = StrategySpec(text) if is_bare else StrategySpec.parse(text)
    cls, strategy = load(spec.name), None if is_bare else spec.create()
    options = describe(cls)
    for name, value in spec.options:
        options[name]["value"] = value
    return {
        "name": text,
        "about": about(cls),
        "description": inspect.cleandoc(cls.__doc__ or "").partition("\n")[2].strip(),
        "needs": sorted({*cls.needs, *(() if strategy is None else (*strategy.needs, *strategy.reads()))}),
        "options": options,
        "missing": [{"name": r.name, "command": r.command} for r in (missing(strategy) if strategy else ())],
    }


def listing() -> list[dict[str, Any]]:
    """Return one row per strategy that has a name: see ``described``."""
    return list(map(described, names()))
