from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.files import write_json
from bench.reporting.records import read_record, run_folder, scan, set_aside


def make(**changes):
    record = {
        "schema": 1,
        "id": "0a1b2c3d",
        "status": "done",
        "reason": None,
        "preset": "mini",
        "task": "rte",
        "strategy": "none",
        "strategy_options": {},
        "seed": 0,
        "spec": {"student": {"lr": 2e-5}},
        "signature": "bench=0.1.0|preset=mini",
        "data": {"rows": {"train": 10}, "official": {}, "max_train": None},
        "teacher": {"dev": 0.7, "majority": 0.5},
        "main": {"split": "dev", "metric": "accuracy", "value": 0.5},
        "metrics": {"dev": {"accuracy": 0.5}},
        "selection": {"rule": "last", "optimistic": False, "step": 3},
        "cost": {"student_updates": 3, "adversary_updates": 0, "train_seconds": 1.5, "examples": 96},
        "provenance": {"hardware": "cpu", "finished": "2025-01-01T00:00:00", "packages": {"torch": "2"}},
    }
    return record | changes


def put(results: Path, **changes) -> Path:
    record = make(**changes)
    keys = ("preset", "task", "strategy", "seed", "id")
    path = run_folder(results, *(record[key] for key in keys)) / "record.json"
    write_json(path, record)
    return path


@pytest.mark.parametrize(
    ("strategy", "folder"),
    [
        ("mate-kd", "mate-kd"),
        ("textattack:deepwordbug", "textattack-deepwordbug"),
        ("best-of-k(eda)", "best-of-k-eda"),
        ("./my_idea.py:MyIdea", "my_idea.py-MyIdea"),
        ("../../etc/x.py:A", "etc-x.py-A"),
        ("nlpaug:keyboard[aug_char_p=0.1]", "nlpaug-keyboard-aug_char_p=0.1"),
        ("eda+mate-kd", "eda+mate-kd"),
    ],
)
def test_a_strategy_becomes_a_readable_safe_folder(strategy, folder):
    made = run_folder(Path("results"), "mini", "rte", strategy, 3, "0a1b2c3d")
    assert made == Path("results/runs/mini/rte") / folder / "seed-3-0a1b2c3d"


@pytest.mark.parametrize("name", ["..", ".", "///", "é", "x" * 300])
def test_awkward_names_still_make_one_short_folder_below_the_task(name):
    parts = run_folder(Path("r"), "mini", "rte", name, 0, "0a1b2c3d").parts
    assert len(parts) == 6
    assert not parts[4].startswith(".")
    assert 0 < len(parts[4]) <= 90


def test_long_names_that_begin_alike_stay_apart():
    one, two = (run_folder(Path("r"), "mini", "rte", "x" * 200 + end, 0, "0a1b2c3d") for end in "ab")
    assert one != two


def test_write_json_makes_folders_and_plain_numbers(tmp_path):
    path = tmp_path / "a" / "b" / "record.json"
    write_json(path, {"n": np.int64(3), "x": np.float32(0.5), "v": np.arange(2), "p": Path("q"), "bad": float("nan")})
    assert json.loads(path.read_text()) == {"n": 3, "x": 0.5, "v": [0, 1], "p": "q", "bad": None}
    assert os.listdir(path.parent) == ["record.json"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_json(path, {"old": 1})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BenchError, match="No space left on device"):
        write_json(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["record.json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(BenchError, match=r"cannot write .*results/runs/record\.json.*--results"):
        write_json(tmp_path / "results" / "runs" / "record.json", {})


def test_read_record_returns_everything_or_none_or_complains(tmp_path):
    path = put(tmp_path)
    assert read_record(path.parent) == make()
    assert read_record(tmp_path / "nowhere") is None
    path.write_text('{"schema": 1')
    with pytest.raises(BenchError, match="corrupt"):
        read_record(path.parent)


def test_no_results_say_what_to_run(tmp_path):
    with pytest.raises(BenchError, match="bench run --strategy"):
        scan(tmp_path / "results")


def test_scan_says_where_a_record_lies(tmp_path):
    path = put(tmp_path)
    (record,), corrupt = scan(tmp_path)
    assert corrupt == []
    assert (record.main.value, record.cost.examples, record.spec) == (0.5, 96, {"student": {"lr": 2e-5}})
    assert tmp_path / record.folder / "record.json" == path


def test_an_unfinished_run_is_no_record(tmp_path):
    put(tmp_path)
    unfinished = run_folder(tmp_path, "mini", "rte", "eda", 0, "ffffffff")
    write_json(unfinished / "spec.json", {})
    assert len(scan(tmp_path)[0]) == 1


def _without(key):
    record = make()
    section, _, inner = key.partition(".")
    del (record[section] if inner else record)[inner or section]
    return record


def _with(key, value):
    record = make()
    *sections, last = key.split(".")
    inner = record
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[last] = value
    return record


DEEP = "[" * 100_000 + "]" * 100_000
CORRUPT = {
    "cut short": '{"schema": 1, "id"',
    "binary": b"\xff\xfe\x00",
    "empty": "",
    "zeros": b"\0" * 1000,
    "a list": "[]",
    "another schema": make(schema=0),
    "no status": _without("status"),
    "unknown status": make(status="half"),
    "no score": _without("main.value"),
    "score is text": _with("main.value", "0.5"),
    "seed is true": make(seed=True),
    "no updates": _without("cost.student_updates"),
    "accuracy below zero": _with("main.value", -5),
    "accuracy above one": _with("metrics.dev.accuracy", 1.5),
    "correlation below minus one": _with("metrics.dev", {"pearson": -1.01}),
    "score without end": json.dumps(make()).replace('"value": 0.5', '"value": 1e999'),
    "score is no number": json.dumps(make()).replace('"value": 0.5', '"value": NaN'),
    "score of 401 digits": _with("main.value", 10**400),
    "seconds below zero": _with("cost.train_seconds", -1),
    "seconds of 401 digits": _with("cost.train_seconds", 10**400),
    "seconds beyond all time": _with("cost.train_seconds", 1e308),
    "metrics of a split are a list": _with("metrics", {"dev": [1]}),
    "reason is a list": make(status="failed", reason=["why"]),
    "nested deeply": json.dumps(make()).replace('"id"', f'"more": {DEEP}, "id"'),
    "nested deeply where anything may be": json.dumps(make()).replace('"lr": 2e-05', f'"lr": {DEEP}'),
    "options nested": _with("strategy_options", {"a": json.loads("[" * 90 + "]" * 90)}),
    "no UTF-8 where nobody looks": json.dumps(make(more="?")).encode().replace(b"?", b"\x80"),
    "a lone surrogate": json.dumps(make()).replace('"none"', '"\\ud800"'),
}


@pytest.mark.parametrize("kind", CORRUPT)
def test_a_corrupt_record_is_reported_and_set_aside(tmp_path, kind):
    put(tmp_path)
    path = put(tmp_path, seed=1)
    content = CORRUPT[kind]
    raw = json.dumps(content) if isinstance(content, dict) else content
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())

    found, corrupt = scan(tmp_path)
    aside = tmp_path / "aside" / path.relative_to(tmp_path)
    assert [record.seed for record in found] == [0]
    assert [where for where, _ in corrupt] == [path]
    assert str(aside) in corrupt[0][1]
    assert not path.exists()
    assert set_aside(tmp_path) == [aside]
    assert scan(tmp_path) == (found, [])
    assert read_record(path.parent) is None

    # A second corrupt record of the same run does not overwrite the first.
    path.write_text("{}")
    scan(tmp_path)
    assert len(set_aside(tmp_path)) == 2


@pytest.mark.parametrize("changes", [{}, {"status": "paused", "data": None}])
def test_a_record_of_a_newer_version_is_named_and_stays_where_it_is(tmp_path, changes):
    put(tmp_path)
    path = put(tmp_path, seed=1, schema=2, **changes)
    found, left = scan(tmp_path)
    assert [record.seed for record in found] == [0]
    assert left == [(path, "made by a newer version of this program (schema 2, and this one knows 1): install that")]
    assert path.exists()
    assert set_aside(tmp_path) == []
    with pytest.raises(BenchError, match=r"record\.json was made by a newer version"):
        read_record(path.parent)


def test_failed_and_skipped_runs_need_no_score(tmp_path):
    for n, status in enumerate(("failed", "skipped")):
        put(tmp_path, seed=n, status=status, reason="why", main=None, metrics={}, cost={}, selection=None)
    found, corrupt = scan(tmp_path)
    assert [record.status for record in found] == ["failed", "skipped"]
    assert corrupt == []


def test_every_change_is_seen_at_once(tmp_path):
    paths = [put(tmp_path, seed=seed) for seed in range(4)]
    scan(tmp_path)
    old = paths[0].stat()
    paths[0].write_text(paths[0].read_text().replace('"value": 0.5', '"value": 0.7'))
    os.utime(paths[0], ns=(old.st_atime_ns, old.st_mtime_ns))  # same size, same time
    paths[1].unlink()
    put(tmp_path, seed=9)
    paths[2].write_text("nonsense")
    found, corrupt = scan(tmp_path)
    assert [path for path, _ in corrupt] == [paths[2]]
    assert [(record.seed, record.main.value) for record in found] == [(0, 0.7), (3, 0.5), (9, 0.5)]


def test_results_that_may_only_be_read_can_still_be_scanned(tmp_path):
    path = put(tmp_path)
    bad = put(tmp_path, seed=1)
    bad.write_text("nonsense")
    # A file in the place of the folder: chmod does not stop root.
    (tmp_path / "aside").write_text("")
    found, corrupt = scan(tmp_path)
    assert [tmp_path / record.folder for record in found] == [path.parent]
    assert "could not be moved" in corrupt[0][1]
    assert bad.exists()


def _fifo(path):
    os.mkfifo(path)


def _loop(path):
    path.symlink_to(path.name)


def _nowhere(path):
    path.symlink_to("nothing")


def _endless(path):
    path.symlink_to("/dev/zero")


def _sparse(path):
    with path.open("wb") as file:
        file.truncate(8 * 2**30)


@pytest.mark.parametrize("make_it", [_fifo, _loop, _nowhere, _endless, _sparse, Path.mkdir])
def test_what_is_no_file_to_read_is_set_aside_and_never_waited_for(tmp_path, make_it):
    put(tmp_path)
    path = run_folder(tmp_path, "mini", "rte", "none", 1, "0a1b2c3d") / "record.json"
    path.parent.mkdir(parents=True)
    make_it(path)
    with pytest.raises(BenchError, match="corrupt"):
        read_record(path.parent)
    found, corrupt = scan(tmp_path)
    assert [record.seed for record in found] == [0]
    assert [where for where, _ in corrupt] == [path]
    assert not os.path.lexists(path)
    assert set_aside(tmp_path) == [tmp_path / "aside" / path.relative_to(tmp_path)]
    assert scan(tmp_path) == (found, [])


def test_folders_that_are_links_to_themselves_hold_no_runs(tmp_path):
    put(tmp_path)
    (tmp_path / "runs" / "loop").symlink_to("loop")
    (tmp_path / "runs" / "mini" / "up").symlink_to("..")
    assert len(scan(tmp_path)[0]) == 1
