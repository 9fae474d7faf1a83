"""Students that runs keep: loadable by anybody, exported, freed, and never at the cost of a record."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from hub_server import serving
from huggingface_hub import ModelCard
from kept_students import QUICK, bench
from made_records import undocumented
from transformers import AutoTokenizer, pipeline

from bench.data.mini import MiniSource
from bench.experiment import keeping
from bench.experiment.keeping import student_bytes
from bench.reporting.records import read_record


@pytest.fixture
def results(made, tmp_path):
    """A copy to change."""
    return shutil.copytree(made[0], tmp_path / "results")


def runs(folder):
    return {path.parts[-4]: path.parent for path in folder.rglob("none/*/record.json")}


@pytest.mark.parametrize("task", ["rte", "stsb", "sst2"])
def test_a_plain_pipeline_gives_the_recorded_logits_and_names(made, task):
    folder, spec = runs(made[0])[task], MiniSource().tasks[task]
    rows = MiniSource().load(task).splits["dev"][:20]
    recorded = pd.read_parquet(folder / "predictions" / "dev.parquet")[:20]
    classify = pipeline("text-classification", str(folder / "student"), device="cpu")
    texts = [row.texts[0] if len(row.texts) == 1 else {"text": row.texts[0], "text_pair": row.texts[1]} for row in rows]
    answers = classify(texts, top_k=None, function_to_apply="none", truncation=True)
    names = ["score"] if spec.is_regression else list(spec.labels)
    for row, answer in enumerate(answers):
        given = {item["label"]: item["score"] for item in answer}
        assert list(given) == sorted(names, key=lambda name: -given[name])
        expected = [recorded[f"logit_{number}"][row] for number in range(len(names))]
        np.testing.assert_allclose([given[name] for name in names], expected, atol=1e-5)
    if spec.is_regression:
        # Asked for nothing, it gives the score itself and no sigmoid of it.
        assert classify(texts[:1])[0]["score"] == pytest.approx(recorded["prediction"][0], abs=1e-5)


def test_the_record_and_the_card_say_what_was_kept(made):
    folder = runs(made[0])["rte"]
    record = read_record(folder)
    assert undocumented(record) == []
    assert record["student"]["kept"]
    config = json.loads((folder / "student" / "config.json").read_text())
    assert config["id2label"] == {"0": "entailment", "1": "not_entailment"}
    card = ModelCard.load(folder / "student" / "README.md")
    results = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert results["dev", "accuracy"] == record["metrics"]["dev"]["accuracy"]
    for said in (record["teacher"]["hash"], record["data"]["fingerprint"], record["id"], "strategy `none`"):
        assert said in card.text


def test_the_size_is_said_before_and_is_about_right(made):
    folder, done = made
    said = [line for line in done.output.splitlines() if "students of all 6 cells are kept: about " in line]
    assert len(said) == 1
    assert done.output.index(said[0]) < done.output.index("[1/6]")
    sizes = [sum(file.stat().st_size for file in (run / "student").iterdir()) for run in runs(folder).values()] * 2
    amount, unit = said[0].partition("about ")[2].split()[:2]
    assert unit == "MB"
    assert float(amount) * 1e6 == pytest.approx(sum(sizes), rel=0.2)


class Cell:
    signature = "same"

    def __init__(self, seed, strategy):
        self.seed, self.strategy = seed, strategy
        self.task = MiniSource().tasks["rte"]


def test_the_rule_looks_at_size(monkeypatch, tmp_path):
    from collections import namedtuple

    from tiny import Notes

    from bench.experiment.launch import CellJob

    jobs = [CellJob(Cell(seed, strategy), None) for seed in (0, 1, 2) for strategy in ("none", "eda")]
    monkeypatch.setattr(keeping, "student_bytes", lambda parts, task: 10**9)
    kept = {}
    for free, rule in ((100, "auto"), (20, "auto"), (4, "auto"), (4, "last-seed"), (100, "none")):
        usage = namedtuple("usage", "free")(free * 10**9)
        monkeypatch.setattr(keeping.shutil, "disk_usage", lambda path, usage=usage: usage)
        notes = Notes()
        marked = keeping.keeping(jobs, rule, tmp_path, notes)
        kept[free, rule] = [job.cell.seed for job in marked if job.keep]
        assert len(notes.notes) == (rule != "none")
    assert kept == {
        (100, "auto"): [0, 0, 1, 1, 2, 2],
        (20, "auto"): [2, 2],  # a quarter of it is less than all six take
        (4, "auto"): [],
        (4, "last-seed"): [2, 2],
        (100, "none"): [],
    }
    usage = namedtuple("usage", "free")(5 * 10**9)
    monkeypatch.setattr(keeping.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(keeping.UsageError, match=r"all takes about 6.0 GB, but 5.0 GB are free"):
        keeping.keeping(jobs, "all", tmp_path, Notes())
    assert student_bytes is not keeping.student_bytes


def test_a_disk_that_fills_costs_the_student_and_not_the_run(results):
    run = runs(results)["rte"]
    (run / "record.json").unlink()
    largest = (run / "student" / "model.safetensors").stat().st_size // 2
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow larger: the system's answer is an error in the middle of the write, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        done = bench("run", *QUICK, "--strategy", "none", "--tasks", "rte", "--results", results)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.exit_code == 0, done.output
    assert "the student is not kept: cannot write" in done.output
    record = read_record(run)
    assert record["status"] == "done"
    assert not record["student"]["kept"]
    assert "File too large" in record["student"]["reason"]
    assert not any("student" in path.name for path in run.iterdir())
    refused = bench("export", record["id"], results / "copy", "--results", results)
    assert refused.exit_code == 1
    assert "has no student: cannot write" in refused.output
    assert "--redo --keep-students all" in refused.output


def test_export_copies_a_whole_folder(results, tmp_path):
    record = read_record(runs(results)["rte"])
    target = tmp_path / "mine"
    done = bench("export", record["id"][:6], target, "--results", results)
    assert done.exit_code == 0, done.output
    assert {f.name: f.read_bytes() for f in target.iterdir()} == {
        f.name: f.read_bytes() for f in (runs(results)["rte"] / "student").iterdir()
    }
    again = bench("export", record["id"], target, "--results", results)
    assert (again.exit_code, "is there already" in again.output) == (2, True)
    for name, words in {"zzz": "no run has the id 'zzz'", "": "no run has the id ''"}.items():
        wrong = bench("export", name, tmp_path / "other", "--results", results)
        assert (wrong.exit_code, words in wrong.output) == (2, True)
    damaged = runs(results)["stsb"] / "student" / "config.json"
    damaged.write_text("{")
    broken = bench("export", damaged.parent.parent, tmp_path / "other", "--results", results)
    assert (broken.exit_code, "it is damaged, and was set aside" in broken.output) == (1, True)


def test_pushing_needs_a_login_and_the_network(results, monkeypatch, tmp_path):
    id = read_record(runs(results)["rte"])["id"]
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    done = bench("export", id, tmp_path / "mine", "--push", "me/mine", "--results", results)
    assert (done.exit_code, "not logged in" in done.output, "hf auth login" in done.output) == (1, True, True)
    assert not (tmp_path / "mine").exists(), "the same command would find it in its way"
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_token")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("bench.models.hub.unreachable", lambda: "no route")
    done = bench("export", id, "--push", "me/mine", "--results", results)
    assert (done.exit_code, "the hub does not answer (no route)" in done.output) == (1, True)


@pytest.mark.parametrize(("token", "visible"), [("hf_mine", "--public"), ("hf_mine", None), ("hf_other", None)])
def test_pushing_uploads_the_folder_under_ones_own_login(results, tmp_path, token, visible):
    """The hub's own client, against a server on the loopback address."""
    folder = runs(results)["rte"]
    with serving("hf_mine") as hub:
        surroundings = {**os.environ, "HF_ENDPOINT": hub.address, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0"}
        command = ["export", str(folder), "--push", "me/mine", "--results", str(results), *filter(None, [visible])]
        done = subprocess.run(
            [sys.executable, "-m", "bench", *command], env=surroundings, capture_output=True, text=True
        )
        if token == "hf_other":
            assert (done.returncode, hub.files) == (1, {})
            assert "cannot push to me/mine: 403" in done.stderr
            return
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"pushed to {hub.address}/me/mine\n"
        assert hub.files == {file.name: file.read_bytes() for file in (folder / "student").iterdir()}
        command[2:2] = [str(tmp_path / "mine"), "--onnx"]
        again = subprocess.run(
            [sys.executable, "-m", "bench", *command], env=surroundings, capture_output=True, text=True
        )
        assert again.returncode == 0, again.stderr
        assert hub.files == {file.name: file.read_bytes() for file in (tmp_path / "mine").iterdir()}
        assert "model.onnx" in hub.files
        # Releases of the client differ in how they say it.
        private = hub.created.get("private", hub.created.get("visibility") == "private")
        assert private == (visible is None)


def test_onnx_stands_beside_the_copy(results, tmp_path):
    folder = runs(results)["rte"]
    alone = bench("export", folder, "--push", "me/mine", "--onnx", "--results", results)
    assert (alone.exit_code, "name a FOLDER" in alone.output) == (2, True)
    done = bench("export", folder, tmp_path / "mine", "--onnx", "--results", results)
    assert done.exit_code == 0, done.output
    assert "model.onnx gives the student's logits" in done.output
    assert "model.onnx" in (tmp_path / "mine" / "SHA256SUMS").read_text()
    classify = onnxruntime.InferenceSession(tmp_path / "mine" / "model.onnx")
    rows = MiniSource().load("rte").splits["dev"][:20]
    words = AutoTokenizer.from_pretrained(tmp_path / "mine")
    read = words(*map(list, zip(*(row.texts for row in rows), strict=True)), padding=True, return_tensors="np")
    logits = classify.run(["logits"], {given.name: read[given.name] for given in classify.get_inputs()})[0]
    recorded = pd.read_parquet(folder / "predictions" / "dev.parquet")[:20]
    np.testing.assert_allclose(logits, recorded[["logit_0", "logit_1"]], atol=1e-5)


def test_clean_frees_what_it_says(results):
    run = runs(results)["rte"]
    (run / "checkpoint").mkdir()
    (run / "checkpoint" / "state").write_bytes(b"x" * 5000)
    aside = results / "cache" / "teachers" / "rte.corrupt-1"
    aside.mkdir(parents=True)
    (aside / "weights").write_bytes(b"x" * 2000)
    before = {path for path in results.rglob("*") if path.is_file()}
    dry = bench("clean", "--dry-run", "--results", results)
    assert "would free 7.0 kB" in dry.output
    assert {path for path in results.rglob("*") if path.is_file()} == before
    done = bench("clean", "--results", results)
    assert "freed 7.0 kB" in done.output
    assert before - {path for path in results.rglob("*") if path.is_file()} == {
        run / "checkpoint" / "state",
        aside / "weights",
    }
    size = sum(file.stat().st_size for file in results.rglob("student/*"))
    assert f"freed {size / 1e6:.1f} MB" in bench("clean", "students", "--results", results).output
    assert not any(path.name == "student" for path in results.rglob("*"))
    freed = bench("export", read_record(run)["id"], results / "copy", "--results", results)
    assert "it has been freed since" in freed.output
    assert len(runs(results)) == 3
