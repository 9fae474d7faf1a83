"""Strategies that do to each row what its first word says."""

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import Attacked, Rewriter, Strategy
from bench.errors import UsageError


def burn(seconds):
    """Take so many seconds of CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@dataclass
class Plain(Strategy, Rewriter):
    """Shuffle the words; runs where the engine likes. ``log`` takes a line per row: which, and in which process."""

    log: str = ""
    gate: str = ""

    def rewrite(self, examples, rngs, context):
        return [self.row(example, rng) for example, rng in zip(examples, rngs, strict=True)]

    def row(self, example, rng):
        word = example.texts[0].split()[0]
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()} {example.texts[0]}\n")
        if word == "crash":
            print("the very last word", flush=True)
            os._exit(3)
        if word == "work":
            burn(0.2)
        if word == "spin":
            burn(float("inf"))
        if word == "hang":
            time.sleep(1e6)
        while word == "wait" and not Path(self.gate).exists():
            time.sleep(0.01)
        if word == "raise":
            raise ValueError("two\nlines")
        if word == "full":
            raise OSError(28, "No space left on device")
        if word == "interrupt":
            raise KeyboardInterrupt
        if word == "usage":
            raise UsageError("install the thing")
        if word == "surrogate":
            return [("\ud800",)]
        if word == "attacked":
            return Attacked([example.texts], "success" if example.label else "failure", 7)
        shapes = {"string": "ab", "strings": ["ab"], "texts": [("a", "b")], "numbers": [(1,)], "none": []}
        if word in shapes or word == "two":
            return shapes.get(word, [("a",)] * 2)
        shuffled = []
        for text in example.texts:
            words = text.split()
            rng.shuffle(words)
            shuffled.append(" ".join(words))
        return [tuple(shuffled)]


@dataclass
class Library(Plain):
    """Shuffle the words in a worker process."""

    libraries = ("pytest",)


@dataclass
class Seeds(Library):
    """Show the environment, and use this process's own random state."""

    def row(self, example, rng):
        random.seed(rng.random()), np.random.seed(1)
        names = ("PYTHONHASHSEED", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM")
        return [(" ".join([*(os.environ[name] for name in names), *{"a", "b", "c", "d"}]),)]


@dataclass
class Short(Library):
    """Lose a row."""

    def rewrite(self, examples, rngs, context):
        return super().rewrite(examples, rngs, context)[1:]


@dataclass
class Loads(Library):
    """Take CPU time to arrive in a worker, or do not arrive at all; take some again in the first call."""

    how: str = "work"

    def __post_init__(self):
        self.loaded = False

    def __setstate__(self, state):
        self.__dict__.update(state)
        if self.how == "raise":
            raise LookupError("no corpora/stopwords")
        if self.how == "exit":
            os._exit(5)
        burn(float("inf") if self.how == "spin" else 0.4)

    def row(self, example, rng):
        if not self.loaded:
            burn(0.4)
            self.loaded = True
        return super().row(example, rng)
