from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from made_records import run

from bench.cli import main
from bench.data.tasks import GLUE
from bench.files import digest
from bench.reporting.submission import PARTS, read_zip

ROWS = {"cola": 1063, "mrpc": 1725, "stsb": 1379, "rte": 3000, "wnli": 146}


def put(results, task, seed=0, value=0.5, strategy="none", source="folder", skip=(), **changes):
    """A run with predictions for every official test row, all of class ``seed`` but the first, and its folder."""
    id = digest(task, seed, strategy, source, changes)[:8]
    record = run(task, strategy, seed, value, id=id, **changes)
    record["data"]["source"] = source
    folder = results / "runs" / record["preset"] / task / strategy / f"seed-{seed}-{id}"
    (folder / "predictions").mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record))
    for part in PARTS:
        if part.run_of == task and part.name not in skip:
            rows = part.rows
            answers = np.full(rows, seed % 2)
            answers[0] = 1 - seed % 2
            values = np.linspace(-1, 7, rows) if task == "stsb" else answers
            frame = pd.DataFrame({"id": np.arange(rows), "label": np.full(rows, -1), "prediction": values})
            # In another order, as nothing promises one.
            frame.iloc[::-1].to_parquet(folder / "predictions" / f"{part.file}.parquet", index=False)
    return folder


def submit(results, *more):
    command = ["submit", "--strategy", "none", "--output", str(results / "glue.zip"), "--results", str(results)]
    return CliRunner().invoke(main, [*command, *more])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs of all nine tasks on GLUE's rows."""
    results = tmp_path_factory.mktemp("whole")
    for task in dict.fromkeys(part.run_of for part in PARTS):
        put(results, task)
    return results


def test_the_zip_holds_eleven_files_as_glue_reads_them(whole):
    done = submit(whole)
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(whole / "glue.zip") as archive:
        assert archive.namelist() == [part.name for part in PARTS]
        lines = {name: archive.read(name).decode().splitlines() for name in archive.namelist()}
    official = {"CoLA": 1063, "SST-2": 1821, "MRPC": 1725, "STS-B": 1379, "QQP": 390965, "MNLI-m": 9796}
    official |= {"MNLI-mm": 9847, "QNLI": 5463, "RTE": 3000, "WNLI": 146, "AX": 1104}
    assert {name.removesuffix(".tsv"): len(rows) - 1 for name, rows in lines.items()} == official
    assert lines["RTE.tsv"][:3] == ["index\tprediction", "0\tnot_entailment", "1\tentailment"]
    assert lines["WNLI.tsv"][:3] == ["index\tprediction", "0\t1", "1\t0"]
    assert lines["AX.tsv"][:3] == ["index\tprediction", "0\tneutral", "1\tentailment"]
    # From -1 to 7 in the order of the ids, clipped to 0 to 5.
    scores = [row.split("\t")[1] for row in lines["STS-B.tsv"][1:]]
    assert scores[:2] == ["0.000", "0.000"]
    assert scores[-2:] == ["5.000", "5.000"]
    assert scores[500] == f"{-1 + 8 * 500 / 1378:.3f}"
    told = json.loads((whole / "glue.zip.json").read_text())["files"]
    assert not any(file["placeholder"] for file in told.values())
    assert told["AX.tsv"]["run"] == told["MNLI-m.tsv"]["run"]
    first = (whole / "glue.zip").read_bytes()
    assert submit(whole).exit_code == 0
    assert (whole / "glue.zip").read_bytes() == first


def test_what_is_missing_is_said_and_never_filled_by_default(tmp_path):
    put(tmp_path, "rte")
    put(tmp_path, "mnli", skip=("AX.tsv",))
    done = submit(tmp_path)
    assert done.exit_code == 1
    assert "8 of 11 files cannot be made, so nothing is written" in done.output
    assert "AX.tsv: run" in done.output
    assert "predicted no ax rows" in done.output
    assert "CoLA.tsv: no finished run on cola" in done.output
    assert not (tmp_path / "glue.zip").exists()
    filled = submit(tmp_path, "--fill-missing")
    assert filled.exit_code == 0, filled.output
    assert filled.output.count("PLACEHOLDER") == 8
    assert set(read_zip(tmp_path / "glue.zip")["AX.tsv"]) == {"entailment"}
    told = json.loads((tmp_path / "glue.zip.json").read_text())["files"]
    assert sum(file["placeholder"] for file in told.values()) == 8


def test_the_seed_rule_chooses(tmp_path):
    for seed, value in ((0, 0.5), (1, 0.7), (2, 0.7)):
        put(tmp_path, "rte", seed, value)
    said = {rule: submit(tmp_path, "--fill-missing", "--seed", rule).output for rule in ("best-dev", "first", "2", "7")}
    assert ", seed 1, dev accuracy 70.0" in said["best-dev"]
    assert ", seed 0, dev accuracy 50.0" in said["first"]
    assert ", seed 2, dev accuracy 70.0" in said["2"]
    assert "no file can be made" in said["7"]
    assert submit(tmp_path, "--seed", "last").exit_code == 2


def test_runs_of_other_settings_or_data_are_not_mixed(tmp_path):
    put(tmp_path, "rte")
    other = put(tmp_path, "rte", preset="bert", signature="another")
    done = submit(tmp_path, "--fill-missing")
    assert (done.exit_code, "rte has runs in different settings; name its run: --run ID" in done.output) == (2, True)
    id = json.loads((other / "record.json").read_text())["id"]
    assert f"run {id}, none, seed 0" in submit(tmp_path, "--fill-missing", "--run", id).output
    assert "seed 0, dev" in submit(tmp_path, "--fill-missing", "--preset", "bert").output
    assert (
        "no finished run of the strategy 'eda'; there are runs of: none"
        in CliRunner()
        .invoke(main, ["submit", "--strategy", "eda", "--output", "x.zip", "--results", str(tmp_path)])
        .output
    )
    put(tmp_path / "mini", "rte", source="mini")
    done = submit(tmp_path / "mini", "--fill-missing")
    assert (done.exit_code, "are on mini data, not GLUE's own rows" in done.output) == (2, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame[:-1], "has 145 rows, the official test set 146"),
        (lambda frame: frame.assign(id=frame["id"].replace(3, 4)), "its ids are not 0 to 145, each once"),
        (lambda frame: frame.assign(prediction=2), "predictions are not all classes, 0 to 1"),
        (lambda frame: frame.assign(prediction=np.nan), "146 predictions are no finite numbers"),
        (lambda frame: frame.drop(columns="id"), "has no column id"),
    ],
)
def test_stored_predictions_are_checked(tmp_path, change, words):
    path = put(tmp_path, "wnli") / "predictions" / "test.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    assert words in submit(tmp_path).output


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("WNLI.tsv", lambda text: text + "146\t0\n", "147 rows, the official test set has 146"),
        ("WNLI.tsv", lambda text: text.replace("\n3\t0", "\n3\tno"), "WNLI.tsv:5: 'no' is no answer of WNLI"),
        ("WNLI.tsv", lambda text: text.replace("\n3\t0", "\n4\t0"), "WNLI.tsv:5: index '4' where 3 is due"),
        ("WNLI.tsv", lambda text: text.replace("index", "id", 1), "its first line is not index and prediction"),
        ("STS-B.tsv", lambda text: text.replace("5.000", "5.001", 1), "'5.001' is no answer of STS-B"),
        ("WNLI.tsv", None, "missing or too much: WNLI.tsv"),
    ],
)
def test_a_wrong_zip_does_not_read_back(whole, tmp_path, name, change, words):
    assert (whole / "glue.zip").exists() or submit(whole).exit_code == 0
    with zipfile.ZipFile(whole / "glue.zip") as old, zipfile.ZipFile(tmp_path / "wrong.zip", "w") as new:
        for file in old.namelist():
            text = old.read(file).decode()
            if file != name or change is not None:
                new.writestr(file, change(text) if file == name else text)
    with pytest.raises(Exception, match=words):
        read_zip(tmp_path / "wrong.zip")


def test_the_parts_are_glue_s_tasks_and_sizes():
    assert {part.task for part in PARTS} == set(GLUE)
    assert {part.task: part.rows for part in PARTS if part.task in ROWS} == ROWS
