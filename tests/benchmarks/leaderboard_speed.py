"""How long ``bench compare`` takes over many records: python tests/benchmarks/leaderboard_speed.py [N[xROWS] ...].

Makes N records in a temporary folder (a mapping of 5 kB each: nine tasks, five seeds), with predictions of so many
rows beside each where these are asked for (680x1000), and prints for each number of them the seconds of the whole
command and of its parts, in processor time beside the wall clock.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pyarrow as pa
from made_records import run
from pyarrow import parquet

from bench.data.tasks import GLUE
from bench.reporting.records import run_folder, uncollected

SEEDS = 5
PADDING = {"teacher": {"shape": {f"setting_{n}": n for n in range(120)}}, "data": {"rewrite_seed": None}}
"""Brings a record to the size that records of runs have."""


def make(results: Path, records: int, rows: int = 0) -> None:
    """Write so many records, of as many strategies as that takes, and predictions of ``rows`` dev rows beside each."""
    places = [(task, seed) for task in list(GLUE)[:9] for seed in range(SEEDS)]
    for number in range(records):
        task, seed = places[number % len(places)]
        strategy = "none" if number < len(places) else f"strategy-{number // len(places)}"
        quality = {"rows": 256, "changed": 0.9, "rewriting": {"rows": 6000, "failed": 3}}
        cost = {"forwards": {"student": 100_000 + number}, "backwards": {"student": 90_000}}
        record = run(
            task, strategy, seed, value := 0.5 + number % 97 / 200, spec=PADDING, cost=cost, text_quality=quality
        )
        if rows:
            right = round(rows * value)
            record["data"]["rows"]["dev"] = rows
            record["main"]["value"] = record["metrics"]["dev"]["accuracy"] = right / rows
        folder = run_folder(results, "mini", task, strategy, seed, f"{number:08x}")
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record | {"id": f"{number:08x}"}, indent=1))
        if rows:
            (folder / "predictions").mkdir()
            labels = np.arange(rows) % 2
            answers = np.where(np.random.default_rng(number).permutation(rows) < right, labels, 1 - labels)
            table = {"id": np.arange(rows), "label": labels, "logit_0": answers * 1.0, "prediction": answers}
            parquet.write_table(pa.table(table), folder / "predictions" / "dev.parquet")


def timed(name: str, work: Callable[..., Any], *given: Any) -> Any:
    """Return what ``work`` makes of ``given``, and print what it took."""
    wall, busy = time.perf_counter(), time.process_time()
    made = work(*given)
    print(f"  {name:12} {time.process_time() - busy:7.2f} s of processor, {time.perf_counter() - wall:7.2f} s")
    return made


def command(*arguments: str) -> None:
    """Print what the whole command takes, from its start to its end."""
    wall, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-m", "bench", "compare", *arguments], check=True, capture_output=True)
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"  {'command':12} {busy:7.2f} s of processor, {time.perf_counter() - wall:7.2f} s")


@uncollected()  # as the command does
def measure(records: int, rows: int) -> None:
    """Print what so many records take."""
    from bench.reporting import export, sheet
    from bench.reporting.comparison import compare
    from bench.reporting.leaderboard import failures, leaderboard
    from bench.reporting.predictions import answers
    from bench.reporting.records import scan
    from bench.reporting.tables import tables
    from bench.reporting.tidy import tidy

    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), records, rows)
        print(f"{records:,} records" + f", predictions of {rows:,} rows each" * bool(rows))
        for form in ("text", "json"):
            command("--results", folder, "--format", form)
        found, _ = timed("scan", scan, Path(folder))
        frame = timed("tidy", tidy, found)
        table = timed("leaderboard", leaderboard, frame)
        lost = timed("failures", failures, frame)
        predictions, _ = timed("predictions", answers, Path(folder), frame, {"dev"})
        (comparison,) = timed("statistics", compare, table, predictions, "none", lost)
        sheets = timed("tables", tables, comparison)
        timed("text", sheet.text, sheets)
        timed("json", export.json_text, comparison.tasks)
        size = frame.memory_usage(deep=False).sum() / 2**20
        print(
            f"  {len(frame):,} rows of {len(frame.columns)} columns, {size:,.0f} MiB; {len(table):,} rows of the table"
        )


if __name__ == "__main__":
    for word in sys.argv[1:] or ["10000"]:
        count, _, rows = word.partition("x")
        measure(int(count), int(rows or 0))
