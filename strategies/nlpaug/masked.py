"""nlpaug's contextual word replacement (ContextualWordEmbsAug), with the masked LM run over many texts at once.

The algorithm is the library's: which words (share, least, most, stop words), and that each is drawn from the masked
LM's top k. Three things differ. A text's words are masked several in one pass, up to the share ``mask_rate`` of its
pieces; 0 masks one at a time as the library does, each word in the context of those replaced before, and takes three
times as long. Logits are computed at masks only, for many rows in one pass, each row with its own random generator. And
all but the chosen words stays as it was spelled; a replaced word keeps its capital.
"""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from strategies.nlpaug.words import is_punctuation, spans

if TYPE_CHECKING:
    import numpy as np

_POOL = 10
"""The library draws this many candidates, and of those one with equal chances."""

_RESERVED = 10
"""Positions of the model that the library leaves free."""

# Word pieces in one pass, and what a row's are rounded up to. A row's length alone decides the shape it is computed
# in, short groups being filled up: the shape of a matrix product decides its last bits, and so a row's rewrite does not
# depend on what rows happen to be beside it.
_PIECES, _STEP = 64, 8


@dataclass
class _Row:
    """A text on its way: its tokens with the space before each, what the model reads of them, and what is to do.

    ``gaps`` has one more at its end: all that follows. ``chosen`` are the places of the words still to replace,
    ``masked`` of those masked just now, each with the pieces it had; ``longest`` is the number of all pieces, with the
    masks or before, whichever is more.
    """

    rng: random.Random
    tokens: list[str]
    gaps: list[str]
    pieces: list[list[int]]
    chosen: list[int] = field(default_factory=list)
    masked: list[tuple[int, list[int]]] = field(default_factory=list)
    longest: int = 0

    @property
    def ids(self) -> list[int]:
        return [piece for pieces in self.pieces for piece in pieces]

    @property
    def masks(self) -> list[int]:
        """Where in ``ids`` the masks are, the first piece of each masked token."""
        starts = list(accumulate(map(len, self.pieces), initial=0))
        return [starts[place] for place, _ in self.masked]

    def __str__(self) -> str:
        return "".join(map(str.__add__, self.gaps, [*self.tokens, ""]))


@dataclass
class MaskedRewriter:
    """Replaces ("substitute") or adds ("insert") words that the masked LM in ``folder`` finds likely.

    As many as ``aug_p`` of a text's word pieces, at least ``aug_min`` and at most ``aug_max``: the options are those of
    nlpaug's ContextualWordEmbsAug. In one pass ``mask_rate`` of the pieces are masked, at least one. Raises BenchError
    for a model without a trained head, a mask token or a fast tokenizer.
    """

    folder: str
    device: str
    action: str
    top_k: int | None
    aug_min: int
    aug_max: int | None
    aug_p: float
    stopwords: Sequence[str] | None = None
    stopwords_regex: str | None = None
    mask_rate: float = 0.3

    def __post_init__(self) -> None:
        from bench.models.load import load_masked_lm, load_tokenizer

        self.tokenizer: Any = load_tokenizer(self.folder)
        if not self.tokenizer.is_fast or self.tokenizer.mask_token_id is None:
            raise BenchError(f"{self.folder} has no fast tokenizer with a mask token: name another masked LM")
        model: Any
        model, trained = load_masked_lm(self.folder, seed=0)
        if not trained:
            raise BenchError(f"{self.folder} is no masked LM: its head is missing; name one with model_path=FOLDER")
        self.model = model.to(self.device).eval()
        most = min(getattr(model.config, "max_position_embeddings", 512), self.tokenizer.model_max_length)
        self._most = max(1, most - _RESERVED)
        self._stop = {word.lower() for word in self.stopwords or ()}
        self._regex = re.compile(self.stopwords_regex) if self.stopwords_regex else None
        self.word_of = cache(self._word_of)

    def rewrite(self, texts: Sequence[str], rngs: Sequence[random.Random]) -> list[str]:
        """Return a rewrite of each text, drawn from its own random generator."""
        if not texts:
            return []
        rows = self._rows(texts, rngs)
        while active := [row for row in rows if row.chosen and len(row.ids) <= self._most]:
            for row in active:
                self._mask(row)
            self._fill(active)
        return [str(row) for row in rows]

    def _rows(self, texts: Sequence[str], rngs: Sequence[random.Random]) -> list[_Row]:
        read = self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        rows = []
        for text, rng, ids, offsets in zip(texts, rngs, read["input_ids"], read["offset_mapping"], strict=True):
            row, whole = _laid_out(text, rng, ids[: self._most], offsets[: self._most])
            words = [place for place in whole if self._may_change(row.tokens[place])]
            count = min(self._count(min(len(ids), self._most)), len(words))
            row.chosen = sorted(rng.sample(words, count))
            rows.append(row)
        return rows

    def _may_change(self, word: str) -> bool:
        if is_punctuation(word) or len(word) < self.aug_min or word.lower() in self._stop:
            return False
        return self._regex is None or not any(self._regex.match(f"{a}{word}{b}") for a in ("", " ") for b in ("", " "))

    def _count(self, pieces: int) -> int:
        """Return how many words of a text of ``pieces`` word pieces are to change (Augmenter._generate_aug_cnt)."""
        count = math.ceil(self.aug_p * pieces)
        if count < self.aug_min:
            return self.aug_min
        return min(count, self.aug_max) if self.aug_max else count

    def _at_once(self, pieces: int) -> int:
        """Return how many words of a text of ``pieces`` word pieces are masked in one pass."""
        return max(1, math.ceil(self.mask_rate * pieces))

    def _mask(self, row: _Row) -> None:
        """Mask some of the row's chosen words, or make room before them: as many as may be, spread evenly."""
        before = len(row.ids)
        every = math.ceil(len(row.chosen) / self._at_once(before))
        now = row.chosen[every - 1 :: every]
        row.chosen = [place for place in row.chosen if place not in now]
        row.masked = [(place, row.pieces[place]) for place in now]
        for place, pieces in row.masked:
            row.pieces[place] = [self.tokenizer.mask_token_id, *([] if self.action == "substitute" else pieces)]
        row.longest = max(before, len(row.ids))

    def _fill(self, rows: Sequence[_Row]) -> None:
        """Draw a word for every mask of ``rows``; where nothing likely may stand there, put back what was there."""
        groups: dict[int, list[_Row]] = defaultdict(list)
        for row in rows:
            groups[row.longest // _STEP].append(row)
        for size, group in groups.items():
            # One position more than the longest of the group needs: with no padding at all another kernel would run.
            length = (size + 1) * _STEP
            count = max(1, _PIECES // length)
            for start in range(0, len(group), count):
                some = group[start : start + count]
                scores, tokens = self._likely(some, (count, length))
                found = zip(scores, tokens, strict=True)
                for row in some:
                    for place, pieces in row.masked:
                        self._put(row, place, pieces, *next(found))

    def _put(self, row: _Row, place: int, pieces: list[int], scores: np.ndarray, tokens: np.ndarray) -> None:
        """Replace a mask by a token drawn from ``tokens`` [K] with logits ``scores``, best first."""
        old, substitutes = row.tokens[place], self.action == "substitute"
        token = self._draw(scores, tokens, old.lower() if substitutes else "", row.rng)
        if token is None:
            row.pieces[place] = pieces
        elif substitutes:
            row.pieces[place] = [token]
            row.tokens[place] = _with_case(old, self.word_of(token))
        else:
            row.pieces[place] = [token, *pieces]
            row.tokens[place] = f"{self.word_of(token)} {old}"

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text."""
        read = self.tokenizer("a", return_special_tokens_mask=True)
        text = read["special_tokens_mask"].index(0)
        ids = read["input_ids"]
        return ids[:text], [i for i, special in zip(ids, read["special_tokens_mask"], strict=True) if special][text:]

    def _likely(self, rows: Sequence[_Row], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits and ids [M, K] of the top k tokens at the M masks of ``rows``, best first.

        ``shape`` is how many texts of how many pieces the pass is to have.
        """
        import torch

        from bench.models.inputs import accepted
        from bench.models.masked_lm import gathered

        before, after = self._around
        count, length = shape[0], shape[1] + len(before) + len(after)
        ids = torch.full((count, length), self.tokenizer.pad_token_id or 0)
        attended = torch.zeros((count, length), dtype=torch.long)
        masks = torch.zeros((count, length), dtype=torch.bool)
        for number in range(count):
            row = rows[min(number, len(rows) - 1)]
            text = [*before, *row.ids, *after]
            ids[number, : len(text)] = torch.tensor(text)
            attended[number, : len(text)] = 1
            masks[number, [len(before) + place for place in row.masks]] = True
        # Equally many positions a text: its masks, and others that nobody asks about.
        read = torch.zeros_like(masks)
        read.scatter_(1, masks.int().topk(self._at_once(shape[1]), dim=1).indices, True)
        inputs = {"input_ids": ids, "attention_mask": attended, "token_type_ids": torch.zeros_like(ids)}
        inputs = {key: value.to(self.device) for key, value in accepted(self.model, inputs).items()}
        with torch.inference_mode(), gathered(self.model, read.to(self.device)):
            logits = self.model(**inputs).logits[0]
        masks[len(rows) :] = False
        # Checkpoints pad their embedding matrices; those rows are no tokens.
        logits = logits[masks[read].to(self.device), : len(self.tokenizer)].float()
        top = logits.topk(min(self.top_k or logits.shape[1], logits.shape[1]))
        return top.values.cpu().numpy(), top.indices.cpu().numpy()

    def _draw(self, logits: np.ndarray, tokens: np.ndarray, old: str, rng: random.Random) -> int | None:
        """Draw from softmax(logits) without replacement until ten may stand there; return one of the ten."""
        import numpy as np

        # Sorted by logit plus Gumbel noise, tokens come in the order of such draws.
        noise = np.random.default_rng(rng.getrandbits(64)).gumbel(size=len(logits))
        pool: list[int] = []
        for place in np.argsort(-(logits + noise), kind="stable"):
            word = self.word_of(int(tokens[place]))
            if word is not None and word.lower() != old:
                pool.append(int(tokens[place]))
                if len(pool) == _POOL:
                    break
        return rng.choice(pool) if pool else None

    @cached_property
    def _marker(self) -> str:
        """What this tokenizer puts at the front of a token that starts a word; "" if it marks the others."""
        vocabulary: Iterable[str] = self.tokenizer.get_vocab()
        for marker in ("Ġ", "▁"):
            if 10 * sum(token.startswith(marker) for token in vocabulary) > len(self.tokenizer):
                return marker
        return ""

    def _word_of(self, token: int) -> str | None:
        """Return the word that a token spells; None for markup, parts of words, punctuation and unused entries."""
        piece = self.tokenizer.convert_ids_to_tokens(token)
        if token in self.tokenizer.all_special_ids or "unused" in piece or piece.startswith("##"):
            return None
        if not piece.startswith(self._marker):
            return None
        word = self.tokenizer.convert_tokens_to_string([piece]).strip() if self._marker else piece
        return None if not word or is_punctuation(word) or len(word.split()) > 1 or "\ufffd" in word else word


def _laid_out(
    text: str, rng: random.Random, ids: Sequence[int], offsets: Sequence[tuple[int, int]]
) -> tuple[_Row, list[int]]:
    """Return ``text`` with its pieces ``ids``, which lie at ``offsets``, and the places of the tokens they spell.

    Where the pieces end before the text does, so do the tokens; the rest is one gap.
    """
    row, whole, done, piece = _Row(rng, [], [], []), [], 0, 0
    for start, end in spans(text):
        first = piece
        while piece < len(ids) and offsets[piece][1] <= end:
            piece += 1
        if piece == len(ids) and (first == piece or offsets[piece - 1][1] < end):
            row.pieces.append(list(ids[first:]))
            row.tokens.append("")
            row.gaps.append("")
            break
        # A byte-level piece may begin with the space before its word, and one piece be several marks of punctuation.
        if first < piece and offsets[piece - 1][1] == end and not text[offsets[first][0] : start].strip():
            whole.append(len(row.tokens))
        row.tokens.append(text[start:end])
        row.gaps.append(text[done:start])
        row.pieces.append(list(ids[first:piece]))
        done = end
    row.gaps.append(text[done:])
    return row, whole


def _with_case(old: str, new: str | None) -> str:
    """Return ``new`` with the capital of ``old`` (WordAugmenter.align_capitalization)."""
    assert new is not None
    capital = old[:1].isupper() and not any(c.isupper() for c in old[1:])
    return new.capitalize() if capital and new.islower() else new
