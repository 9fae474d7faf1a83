"""`bench show`, `bench diff` and `bench rerun`, on runs of tiny models."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from made_records import run as made_run
from test_run_cli import bench as bench_run

from bench.cli import main
from bench.files import write_json
from bench.reporting.differing import differences, predictions
from bench.reporting.one_run import bars
from bench.reporting.records import run_folder


def bench(*arguments):
    done = CliRunner().invoke(main, list(map(str, arguments)))
    return done.exit_code, " ".join(done.stdout.split()), " ".join(done.stderr.split())


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Results with one run."""
    results = tmp_path_factory.mktemp("ran")
    done = bench_run("--strategy", "none", "--tasks", "rte", results=results)
    assert done.exit_code == 0, done.output
    return results


@pytest.fixture
def copied(ran, tmp_path):
    """A copy of these results that a test may change, and the folder of the run."""
    shutil.copytree(ran, tmp_path / "results")
    (path,) = (tmp_path / "results").glob("runs/*/*/*/*/record.json")
    return tmp_path / "results", path.parent


def changed(folder, **fields):
    record = json.loads((folder / "record.json").read_text())
    write_json(folder / "record.json", record | fields)
    return record


def test_a_run_comes_out_the_same_again_and_another_is_noticed(copied):
    results, folder = copied
    id = folder.name.rpartition("-")[2]
    then = torch.get_num_threads()
    torch.set_num_threads(then + 1)  # of a machine with more cores
    try:
        code, out, _ = bench("rerun", id[:5], "--results", results)
        assert torch.get_num_threads() == then
    finally:
        torch.set_num_threads(then)
    assert code == 0, out
    assert "scores: equal" in out
    assert "to the last bit of every logit" in out
    assert out.endswith("it came out the same")
    # Over the old one, of which two predictions and the score were others.
    record = changed(folder)
    value = record["main"]["value"]
    record["metrics"]["dev"]["accuracy"] = 0.25
    write_json(folder / "record.json", record)
    path = folder / "predictions" / "dev.parquet"
    frame = pd.read_parquet(path)
    frame.loc[[1, 4], "prediction"] = 1 - frame.loc[[1, 4], "prediction"]
    frame.to_parquet(path)
    code, out, _ = bench("rerun", folder, "--results", results, "--into", results)
    assert code == 1
    assert f"dev.accuracy: 0.25 then, {value} now" in out
    assert f"dev: other answers to 2 of {len(frame)} rows" in out
    assert f"rows {frame['id'][1]}, {frame['id'][4]}" in out
    assert json.loads((folder / "record.json").read_text())["metrics"]["dev"]["accuracy"] == value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strategy": "./gone.py:Mine"}, "no such strategy file: gone.py"),
        ({"spec": {}}, "its record holds no settings"),
        ({"spec": {"source": "file"}}, "its task file is gone (own.toml, which its command named, is not here)"),
        ({"spec": {"data": {"source": "folder"}}}, "give --data-dir DIR"),
        ({"spec": {"data": {"source": "mini"}, "fingerprint": "0"}}, "the rows of rte are others than then"),
        ({"id": "00000000"}, "the code of none, a library or a model folder that it reads"),
        ({"status": "failed", "reason": "a test"}, "has no score to come out again"),
    ],
)
def test_what_cannot_be_run_again_is_refused_with_the_reason(copied, change, words):
    results, folder = copied
    if change.get("spec"):
        change = {"spec": {**json.loads((folder / "record.json").read_text())["spec"], **change["spec"]}}
    changed(folder, provenance={"command": "bench run --tasks ./own.toml"}, **change)
    code, _, said = bench("rerun", folder, "--results", results)
    assert code == 2
    assert words in said
    assert not (results / "again").exists()


def test_a_run_is_shown_in_words_and_its_curve_in_bars(copied):
    results, folder = copied
    record = json.loads((folder / "record.json").read_text())
    code, out, _ = bench("show", record["id"][:4], "--results", results)
    assert code == 0
    assert f"none on rte, seed 0, preset mini: done id {record['id']}" in out
    assert f"dev accuracy {100 * record['main']['value']:.1f}: the main score (last student, update" in out
    assert f"teacher {100 * record['teacher']['dev']:.1f}" in out
    assert "verified: one update equals the formula" in out
    assert "max_train=64" in out
    assert bench("show", folder / "record.json", "--results", "nowhere", "--format", "json")[0] == 0
    assert bars([0, 0.5, 1, 1]) == "▁▅██"
    assert bars([0.3, 0.3]) == "▁▁"
    changed(folder, status="failed", reason="no \x1b[2J luck")
    assert "reason: no \\x1b[2J luck" in bench("show", record["id"], "--results", results)[1]


@pytest.fixture
def several(tmp_path):
    for strategy, id in (("none", "aa000001"), ("eda", "aa000002"), ("mlm", "bb000001")):
        write_json(
            run_folder(tmp_path, "mini", "rte", strategy, 0, id) / "record.json", made_run("rte", strategy, id=id)
        )
    return tmp_path


@pytest.mark.parametrize("verb", ["show", "rerun", "diff"])
def test_an_id_of_none_or_several_names_what_is_near(several, verb):
    more = ["bb"] if verb == "diff" else []
    code, _, said = bench(verb, "aa", *more, "--results", several)
    assert code == 2
    assert "2 runs have an id that begins with 'aa': aa000002 mini · rte · eda · seed 0 aa000001" in said
    code, _, said = bench(verb, "bb000007", *more, "--results", several)
    assert code == 2
    assert "no run has the id 'bb000007'" in said
    assert "near it: bb000001 mini · rte · mlm · seed 0" in said
    assert "near it: aa000002 mini · rte · eda · seed 0" in bench(verb, "eda", *more, "--results", several)[2]


def test_a_corrupt_record_is_named_and_not_said_to_be_none(several):
    (path,) = several.glob("runs/*/rte/none/*/record.json")
    path.write_text("{")
    id = path.parent.name.rpartition("-")[2]
    code, _, err = bench("show", id, "--results", several)
    assert (code, "corrupt record" in err, "moved to" in err) == (1, True, True), err
    code, _, err = bench("show", path.parent, "--results", several)
    assert (code, "holds no record" in err) == (1, True), err


@pytest.mark.parametrize("line", ['{"step": 1, "accuracy": NaN}', '{"step": 1, "accuracy": 1e400}', "[" * 200_000])
def test_a_damaged_curve_is_said_and_the_rest_shown(copied, line):
    results, folder = copied
    (folder / "curve.jsonl").write_text(line + "\n")
    code, out, _ = bench("show", folder, "--results", results)
    assert (code, "cannot be read" in out) == (0, True), out


def test_a_curve_that_is_a_device_is_not_read(copied):
    results, folder = copied
    (folder / "curve.jsonl").unlink()
    (folder / "curve.jsonl").symlink_to("/dev/zero")
    code, out, _ = bench("show", folder, "--results", results)
    assert (code, "cannot be read" in out) == (0, True), out


@pytest.mark.parametrize(("column", "value"), [("logit_0", "x"), ("prediction", [1]), ("logit_1", float("nan"))])
def test_predictions_that_are_no_numbers_are_not_compared(copied, tmp_path, column, value):
    results, folder = copied
    shutil.copytree(folder, other := tmp_path / "other")
    path = other / "predictions" / "dev.parquet"
    rows = pd.read_parquet(path)
    rows.assign(**{column: [value] * len(rows)}).to_parquet(path)
    code, out, _ = bench("diff", folder, other, "--results", results)
    assert (code, f"dev: column {column} holds" in out) == (0, True), out


def test_differences_are_told_by_what_was_run_and_what_came_of_it(several):
    code, out, _ = bench("diff", "aa000001", "bb", "--results", several)
    assert code == 0
    assert "what was run strategy none | mlm" in out
    assert "code and machine: the same result: the same predictions neither has predictions" in out
    old, new = made_run(), made_run(value=0.6, spec={"recipe": {"lr": 1e-3}}, teacher=None, seconds=20.0)
    assert differences(old, new, ("teacher",)) == [("teacher", "a section", None)]
    assert ("metrics.dev.accuracy", 0.5, 0.6) in differences(old, new, ("metrics", "cost"))
    # What neither is known to have had is no difference.
    assert differences({"tuned": None}, {}, ("tuned",)) == []


def test_rows_on_which_predictions_differ_are_counted_and_named(tmp_path):
    one = pd.DataFrame({"id": [7, 8, 9], "label": [0, 1, 1], "logit_0": [1.0, 0.0, 0.0], "prediction": [0, 1, 1]})
    for name, frame in (("one", one), ("other", one.assign(prediction=[1, 0, 1], logit_0=[0.0, 0.0, 0.5]))):
        (tmp_path / name / "predictions").mkdir(parents=True)
        frame.to_parquet(tmp_path / name / "predictions" / "dev.parquet")
        frame.assign(label=-1).to_parquet(tmp_path / name / "predictions" / "test.parquet")
        frame.head(len(name)).to_parquet(tmp_path / name / "predictions" / "shifted.parquet")
    frame.head(2).to_parquet(tmp_path / "other" / "predictions" / "shifted.parquet")
    (dev, test), silent = predictions(tmp_path / "one", tmp_path / "other")
    assert (dev.rows, dev.differ, dev.one_right, dev.other_right, dev.named) == (3, 2, 2, 0, ("7", "8"))
    assert dev.gap == 1.0
    assert (test.differ, test.one_right) == (2, None)
    assert silent == ["shifted: they are of other rows (3 and 2)"]
    assert predictions(tmp_path / "one", tmp_path / "one")[0][0].equal
