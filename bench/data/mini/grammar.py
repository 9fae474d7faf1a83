"""The small context-free grammar of mini CoLA: says sentences, recognises them, and breaks them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from bench.toml import read_toml

_Seen = dict[tuple[str, int], set[int]]


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

    def break_sentence(self, words: list[str], rng: Random) -> list[str]:
        """Return ``words`` with one or two faults, so that the grammar no longer accepts it."""
        while True:
            broken = list(words)
            for _ in range(rng.choice((1, 2))):
                broken = rng.choice(_FAULTS)(broken, self, rng)
            if not self.accepts(broken):
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
