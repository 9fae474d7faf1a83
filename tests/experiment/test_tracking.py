from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from tiny import Notes

from bench.cli import main
from bench.errors import UsageError
from bench.experiment import tracking
from bench.experiment.tracking import Tracked, check_tracker
from bench.reporting.records import read_record


def test_tensorboard_holds_what_the_run_said(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    command = ["run", "--quick", "--tasks", "rte", "--strategy", "none", "--max-train", "64", "--track", "tensorboard"]
    command += ["--set", "teacher.epochs=1", "--set", "recipe.epochs=2", "--results", str(tmp_path)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    (path,) = tmp_path.rglob("record.json")
    record = read_record(path.parent)
    home = tmp_path / "tracking" / path.parent.relative_to(tmp_path / "runs")
    events = EventAccumulator(str(home))
    events.Reload()
    curve = [json.loads(line) for line in (path.parent / "curve.jsonl").read_text().splitlines()]
    # 64 rows, two epochs of two updates, each evaluated; the teacher's own training is not the run's.
    assert [(event.step, pytest.approx(event.value)) for event in events.Scalars("dev/accuracy")] == [
        (point["step"], point["accuracy"]) for point in curve
    ]
    assert [event.step for event in events.Scalars("student/loss")] == [2, 4]
    (reported,) = events.Scalars("reported/dev.accuracy")
    assert (reported.step, reported.value) == (4, pytest.approx(record["metrics"]["dev"]["accuracy"]))
    assert not any("teacher" in tag for tag in events.Tags()["scalars"])
    (asked,) = home.rglob("hparams.yml")
    assert f"id: {record['id']}" in asked.read_text()
    assert "recipe.epochs: 2" in asked.read_text()


def test_a_tracker_that_is_not_there_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(tracking, "TRACKERS", {"no_such_tracker": "no-such-tracker"})
    with pytest.raises(UsageError, match="not installed: pip install no-such-tracker"):
        check_tracker("no_such_tracker")
    with pytest.raises(UsageError, match="unknown tracker"):
        check_tracker("tensorbord")


class Broken:
    """A tracker whose server goes away."""

    def __init__(self):
        self.asked = 0

    def log(self, values, step):
        self.asked += 1
        raise ConnectionError("gone")


def test_a_tracker_that_fails_costs_the_run_nothing():
    notes, broken = Notes(), Broken()
    observer = Tracked(notes, broken)
    for done in (1, 2):
        observer.update("student", done, 2, 0.5)
        observer.evaluated("accuracy", 0.75)
    assert broken.asked == 1
    assert notes.notes == ["tracking ends here, the run goes on: ConnectionError: gone"]
    assert notes.updates == [("student", 1, 2, 0.5), ("student", 2, 2, 0.5)]
    assert notes.scores == [0.75, 0.75]
    observer.finish({"status": "failed"})


class FailsAtTheEnd:
    def end_training(self):
        raise ConnectionError("gone at the end")


def test_a_tracker_that_fails_at_the_end_costs_the_run_nothing():
    notes = Notes()
    Tracked(notes, FailsAtTheEnd()).finish({"status": "failed"})
    assert notes.notes == ["tracking ends here, the run goes on: ConnectionError: gone at the end"]
