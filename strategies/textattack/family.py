"""The strategies ``textattack:…``: the augmenters and attack recipes of TextAttack that its catalogue lists."""

from __future__ import annotations

import importlib.util
from dataclasses import make_dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from bench.options import option
from strategies.catalogues import CatalogueFamily, Entry
from strategies.strengths import STRENGTHS
from strategies.textattack.attacks import Attack
from strategies.textattack.augmenters import TextAttackAugmenter
from strategies.textattack.requirements import (
    CATALOGUE,
    ENCODERS,
    HOMOGLYPHS,
    MERGES,
    MINILM,
    VECTORS,
    TextAttackMember,
    notes,
)

_BASES: dict[str, type[TextAttackMember]] = {"attack": Attack, "augmenter": TextAttackAugmenter}


class TextAttack(CatalogueFamily):
    """The family: a strategy class for each augmenter and attack recipe."""

    path = CATALOGUE

    @cached_property
    def missing(self) -> str | None:
        """None, or why there are no members here and what to type."""
        remedy = (
            "in an environment of its own, type: pip install 'distil-augment-bench[textattack]' (it needs "
            "transformers below 5)"
        )
        for module in ("textattack", "flair", "nltk"):
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed; {remedy}"
        try:
            transformers = version("transformers")
        except PackageNotFoundError:
            return f"transformers is not installed; {remedy}"
        if int(transformers.partition(".")[0]) >= 5:
            return f"TextAttack's flair cannot be imported beside transformers {transformers}; {remedy}"
        return None

    def strategy(self, name: str, entry: Entry) -> type[TextAttackMember]:
        fields: list[Any] = entry.fields(STRENGTHS.get(f"textattack:{name}", {}))
        if entry.uses & VECTORS:
            fields.append(("vectors", str | None, option(None, "the word vectors; none: those in TextAttack's cache")))
        if entry.uses & ENCODERS:
            meaning = "the model that judges whether a text means the same still; none: no model does"
            fields.append(("sentence_encoder", str, option(MINILM, meaning)))
        if MERGES in entry.uses:
            meaning = "whose part-of-speech tags say which words merge; flair: as in the library"
            fields.append(("tagger", Literal["flair", "nltk"], option("flair", meaning)))
        if HOMOGLYPHS in entry.uses:
            meaning = "whether letters become others that look alike; the library's wheel lacks their table"
            fields.append(("homoglyphs", bool, option(True, meaning)))
        first, _, docstring = entry.description.partition("\n\n")
        namespace = {
            "__doc__": "\n\n".join([first, *notes(entry.uses), *([docstring] if docstring else [])]),
            "__module__": __name__,
            "name": f"textattack:{name}",
            "target": entry.target,
            "uses": tuple(sorted(entry.uses)),
            "language": entry.language,
        }
        return make_dataclass(
            entry.target.rpartition(":")[2], fields, bases=(_BASES[entry.kind],), namespace=namespace, kw_only=True
        )


FAMILY = TextAttack()
