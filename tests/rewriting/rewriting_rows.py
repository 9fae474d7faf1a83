"""Rows to rewrite, an observer that keeps what it hears, and what a strategy's log says."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.data.tasks import GLUE, Example
from bench.rewriter import Context

OBEDIENT = Path(__file__).with_name("obedient.py")
CONTEXT = Context(GLUE["sst2"])


@dataclass
class Watch:
    """An observer that interrupts once ``stop`` rows are done."""

    stop: float = float("inf")

    def __post_init__(self):
        self.done, self.notes = [], []

    def update(self, phase, done, total):
        assert phase == "rewrite"
        self.done.append((done, total))
        if done >= self.stop:
            raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)


def rows(*texts, start=0):
    return [Example(start + i, (text,), 1) for i, text in enumerate(texts)]


def sentences(count):
    return rows(*(f"sentence number {i} has these eight words" for i in range(count)))


def calls(log):
    """How often each text was rewritten, and the processes that did it."""
    lines = [line.split(" ", 1) for line in Path(log).read_text().splitlines()]
    return Counter(text for _, text in lines), {int(pid) for pid, _ in lines}


def gone(pid, within=60.0):
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            # A zombie still has a process id.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False
