"""How long a grid takes, from what was measured."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from made_records import run

from bench.experiment.grid import make_grid
from bench.experiment.pace import Pace
from bench.experiment.presets import open_data
from bench.experiment.provenance import provenance
from bench.experiment.waiting import Remaining
from bench.spec import StrategySpec


def job(task, strategy, parts, *overrides, seed=0):
    """A cell of ten updates that is to run."""
    settings, source = open_data("mini", overrides)
    (cell,) = make_grid(settings, source, [source.tasks[task]], [StrategySpec.parse(strategy)], [seed])
    return SimpleNamespace(cell=cell, parts=parts, updates=10)


def finished(seconds):
    # Worker processes rewrote texts for longer than the run waited for them.
    phases = {"student": seconds - 2, "evaluate": 1, "rewrite_call": 1, "rewrite": 100}
    return {"status": "done", "cost": {"seconds": phases, "student_updates": 10}}


def left(pace, jobs, at, phase, seconds, per_step):
    """What ``pace`` says in the cell of ``jobs`` at that place."""
    return pace.left(jobs[at], Remaining(jobs[at + 1 :]), phase, seconds, per_step)


@pytest.fixture
def jobs():
    parts = object()
    return [job(task, strategy, parts) for task in ("rte", "cola") for strategy in ("none", "finetune")]


def test_nothing_is_said_before_every_strategy_and_a_preparation_were_measured(tmp_path, jobs):
    pace = Pace(tmp_path)
    assert left(pace, jobs, 0, "teacher", 5.0, 0.1) is None
    assert left(pace, jobs, 0, "student", 5.0, 0.1) is None
    pace.learn(jobs[0], finished(20), 50.0)
    assert left(pace, jobs, 1, "generator", 3.0, 0.1) is None
    # This cell has 3 s left; cola is prepared in 30 s as rte was, and takes 2 s and 0.5 s per update.
    assert left(pace, jobs, 1, "student", 3.0, 0.5) == pytest.approx(3 + 30 + 20 + 5)
    pace.learn(jobs[1], finished(4), 4.0)
    # Before the student's updates, this cell's own are still to come.
    assert left(pace, jobs, 2, "teacher", 7.0, 99.0) == pytest.approx(7 + 20 + 4)
    pace.learn(jobs[2], finished(10), 31.0)
    assert left(pace, jobs, 3, "student", 1.5, 0.4) == 1.5


def test_what_failed_measures_nothing(tmp_path, jobs):
    pace = Pace(tmp_path)
    pace.learn(jobs[0], {"status": "failed"}, 50.0)
    assert left(pace, jobs, 1, "student", 3.0, 0.5) is None


def write(results, cell, hardware=None, **changed):
    """Leave a record like ``cell``, in which the settings of a section are ``changed``."""
    spec = json.loads(json.dumps(cell.settings.to_dict()))
    record = run(
        cell.task.name,
        str(cell.strategy),
        3,
        spec={**spec, **{section: spec[section] | values for section, values in changed.items()}},
        provenance={"hardware": hardware or provenance()["hardware"]},
        cost={"student_updates": 4, "seconds": {"student": 6.0, "evaluate": 2.0}},
    )
    folder = cell.folder(results).parent / "seed-3-0123abcd"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [2.0]),
        ({"recipe": {"epochs": 99}}, [2.0]),
        ({"recipe": {"batch_size": 7}}, []),
        ({"student": {"layers": [0]}}, []),
        ({"hardware": "another machine"}, []),
    ],
)
def test_like_runs_have_the_same_models_batches_and_hardware(tmp_path, jobs, changes, expected):
    write(tmp_path, jobs[0].cell, **changes)
    assert Pace(tmp_path).like(jobs[0]) == expected
    assert Pace(tmp_path).like(jobs[1]) == []
    assert Pace(tmp_path).like(job("rte", "none", None, "recipe.epochs=9", seed=8)) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("provenance"),
        lambda record: record["spec"].update(teacher=None),
        lambda record: record["cost"].pop("seconds"),
        lambda record: record["cost"].update(student_updates=0),
        lambda record: record["cost"].update(seconds={"student": 1e308, "evaluate": 1e308}),
    ],
)
def test_a_record_that_lacks_what_is_asked_for_measures_nothing(tmp_path, jobs, change):
    write(tmp_path, jobs[0].cell)
    (path,) = tmp_path.rglob("record.json")
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    assert sum(Pace(tmp_path).like(jobs[0])) == 0


def test_a_corrupt_record_is_no_measurement(tmp_path, jobs):
    write(tmp_path, jobs[0].cell)
    (path,) = tmp_path.rglob("record.json")
    path.write_text("{")
    assert Pace(tmp_path).like(jobs[0]) == []
