"""Cells on a Ray cluster of several nodes on this machine: the same records, also where a node is lost."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kills import differing, outcome
from tiny_jobs import MATE_KD, jobs, waiting_strategy

from bench.errors import BenchError
from bench.experiment.grid import Cell
from bench.experiment.launch import Sweep, launch
from bench.experiment.launcher_options import RayOptions
from bench.experiment.pace import Pace
from bench.experiment.progress import Progress

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the node that runs a cell in /proc")
ray = pytest.importorskip("ray", reason="needs Ray: pip install 'distil-augment-bench[ray]'")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that runs nothing, and two nodes of one core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_that_is_killed_costs_no_cell_and_changes_no_figure(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.experiment.ray_cluster import RayCluster

    waits, go, log = waiting_strategy(tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    strategies = (f"{waits}+{MATE_KD}", "none", MATE_KD)
    go.touch()
    launch(jobs(one, *strategies), one, Progress())
    assert log.read_text() == "0 1 2 3 4 5 6 7 8 9 "  # five updates, then five looks at the texts
    log.unlink()
    go.unlink()
    capsys.readouterr()

    at_once = jobs(two, *strategies)
    running = RayCluster(RayOptions(address=cluster.address))(at_once, Sweep(two, Progress(), False, Pace(two)))
    records = {number: record for number, record, _ in (next(running) for _ in range(2))}
    assert sorted(records) == [1, 2]
    assert list(at_once[0].cell.folder(two).rglob("states/*/tensors.safetensors"))
    process = _process(at_once[0].cell, two)
    (node,) = (node for node in cluster.nodes if _runs(node, process))
    cluster.remove_node(node, allow_graceful=False)
    until = time.monotonic() + 600
    while process.exists():  # nothing of a node that is gone works on
        assert time.monotonic() < until
        time.sleep(0.1)
    go.touch()
    records |= {number: record for number, record, _ in running}
    assert differing(outcome(one), outcome(two)) == []
    assert [records[number]["resumed"] for number in range(3)] == [1, 0, 0]
    assert "was lost" in capsys.readouterr().err
    assert log.read_text() == "0 1 2 3 3 4 5 6 7 8 9 "  # not from the start
    # Machines on which cells would not run as here are told before one does.
    work = jobs(tmp_path / "three", "none")
    three = Sweep(tmp_path / "three", Progress(), False, Pace(tmp_path / "three"))
    with monkeypatch.context() as patch, pytest.raises(BenchError, match=r"has version [\d.]+ of .*, not 99: install"):
        patch.setattr("bench.__version__", "99")
        next(RayCluster(RayOptions(address=cluster.address))(work, three))
    assert not list((tmp_path / "three").glob(".seen-*"))
    for made in ("teachers", "generators"):
        assert len(list((two / "cache" / made).glob("[!.]*"))) == 1
    assert not list(two.glob(".seen-*"))


def _process(cell: Cell, results: Path) -> Path:
    """The process that holds the lock of ``cell``, as the system shows it."""
    folder = cell.folder(results)
    return Path("/proc", str(json.loads(folder.with_name(f".{folder.name}.owner").read_text())["pid"]))


def _runs(node: Any, process: Path) -> bool:
    """Whether ``process`` is of ``node``: its grandchild, a Ray worker's child."""
    for _ in range(2):
        parent = re.search(r"PPid:\s+(\d+)", (process / "status").read_text())
        assert parent is not None
        process = process.with_name(parent[1])
    return process.name == str(node.all_processes["raylet"][0].process.pid)
