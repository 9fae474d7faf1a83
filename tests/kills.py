"""Runs that are killed at random moments, started again and compared in full with one that was left in peace."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.cli import main

CLOCKS = {
    ("cost", "seconds"),
    ("cost", "train_seconds"),
    ("cost", "processor_share"),
    ("cost", "peak_memory_mb"),
    ("generator", "seconds"),
    ("provenance", "command"),
    ("provenance", "finished"),
    ("provenance", "git_commit"),
    ("provenance", "git_dirty"),
    ("provenance", "started"),
    ("resumed",),
    ("teacher", "seconds"),
}
"""What in a record may differ: what clocks say, how often it was taken up, and which copy of the same code ran.

Under tox a test imports the installed package, of no commit, and the processes that it starts the checkout.
"""
CLOCK_LINES = (b"- Training took ", b"- Run `", b"  README.md")
"""In a student's card what a clock says and what made it, and the digest of the card among those of its files."""


def attempt(command: Sequence[str], log: Path, seconds: float) -> int | None:
    """Run ``bench`` with ``command`` in a process of its own and kill it after ``seconds``; return its exit code.

    None where it was killed. The process is a fork of this one, which has imported what takes seconds to import.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(to, 1)
        os.dup2(to, 2)
        code = 1
        try:
            main(list(command), prog_name="bench")
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:  # noqa: BLE001 - os._exit would leave without a word
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def killed(command: Sequence[str], results: Path, rng: random.Random, kills: int, longest: float) -> Iterator[float]:
    """Start ``command``, which fills ``results``, until it ends by itself; yield the seconds after each kill.

    The first ``kills`` tries have a random time up to ``longest``, the last one has as long as it takes.
    """
    log = results.with_suffix(".log")
    for number in range(kills + 1):
        seconds = rng.uniform(0.0, longest) if number < kills else 600.0
        code = attempt(command, log, seconds)
        if code == 0:
            return
        if code is not None:
            raise AssertionError(f"exit code {code} after {number} kills:\n{log.read_text()[-2000:]}")
        yield seconds
    raise AssertionError(f"not over after 600 s:\n{log.read_text()[-2000:]}")


def outcome(results: Path, *runs: Path) -> dict[str, Any]:
    """Return all that runs of ``results`` came to, without clocks: records, predictions, curves, samples, students.

    They are those in the folders ``runs``, or all. Locks and checkpoints are left out: of a run that was killed after
    its record was written they stay. So are tracebacks, which name the files of the code.
    """
    left: dict[str, Any] = {}
    for path in sorted(path for run in runs or [results / "runs"] for path in run.rglob("*")):
        name = str(path.relative_to(results))
        if "/checkpoint/" in name or path.suffix in (".lock", ".owner") or path.name == "error.txt":
            continue
        if path.name == "record.json":
            left[name] = _without_clocks(json.loads(path.read_text()))
        elif path.suffix == ".parquet":
            table = pd.read_parquet(path).astype(object)
            left[name] = table.where(table.notna(), None).to_dict("list")  # NaN is not equal to itself
        elif path.is_file():
            lines = path.read_bytes().split(b"\n")
            left[name] = [line for line in lines if not any(clock in line for clock in CLOCK_LINES)]
    return left


def _without_clocks(value: Any, *place: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_clocks(inner, *place, key) for key, inner in value.items() if (*place, key) not in CLOCKS}


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return in what two outcomes differ, the places in records one by one."""
    places = []
    for name in sorted({*first, *second}):
        one, other = first.get(name), second.get(name)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            places += [f"{name}: {place}" for place in differing(one, other)]
        else:
            places.append(f"{name}: {one!r:.80} and {other!r:.80}")
    return places
