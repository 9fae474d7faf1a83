"""How long ``bench compare`` takes over many records: python tests/benchmarks/leaderboard_speed.py [RECORDS ...].

Makes the records in a temporary folder (a mapping of 5 kB each: nine tasks, five seeds), and prints for each number of
them the seconds of the whole command and of its parts, in this process's processor time beside the wall clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from made_records import run

from bench.data.tasks import GLUE
from bench.reporting.records import run_folder

SEEDS = 5
PADDING = {"teacher": {"shape": {f"setting_{n}": n for n in range(120)}}, "data": {"rewrite_seed": None}}
"""Brings a record to the size that records of runs have."""


def make(results: Path, records: int) -> None:
    """Write so many records, of as many strategies as that takes."""
    places = [(task, seed) for task in list(GLUE)[:9] for seed in range(SEEDS)]
    for number in range(records):
        task, seed = places[number % len(places)]
        strategy = "none" if number < len(places) else f"strategy-{number // len(places)}"
        quality = {"rows": 256, "changed": 0.9, "rewriting": {"rows": 6000, "failed": 3}}
        cost = {"forwards": {"student": 100_000 + number}, "backwards": {"student": 90_000}}
        record = run(task, strategy, seed, 0.5 + number % 97 / 200, spec=PADDING, cost=cost, text_quality=quality)
        folder = run_folder(results, "mini", task, strategy, seed, f"{number:08x}")
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record | {"id": f"{number:08x}"}, indent=1))


def timed(name: str, work: Callable[..., Any], *given: Any) -> Any:
    """Return what ``work`` makes of ``given``, and print what it took."""
    wall, busy = time.perf_counter(), time.process_time()
    made = work(*given)
    print(f"  {name:12} {time.process_time() - busy:7.2f} s of processor, {time.perf_counter() - wall:7.2f} s")
    return made


def measure(records: int) -> None:
    """Print what so many records take."""
    from bench.reporting.averages import averages
    from bench.reporting.leaderboard import leaderboard
    from bench.reporting.records import scan
    from bench.reporting.tidy import tidy

    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), records)
        print(f"{records:,} records")
        start = time.perf_counter()
        command = [sys.executable, "-m", "bench", "compare", "--results", folder, "--format", "json"]
        subprocess.run(command, check=True, capture_output=True)
        print(f"  {'command':12} {time.perf_counter() - start:30.2f} s")
        found, _ = timed("scan", scan, Path(folder))
        frame = timed("tidy", tidy, found)
        table = timed("leaderboard", leaderboard, frame)
        timed("averages", averages, table)
        size = frame.memory_usage(deep=False).sum() / 2**20
        print(
            f"  {len(frame):,} rows of {len(frame.columns)} columns, {size:,.0f} MiB; {len(table):,} rows of the table"
        )


if __name__ == "__main__":
    for count in [int(word) for word in sys.argv[1:]] or [10_000]:
        measure(count)
