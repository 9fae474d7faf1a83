"""The one-sentence tasks of the mini suite: acceptability and sentiment."""

from __future__ import annotations

from bench.data.mini.grammar import mini_grammar
from bench.data.mini.world import Voice, sentence

MAX_WORDS = 12


def cola(voice: Voice) -> tuple[tuple[str, ...], int]:
    """Acceptability: 1 a sentence of the grammar, 0 (35 in a hundred) one with a fault in it."""
    grammar = mini_grammar()
    words = grammar.say(voice.rng)
    while not 3 < len(words) <= MAX_WORDS:
        words = grammar.say(voice.rng)
    label = int(voice.chance(0.65))
    if not label:
        words = grammar.break_sentence(words, voice.rng)
    return (sentence(" ".join(words[:-1]), words[-1]),), label


def sst2(voice: Voice) -> tuple[tuple[str, ...], int]:
    """Sentiment of a line about a film: 1 positive, 0 negative. Negation and contrast turn words around."""
    label = int(voice.chance(0.52))
    text = voice.pick((_remark, _remark, _contrast, _phrase))(voice, bool(label))
    return (sentence(text, voice.pick((".", ".", "!"))),), label


def _quality(voice: Voice, good: bool) -> str:
    """Return words that say ``good`` of something: "truly witty", "not at all dull"."""
    if voice.chance(0.3):
        return voice.pick(("not", "never", "hardly", "far from", "not at all")) + " " + _adjective(voice, not good)
    very = voice.pick(voice.lexicon.sentiment["very"]) + " " if voice.chance(0.4) else ""
    return very + _adjective(voice, good)


def _adjective(voice: Voice, good: bool) -> str:
    return voice.tailed(voice.lexicon.sentiment["good" if good else "bad"])


def _remark(voice: Voice, good: bool) -> str:
    words = voice.lexicon.sentiment
    topic = voice.pick(words["topic"])
    if voice.chance(0.6):
        second = f" and {_quality(voice, good)}" if voice.chance(0.4) else ""
        return f"the {topic} is {_quality(voice, good)}{second}"
    gift = voice.chance(0.5)
    noun = voice.tailed(words["gift" if gift else "flaw"])
    has = voice.pick(("is full of", "has a lot of") if gift == good else ("lacks", "is free of", "has no"))
    return f"the {topic} {has} {noun}" + (f" and is {_quality(voice, good)}" if voice.chance(0.4) else "")


def _contrast(voice: Voice, good: bool) -> str:
    """Return two remarks that disagree; the main clause decides."""
    first, second = voice.rng.sample(voice.lexicon.sentiment["topic"], 2)
    minor, major = f"the {first} is {_quality(voice, not good)}", f"the {second} is {_quality(voice, good)}"
    order = voice.pick(("although {0} , {1}", "{1} , although {0}", "{0} , but {1}"))
    return str(order.format(minor, major))


def _phrase(voice: Voice, good: bool) -> str:
    topic, first = voice.pick(voice.lexicon.sentiment["topic"]), _adjective(voice, good)
    second = _adjective(voice, good)
    article = "an" if first[0] in "aeiou" else "a"
    order = voice.pick(("{} {} and {} {}", "{} {} , {} {} about love and death"))
    return str(order.format(article, first, second, topic))
