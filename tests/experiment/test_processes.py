"""Cells in processes of their own: the same records, what a dead one costs, and nothing left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from kills import differing, outcome
from tiny_jobs import MATE_KD, jobs

from bench.experiment.cell import failed_record
from bench.experiment.grid import Cell
from bench.experiment.launch import Sweep, in_process, launch, run_job
from bench.experiment.pace import Pace
from bench.experiment.parts import Parts
from bench.experiment.processes import GRACE_SECONDS, Processes
from bench.experiment.progress import Progress
from bench.experiment.waiting import Queue
from bench.locks import Lock, alone
from bench.reporting.records import read_record

CHILDREN = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
BAD = """
    import os, signal, time
    import torch
    from dataclasses import dataclass
    from bench import Strategy

    @dataclass
    class Dies(Strategy):
        needs = ()

        def views(self, batch, models):
            os.kill(os.getpid(), signal.SIGKILL)
            yield

    @dataclass
    class Hangs(Strategy):
        needs = ()

        def views(self, batch, models):
            time.sleep(600)
            yield

    @dataclass
    class Sleeps(Strategy):
        needs = ()

        def turn(self, step):
            return "adversary"

        def fit_adversary(self, batch, models):
            time.sleep(1)
            return torch.zeros(())
"""


def children() -> set[str]:
    """The processes that this one has begun and that are there; none where the system does not say."""
    return {*CHILDREN.read_text().split()} if CHILDREN.exists() else set()


def test_records_are_those_of_a_serial_run_a_dead_process_fails_its_cell_alone_and_none_is_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strategy = tmp_path / "bad.py"
    strategy.write_text(textwrap.dedent(BAD))
    one, two = tmp_path / "one", tmp_path / "two"
    launch(jobs(one, "none", MATE_KD), one, Progress())
    capsys.readouterr()

    others = children()  # of earlier tests, such as the one that multiprocessing keeps
    at_once = jobs(two, f"{strategy}:Dies", "none", MATE_KD, f"{strategy}:Sleeps")
    running = Processes(2)(at_once, Sweep(two, Progress(), False, Pace(two)))
    records = {number: record for number, record, _ in (next(running) for _ in range(3))}
    reason = records[0]["reason"]
    assert records[0]["status"] == "failed"
    assert "SIGKILL" in reason
    assert "--jobs" in reason
    there = outcome(two, *(at_once[number].cell.folder(two) for number in (1, 2)))
    assert differing(outcome(one), there) == []
    for made in ("teachers", "generators"):
        assert len(list((two / "cache" / made).glob("[!.]*"))) == 1
    lines = capsys.readouterr().err.splitlines()
    assert any("fine-tuning" in line for line in lines)
    assert all("·" in line for line in lines)  # each says which cell it is of

    assert not CHILDREN.exists() or children() - others
    start = time.monotonic()
    running.close()  # as Ctrl-C does, while the fourth cell sleeps from one update to the next
    assert time.monotonic() - start < GRACE_SECONDS  # it went by itself
    assert list(at_once[3].cell.folder(two).rglob("states/*/tensors.safetensors"))
    assert children() <= others
    assert not (at_once[3].cell.folder(two) / "record.json").exists()


def test_a_cell_of_which_nothing_is_heard_fails_and_another_process_takes_the_next(tmp_path: Path) -> None:
    strategy = tmp_path / "bad.py"
    strategy.write_text(textwrap.dedent(BAD))
    work = jobs(tmp_path, f"{strategy}:Hangs", "none")
    records = launch(work, tmp_path, Progress(), launcher=Processes(1, silence=30))
    assert [record["status"] for record in records] == ["failed", "done"]
    assert re.fullmatch(r"its process was ended: nothing was heard of it for 3\d s \(--timeout\)", records[0]["reason"])


def test_a_cell_that_another_command_runs_comes_last_and_is_not_run_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run(cell: Cell, parts: Parts, results: Path, observer: object, keep: bool) -> dict:
        ran.append(cell.task.name)
        return {"status": "skipped", "reason": "", "task": cell.task.name}

    monkeypatch.setattr("bench.experiment.launch.run_cell", run)
    work = jobs(tmp_path, "none", tasks=("rte", "wnli"))
    folder = work[0].cell.folder(tmp_path)
    code = "import sys, time; from pathlib import Path; from bench.locks import Lock; l = Lock(Path(sys.argv[1])); "
    other = subprocess.Popen(
        [sys.executable, "-c", code + "l.take(wait=False); print(flush=True); time.sleep(60)", str(folder)],
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    other.stdout.readline()
    assert run_job(work[0], tmp_path, Progress(), wait=False) is None
    assert f"process {other.pid} on" in capsys.readouterr().err
    finished = in_process(work, Sweep(tmp_path, Progress(), False, Pace(tmp_path)))
    assert next(finished).number == 1
    other.kill()  # its lock ends with it
    other.wait()
    assert [each.number for each in finished] == [0]
    assert ran == ["wnli", "rte"]


def test_what_a_cell_has_come_to_is_not_lost_for_the_process_that_did_not_live_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = jobs(tmp_path, "none")
    folder = job.cell.folder(tmp_path)
    monkeypatch.setattr("bench.experiment.cell._LETS_GO_SECONDS", 0.0)
    with alone(folder, Progress(), "the cell"):  # as of another command
        assert failed_record(job.cell, tmp_path, "its process died") is None
    assert not (folder / "record.json").exists()
    failed = failed_record(job.cell, tmp_path, "its process died")
    assert failed is not None
    assert (failed["status"], failed["reason"]) == ("failed", "its process died")
    (done,) = launch([job], tmp_path, Progress())
    assert failed_record(job.cell, tmp_path, "its process died, too") == done == read_record(folder)


def test_a_link_in_the_place_of_a_lock_s_owner_or_of_checkpoints_leads_nowhere(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, "none")
    folder, outside = job.cell.folder(tmp_path), tmp_path / "outside"
    folder.mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_text("mine")
    folder.with_name(f".{folder.name}.owner").symlink_to(outside / "file")
    (folder / "checkpoint").symlink_to(outside)
    (folder / "predictions").symlink_to(outside)
    (record,) = launch([job], tmp_path, Progress())
    assert record["status"] == "done"
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "mine"
    assert (folder / "predictions" / "dev.parquet").is_file()


def test_a_lock_is_free_again_after_its_block(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "thing"), Lock(tmp_path / "thing")
    assert first.take(wait=False)
    assert not second.take(wait=False)
    assert second.owner().startswith(f"process {os.getpid()} on ")
    first.release()
    assert second.take(wait=False)
    second.release()


def test_cells_of_a_task_whose_teacher_is_in_training_wait_while_there_are_others(tmp_path: Path) -> None:
    queue = Queue(jobs(tmp_path, "none", "mlm", "none[forwards_of=mlm]", tasks=("rte", "wnli")))
    cells = [str(job.cell.task.name) for job in queue.jobs]
    assert cells == ["rte"] * 3 + ["wnli"] * 3
    assert (queue.next(), queue.next()) == (0, 3)  # not the second of rte
    queue.done(0)
    queue.done(3)
    assert queue.next() == 1
    assert queue.next() == 4
    assert queue.next() is None  # their budgets are worked out from runs that are not over
    queue.done(1)
    assert queue.next() == 2


def test_every_teacher_is_trained_first_and_then_long_cells_come_before_short_ones(tmp_path: Path) -> None:
    queue = Queue(jobs(tmp_path, "none", "mlm", tasks=("wnli", "rte")))
    updates = {job.cell.task.name: job.updates for job in queue.jobs}
    assert updates["rte"] > updates["wnli"]
    taken = []
    while (number := queue.next()) is not None:
        taken.append(str(queue.jobs[number].cell))
        queue.done(number)
    assert taken == ["rte · none · seed 0", "wnli · none · seed 0", "rte · mlm · seed 0", "wnli · mlm · seed 0"]


def test_a_cell_whose_machine_was_lost_is_taken_again_and_none_is_left_out(tmp_path: Path) -> None:
    queue = Queue(jobs(tmp_path, "none", "mlm", tasks=("rte", "wnli")))
    waiting = sum(updates for _, updates in queue.remaining)
    lost = queue.next()
    assert lost is not None
    assert sum(updates for _, updates in queue.remaining) == waiting - queue.jobs[lost].updates
    queue.again(lost)
    assert sum(updates for _, updates in queue.remaining) == waiting
    taken = set()
    while (number := queue.next()) is not None:
        taken.add(number)
        queue.done(number)
    assert taken == {0, 1, 2, 3}
    assert not queue.unfinished
    assert not list(queue.remaining)
