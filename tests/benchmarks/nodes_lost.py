"""A sweep on a Ray cluster of two nodes of one core, one of which is killed twice, against an undisturbed one.

    python tests/benchmarks/nodes_lost.py [--undisturbed RESULTS] [--seeds 3] [--tasks all] [--strategy none,mate-kd]

The cluster runs on this machine: a head without cores, and two nodes. When a third of the cells is done, and again at
two thirds, as soon as both nodes are in a student's training, the one that has been there longest is killed with all
its processes, and after a while a new one joins. All that the runs left, but for clocks, is compared with what an
undisturbed sweep left: ``--undisturbed``, or one that is made here first with ``--jobs 2``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Container
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from kills import differing, outcome

from bench.reporting.records import read_record

_JOINS_AFTER_SECONDS = 20.0
_MINUTE = 60.0
_OFTEN = "recipe: checkpoint_seconds"


def records(results: Path) -> dict[str, dict[str, Any]]:
    """Return the records of ``results`` by their runs' folders."""
    found = {
        str(path.parent.relative_to(results)): read_record(path.parent)
        for path in results.glob("runs/*/*/*/*/record.json")
    }
    return {name: record for name, record in found.items() if record is not None}


def command(results: Path, asked: argparse.Namespace, launcher: str) -> list[str]:
    """Return the command line of the sweep."""
    grid = ["--strategy", asked.strategy, "--tasks", asked.tasks, "--seeds", str(asked.seeds)]
    often = ["--set", "recipe.checkpoint_seconds=2"]
    return [sys.executable, "-m", "bench", "run", *grid, *often, "--results", str(results), "--launcher", launcher]


def disturbed(results: Path, asked: argparse.Namespace, said: Path) -> int:
    """Run the sweep on a cluster whose nodes are killed; print what happens when, and return the exit code."""
    from ray.cluster_utils import Cluster

    began = time.monotonic()

    def tell(what: str) -> None:
        seconds = time.monotonic() - began
        print(f"{seconds // _MINUTE:3.0f}:{seconds % _MINUTE:02.0f}  {what}", flush=True)

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
        tell("two nodes of one core are there")
        with said.open("w") as to:
            arguments = command(results, asked, f"ray[address={cluster.address}]")
            sweep = subprocess.Popen(arguments, stdout=to, stderr=subprocess.STDOUT)
        for share in (1 / 3, 2 / 3):
            # Both nodes are in the middle of a student's training, so that it is one that has something to lose.
            while sweep.poll() is None and (
                _done(results) < share * _cells(said) or _in_training(results) < len(nodes)
            ):
                time.sleep(0.1)
            if sweep.poll() is not None:
                break
            cluster.remove_node(nodes.pop(0), allow_graceful=False)
            tell(f"a node is killed; {_done(results)} cells are done")
            time.sleep(_JOINS_AFTER_SECONDS)
            nodes.append(cluster.add_node(num_cpus=1))
            tell("a new node joins")
        code = sweep.wait()
        tell(f"the command has ended with exit code {code}")
    finally:
        cluster.shutdown()
    return code


def differences(peace: dict[str, Any], left: dict[str, Any], runs: Container[str]) -> list[str]:
    """Return in what that which ``runs`` left differs from what they left in peace.

    Where that was made with fewer checkpoints, records and specifications say so.
    """
    peace, left = (
        {
            name: what
            for name, what in side.items()
            if any(str(folder) in runs for folder in Path(name).parents) and Path(name).name != "spec.json"
        }
        for side in (peace, left)
    )
    return [line for line in differing(peace, left) if _OFTEN not in line]


def _in_training(results: Path) -> int:
    """Return how many cells have a checkpoint."""
    return len({path.parent for path in results.glob("runs/*/*/*/*/checkpoint/states/*") if path.suffix != ".part"})


def _done(results: Path) -> int:
    """Return how many records there are."""
    return len(list(results.glob("runs/*/*/*/*/record.json")))


def _cells(said: Path) -> int:
    """Return how many cells the command has said that it will run."""
    found = re.search(r"(\d+) cells", said.read_text())
    return int(found[1]) if found else sys.maxsize


def main() -> int:
    """Print what happened, what the command said of it, and how many figures differ; return 1 where any does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--undisturbed", type=Path, help="results of the same cells, and of others or not")
    parser.add_argument("--strategy", default="none,mate-kd")
    parser.add_argument("--tasks", default="cola,wnli")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, help="where the disturbed sweep's results are to stay")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        peace = asked.undisturbed
        if peace is None:
            peace = Path(home, "undisturbed")
            subprocess.run([*command(peace, asked, "processes")[:-2], "--jobs", "2"], check=True, capture_output=True)
        results, said = asked.results or Path(home, "disturbed"), Path(home, "said.log")
        code = disturbed(results, asked, said)
        print("\nwhat the command said:")
        print("\n".join(line for line in said.read_text().splitlines() if re.search(r" was lost|\d cells", line)))
        ended, asked_for = records(results), _cells(said)
        done = sum(one["status"] == "done" for one in ended.values())
        went_on = sum(one["resumed"] > 0 for one in ended.values())
        print(f"\n{done} of {asked_for} cells done; {went_on} of them went on from a checkpoint")
        found = differences(outcome(peace), outcome(results), ended)
        print(*found, f"{len(found)} figures differ from the undisturbed sweep's", sep="\n")
    return 1 if found or done != asked_for else code


if __name__ == "__main__":
    sys.exit(main())
