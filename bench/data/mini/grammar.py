"""The small context-free grammar of mini CoLA: says sentences, recognises them, and breaks them."""

from __future__ import annotations

from functools import cache, cached_property
from itertools import pairwise, product
from pathlib import Path
from random import Random

from bench.toml import read_toml

_Seen = dict[tuple[str, int], set[int]]

# So many faults are tried for one that no pair of neighbours shows; few sentences have none.
_PATIENCE = 100


class Grammar:
    """Rules (symbol -> alternatives, each a tuple of symbols and plain words) and word classes.

    No rule is left-recursive, so plain recursive descent recognises the language.
    """

    def __init__(self, rules: dict[str, list[str]], words: dict[str, list[str]]):
        self.rules = {symbol: [tuple(text.split()) for text in texts] for symbol, texts in rules.items()}
        self.words = words
        self.classes = {word: name for name, members in words.items() for word in members}

    def say(self, rng: Random, symbol: str = "s") -> list[str]:
        """Return the words of one random sentence (or phrase, from another ``symbol``)."""
        if symbol in self.words:
            return [rng.choice(self.words[symbol])]
        if symbol in self.rules:
            return [word for part in rng.choice(self.rules[symbol]) for word in self.say(rng, part)]
        return [symbol]

    def accepts(self, words: list[str]) -> bool:
        """Return whether ``words`` is a sentence of the grammar."""
        return len(words) in self._ends("s", words, 0, {})

    def _ends(self, symbol: str, words: list[str], start: int, seen: _Seen) -> set[int]:
        """Return every position at which a ``symbol`` that begins at ``start`` may end."""
        if (symbol, start) in seen:
            return seen[symbol, start]
        ends: set[int] = set()
        if symbol in self.words:
            ends = {start + 1} if start < len(words) and words[start] in self.words[symbol] else set()
        elif symbol in self.rules:
            for alternative in self.rules[symbol]:
                reached = {start}
                for part in alternative:
                    reached = {end for at in reached for end in self._ends(part, words, at, seen)}
                ends |= reached
        elif start < len(words) and words[start] == symbol:
            ends = {start + 1}
        seen[symbol, start] = ends
        return ends

    @cached_property
    def neighbours(self) -> frozenset[tuple[str, str]]:
        """The pairs of words that stand side by side in some sentence."""
        first = {symbol: {symbol} for alternatives in self.rules.values() for parts in alternatives for symbol in parts}
        first |= {name: set(members) for name, members in self.words.items()} | {name: set() for name in self.rules}
        last, pairs = {symbol: set(ends) for symbol, ends in first.items()}, set()
        for _ in self.rules:  # as deep as rules go: what a phrase begins and ends with follows from its parts
            for symbol, alternatives in self.rules.items():
                for parts in alternatives:
                    first[symbol] |= first[parts[0]]
                    last[symbol] |= last[parts[-1]]
                    pairs |= {pair for left, right in pairwise(parts) for pair in product(last[left], first[right])}
        return frozenset(pairs)

    def breaks_neighbours(self, words: list[str]) -> bool:
        """Return whether two words stand side by side that do so in no sentence: a fault that a bigram shows."""
        return any(pair not in self.neighbours for pair in pairwise(words))

    def break_sentence(self, words: list[str], rng: Random) -> list[str]:
        """Return ``words`` with one or two faults, so that the grammar no longer accepts it.

        They are such that any two neighbours may stand side by side, so that counting pairs of words does not do
        instead of reading.
        """
        patience = _PATIENCE
        while True:
            broken = list(words)
            for _ in range(rng.choice((1, 2))):
                broken = rng.choice(_FAULTS)(broken, self, rng)
            patience -= 1
            if (patience < 0 or not self.breaks_neighbours(broken)) and not self.accepts(broken):
                return broken


# What the wrong form of a word is, by class: the faults of agreement and of verb form.
_WRONG_FORM = {
    "iv1": "iv2", "iv2": "iv1 ing", "tv1": "tv2", "tv2": "tv1 done", "say1": "say2", "say2": "say1",
    "ing": "iv2", "done": "tv2 tv1", "male1": "people2", "female1": "people2", "people2": "male1 female1",
    "thing1": "thing2", "thing2": "thing1",
}  # fmt: skip
_WRONG_WORD = {"is": "are", "are": "is", "has": "have", "have": "has", "do": "does", "does": "do"}
_SELVES = ("himself", "herself", "themselves")


def _wrong_form(words: list[str], grammar: Grammar, rng: Random) -> list[str]:
    at = rng.randrange(len(words))
    word = words[at]
    if word in _SELVES:
        words[at] = rng.choice([other for other in _SELVES if other != word])
    elif word in _WRONG_WORD:
        words[at] = _WRONG_WORD[word]
    elif (name := grammar.classes.get(word, "")) in _WRONG_FORM:
        members = grammar.words[rng.choice(_WRONG_FORM[name].split())]
        near = [member for member in members if member[:3] == word[:3]]  # the same verb or noun
        words[at] = rng.choice(near or members)
    return words


def _swap(words: list[str], grammar: Grammar, rng: Random) -> list[str]:
    at = rng.randrange(len(words) - 2)
    words[at], words[at + 1] = words[at + 1], words[at]
    return words


def _drop(words: list[str], grammar: Grammar, rng: Random) -> list[str]:
    del words[rng.randrange(len(words) - 1)]
    return words


def _intrude(words: list[str], grammar: Grammar, rng: Random) -> list[str]:
    intruder = rng.choice(grammar.words[rng.choice(sorted(grammar.words))])
    words.insert(rng.randrange(len(words) - 1), intruder)
    return words


_FAULTS = (_wrong_form, _wrong_form, _swap, _drop, _intrude)


@cache
def mini_grammar() -> Grammar:
    """Return the grammar in ``grammar.toml``."""
    table = read_toml(Path(__file__).with_name("grammar.toml"))
    return Grammar(table["rules"], table["words"])
