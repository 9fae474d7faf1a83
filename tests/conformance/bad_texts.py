"""Strategies that each break one rule of options or of rewriting, and one that breaks none."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

from bench import Rewriter, Strategy, TextStrategy
from bench.errors import UsageError
from bench.resources import Resource


class OneTask(Strategy):
    """Takes the made sentences only, to be checked quickly."""

    def supports(self, task):
        return None if task.name == "made-sentence" else "made for sentences"


def shuffled(text, rng):
    words = text.split(" ")
    rng.shuffle(words)
    return " ".join(words)


@dataclass(kw_only=True)
class Shuffles(OneTask, TextStrategy):
    """The words of a text in any order: nothing is wrong with it."""

    keep_first: bool = False

    def rewrite_texts(self, texts, rngs, context):
        return [shuffled(text, rng) for text, rng in zip(texts, rngs, strict=True)]


# --- options, resources, tasks


@dataclass
class Undescribed(OneTask):
    pass


@dataclass
class RoundsItsOption(OneTask):
    """An option that is another one after it was given."""

    rate: float = 0.5

    def __post_init__(self):
        self.rate = self.rate / 2


@dataclass
class DividesByItsOption(OneTask):
    """Zero is refused by accident."""

    parts: int = 2

    def __post_init__(self):
        self.share = 1 / self.parts


@dataclass
class FollowsTheProcess(OneTask):
    """Another strategy in every process."""

    rate: int = field(default_factory=os.getpid)

    def __post_init__(self):
        if self.rate < 0:
            raise UsageError("rate must be 0 or more")


@dataclass
class LacksSomething(OneTask):
    """Needs what nobody has."""

    def resources(self):
        return [Resource("unobtainium", lambda: False, "dig for unobtainium")]


@dataclass
class RefusesSilently(OneTask):
    """Gives no reason."""

    def supports(self, task):
        return super().supports(task) and ""


# --- rewriting


@dataclass(kw_only=True)
class OwnRandomness(Shuffles):
    """Draws from a generator that nobody seeded."""

    def rewrite_texts(self, texts, rngs, context):
        rng = random.SystemRandom()
        return [shuffled(text, rng) for text in texts]


@dataclass(kw_only=True)
class Counts(Shuffles):
    """Rewrites the second call differently."""

    def rewrite_texts(self, texts, rngs, context):
        self.calls = getattr(self, "calls", 0) + 1
        return [f"{text} {self.calls}" for text in texts]


@dataclass(kw_only=True)
class OneGeneratorForAll(Shuffles):
    """A row's rewrite depends on the rows before it."""

    def rewrite_texts(self, texts, rngs, context):
        return [shuffled(text, rngs[0]) for text in texts]


@dataclass(kw_only=True)
class MixesItsRows(Shuffles):
    """A row's rewrite takes a word from another row."""

    def rewrite_texts(self, texts, rngs, context):
        return [f"{text} {max(texts)}" for text in texts]


@dataclass
class MoreOfLongTexts(OneTask, Rewriter):
    """Two forms of long texts, one of others."""

    def rewrite(self, examples, rngs, context):
        return [[example.texts] * (1 + (len(example.texts[0]) > 60)) for example in examples]


@dataclass
class TextsWithoutTuple(MoreOfLongTexts):
    """A form that is a text, not a tuple of texts."""

    def rewrite(self, examples, rngs, context):
        return [list(example.texts) for example in examples]


@dataclass
class FewerRows(MoreOfLongTexts):
    """Leaves blank rows out."""

    def rewrite(self, examples, rngs, context):
        return [[example.texts] for example in examples if example.texts[0]]


@dataclass
class FirstWord(MoreOfLongTexts):
    """Has no first word to take of an empty text."""

    def rewrite(self, examples, rngs, context):
        return [[(example.texts[0].split()[0],)] for example in examples]


@dataclass(kw_only=True)
class LosesTheOnlyWord(Shuffles):
    """Deletes a word, even the only one."""

    def rewrite_texts(self, texts, rngs, context):
        return [" ".join(text.split(" ")[1:]) for text in texts]


@dataclass(kw_only=True)
class SeedsEverybody(Shuffles):
    """Seeds the global generator from the row's own."""

    def rewrite_texts(self, texts, rngs, context):
        made = []
        for text, rng in zip(texts, rngs, strict=True):
            random.seed(rng.random())
            made.append(shuffled(text, random))
        return made


@dataclass(kw_only=True)
class OrderOfASet(Shuffles):
    """The order of a set of strings is another one in every process."""

    def rewrite_texts(self, texts, rngs, context):
        return [" ".join(set(text.split())) for text in texts]


@dataclass
class Relabels(MoreOfLongTexts):
    """Changes the labels of the examples."""

    def rewrite(self, examples, rngs, context):
        for example in examples:
            object.__setattr__(example, "label", 0)
        return [[example.texts] for example in examples]


@dataclass(kw_only=True)
class ForgetsTheSide(TextStrategy):
    """Rewrites both texts of a directed pair."""

    def supports(self, task):
        return None if task.directed else "made for directed pairs"

    def rewrite(self, examples, rngs, context):
        return [[tuple(f"{text}!" for text in example.texts)] for example in examples]
