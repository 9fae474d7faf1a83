"""TinyBERT's data augmentation: words replaced by what a masked language model or word vectors put in their place."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bench import Context, TextStrategy, option
from bench.errors import BenchError
from bench.models.inputs import Role
from bench.resources import file
from strategies.words import STOP_WORDS, Words, core, in_place_of

if TYPE_CHECKING:
    from bench import Resource
    from bench.models.vectors import WordVectors

# Padding-free forwards of about this many word pieces: large enough for a GPU, small enough for a laptop.
_PIECES = 8192
# TinyBERT's authors read this many of GloVe's words, the most frequent.
_VECTORS = 100_000
# The words TinyBERT leaves alone are the usual stop words without the question words.
_UNTOUCHED = STOP_WORDS - {"what", "which", "who", "whom", "when", "where", "why", "how"}


@dataclass(kw_only=True)
class TinyBertDA(TextStrategy):
    """Words replaced by a masked LM's, or GloVe's, nearest candidates (TinyBERT, Jiao et al., 2020, arXiv 1909.10351).

    Algorithm 1: each word (letters only, no stop word) is replaced with probability ``rate`` by one of
    ``candidates``, uniformly. For a word of one piece they are the masked LM's most likely words there, asked of
    the text with the word masked, beside the whole text as the second of a pair; for a word of several pieces its
    nearest neighbours by cosine among the first 100,000 words of ``vectors``, a GloVe text file. Without ``vectors``
    words of several pieces stay as they are, unlike in the paper. The masked LM is the preset's generator.

    The paper makes 10 to 30 copies of a text, by task; ``copies`` says how many here. The original word is one of
    the candidates, as in the paper; special tokens and pieces from inside words are none, so that there are always
    15 (the authors drop the latter afterwards). Case, spacing and punctuation stay.
    """

    rate: float = option(0.4, "the share of the words replaced", above=0, at_most=1)
    candidates: int = option(15, "the number of words that a replacement is drawn from", at_least=1)
    vectors: str | None = option(None, "a GloVe text file, for words of several pieces")

    def reads(self) -> tuple[Role, ...]:
        return ("generator",)

    def resources(self) -> Sequence[Resource]:
        if self.vectors is None:
            return ()
        command = "unzip glove.6B.zip from https://nlp.stanford.edu/projects/glove and give vectors=FILE"
        return (file(self.vectors, command, f"GloVe vectors {self.vectors}"),)

    def rewrite_texts(self, texts: Sequence[str], rngs: Sequence[random.Random], context: Context) -> list[str]:
        filler = _filler(context.models["generator"], context.device)
        drawn = [self._draw(Words.of(text), rng) for text, rng in zip(texts, rngs, strict=True)]
        places = {text: filler.places(text) for text, chosen in zip(texts, drawn, strict=True) if chosen}
        wanted = {
            (text, place)
            for text, chosen in zip(texts, drawn, strict=True)
            for place in chosen
            if place in places[text].one_piece
        }
        offers = filler.fill(sorted(wanted), places, self.candidates)
        return [self._replaced(t, c, places.get(t), offers) for t, c in zip(texts, drawn, strict=True)]

    def _draw(self, words: Words, rng: random.Random) -> dict[int, float]:
        """Return the words to replace, each with a number in [0, 1) that says by which candidate."""
        chosen = {}
        for place, word in enumerate(words.words):
            plain = core(word)
            if plain.isalpha() and plain.lower() not in _UNTOUCHED and rng.random() < self.rate:
                chosen[place] = rng.random()
        return chosen

    def _replaced(
        self, text: str, chosen: dict[int, float], places: _Places | None, offers: dict[tuple[str, int], Sequence[str]]
    ) -> str:
        words = Words.of(text)
        for place, number in chosen.items():
            assert places is not None
            found = offers.get((text, place), ())
            if place in places.several_pieces and self.vectors is not None:
                found = _neighbours(self.vectors, core(words.words[place]).lower(), self.candidates)
            if found:
                words.words[place] = in_place_of(words.words[place], found[int(number * len(found))])
        return str(words)


@dataclass(frozen=True)
class _Places:
    """A text beside itself as word pieces, and which of its words are one piece (where) and which several."""

    inputs: dict[str, list[int]]
    one_piece: dict[int, int]
    several_pieces: frozenset[int]


@lru_cache(maxsize=1)
def _filler(folder: str, device: str) -> _Filler:
    return _Filler(folder, device)


class _Filler:
    """A masked LM that offers words for single masked places of texts, many a forward."""

    def __init__(self, folder: str, device: str) -> None:
        import torch
        from transformers import AutoModelForMaskedLM

        from bench.models.inputs import longest
        from bench.models.load import explained, load_tokenizer

        self.tokenizer = load_tokenizer(folder)
        with explained(folder):
            self.model = AutoModelForMaskedLM.from_pretrained(folder).float().to(device).eval()
        self.device = device
        self.longest = longest(self.model, self.tokenizer)
        self.words = _whole_words(self.tokenizer)
        self.allowed = torch.tensor(sorted(self.words), device=device)

    def places(self, text: str) -> _Places:
        """Return ``text`` paired with itself; what does not fit the model is cut from both, and stays as it is."""
        encoding = self.tokenizer(
            text,
            text,
            truncation="longest_first",
            max_length=self.longest,
            return_offsets_mapping=True,
        )
        owners = encoding.sequence_ids()
        cores = dict(_cores(text))
        word_at = {at: place for place, (start, end) in cores.items() for at in range(start, end)}
        pieces: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for position, (start, end) in enumerate(encoding["offset_mapping"]):
            if owners[position] == 0 and start in word_at:
                pieces[word_at[start]].append((start, end, position))
        # Only pieces that make up exactly the word: one that also holds punctuation is not the word's to replace.
        whole = {p: found for p, found in pieces.items() if (found[0][0], found[-1][1]) == cores[p]}
        return _Places(
            inputs={key: encoding[key] for key in self.tokenizer.model_input_names if key in encoding},
            one_piece={place: found[0][2] for place, found in whole.items() if len(found) == 1},
            several_pieces=frozenset(place for place, found in whole.items() if len(found) > 1),
        )

    def fill(
        self, wanted: Sequence[tuple[str, int]], places: dict[str, _Places], count: int
    ) -> dict[tuple[str, int], Sequence[str]]:
        """Return for each (text, word) of ``wanted`` the ``count`` most likely words there, in the vocabulary's order.

        In that order, and not by likelihood, so that the rounding of another batch's shape does not choose.
        """
        import torch

        from bench.models.inputs import accepted
        from bench.models.masked_lm import gathered

        count = min(count, len(self.allowed))
        found: dict[tuple[str, int], Sequence[str]] = {}
        for batch in self._batches(wanted, places):
            rows = [places[text].inputs for text, _ in batch]
            inputs = {key: torch.tensor([row[key] for row in rows], device=self.device) for key in rows[0]}
            masked = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
            at = [places[text].one_piece[place] for text, place in batch]
            masked[torch.arange(len(batch)), at] = True
            inputs["input_ids"] = inputs["input_ids"].masked_fill(masked, self.tokenizer.mask_token_id)
            with torch.inference_mode(), gathered(self.model, masked):
                logits = self.model(**accepted(self.model, inputs)).logits[0]
            best = self.allowed[logits[:, self.allowed].topk(count, dim=1).indices].sort(dim=1).values
            for key, ids in zip(batch, best.tolist(), strict=True):
                found[key] = [self.words[i] for i in ids]
        return found

    def _batches(
        self, wanted: Sequence[tuple[str, int]], places: dict[str, _Places]
    ) -> Iterator[Sequence[tuple[str, int]]]:
        """Yield ``wanted`` in groups of one length each, so that none is padded."""
        groups: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for text, place in wanted:
            groups[len(places[text].inputs["input_ids"])].append((text, place))
        for length, group in groups.items():
            size = max(1, _PIECES // length)
            for start in range(0, len(group), size):
                yield group[start : start + size]


def _cores(text: str) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the number of each word of ``text`` that has a core, and from where to where that stands."""
    words, at = Words.of(text), 0
    for place, word in enumerate(words.words):
        at += len(words.gaps[place])
        if plain := core(word):
            start = at + word.index(plain)
            yield place, (start, start + len(plain))
        at += len(word)


def _whole_words(tokenizer: Any) -> dict[int, str]:
    """Return the pieces of ``tokenizer`` that are a word by themselves, as text."""
    special = set(tokenizer.all_special_ids)
    found = {}
    for piece, number in tokenizer.get_vocab().items():
        if number not in special:
            # Behind another word, a piece that begins one is set off by a space, whatever the tokenizer's marks.
            before, space, word = tokenizer.convert_tokens_to_string(["a", piece]).partition(" ")
            if before == "a" and space and word.isalnum():
                found[number] = word
    if not found:
        raise BenchError(f"the tokenizer {tokenizer.name_or_path} has no piece that is a word by itself")
    return found


@lru_cache(maxsize=1)
def _vectors(path: str) -> WordVectors:
    from bench.models.vectors import read_vectors

    return read_vectors(path, _VECTORS).normalised()


@lru_cache(maxsize=50_000)
def _neighbours(path: str, word: str, count: int) -> tuple[str, ...]:
    """Return the ``count`` words most like ``word`` by cosine, nearest first; none where it has no vector."""
    vectors = _vectors(path)
    row = vectors.index.get(word)
    return () if row is None else tuple(vectors.words[i] for i in vectors.nearest(row, count))
