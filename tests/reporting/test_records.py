from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.files import write_json
from bench.reporting import records
from bench.reporting.records import INDEX, read_record, run_folder, scan, set_aside


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

    monkeypatch.setattr(records.os, "fsync", full)
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


def test_scan_keeps_what_tables_need_and_says_where_the_rest_is(tmp_path):
    path = put(tmp_path)
    (found,), corrupt = scan(tmp_path)
    assert corrupt == []
    assert found["main"]["value"] == 0.5
    assert found["cost"] == {"student_updates": 3, "adversary_updates": 0, "train_seconds": 1.5}
    assert found["spec"].keys() <= {"generator"}
    assert tmp_path / found["folder"] / "record.json" == path


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


CORRUPT = {
    "cut short": '{"schema": 1, "id"',
    "binary": b"\xff\xfe\x00",
    "a list": "[]",
    "another schema": make(schema=2),
    "no status": _without("status"),
    "unknown status": make(status="half"),
    "no score": _without("main.value"),
    "score is text": make(main={"split": "dev", "metric": "accuracy", "value": "0.5"}),
    "seed is true": make(seed=True),
    "no updates": _without("cost.student_updates"),
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
    assert [record["seed"] for record in found] == [0]
    assert [where for where, _ in corrupt] == [path]
    assert str(aside) in corrupt[0][1]
    assert not path.exists()
    assert set_aside(tmp_path) == [aside]
    assert scan(tmp_path) == (found, [])

    # A second corrupt record of the same run does not overwrite the first.
    path.write_text("{}")
    scan(tmp_path)
    assert len(set_aside(tmp_path)) == 2


def test_failed_and_skipped_runs_need_no_score(tmp_path):
    for n, status in enumerate(("failed", "skipped")):
        put(tmp_path, seed=n, status=status, reason="why", main=None, metrics={}, cost={}, selection=None)
    found, corrupt = scan(tmp_path)
    assert [record["status"] for record in found] == ["failed", "skipped"]
    assert corrupt == []


def test_the_index_follows_every_change_and_may_be_deleted(tmp_path):
    paths = [put(tmp_path, seed=seed) for seed in range(5)]
    scan(tmp_path)
    changed = make(seed=0, main={"split": "dev", "metric": "accuracy", "value": 0.75})
    write_json(paths[0], changed)
    paths[1].unlink()
    put(tmp_path, seed=9)
    paths[2].write_text("nonsense")

    refreshed, corrupt = scan(tmp_path)
    assert [path for path, _ in corrupt] == [paths[2]]
    assert sorted((r["seed"], r["main"]["value"]) for r in refreshed) == [
        (0, 0.75),
        (3, 0.5),
        (4, 0.5),
        (9, 0.5),
    ]
    (tmp_path / INDEX).unlink()
    assert scan(tmp_path) == (refreshed, [])


def test_unchanged_records_are_not_read_again(tmp_path, monkeypatch):
    put(tmp_path, seed=0)
    first = scan(tmp_path)
    opened = []
    whole = records._read_for_tables
    monkeypatch.setattr(records, "_read_for_tables", lambda *a: opened.append(a[1]) or whole(*a))
    assert scan(tmp_path) == first
    assert opened == []
    put(tmp_path, seed=1)
    scan(tmp_path)
    assert [place.rpartition("/")[2] for place in opened] == ["seed-1-0a1b2c3d"]


def test_a_damaged_index_is_rebuilt(tmp_path):
    put(tmp_path)
    found = scan(tmp_path)
    index = tmp_path / INDEX
    good = index.read_bytes()
    for damage in (b"", b"{}", good[:-5], good.replace(b'"value":0.5', b'"value":0.9')):
        index.write_bytes(damage)
        assert scan(tmp_path) == found
        assert index.read_bytes() == good


def test_results_that_may_only_be_read_can_still_be_scanned(tmp_path):
    path = put(tmp_path)
    bad = put(tmp_path, seed=1)
    bad.write_text("nonsense")
    # Files in the place of the folders: chmod does not stop root.
    (tmp_path / "cache").write_text("")
    (tmp_path / "aside").write_text("")
    found, corrupt = scan(tmp_path)
    assert [tmp_path / r["folder"] for r in found] == [path.parent]
    assert "could not be moved" in corrupt[0][1]
    assert bad.exists()


def test_ten_thousand_records_scan_the_same_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(records.os, "fsync", lambda _: None)
    text = json.dumps(make())
    for n in range(10_000):
        folder = tmp_path / "runs" / "mini" / f"t{n % 9}" / f"s{n % 8}" / f"seed-{n}-0"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(text)
    fresh = scan(tmp_path)
    assert len(fresh[0]) == 10_000
    assert scan(tmp_path) == fresh
