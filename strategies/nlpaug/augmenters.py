"""What nlpaug's augmenters need for a text to change only where it is meant to and the same way every time.

Names, options, defaults and most descriptions are the library's own, read from its sources by ``source.py``.
"""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, cast

from bench.errors import BenchError, UsageError
from bench.models.inputs import Role
from bench.resources import Resource, file, hub_model, nltk_data, python_package
from bench.rewriter import TextStrategy
from bench.strategy import Context
from strategies.nlpaug.source import Augmenter
from strategies.nlpaug.speed import same_output_faster
from strategies.nlpaug.words import Seam
from strategies.wordnet import wordnet

_NLTK = python_package("nltk", "nltk>=3.9.1,<4")
_TAGGER = nltk_data("taggers/averaged_perceptron_tagger_eng")


@dataclass(kw_only=True)
class Nlpaug(TextStrategy):
    """Rewrites texts by one of nlpaug's augmenters, built once in a process and seeded for every text.

    For each of them a subclass is made whose fields are the parameters of its ``__init__``. A field that stands in a
    class below already keeps its default from there; parameters in ``decided`` are no options.
    """

    augmenter: ClassVar[Augmenter]
    decided: ClassVar[tuple[str, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ("nlpaug",)
    draws_in_model: ClassVar[bool] = False
    """Whether the augmenter's class in ``nlpaug.model`` draws too, from NumPy's global generator."""
    _built = cast("tuple[Context, Any] | None", None)

    def options(self) -> dict[str, Any]:
        """Return the augmenter's parameters as the library takes them."""
        given = {option.name: getattr(self, option.name) for option in self.augmenter.options}
        return {name: (list(value) or None) if isinstance(value, tuple) else value for name, value in given.items()}

    def lacking(self, option: str, example: str) -> Resource:
        """Return as a resource an option without which the augmenter can do nothing."""
        name = f"nlpaug:{self.augmenter.member}"
        return Resource(
            f"option {option} of {name}", lambda: bool(getattr(self, option)), f"{name}[{option}={example}]"
        )

    def library_class(self) -> Any:
        """Return the augmenter's class."""
        return getattr(importlib.import_module(self.augmenter.module), self.augmenter.cls)

    def build(self, context: Context, **options: Any) -> Any:
        """Return the library's augmenter, or what else ``change`` works with."""
        same_output_faster()
        try:
            return self.library_class()(**{**self.options(), **options})
        except (ValueError, OSError, ImportError) as error:
            raise BenchError(f"nlpaug cannot build {self.augmenter.cls}: {error}") from error

    def built(self, context: Context) -> Any:
        """Return what ``build`` made for ``context``."""
        if self._built is None or (self._built[0] is not context and self._built[0] != context):
            self._built = (context, self.build(context))
        return self._built[1]

    def change(self, made: Any, text: str, rng: random.Random) -> str:
        """Return a rewrite of ``text``, which neither begins nor ends with white space."""
        # In the place of Augmenter.sample and prob, which draw from the global generators: seeding those takes long.
        made.sample, made.prob = partial(_sample, rng), rng.random
        if self.draws_in_model:
            importlib.import_module("numpy").random.seed(rng.getrandbits(32))
        results = made.augment(text)
        return results[0] if results else text

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        made = self.built(context)
        changed = []
        for text, rng in zip(texts, rngs, strict=True):
            # The library strips texts, and now and then leaves nothing of them.
            body = text.strip()
            new = self.change(made, body, rng).strip() or body
            changed.append(new if body == text else text.replace(body, new, 1))
        return changed


def _sample(rng: random.Random, of: list[Any] | int, count: int = 1) -> Any:
    """Draw ``count`` of a list, or a number from 1 to ``of`` - 2 (Augmenter.sample)."""
    return rng.sample(of, count) if isinstance(of, list) else rng.randrange(1, of - 1)


@dataclass(kw_only=True)
class Words(Nlpaug):
    """Changes words or characters; the other words and the white space stay as they are."""

    def build(self, context: Context, **options: Any) -> Any:
        seam = Seam()
        return super().build(context, tokenizer=seam.split, reverse_tokenizer=seam.join, **options)


@dataclass(kw_only=True)
class Spelling(Words):
    """Misspell words as people do, by nlpaug's dictionary of mistakes or the one at dict_path."""

    def resources(self) -> Sequence[Resource]:
        path = getattr(self, "dict_path", None)
        return (file(path, f"put a dictionary at {path}", "misspelling dictionary"),) if path else ()

    def build(self, context: Context, **options: Any) -> Any:
        made = super().build(context, **options)
        # The library keeps the first dictionary that it read, whatever the path, its words in the order of a set.
        if (made.model.dict_path, made.model.include_reverse) != (made.dict_path, made.include_reverse):
            made.model = type(made.model)(made.dict_path, made.include_reverse)
        made.model.dict = {word: sorted(others) for word, others in made.model.dict.items()}
        return made


@dataclass(kw_only=True)
class Synonym(Words):
    """Replace words by synonyms of their part of speech, from WordNet or from PPDB (model_path=FILE)."""

    libraries = ("nlpaug", "nltk")
    # Not what the description of the parameter quotes, which is values of another one.
    lang: str = "eng"

    def resources(self) -> Sequence[Resource]:
        if self._in_wordnet:
            return _wordnet(self.lang)
        path = getattr(self, "model_path", None)
        packs = "download a language pack from paraphrase.org"
        ppdb = file(path, packs, f"PPDB {path}") if path else self.lacking("model_path", "FILE")
        return (ppdb, _NLTK, _TAGGER)

    def build(self, context: Context, **options: Any) -> Any:
        if self._in_wordnet:
            wordnet()
        return super().build(context, **options)

    @property
    def _in_wordnet(self) -> bool:
        return getattr(self, "aug_src", "wordnet") == "wordnet"


@dataclass(kw_only=True)
class Antonym(Words):
    """Replace verbs, adjectives and adverbs by WordNet's antonyms: the label may no longer hold."""

    libraries = ("nlpaug", "nltk")
    lang: str = "eng"

    def resources(self) -> Sequence[Resource]:
        return _wordnet(self.lang)

    def build(self, context: Context, **options: Any) -> Any:
        wordnet()
        return super().build(context, **options)


def _wordnet(language: str) -> tuple[Resource, ...]:
    more = () if language == "eng" else (nltk_data("corpora/omw-1.4"),)
    return (_NLTK, nltk_data("corpora/wordnet"), _TAGGER, *more)


@dataclass(kw_only=True)
class Reserved(Words):
    """Replace listed words and phrases by their alternatives: reserved_tokens=(FWD|FW,Regards|Best Regards)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for group in self.groups():
            if len(group) < 2:
                raise UsageError(
                    f"reserved_tokens lists alternatives, not {group} alone: (FWD|FW,Regards|Best Regards)"
                )

    def groups(self) -> list[list[str]]:
        """Return the lists of alternatives."""
        given: tuple[str, ...] = getattr(self, "reserved_tokens", ())
        return [[" ".join(word.split()) for word in group.split("|") if word.strip()] for group in given]

    def resources(self) -> Sequence[Resource]:
        return (self.lacking("reserved_tokens", "(FWD|FW,Regards|Best Regards)"),)

    def library_class(self) -> Any:
        # What joins the words of a phrase while the library works is "nnnnn", which real texts contain.
        library = super().library_class()
        return type(library.__name__, (library,), {"CONNECT_TOKEN": "\ue000"})

    def build(self, context: Context, **options: Any) -> Any:
        made = super().build(context, reserved_tokens=self.groups(), **options)
        # The library's own pattern is not escaped, finds parts of words, and spells what it joins anew.
        phrases = sorted({word for group in self.groups() for word in group if " " in word}, key=lambda p: (-len(p), p))
        case = re.RegexFlag(0) if made.case_sensitive else re.IGNORECASE
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, phrases))})(?!\w)", case) if phrases else None

        def joined(text: str) -> str:
            return pattern.sub(lambda found: found[0].replace(" ", made.CONNECT_TOKEN), text) if pattern else text

        made.preprocess = joined
        return made

    def change(self, made: Any, text: str, rng: random.Random) -> str:
        return super().change(made, text, rng).replace(made.CONNECT_TOKEN, " ")


@dataclass(kw_only=True)
class TfIdf(Words):
    """Replace or insert words by their TF-IDF score in the task's training texts, or as saved in model_path."""

    model_path: str | None = None
    learns_from_texts = True
    draws_in_model = True

    def resources(self) -> Sequence[Resource]:
        if not self.model_path:
            return ()
        return (
            file(self.model_path, "save one there with nlpaug.model.word_stats.TfIdf", f"TF-IDF {self.model_path}"),
        )

    def build(self, context: Context, **options: Any) -> Any:
        statistics_class = importlib.import_module("nlpaug.model.word_stats").TfIdf
        if self.model_path:
            statistics = statistics_class(self.model_path)
        else:
            seam = Seam()
            documents = [list(map(str, seam.split(text))) for texts in context.texts for text in texts if text.strip()]
            if not documents:
                raise BenchError(
                    f"nlpaug:{self.augmenter.member} learns from the task's training texts and was given none; "
                    f"name a folder of saved statistics: nlpaug:{self.augmenter.member}[model_path=FOLDER]"
                )
            statistics = statistics_class()
            try:
                statistics.train(documents)
            except IndexError as error:
                raise BenchError("the training texts are too few for TF-IDF: all their words score the same") from error
        # The augmenter reads a folder when it is made, and then has the statistics of the first one ever read.
        with TemporaryDirectory() as place:
            statistics.save(place)
            made = super().build(context, model_path=place, **options)
        made.model = statistics
        return made


class _Vocabulary(list[str]):
    """A list in which looking for a word does not take a walk through all of it."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(words)
        self._known = frozenset(words)

    def __contains__(self, word: object) -> bool:
        return word in self._known


@dataclass(kw_only=True)
class WordEmbs(Words):
    """Replace words by neighbours in word vectors (word2vec, GloVe, fastText), or insert words of theirs."""

    model_path: str | None = None
    libraries = ("nlpaug", "gensim")

    def resources(self) -> Sequence[Resource]:
        path = self.model_path
        vectors = file(path, f"put a file of word vectors at {path}", f"word vectors {path}") if path else None
        return (
            python_package("gensim", "gensim>=4.3,<5"),
            self.lacking("model_type", "glove"),
            vectors or self.lacking("model_path", "FILE"),
        )

    def build(self, context: Context, **options: Any) -> Any:
        # Without force_reload the first file ever read serves all paths.
        made = super().build(context, force_reload=True, **options)
        made.model.words = _Vocabulary(made.model.words)
        return made


@dataclass(kw_only=True)
class Contextual(Nlpaug):
    """Replace or insert words that a masked LM finds likely: the generator, or the one in model_path."""

    model_path: str | None = None
    mask_rate: float = 0.3
    libraries = ("nlpaug", "transformers")
    decided = ("model_type",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.mask_rate <= 1:
            raise UsageError(f"mask_rate is a share from 0 (one word at a time) to 1, not {self.mask_rate}")

    def resources(self) -> Sequence[Resource]:
        return (hub_model(self.model_path),) if self.model_path else ()

    def reads(self) -> tuple[Role, ...]:
        return () if self.model_path else ("generator",)

    def build(self, context: Context, **options: Any) -> Any:
        from bench.models.load import locate
        from strategies.nlpaug.masked import MaskedRewriter

        given = self.options()
        del given["model_path"]
        where = locate(self.model_path) if self.model_path else context.models["generator"]
        return MaskedRewriter(where, context.device, mask_rate=self.mask_rate, **given)

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        return self.built(context).rewrite(texts, rngs)


@dataclass(kw_only=True)
class Sentences(Nlpaug):
    """Exchange sentences of a text; texts of one sentence stay as they are."""

    libraries = ("nlpaug", "nltk")
    draws_in_model = True

    def resources(self) -> Sequence[Resource]:
        return (_NLTK, nltk_data("tokenizers/punkt_tab"))

    def build(self, context: Context, **options: Any) -> Any:
        return super().build(context, tokenizer=str.split, **options)

    def change(self, made: Any, text: str, rng: random.Random) -> str:
        from nltk.tokenize import sent_tokenize

        sentences = sent_tokenize(text)
        if len(sentences) < 2:
            return text
        gaps = text
        for sentence in sentences:
            gaps = gaps.replace(sentence, "\0", 1)
        # The library gets the numbers of the sentences to exchange, for it joins what it gets by single spaces.
        order = super().change(made, " ".join(map(str, range(len(sentences)))), rng).split()
        between = gaps.split("\0")
        return "".join(gap + sentences[int(place)] for gap, place in zip(between, order, strict=False)) + between[-1]
