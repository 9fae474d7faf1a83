"""Cells as an array of jobs, by submitit's executor for one machine: the same records, also after a preemption."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from kills import differing, outcome
from tiny_jobs import jobs, waiting_strategy

from bench.errors import UsageError
from bench.experiment.launch import Sweep, launch
from bench.experiment.launcher_options import SlurmOptions
from bench.experiment.launchers import Launching
from bench.experiment.pace import Pace
from bench.experiment.progress import Progress
from bench.experiment.slurm import Slurm
from bench.reporting.records import read_record

submitit = pytest.importorskip("submitit", reason="needs submitit: pip install 'distil-augment-bench[slurm]'")
BAD = """
    from dataclasses import dataclass
    from bench import Strategy

    @dataclass
    class Bad(Strategy):
        needs = ()

        def views(self, batch, models):
            raise ValueError("this one fails")
"""
HERE = SlurmOptions(cluster="local", minutes=5)


def test_records_are_those_of_a_serial_run_and_what_fails_is_not_tried_by_the_other_jobs(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    bad = tmp_path / "bad.py"
    bad.write_text(textwrap.dedent(BAD))
    strategies = (f"{bad}:Bad", "none", "none[forwards_of=r-drop]", "r-drop")
    serial = jobs(one, *strategies)
    expected = launch(serial, one, Progress())
    submitted = jobs(two, *strategies)
    records = launch(submitted, two, Progress(), launcher=Slurm(HERE, 2))
    assert records[0]["status"] == expected[0]["status"] == "failed"
    logs = "".join(path.read_text() for path in (two / "slurm").rglob("*.out"))
    assert logs.count(f"{submitted[0].cell}: failed") == 1
    assert [record["status"] for record in records[1:]] == ["done"] * 3
    assert differing(outcome(one), outcome(two)) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the job's process in /proc")
def test_a_job_that_is_preempted_puts_its_cell_away_and_goes_on_when_it_is_queued_again(tmp_path: Path) -> None:
    waits, go, log = waiting_strategy(tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    go.touch()
    launch(jobs(one, waits), one, Progress())
    log.unlink()
    go.unlink()

    (preempted,) = jobs(two, waits)
    slurm = Slurm(replace(HERE, requeues=1))
    work = slurm.todo({0: preempted}, Sweep(two, Progress(), False, Pace(two)))
    (job,) = slurm.submit([*work.values()], 1, two / "slurm")
    until = time.monotonic() + 600
    while not (log.exists() and log.read_text() == "0 1 2 3 "):
        assert time.monotonic() < until
        time.sleep(0.1)
    # To the process that has the cell, as Slurm does it; submitit's own way, job._interrupt(), ends its parent alone.
    (task,) = Path(f"/proc/{job.job_id}/task/{job.job_id}/children").read_text().split()
    os.kill(int(task), signal.SIGUSR2)
    time.sleep(1)
    go.touch()
    assert job.result() == 1  # of the job that was queued again
    record = read_record(preempted.cell.folder(two))
    assert record is not None
    assert record["resumed"] == 1
    assert differing(outcome(one), outcome(two)) == []
    assert log.read_text() == "0 1 2 3 4 5 "


def test_what_does_not_go_together_is_said() -> None:
    with pytest.raises(UsageError, match="--timeout does not go with --launcher slurm"):
        Launching("slurm[partition=gpu]", silence=60.0).open()
    with pytest.raises(UsageError, match=r"slurm\.minutes is the time of a job: at least 5, not 1"):
        Launching("slurm[minutes=1]")
    with pytest.raises(UsageError, match="--timeout is a number of seconds, not nan"):
        Launching(silence=float("nan"))
    with pytest.raises(UsageError, match="unknown launcher 'slrum'; did you mean 'slurm'"):
        Launching("slrum")
