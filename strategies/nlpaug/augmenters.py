"""What nlpaug's augmenters need for a text to change only where it is meant to, and the same way every time."""

from __future__ import annotations

import importlib
import inspect
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from bench import Context, TextStrategy, option
from bench.errors import BenchError, UsageError
from bench.resources import Resource, file, nltk_data, python_package
from bench.rewriter import Reads
from strategies.catalogues import Catalogue, Entry, Member
from strategies.nlpaug.spacing import Spacing
from strategies.wordnet import wordnet

_NLTK = python_package("nltk", "nltk>=3.9.1,<4")
_TAGGER = nltk_data("taggers/averaged_perceptron_tagger_eng")


@dataclass(kw_only=True)
class Nlpaug(Member, TextStrategy):
    """Rewrites texts by one of nlpaug's augmenters, built once per process and seeded for every text.

    The family makes a subclass for each, whose options are the entry's. A field below that has a default keeps it.
    """

    verified = "the library's own augmenter runs, seeded for each text; the spacing that it loses is put back"

    entry: ClassVar[Entry]
    catalogue: ClassVar[Catalogue]
    libraries: ClassVar[tuple[str, ...]] = ("nlpaug",)

    def options(self) -> dict[str, Any]:
        """Return the options as the library takes them."""
        given = {name: getattr(self, name) for name in self.entry.options}
        return {name: (list(value) or None) if isinstance(value, tuple) else value for name, value in given.items()}

    def lacking(self, name: str, example: str) -> Resource:
        """Return as a resource an option without which the augmenter can do nothing."""
        return Resource(
            f"option {name} of {self.name}", lambda: bool(getattr(self, name)), f"{self.name}[{name}={example}]"
        )

    def library_class(self) -> Any:
        """Return the augmenter's class."""
        module, _, name = self.entry.target.partition(":")
        return getattr(importlib.import_module(module), name)

    def build(self, context: Context, **options: Any) -> Any:
        """Return the library's augmenter; BenchError where it cannot be built, or is another than in the catalogue."""
        options = {**self.options(), **options}
        try:
            cls = self.library_class()
            inspect.signature(cls).bind(**options)
        except (ImportError, AttributeError, TypeError) as error:
            raise BenchError(f"{self.name}: {error}; {self.catalogue.mismatch() or 'reinstall nlpaug'}") from error
        try:
            return cls(**options)
        except (ValueError, OSError, ImportError) as error:
            raise BenchError(f"nlpaug cannot build {cls.__name__}: {error}") from error

    @cached_property
    def _built(self) -> list[tuple[Context, Any]]:
        return []

    def augmenter(self, context: Context) -> Any:
        """Return what ``build`` returned for ``context``."""
        if not self._built or self._built[0][0] != context:
            self._built[:] = [(context, self.build(context))]
        return self._built[0][1]

    def seed(self, rng: random.Random) -> None:
        """Seed the global generators that the augmenter draws from."""
        import numpy

        random.seed(rng.getrandbits(64))
        numpy.random.seed(rng.getrandbits(32))

    def change(self, augmenter: Any, text: str) -> str:
        """Return a rewrite of ``text``, which neither begins nor ends with white space."""
        results = augmenter.augment(text)
        return results[0] if results else text

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        augmenter = self.augmenter(context)
        changed = []
        for text, rng in zip(texts, rngs, strict=True):
            self.seed(rng)
            # The library strips texts, and now and then leaves nothing of them.
            body = text.strip()
            new = self.change(augmenter, body).strip() or body
            changed.append(new if body == text else text.replace(body, new, 1))
        return changed


@dataclass(kw_only=True)
class WordLevel(Nlpaug):
    """Changes words or characters; the other words and the white space stay as they are."""

    def build(self, context: Context, **options: Any) -> Any:
        spacing = Spacing()
        return super().build(context, tokenizer=spacing.split, reverse_tokenizer=spacing.join, **options)


@dataclass(kw_only=True)
class Spelling(WordLevel):
    """Reads the dictionary that it is told to: the library goes on with the first one it ever read."""

    dict_path: str | None

    def resources(self) -> Sequence[Resource]:
        path = self.dict_path
        return (file(path, f"put a dictionary at {path}", "misspelling dictionary"),) if path else ()

    def build(self, context: Context, **options: Any) -> Any:
        augmenter = super().build(context, **options)
        augmenter.model = augmenter.get_model(force_reload=True)
        return augmenter


@dataclass(kw_only=True)
class WordNet(WordLevel):
    """Looks words up in WordNet, by their part of speech."""

    libraries = ("nlpaug", "nltk")
    lang: str

    def resources(self) -> Sequence[Resource]:
        more = () if self.lang == "eng" else (nltk_data("corpora/omw-1.4"),)
        return (_NLTK, nltk_data("corpora/wordnet"), _TAGGER, *more)

    def build(self, context: Context, **options: Any) -> Any:
        if getattr(self, "aug_src", "wordnet") == "wordnet":
            wordnet()
        return super().build(context, **options)


@dataclass(kw_only=True)
class Synonym(WordNet):
    """Looks words up in WordNet or PPDB."""

    aug_src: str
    model_path: str | None

    def resources(self) -> Sequence[Resource]:
        if self.aug_src == "wordnet":
            return super().resources()
        path = self.model_path
        packs = "download a language pack from paraphrase.org"
        ppdb = file(path, packs, f"PPDB {path}") if path else self.lacking("model_path", "FILE")
        return (ppdb, _NLTK, _TAGGER)

    def build(self, context: Context, **options: Any) -> Any:
        # Without force_reload the first file of its name ever read serves all paths.
        return super().build(context, force_reload=True, **options)


@dataclass(kw_only=True)
class Reserved(WordLevel):
    """Finds whole phrases as they are spelled; the library's patterns are not escaped and find parts of words."""

    reserved_tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        for group in self.groups():
            if len(group) < 2:
                raise UsageError(
                    f"reserved_tokens lists alternatives, not {group} alone: (FWD|FW,Regards|Best Regards)"
                )

    def groups(self) -> list[list[str]]:
        """Return the lists of alternatives."""
        return [[" ".join(word.split()) for word in group.split("|") if word.strip()] for group in self.reserved_tokens]

    def resources(self) -> Sequence[Resource]:
        return (self.lacking("reserved_tokens", "(FWD|FW,Regards|Best Regards)"),)

    def library_class(self) -> Any:
        phrases = sorted({word for group in self.groups() for word in group if " " in word}, key=lambda p: (-len(p), p))
        any_case = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, phrases))})(?!\w)", re.IGNORECASE)
        exact = re.compile(any_case.pattern)

        class ReservedAug(super().library_class()):  # type: ignore[misc]
            # What joins the words of a phrase while the library works is "nnnnn", which real texts contain.
            CONNECT_TOKEN = "\ue000"

            def preprocess(self, data: str) -> str:
                pattern = exact if self.case_sensitive else any_case
                return pattern.sub(lambda m: m[0].replace(" ", self.CONNECT_TOKEN), data) if phrases else data

        return ReservedAug

    def build(self, context: Context, **options: Any) -> Any:
        return super().build(context, reserved_tokens=self.groups(), **options)

    def change(self, augmenter: Any, text: str) -> str:
        return super().change(augmenter, text).replace(augmenter.CONNECT_TOKEN, " ")


@dataclass(kw_only=True)
class TfIdf(WordLevel):
    """Learns its statistics from the task's training texts if it is given none."""

    model_path: str | None = option(None, "the folder of saved TF-IDF statistics; none: those of the training texts")

    def reads(self) -> tuple[Reads, ...]:
        return () if self.model_path else ("texts",)

    def resources(self) -> Sequence[Resource]:
        path = self.model_path
        return (file(path, "save one there with nlpaug.model.word_stats.TfIdf", f"TF-IDF {path}"),) if path else ()

    def build(self, context: Context, **options: Any) -> Any:
        if self.model_path:
            return self._read(context, self.model_path, options)
        spacing = Spacing()
        documents = [list(map(str, spacing.split(text))) for texts in context.texts for text in texts if text.strip()]
        if not documents:
            raise BenchError(
                f"{self.name} learns from the task's training texts and was given none; "
                f"name a folder of saved statistics: {self.name}[model_path=FOLDER]"
            )
        statistics = importlib.import_module("nlpaug.model.word_stats").TfIdf()
        try:
            statistics.train(documents)
        except IndexError as error:
            raise BenchError("the training texts are too few for TF-IDF: all their words score the same") from error
        with TemporaryDirectory() as folder:
            statistics.save(folder)
            return self._read(context, folder, options)

    def _read(self, context: Context, folder: str, options: dict[str, Any]) -> Any:
        augmenter = super().build(context, model_path=folder, **options)
        # When it is made it has the statistics of the first folder ever read.
        augmenter.model = augmenter.get_model(force_reload=True)
        return augmenter


@dataclass(kw_only=True)
class WordEmbs(WordLevel):
    """Asks word vectors from a file."""

    model_path: str | None = option(None, "the file of word vectors")
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
        return super().build(context, force_reload=True, **options)


@dataclass(kw_only=True)
class Sentences(Nlpaug):
    """Lets the library exchange the numbers of the sentences, for it joins what it gets by single spaces."""

    libraries = ("nlpaug", "nltk")

    def resources(self) -> Sequence[Resource]:
        return (_NLTK, nltk_data("tokenizers/punkt_tab"))

    def build(self, context: Context, **options: Any) -> Any:
        return super().build(context, tokenizer=str.split, **options)

    def change(self, augmenter: Any, text: str) -> str:
        from nltk.tokenize import sent_tokenize

        sentences = sent_tokenize(text)
        if len(sentences) < 2:
            return text
        gaps = text
        for sentence in sentences:
            gaps = gaps.replace(sentence, "\0", 1)
        order = super().change(augmenter, " ".join(map(str, range(len(sentences))))).split()
        between = gaps.split("\0")
        return "".join(gap + sentences[int(place)] for gap, place in zip(between, order, strict=False)) + between[-1]
