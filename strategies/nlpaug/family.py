"""The family: a strategy for each text augmenter in the installed nlpaug's sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, make_dataclass, replace
from functools import cache
from pathlib import Path

from bench.errors import UsageError
from strategies.nlpaug.augmenters import (
    Antonym,
    Contextual,
    Nlpaug,
    Reserved,
    Sentences,
    Spelling,
    Synonym,
    TfIdf,
    WordEmbs,
    Words,
)
from strategies.nlpaug.generative import BackTranslation, Continuation, Lambada, Summary
from strategies.nlpaug.source import augmenters, folder

_OWN: dict[str, type[Nlpaug]] = {
    "SpellingAug": Spelling,
    "SynonymAug": Synonym,
    "AntonymAug": Antonym,
    "ReservedAug": Reserved,
    "TfIdfAug": TfIdf,
    "WordEmbsAug": WordEmbs,
    "ContextualWordEmbsAug": Contextual,
    "BackTranslationAug": BackTranslation,
    "AbstSummAug": Summary,
    "ContextualWordEmbsForSentenceAug": Continuation,
    "LambadaAug": Lambada,
    "RandomSentAug": Sentences,
}
"""What some augmenters need besides; all others are ``Words``."""


@cache
def _strategy(root: Path, member: str) -> type[Nlpaug]:
    found = augmenters(root)[member]
    base = _OWN.get(found.cls, Words)
    options = tuple(option for option in found.options if option.name not in base.decided)
    own = base.__dataclass_fields__
    fields = [(o.name, o.kind, field(default=o.default)) for o in options if o.name not in own]
    about = base.__doc__ if found.cls in _OWN else found.about
    namespace = {
        "__doc__": about,
        "__module__": __name__,
        "augmenter": replace(found, options=options),
    }
    return make_dataclass(found.cls, fields, bases=(base,), namespace=namespace, kw_only=True)


class Library:
    """The family: a strategy for each text augmenter in the installed nlpaug's sources."""

    @property
    def missing(self) -> str | None:
        """None, or why there are no members and what to type."""
        if folder() is not None:
            return None
        return "nlpaug is not installed; type: pip install 'distil-augment-bench[nlpaug]'"

    def members(self) -> Sequence[str]:
        """Return the members' names."""
        root = folder()
        return () if root is None else tuple(augmenters(root))

    def load(self, member: str) -> type[Nlpaug]:
        """Return the strategy class of ``member``."""
        root = folder()
        if root is None:
            raise UsageError(f"no strategy nlpaug:{member}: {self.missing}")
        return _strategy(root, member)


FAMILY = Library()
