"""NLTK's WordNet: what EDA, nlpaug and TextAttack look words up in."""

from __future__ import annotations

import contextlib
import io
from functools import cache, cached_property, lru_cache
from typing import Any

from bench.errors import BenchError

_TESTED = {"3.9.1", "3.9.2", "3.10.4"}
"""The releases of NLTK whose private names ``read_fast`` was tried with."""


def read_fast() -> None:
    """Let ``nltk.corpus.wordnet``, if nobody has used it yet, be a reader that starts in a third of the time.

    Two things take NLTK seconds in every process. It reads lines through a decoder written in Python; the files are
    ASCII, for which Python has a faster one. And it maps WordNet 3.0 to the version loaded, which only other languages
    ask for: here that waits until one does. With a release that this was not tried with, NLTK's own reader stays.
    """
    import nltk
    from nltk.corpus import wordnet as corpus
    from nltk.corpus.reader import WordNetCorpusReader

    if nltk.__version__ not in _TESTED:
        return

    class Reader(WordNetCorpusReader):
        def __init__(self, *args: Any) -> None:
            self.map_wn = lambda: None
            super().__init__(*args)
            del self.map_wn, self.map30

        @cached_property
        def map30(self) -> Any:
            return self.map_wn()

        def open(self, file: str) -> Any:
            with contextlib.closing(self.root.join(file).open()) as stream:
                data = stream.read()
            return io.TextIOWrapper(io.BytesIO(data), "ascii", newline="\n") if data.isascii() else super().open(file)

    # Until its first use it is a loader, which then becomes what it loads.
    corpus._LazyCorpusLoader__reader_cls = Reader


@cache
def wordnet() -> Any:
    """Return ``nltk.corpus.wordnet``, loaded; BenchError, with what to type, where it is not there."""
    from nltk.corpus import wordnet as corpus

    read_fast()
    try:
        corpus.ensure_loaded()
    except LookupError as error:
        # From release 3.10 NLTK refuses data that other accounts may write, and lists what to type.
        repairs = [line.strip() for line in str(error).splitlines() if line.strip().startswith("chmod")]
        command = " && ".join(repairs) or "python -m nltk.downloader wordnet"
        why = "refuses WordNet, which other accounts may write" if repairs else "finds no WordNet"
        raise BenchError(f"NLTK {why}; type: {command}") from error
    return corpus


@lru_cache(maxsize=100_000)
def senses(word: str) -> tuple[tuple[str, ...], ...]:
    """Return the names of each sense of an English ``word``, in WordNet's order."""
    return tuple(tuple(synset.lemma_names()) for synset in wordnet().synsets(word))
