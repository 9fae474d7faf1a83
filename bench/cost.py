"""What a run cost: updates, forward and backward passes in rows, seconds by phase, peak memory."""

from __future__ import annotations

import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np

    from bench.strategy import Batch, Models


_UPDATES = ("student", "adversary")
"""Phases of updates: of the student, and of what a strategy trains itself."""
CHARGED = ("rewrite", "rewrite_encode", "rewrite_teacher")
"""Work on texts made offline, by phase: making them, turning them into word pieces, the teacher's answers to them."""


def waited(seconds: Mapping[str, float]) -> float:
    """Return the time that passed in all phases of ``seconds``: without work that was done elsewhere or before."""
    return sum(value for phase, value in seconds.items() if phase not in CHARGED)


@dataclass
class Cost:
    """Counters of one run. ``forwards`` and ``backwards`` count rows by model; ``seconds`` by phase.

    ``processor`` are the seconds that this process had processors, by phase, over all its threads.
    ``examples`` are the clean rows of all student updates, ``tokens`` their word pieces, ``padding`` what was added.
    ``rewritten`` counts rows and forms made offline, failed and truncated ones, and the outcomes of attacks;
    ``failures`` the failed ones by the reason;
    ``attack_queries`` the texts that attacks asked their victim about. ``shown`` counts how often a few rows were
    shown in which form.
    """

    student_updates: int = 0
    adversary_updates: int = 0
    tokens: int = 0
    padding: int = 0
    attack_queries: int = 0
    examples: int = 0
    forwards: Counter[str] = field(default_factory=Counter)
    backwards: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    processor: Counter[str] = field(default_factory=Counter)
    rewritten: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)

    def forget_peak(self) -> None:
        """Let peak memory count from here: the GPU's, and the process's where the system can (Linux)."""
        import torch

        if sys.platform == "linux":
            # 5: reset the peak of resident memory; see proc(5). A sandbox may not allow it.
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the wall-clock seconds spent inside to ``phase``, less those of phases timed within it."""
        start, before = time.perf_counter(), self._timed_seconds()
        busy, busy_before = time.process_time(), sum(self.processor.values())
        try:
            yield
        finally:
            within = self._timed_seconds() - before
            self.seconds[phase] += time.perf_counter() - start - within  # type: ignore[assignment]  # Counter is typed for int
            busy_within = sum(self.processor.values()) - busy_before
            self.processor[phase] += time.process_time() - busy - busy_within  # type: ignore[assignment]

    def _timed_seconds(self) -> float:
        # What is charged is not timed: worker processes or an earlier run did it, not the phase it is charged in.
        return waited(self.seconds)

    def served(self, lengths: np.ndarray, width: int) -> None:
        """Count the clean rows of a student update, of ``lengths`` [B] word pieces, padded to ``width``."""
        pieces = int(lengths.sum())
        self.examples += len(lengths)
        self.tokens += pieces
        self.padding += len(lengths) * width - pieces

    @property
    def train_seconds(self) -> float:
        """Seconds of student and adversary updates, of rewriting texts and of the teacher's answers to them.

        No evaluation, and no caches: what is ``CHARGED`` counts as the work it was, also where an earlier run did it;
        "rewrite_call" is what was waited for it.
        """
        return sum(self.seconds[phase] for phase in (*_UPDATES, *CHARGED))

    @property
    def processor_share(self) -> float | None:
        """Share of the seconds of updates in which this process had a processor; None before any.

        It is processor time over time, at most 1: near 1 on a machine of one's own, also where the updates are made on
        a GPU, which a processor drives. A low share says that the seconds are those of a busy machine.
        """
        seconds, busy = (sum(by[phase] for phase in _UPDATES) for by in (self.seconds, self.processor))
        return min(1.0, busy / seconds) if seconds else None

    def state_dict(self) -> dict[str, Any]:
        """Return the counters, so that a resumed run goes on counting."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` returned."""
        for name, value in state.items():
            setattr(self, name, Counter(value) if isinstance(value, dict) else value)

    def summary(self) -> dict[str, Any]:
        """Return the record's ``cost`` section."""
        share = self.processor_share
        return {
            **{name: value for name, value in self.state_dict().items() if name not in ("shown", "processor")},
            "seconds": {phase: round(value, 3) for phase, value in self.seconds.items()},
            "train_seconds": round(self.train_seconds, 3),
            "processor_share": None if share is None else round(share, 3),
            "peak_memory_mb": peak_memory_mb(),
        }


def peak_memory_mb() -> dict[str, int]:
    """Return the highest resident memory since ``Cost.forget_peak``, and with a GPU the highest there.

    Where the system cannot forget, the process's is since its start.
    """
    import torch

    status = Path("/proc/self/status")
    if status.exists() and (line := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        # Not getrusage: its peak includes the parent's at the moment it started this process.
        peak = {"process": int(line[1]) // 2**10}
    else:
        # macOS counts bytes, other systems kilobytes.
        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit}
    if torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated() // 2**20
    return peak


@dataclass(frozen=True)
class Work:
    """What one student update asks for beyond the clean rows, for `bench profile` to compute its operations.

    ``views`` perturbed batches train the student. ``new`` of them the teacher has to answer and, where a share
    ``masked`` of the tokens is filled in, the generator to write.
    """

    views: int = 0
    new: int = 0
    masked: float = 0.0


@dataclass(frozen=True)
class CostModel:
    """What a strategy says of its own cost, for `bench profile`; all of it optional.

    ``period`` student updates cost the same again.
    ``work(update)`` returns the ``Work`` of student update number ``update`` (from 0); None: no formula is known.
    ``departures`` say in words what makes this another algorithm than the published one. ``reference`` makes a
    plain implementation of the published equations to time beside it: see ``Reference``.
    """

    period: int = 1
    work: Callable[[int], Work] | None = None
    departures: tuple[str, ...] = ()
    reference: Callable[[Models], Reference] | None = None


class Reference(Protocol):
    """A plain implementation of a strategy, timed beside it on the same batches."""

    def update(self, batch: Batch, kind: Literal["student", "adversary"], max_length: int) -> None:
        """Make one update on ``batch``, padded to ``max_length`` pieces."""
