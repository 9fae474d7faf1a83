"""Strategies as text: ``name(inner)[option=value]`` and ``a+b``, parsed, checked and spelled again."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args, get_origin

from bench.brackets import is_pattern, matching, options_in, split_list
from bench.errors import UsageError, quoted, unknown
from bench.options import build, check_bounds, coerce, describe, fields_of
from bench.registry import about, families, is_open_ended, load, names, verified
from bench.rewriter import Rewriter
from bench.strength import Dial

if TYPE_CHECKING:
    from bench.models.inputs import Role
    from bench.resources import Resource
    from bench.settings import Recipe
    from bench.strategy import Strategy


COMPOSED = "+"
EVERY, READY = "all", "ready"


@dataclass(frozen=True)
class StrategySpec:
    """A strategy as asked for: ``name(inner)[option=value,…]`` or ``a+b``, checked. ``str()`` spells it again.

    ``preset`` are options that a preset gives in the place of defaults; ``options`` are those that differ from them.
    """

    name: str
    options: tuple[tuple[str, Any], ...] = ()
    inner: tuple[StrategySpec, ...] = ()
    preset: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str, presets: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> StrategySpec:
        """Return the spec of ``text``; UsageError for an unknown strategy or option, or a bad value.

        ``presets`` are options that take the place of defaults, by strategy: ``Settings.strategies``.
        """
        parts = split_list(text, "+")
        if len(parts) > 1:
            spec = cls(COMPOSED, inner=tuple(cls.parse(part, presets) for part in parts))
            spec.create()  # says now what the parts have against each other
            return spec
        match = re.fullmatch(r"([^(\[]+)(\(.*\))?(\[.*\])?", text.strip())
        if match is None or match[1].strip() == COMPOSED:
            raise UsageError(
                f"{text!r} is no strategy: write name, name[option=value], name(strategy)[option=value], a+b or "
                f"FILE.py:Class (without + , ( ) [ ] in the file's path)"
            )
        name, inside, options = match[1].strip(), match[2], match[3] or "[]"
        given = options_in(text, options)
        field = wrapped(load(name))
        if (field is not None) != (inside is not None):
            raise UsageError(
                f"write {name}(STRATEGY), for example {name}(eda)" if field else f"{name} wraps no strategy"
            )
        if inside is not None and len(split_list(inside[1:-1])) != 1:
            raise UsageError(f"{text!r}: {name} goes around one strategy (of several, write {name}(a+b))")
        inner = (cls.parse(inside[1:-1], presets),) if inside is not None else ()
        spec = cls(name, (), inner, tuple(sorted(presets.get(name, {}).items())))
        share = None if "strength" in options_of(load(name)) else given.pop("strength", None)
        known = [*options_of(load(name)), *(["strength"] if spec.has_strength() else [])]
        if odd := [key for key in given if key not in known]:
            raise unknown(f"option of {name}:", odd[0], known)
        spec = replace(spec, options=tuple(given.items()))
        if share is not None:
            spec = spec.at_strength(coerce(share, float, f"{name}.strength"))
        strategy = spec.create()
        for key in options_of(type(strategy)):
            try:
                json.dumps(value := getattr(strategy, key))
            except (TypeError, ValueError) as error:
                raise UsageError(f"{name}.{key} is {value!r}, which no record can hold: use numbers, texts") from error
        for rewriter in strategy.rewriters():
            if not isinstance(rewriter, Rewriter):
                raise UsageError(
                    f"{type(strategy).__name__}.rewriters() holds {quoted(rewriter)}: bench.Rewriter is meant"
                )
        return spec._without_defaults(strategy)

    def _without_defaults(self, strategy: Strategy) -> StrategySpec:
        """Return this spec, which made ``strategy``, with those options alone that are not as shipped."""
        changed = {
            key: getattr(strategy, key)
            for key, (_, default) in options_of(type(strategy)).items()
            if getattr(strategy, key) != dict(self.preset).get(key, default)
        }
        return replace(self, options=tuple(sorted(changed.items())))

    def with_options(self, given: Mapping[str, Any]) -> StrategySpec:
        """Return this strategy with ``given`` options set, over those that it has; UsageError where it refuses them."""
        spec = replace(self, options=tuple({**dict(self.options), **given}.items()))
        return spec._without_defaults(spec.create())

    def as_shipped(self) -> StrategySpec:
        """Return this strategy, and those inside it, without an option set."""
        return replace(self, options=(), inner=tuple(spec.as_shipped() for spec in self.inner))

    def has_strength(self) -> bool:
        """Return whether there is an option here, or in a strategy inside, that says how many words change."""
        return Dial.of(load(self.name)) is not None or any(spec.has_strength() for spec in self.inner)

    def at_strength(self, share: float) -> StrategySpec:
        """Return this strategy changing about ``share`` of the words or tokens: of the strategies inside, all that can.

        UsageError where none can, where ``share`` is out of range, or where an option says otherwise.
        """
        if not self.has_strength():
            raise UsageError(f"{self} has no strength: no option of it says how many words or tokens change")
        inner = tuple(spec.at_strength(share) if spec.has_strength() else spec for spec in self.inner)
        spec, dial = replace(self, inner=inner), Dial.of(load(self.name))
        if dial is None:
            return spec
        given = dial.options(share, self.name)
        if twice := [key for key in given if key in dict(self.options)]:
            raise UsageError(f"{self.name}: strength={share:g} sets {', '.join(given)}, so do not give {twice[0]} too")
        return spec.with_options(given)

    def create(self) -> Strategy:
        """Return a fresh strategy with these options, around its inner ones; UsageError where it refuses them."""
        cls = load(self.name)
        given: dict[str, Any] = {**dict(self.preset), **dict(self.options)}
        if (field := wrapped(cls)) is not None:
            strategies = tuple(spec.create() for spec in self.inner)
            given[field] = strategies if self.name == COMPOSED else strategies[0]
        try:
            return build(cls, given, self.name)
        except UsageError as error:
            if not self.inner:
                raise
            # What it has against the strategies inside it does not say which they are.
            raise UsageError(f"{self}: {error}") from error

    def under_any_preset(self) -> StrategySpec:
        """Return the same strategy with all that a preset gives it among its own options."""
        options = tuple(sorted({**dict(self.preset), **dict(self.options)}.items()))
        return replace(self, options=options, preset=(), inner=tuple(spec.under_any_preset() for spec in self.inner))

    def names(self) -> list[str]:
        """Return the names of this strategy and of all it is made around."""
        return [self.name, *(name for spec in self.inner for name in spec.names())]

    def verified(self) -> str | None:
        """Return how it was checked against something other than itself, of one made of several each part's word.

        None where it was not, or where a part was not.
        """
        checks = {name: verified(load(name)) for name in self.names()}
        if None in checks.values():
            return None
        return "; ".join(f"{name}: {how}" if len(checks) > 1 else str(how) for name, how in checks.items())

    def effective(self, recipe: Recipe | None = None) -> dict[str, Any]:
        """Return every option with the value that took effect, those of inner strategies as "inner.option".

        Those that were left to the recipe have the values they get under ``recipe``, if it is given.
        """
        return self._effective(self.create(), recipe)

    def _effective(self, strategy: Strategy, recipe: Recipe | None) -> dict[str, Any]:
        values = {key: getattr(strategy, key) for key in options_of(type(strategy))}
        if recipe is not None:
            values |= strategy.resolved(recipe)
        held = getattr(strategy, wrapped(type(strategy)) or "", ())
        # Of the strategies that it holds: a wrapper may set options of theirs.
        for spec, inner in zip(self.inner, held if isinstance(held, tuple) else (held,), strict=True):
            values |= {f"{spec.name}.{key}": value for key, value in spec._effective(inner, recipe).items()}
        return values

    def __str__(self) -> str:
        if self.name == COMPOSED:
            return COMPOSED.join(map(str, self.inner))
        inner = f"({self.inner[0]})" if self.inner else ""
        options = ",".join(f"{k}={_spelled(v)}" for k, v in self.options)
        return self.name + inner + (f"[{options}]" if options else "")


def parse_list(text: str, presets: Mapping[str, Mapping[str, Any]]) -> list[StrategySpec]:
    """Return the strategies that ``text`` means, comma-separated, each once; UsageError if it names none.

    What may stand there besides names says ``expanded``; ``presets`` are as ``StrategySpec.parse`` takes them.
    """
    specs = list(dict.fromkeys(StrategySpec.parse(part, presets) for part in expanded(split_list(text))))
    if not specs:
        raise UsageError("--strategy names no strategy; see: bench list strategies")
    return specs


def expanded(texts: Iterable[str], *, ready: bool = False) -> list[str]:
    """Return ``texts`` with what stands for several strategies replaced by their names.

    "all" is every strategy that has a name, "ready" those whose resources are on this machine, and * and ? in a name
    match any letters ('nlpaug:*'; options behind it go to each). With ``ready`` all of them mean only what is ready.
    Strategies that go around others are none of these, and neither are files. UsageError where a pattern matches
    nothing.
    """
    listed: dict[str, None] = {}
    for text in texts:
        name, bracket, options = text.partition("[")
        if name not in (EVERY, READY) and not is_pattern(text):
            listed[text] = None
            continue
        if name in (EVERY, READY) and options:
            raise UsageError(f"{quoted(text)}: options are given to names and patterns ('nlpaug:*[side=first]')")
        alone = [each for each in names() if not is_open_ended(each) and wrapped(load(each)) is None]
        several = alone if name in (EVERY, READY) else matching(name, alone)
        if not several:
            raise _no_match(name)
        able = (
            [each for each in several if not missing(StrategySpec.parse(each).create())]
            if (ready or name == READY)
            else several
        )
        if not able:
            raise UsageError(
                f"{quoted(text)} matches nothing that is ready: none of {len(several)} finds all it needs (see: bench "
                f"list strategies {quoted(name)})"
            )
        listed |= {f"{each}{bracket}{options}": None for each in able}
    return list(listed)


def _no_match(pattern: str) -> UsageError:
    family = families().get(pattern.partition(":")[0])
    if family is not None and family.missing is not None:
        return UsageError(f"no strategy {pattern}: {family.missing}")
    if around := [name for name in matching(pattern, names()) if not is_open_ended(name)]:
        return UsageError(f"{quoted(pattern)} matches only what goes around other strategies: write {around[0]}(eda)")
    return unknown("strategy", pattern, names(), "(see: bench list strategies)")


def at_strength(specs: list[StrategySpec], share: float | None) -> tuple[list[StrategySpec], list[str]]:
    """Return ``specs`` at strength ``share`` (None: their own), and a note that names those that have none."""
    if share is None:
        return specs, []
    without = [str(spec) for spec in specs if not spec.has_strength()]
    if len(without) == len(specs):
        raise UsageError(
            f"there is no strength to set: no option of {', '.join(without)} says how many words or tokens change"
        )
    changed = [spec.at_strength(share) if spec.has_strength() else spec for spec in specs]
    note = f"without a strength, and as shipped: {', '.join(without)}"
    return list(dict.fromkeys(changed)), [note] if without else []


def with_budgets(specs: Sequence[StrategySpec], budgets: Sequence[str]) -> list[StrategySpec]:
    """Return ``specs``, and each control among them once more for every one of ``budgets``, "KIND" or "KIND=STRATEGY".

    Without a strategy the budget is that of each of ``specs`` that is no control. UsageError where there is none.
    """
    kinds = {"forwards": "forwards_of", "seconds": "seconds_of"}
    controls = [spec for spec in specs if {*kinds.values()} <= options_of(load(spec.name)).keys()]
    more = []
    for budget in budgets:
        kind, _, name = budget.partition("=")
        if kind not in kinds:
            raise unknown("budget", kind, kinds)
        others = [name] if name else [str(spec) for spec in specs if spec not in controls]
        if not (controls and others):
            raise UsageError(f"--budget {budget} gives a control, such as none, what another strategy took: name both")
        given = [(control, other) for control in controls for other in others if other not in (str(control), "none")]
        if not given:
            raise UsageError(
                f"--budget {budget} changes nothing: {name} takes the recipe's updates, as the controls do anyway; "
                f"name a strategy that takes more"
            )
        more += [control.with_options({kinds[kind]: other}) for control, other in given]
    return list(dict.fromkeys([*specs, *more]))


def preset_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a preset gives to the strategy ``name``, typed; UsageError for what it does not take."""
    where = f"strategies.{name}"
    if not isinstance(given, Mapping):
        raise UsageError(f"{where} is a section, not {given!r}; set one of its keys: {where}.KEY=…")
    cls = load(name)
    options = options_of(cls)
    for key in given:
        if key not in options:
            raise unknown(f"option of {where}:", key, options)
    values = {key: coerce(value, options[key][0], f"{where}.{key}") for key, value in given.items()}
    check_bounds(cls, values, where)
    return values


def wrapped(cls: type[Strategy]) -> str | None:
    """Return the name of the field that holds the strategy, or the tuple of strategies, that ``cls`` wraps."""
    return next((name for name, (kind, _) in fields_of(cls).items() if _is_strategy(kind)), None)


def options_of(cls: type[Strategy]) -> dict[str, tuple[Any, Any]]:
    """Return {option: (type, default)} of a strategy: its fields but the one with the strategies it wraps."""
    return {name: field for name, field in fields_of(cls).items() if not _is_strategy(field[0])}


def _is_strategy(kind: Any) -> bool:
    from bench.strategy import Strategy

    inner = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return isinstance(inner, type) and issubclass(inner, Strategy)


def _spelled(value: Any) -> str:
    return f"({','.join(map(str, value))})" if isinstance(value, tuple) else str(value)


def missing(strategy: Strategy) -> list[Resource]:
    """Return what ``strategy`` needs on this machine and does not find; UsageError where it names no Resource."""
    from bench.resources import Resource

    needed = strategy.resources()
    for resource in needed:
        if not isinstance(resource, Resource):
            raise UsageError(f"{type(strategy).__name__}.resources() holds {quoted(resource)}: bench.Resource is meant")
    return [resource for resource in needed if not resource.ready()]


def models_read(strategy: Strategy) -> set[Role]:
    """Return the models that the rewriters of ``strategy`` read."""
    return {
        role for rewriter in strategy.rewriters() for role in rewriter.reads() if role != "texts" and role != "corpus"
    }


def lacking(strategy: Strategy) -> str:
    """Return in words what ``strategy`` does not find on this machine and how to get it; empty if it has all."""
    return "; ".join(f"{resource.name} is missing, get it with: {resource.command}" for resource in missing(strategy))


def described(text: str) -> dict[str, Any]:
    """Return what there is to say of a strategy: description, models needed, options, what is missing here."""
    # A wrapper may stand alone here; what it needs is what the strategies inside it need.
    is_bare = text in names() and wrapped(load(text)) is not None
    spec = StrategySpec(text) if is_bare else StrategySpec.parse(text)
    cls, strategy = load(spec.name), None if is_bare else spec.create()
    row = documented(text, cls, strategy)
    for name, value in spec.options:
        row["options"][name]["value"] = value
    return row | {"missing": [{"name": r.name, "command": r.command} for r in (missing(strategy) if strategy else ())]}


def documented(name: str, cls: type[Strategy], strategy: Strategy | None) -> dict[str, Any]:
    """Return what ``described`` says that is the same on every machine; ``strategy`` is one of ``cls``, if it can be.

    A wrapper cannot, without a strategy to wrap.
    """
    return {
        "name": name,
        "about": about(cls),
        "verified": verified(cls),
        "description": inspect.cleandoc(cls.__doc__ or "").partition("\n")[2].strip(),
        "needs": sorted({*cls.needs, *(() if strategy is None else (*strategy.needs, *models_read(strategy)))}),
        "options": {option: facts for option, facts in describe(cls).items() if option != wrapped(cls)},
        "strength": "" if (dial := Dial.of(cls)) is None else dial.about(),
    }


def listing() -> list[dict[str, Any]]:
    """Return one row per strategy that has a name: see ``described``."""
    return list(map(described, names()))
