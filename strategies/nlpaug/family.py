"""The strategies ``nlpaug:…``: the text augmenters of nlpaug that its catalogue lists."""

from __future__ import annotations

import importlib.util
from dataclasses import MISSING, make_dataclass
from functools import cached_property
from pathlib import Path

from strategies.catalogues import CatalogueFamily, Entry
from strategies.nlpaug.augmenters import (
    Nlpaug,
    Reserved,
    Sentences,
    Spelling,
    Synonym,
    TfIdf,
    WordEmbs,
    WordLevel,
    WordNet,
)
from strategies.nlpaug.neural import BackTranslation, Contextual, Continuation, Summary
from strategies.strengths import STRENGTHS

_BASES: dict[str, type[Nlpaug]] = {
    "spelling": Spelling,
    "synonym": Synonym,
    "antonym": WordNet,
    "reserved": Reserved,
    "tf-idf": TfIdf,
    "word-embs": WordEmbs,
    "contextual": Contextual,
    "back-translation": BackTranslation,
    "abst-summ": Summary,
    "contextual-for-sentence": Continuation,
    "random-sent": Sentences,
}
"""What some augmenters need besides; all others are ``WordLevel``."""


class NlpaugFamily(CatalogueFamily):
    """The family: a strategy class for each text augmenter."""

    path = Path(__file__).with_name("catalogue.json")

    @cached_property
    def missing(self) -> str | None:
        """None, or why there are no members here and what to type."""
        if importlib.util.find_spec("nlpaug") is not None:
            return None
        return "nlpaug is not installed; type: pip install 'distil-augment-bench[nlpaug]'"

    def strategy(self, name: str, entry: Entry) -> type[Nlpaug]:
        base = _BASES.get(name, WordLevel)
        own = {key for key, field in base.__dataclass_fields__.items() if field.default is not MISSING}
        namespace = {
            "__doc__": entry.description,
            "__module__": __name__,
            "name": f"nlpaug:{name}",
            "entry": entry,
            "catalogue": self.catalogue,
        }
        fields = [field for field in entry.fields(STRENGTHS.get(f"nlpaug:{name}", {})) if field[0] not in own]
        return make_dataclass(entry.target.rpartition(":")[2], fields, bases=(base,), namespace=namespace, kw_only=True)


FAMILY = NlpaugFamily()
