"""The small world the mini suite talks about: concepts with their surface forms, events, how to say them.

Train, dev and test say a concept mostly by its most usual form in a text of the plain register, and mostly by
another in one of the other register. The split "shifted" says it by any form alike: words that are rare in training
are common there, which is where perturbed text can help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, cast

from bench.toml import read_toml

# Not quite alike: tiny models find what two texts have to do with each other only if a word of one of them is a little
# more frequent under one label. A bag of such words does no better than the majority (asserted in the tests).
THEME_SHARES = (0.5, 0.3, 0.2)
# Share of a concept's most usual form, in texts of the plain register and of the other.
USUAL = (0.9, 0.1)


@dataclass(frozen=True, eq=False)
class Concept:
    """One meaning: its surface forms (verbs: "base past participle") and its kind.

    Two concepts are the same only if they are one object of the lexicon.
    """

    forms: tuple[str, ...]
    kind: str

    @property
    def key(self) -> str:
        """The most usual form (base form for a verb), by which the lexicon's pairs name the concept."""
        return self.forms[0].split()[0] if self.kind.startswith("verb:") else self.forms[0]


def _concepts(table: dict[str, list[str]], prefix: str = "") -> dict[str, tuple[Concept, ...]]:
    return {kind: tuple(Concept(tuple(text.split("|")), prefix + kind) for text in table[kind]) for kind in table}


def _kind(concepts: tuple[Concept, ...], kind: str) -> tuple[Concept, ...]:
    return tuple(replace(concept, kind=kind) for concept in concepts)


class Lexicon:
    """Every concept of ``lexicon.toml``, with opposites.

    A theme is some kinds of things, with the people and the places that go with them.
    """

    def __init__(self, table: dict[str, Any]):
        self.nouns = _concepts(table["nouns"])
        self.verbs = _concepts(table["verbs"], "verb:")
        self.adjectives = _concepts(table["adjectives"])
        self.how = _concepts(table["adverbs"])["how"]
        self.polarity = _concepts(table["polarity"])["polarity"]
        phrases = _concepts(table["phrases"])
        self.when = phrases["when"]
        self.people = {theme: _kind(people, "person") for theme, people in _concepts(table["people"]).items()}
        self.places = _concepts(table["places"])
        self.sentiment: dict[str, list[str]] = table["sentiment"]
        self.because: list[str] = table["winograd"]["because"]
        self.themes: tuple[str, ...] = tuple(table["themes"])
        kinds = table["themes"].items()
        self.things = {theme: tuple(n for kind in members for n in self.nouns[kind]) for theme, members in kinds}
        every = [c for group in (self.verbs, self.adjectives) for cs in group.values() for c in cs] + list(self.how)
        by_key = {concept.key: concept for concept in every}
        pairs = [pair.split() for group in table["opposites"].values() for pair in group]
        self.opposite = {by_key[a]: by_key[b] for pair in pairs for a, b in (pair, pair[::-1])}

    def verbs_for(self, noun: Concept) -> tuple[Concept, ...]:
        """Return the verbs one may do to ``noun``."""
        return self.verbs.get(noun.kind, ()) + (() if noun.kind == "person" else self.verbs["thing"])

    def adjectives_for(self, noun: Concept) -> tuple[Concept, ...]:
        """Return the adjectives one may say of ``noun``."""
        return self.adjectives["person" if noun.kind == "person" else "thing"]


@cache
def lexicon() -> Lexicon:
    """Return the lexicon in ``lexicon.toml``."""
    return Lexicon(read_toml(Path(__file__).with_name("lexicon.toml")))


@dataclass(frozen=True)
class Event:
    """Someone did something to something; the rest may be absent. ``theme`` is what it is all about."""

    theme: str
    who: Concept
    did: Concept
    what: Concept
    who_is: Concept | None = None
    what_is: Concept | None = None
    how: Concept | None = None
    where: Concept | None = None
    when: Concept | None = None

    def having(self, **slots: Any) -> Event:
        """Return the event with other concepts in ``slots``."""
        return replace(self, **slots)

    def without(self, *slots: str) -> Event:
        """Return the event with ``slots`` absent."""
        return self.having(**dict.fromkeys(slots))

    def present(self, *slots: str) -> list[str]:
        """Return those of ``slots`` that are not absent."""
        return [slot for slot in slots if getattr(self, slot) is not None]


EXTRAS = ("who_is", "what_is", "how", "where", "when")
SLOTS = ("who", "did", "what", *EXTRAS)


class Voice:
    """Makes events and says them, from one random generator.

    ``varied`` chooses among a concept's forms alike; otherwise it depends on the ``register`` (0 plain, 1 other)
    whether the usual form prevails. The registers of a pair differ and have nothing to do with its label, so that
    what is said anew is said in other words, and one text alone does not tell whether it is said anew.
    """

    def __init__(self, rng: Random, varied: bool):
        self.rng, self.varied, self.lexicon, self.register = rng, varied, lexicon(), 0

    def pick(self, options: Sequence[Any]) -> Any:
        """Return one of ``options``."""
        return self.rng.choice(options)

    def chance(self, probability: float) -> bool:
        """Return True with ``probability``."""
        return self.rng.random() < probability

    def other(self, options: Sequence[Any], *taken: Any) -> Any:
        """Return one of ``options`` that is not ``taken``."""
        while (option := self.pick(options)) in taken:
            pass
        return option

    def tailed(self, words: Sequence[str]) -> str:
        """Return one of ``words``: the first ones prevail in training, all alike where ``varied``."""
        n = len(words)
        return words[int(n * (self.rng.random() if self.varied else self.rng.random() ** 2.5))]

    def anew(self) -> Voice:
        """Return this voice, from now on in the other register."""
        self.register = 1 - self.register
        return self

    def word(self, concept: Concept, form: int = 0) -> str:
        """Return a surface form; for verbs ``form`` is 0 base, 1 past, 2 participle."""
        forms = concept.forms
        if self.varied or len(forms) == 1:
            said = self.pick(forms)
        else:
            said = forms[0] if self.chance(USUAL[self.register]) else self.pick(forms[1:])
        if not concept.kind.startswith("verb:"):
            return said
        inflected = said.split()
        return inflected[min(form, len(inflected) - 1)]

    def event(self, extras: Sequence[str] = EXTRAS, keep: float = 0.5, theme: str = "", people: float = 0.2) -> Event:
        """Return a random event; ``keep`` is each extra's chance to be there, ``theme`` any if not given.

        ``people`` is the chance that it is done to a person and not to a thing.
        """
        words = self.lexicon
        theme = theme or self.rng.choices(words.themes, THEME_SHARES)[0]
        who = self.pick(words.people[theme])
        person = self.chance(people)
        what = self.other(words.people[theme], who) if person else self.pick(words.things[theme])
        event = Event(theme, who, self._deed(what), what)
        for slot in extras:
            if self.chance(keep):
                event = self.changed(event, slot)
        return event

    def _deed(self, what: Concept) -> Concept:
        verbs = self.lexicon.verbs
        general = what.kind != "person" and self.chance(0.5)
        return cast(Concept, self.pick(verbs["thing" if general else what.kind]))

    def changed(self, event: Event, slot: str) -> Event:
        """Return ``event`` with another concept of its theme in ``slot`` (never the opposite)."""
        words, now = self.lexicon, getattr(event, slot)
        options: Sequence[Concept] = {
            "who": words.people[event.theme],
            "did": words.verbs_for(event.what),
            "what": words.people[event.theme] if event.what.kind == "person" else words.nouns[event.what.kind],
            "who_is": words.adjectives["person"],
            "what_is": words.adjectives_for(event.what),
            "how": words.how,
            "where": words.places[event.theme],
            "when": words.when,
        }[slot]
        taken = (now, words.opposite.get(now), event.who, event.what)
        return event.having(**{slot: self.other(options, *taken)})

    def unlike(self, event: Event) -> Event:
        """Return an event of another theme with the same slots filled, each with another concept."""
        theme = self.other(self.lexicon.themes, event.theme)
        other = self.event(event.present(*EXTRAS), 1.0, theme, people=float(event.what.kind == "person"))
        for slot in SLOTS:
            while getattr(event, slot) is not None and getattr(other, slot) is getattr(event, slot):
                other = self.changed(other, slot)
        return other

    def noun(self, concept: Concept, adjective: Concept | None = None, article: str = "the") -> str:
        """Return a noun phrase, like "the old dog"."""
        phrase = f"{self.word(adjective)} {self.word(concept)}" if adjective else self.word(concept)
        if article == "a" and phrase[0] in "aeiou":
            article = "an"
        return f"{article} {phrase}"

    def clause(self, event: Event, style: int | None = None, polarity: int | None = None) -> str:
        """Return the event as a clause: 0 plain, 1 time or place first, 2 passive, 3 cleft.

        ``polarity`` 0 insists that it happened ("really"), 1 denies it ("never").
        """
        style = self.pick((0, 0, 1, 2)) if style is None else style
        who, what = self.noun(event.who, event.who_is), self.noun(event.what, event.what_is)
        how = self.word(event.how) if event.how else ""
        if polarity is not None:
            how = _join(self.word(self.lexicon.polarity[polarity]), how)
        tail = [self.word(slot) for slot in (event.where, event.when) if slot]
        if style == 2:
            return _join(what, "was", how, self.word(event.did, 2), "by", who, *tail)
        if style == 3:
            return _join("it was", who, "who", how, self.word(event.did, 1), what, *tail)
        lead = tail.pop() + " ," if style == 1 and tail else ""
        return _join(lead, who, how, self.word(event.did, 1), what, *tail)


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def sentence(text: str, end: str = ".") -> str:
    """Return ``text`` as it is written: a capital first, no blank before a comma, ``end`` after it."""
    text = text.replace(" ,", ",")
    return text[0].upper() + text[1:] + end
