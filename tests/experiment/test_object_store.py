"""Machines that share an object store alone: each cell runs once, one goes on where another died, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT
from kills import differing, outcome
from object_store import BUCKET, ObjectStore, machine
from tiny_jobs import glue, jobs, waiting_strategy

import bench
from bench.experiment.launch import CellJob, launch, prepare
from bench.experiment.progress import Progress
from bench.remote.leases import Lease
from bench.remote.mirror import bring, opened
from bench.remote.store import Store, StoreError

MACHINE = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
from test_object_store import run
run(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
"""


def work_on(results: Path, waits: str, data: Path) -> list[CellJob]:
    # A student that another machine kept comes when it is used; without, its hash is in the record.
    return jobs(results, waits, "none", data=data, keep=False)


def run(url: str, waits: str, data: Path) -> tuple[Path, list[CellJob], list[dict[str, Any]]]:
    """What ``bench run`` does of it: the mirror, its cells, and the records of those that were not there."""
    results = opened(url)
    work = work_on(results, waits, data)
    done, to_run = prepare([(work[0].parts, [job.cell for job in work])], results, Progress())
    return results, work, [record for _, record in done] + launch(to_run, results, Progress())


class Sweep:
    """A strategy that waits, its data, and what an undisturbed run makes of it."""

    def __init__(self, folder: Path) -> None:
        self.waits, self.go, self.log = waiting_strategy(folder)
        self.data = glue(folder / "glue")
        self.go.touch()
        work = work_on(folder / "undisturbed", self.waits, self.data)
        launch(work, folder / "undisturbed", Progress())
        self.ids, self.expected = {job.cell.id for job in work}, outcome(folder / "undisturbed")
        self.log.unlink()
        self.go.unlink()

    def run(self, url: str) -> list[str]:
        """Run it on this machine too, and return in what the outcome differs from the undisturbed one."""
        results, _, _ = run(url, self.waits, self.data)
        bring(results)
        return differing(self.expected, outcome(results))

    def elsewhere(self, url: str, mirrors: Path, log: Path) -> subprocess.Popen[bytes]:
        code = [sys.executable, "-c", MACHINE, url, self.waits, str(self.data)]
        with log.open("wb") as file:
            return subprocess.Popen(
                [*code, str(ROOT / "tests"), str(ROOT / "tests" / "experiment")],
                stderr=file,
                env={**os.environ, "BENCH_MIRROR": str(mirrors)},
            )


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return Sweep(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(autouse=True)
def afresh(sweep: Sweep) -> Iterator[None]:
    yield
    for file in (sweep.go, sweep.log):
        file.unlink(missing_ok=True)


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_two_machines_run_each_cell_once_and_a_third_reads_the_records(
    sweep: Sweep,
    object_store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import boto3

    url, log = f"s3://{BUCKET}/two", tmp_path / "log"
    other: list[subprocess.Popen[bytes]] = []
    for folder in ("two/", "two/runs/"):  # as made by hand
        boto3.client("s3").put_object(Bucket=BUCKET, Key=folder, Body=b"")

    def begin() -> None:
        until(sweep.log.exists)  # this machine is at the cell that waits
        other.append(sweep.elsewhere(url, tmp_path / "other", log))
        until(lambda: "it comes later" in log.read_text())
        until(lambda: bool([name for name in Store(url).find("runs") if "/none/" in name and "record" in name]))
        sweep.go.touch()

    thread = threading.Thread(target=begin)
    machine(monkeypatch, tmp_path / "this")
    thread.start()
    differences = sweep.run(url)
    thread.join()
    assert other[0].wait(60) == 0
    assert differences == []
    assert sweep.log.read_text() == "0 1 2 3 4 5 "
    here, there = capsys.readouterr().err, log.read_text()
    assert (here + there).count("fine-tuning the teacher") == 1
    assert f"process {os.getpid()} on " in there
    assert (
        here.count("another command has run it meanwhile") == there.count("another command has run it meanwhile") == 1
    )

    machine(monkeypatch, tmp_path / "third")
    frame = bench.results(url)
    assert {*frame["id"]} == sweep.ids
    assert len(bench.compare(url)) == 1
    assert len(bench.predictions(url)) == 2 * 40
    assert not [*Path(tmp_path / "third").rglob("cache/*")]
    names = Store(url).find("")
    assert not [name for name in names if "/checkpoint/" in name or ".states/" in name]


def test_a_machine_that_died_is_taken_over_after_its_silence_from_its_last_checkpoint(
    sweep: Sweep,
    object_store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BENCH_LEASE_SECONDS", "4")
    url, log = f"s3://{BUCKET}/died", tmp_path / "log"
    other, store = sweep.elsewhere(url, tmp_path / "other", log), Store(url)
    until(lambda: any(name.endswith("checkpoint/states/3/SHA256SUMS") for name in store.find("runs")))
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    sweep.go.touch()
    machine(monkeypatch, tmp_path / "this")
    assert sweep.run(url) == []
    assert sweep.log.read_text() == "0 1 2 3 3 4 5 "  # not from the start
    said = capsys.readouterr().err
    assert f"process {other.pid} on " in said
    assert "fine-tuning" not in said


def test_who_was_only_slow_publishes_nothing_and_takes_the_record_of_who_took_over(
    sweep: Sweep,
    object_store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BENCH_LEASE_SECONDS", "2")
    renew, other = Lease.renew, "another mirror"
    monkeypatch.setattr(Lease, "renew", lambda self: renew(self) if self._mirror == other else None)
    url = f"s3://{BUCKET}/slow"
    store, seen = Store(url), list[str]()
    undisturbed = next((sweep.data.parent / "undisturbed").rglob("*Waits/*/record.json"))
    name = undisturbed.parent.relative_to(sweep.data.parent / "undisturbed").as_posix()

    def take_over() -> None:
        until(lambda: sweep.log.exists() and sweep.log.read_text() == "0 1 2 3 ")
        lease = Lease(store, name, other)
        until(lambda: lease.take(ours_is_dead=False))
        sweep.go.touch()
        until(lambda: any("/none/" in one and one.endswith("record.json") for one in store.find("runs")))
        seen.extend(one for one in store.find(name) if "/checkpoint/" not in one)
        store.write(f"{name}/record.json", json.dumps(json.loads(undisturbed.read_text()) | {"resumed": 7}).encode())
        lease.release()

    thread = threading.Thread(target=take_over)
    machine(monkeypatch, tmp_path / "this")
    thread.start()
    _, _, records = run(url, sweep.waits, sweep.data)
    thread.join()
    assert [record["resumed"] for record in records] == [7, 0]
    assert seen == [f"{name}/spec.json"]  # from before
    said = capsys.readouterr().err
    assert f"has taken over {name}, having heard nothing of this one for 2 s; what it makes counts" in said
    assert "fine-tuning" in said


def test_a_store_that_goes_away_loses_nothing_and_the_same_command_goes_on(
    sweep: Sweep, object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.remote.store._WAITS", (0.1,))
    url = f"s3://{BUCKET}/away"

    def away() -> None:
        until(sweep.log.exists)
        until(lambda: sweep.log.read_text() == "0 1 2 3 ")
        object_store.stop()
        sweep.go.touch()

    thread = threading.Thread(target=away)
    machine(monkeypatch, tmp_path / "this")
    thread.start()
    with pytest.raises(StoreError, match=f"cannot .* {url}/.*; what was made here is kept, and the same command"):
        sweep.run(url)
    thread.join()
    object_store.start()
    assert sweep.run(url) == []
    assert sweep.log.read_text().startswith("0 1 2 3 4 5 ")
    assert sweep.log.read_text().count("0") == 1
    machine(monkeypatch, tmp_path / "other")
    assert {*bench.results(url)["id"]} == sweep.ids
