"""Kept students scored beyond their dev set, beside their records, and compared there."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from kept_students import bench
from transformers import pipeline

from bench.data.beyond.reading import load_set
from bench.data.beyond.sets import registry
from bench.data.tasks import GLUE
from bench.reporting.evaluations import Evaluation, evaluated_on, read_evaluation
from bench.reporting.predictions import predicted
from bench.reporting.records import read_record, scan
from bench.reporting.tidy import tidy

ROWS = [("the cat sat", "a cat sat", "entailment"), ("the cat sat", "the dog ran", "non-entailment")] * 4


@pytest.fixture
def results(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "results")


@pytest.fixture
def sets(tmp_path):
    """A folder with a small HANS and a small IMDb as their authors give them."""
    (tmp_path / "ood" / "hans").mkdir(parents=True)
    lines = ["gold_label\tsentence1\tsentence2\theuristic"]
    lines += [f"{label}\t{a}\t{b} {n}\t{'ls'[n % 2]}" for n, (a, b, label) in enumerate(ROWS)]
    (tmp_path / "ood" / "hans" / "heuristics_evaluation_set.txt").write_text("\n".join(lines) + "\n")
    for label in ("neg", "pos"):
        (tmp_path / "ood" / "aclImdb" / "test" / label).mkdir(parents=True)
        for n in range(3):
            (tmp_path / "ood" / "aclImdb" / "test" / label / f"{n}_1.txt").write_text(f"a {label} film of {n}")
    return tmp_path / "ood"


def evaluate(results, sets, *more, on="hans,imdb"):
    return bench("evaluate", "--on", on, "--ood-dir", sets, "--results", results, *more)


def test_scores_and_answers_lie_beside_the_record(results, sets):
    done = evaluate(results, sets)
    assert done.exit_code == 0, done.output
    assert "4 evaluations made, 0 were there already" in done.output
    assert "hans for rte: 8 of 30,000 rows" in done.output
    (run,) = (path.parent for path in results.glob("runs/*/rte/none/*/record.json"))
    found, record = read_evaluation(run, "hans"), read_record(run)
    assert (found.id, found.student) == (record["id"], record["student"]["hash"])
    rows = pd.read_parquet(run / "evaluations" / "hans.parquet")
    assert rows["label"].tolist() == [0, 1] * 4
    assert found.metrics["accuracy"] == (rows["prediction"] == rows["label"]).mean() == found.main.value
    assert found.constant == 0.5
    assert found.most_predicted == rows["prediction"].value_counts(normalize=True).max()
    (share, count), expected = found.groups["heuristic: s"], rows[1::2]
    assert (share, count) == ((expected["prediction"] == expected["label"]).mean(), 4)
    assert found.groups["label: entailment"] == ((rows[::2]["prediction"] == 0).mean(), 4)
    # Row by row what the folder's own pipeline says.
    classify = pipeline("text-classification", str(run / "student"), device="cpu")
    texts = [{"text": a, "text_pair": f"{b} {n}"} for n, (a, b, _) in enumerate(ROWS)]
    for row, answer in enumerate(classify(texts, top_k=None, function_to_apply="none", truncation=True)):
        given = {item["label"]: item["score"] for item in answer}
        expected = [given[name] for name in GLUE["rte"].labels]
        np.testing.assert_allclose([rows["logit_0"][row], rows["logit_1"][row]], expected, atol=1e-5)
    assert not any(path.parts[-4] == "stsb" for path in results.rglob("evaluations"))


def test_only_what_is_missing_or_outdated_is_done(results, sets):
    assert "1 evaluations made" in evaluate(results, sets, "--strategy", "none", "--tasks", "sst2").output
    assert "1 evaluations made, 1 were there already" in evaluate(results, sets, on="imdb").output
    assert "0 evaluations made, 2 were there already" in evaluate(results, sets, on="imdb").output
    (sets / "aclImdb" / "test" / "neg" / "0_1.txt").write_text("another review")
    assert "2 evaluations made" in evaluate(results, sets, on="imdb").output
    (json_file,) = results.glob("runs/*/sst2/none/*/evaluations/imdb.json")
    json_file.write_text("{")
    assert "1 evaluations made, 1 were there" in evaluate(results, sets, on="imdb").output
    assert "2 evaluations made" in evaluate(results, sets, "--redo", on="imdb").output


def test_a_run_without_a_student_is_named(results, sets):
    (run,) = (path.parent for path in results.glob("runs/*/rte/none/*/record.json"))
    shutil.rmtree(run / "student")
    some = evaluate(results, sets, on="hans")
    assert some.exit_code == 0, some.output
    assert "1 of the runs chosen have no student" in some.output
    assert "it has been freed since; train it again and keep it" in some.output
    named = evaluate(results, sets, read_record(run)["id"], on="hans")
    assert named.exit_code == 1
    assert not (run / "evaluations").exists()


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--on", "hanz"), "did you mean 'hans'", 2),
        ((), "which sets?", 2),
        (("--on", "hans", "--ood-dir", "/no/such"), "no such folder of sets: /no/such", 2),
        (("--on", "ax"), "none of these sets belongs to a task of the runs chosen; they belong to: ax: mnli", 2),
        (("--on", "hans", "--strategy", "mate*"), "none of the 6 runs", 2),
        (("--on", "hans", "zzzz"), "no run has the id", 2),
        (("--on", "snli"), "get it from https://nlp.stanford.edu", 2),
    ],
)
def test_what_cannot_be_is_refused(made, arguments, words, code):
    done = bench("evaluate", "--results", made[0], *arguments)
    assert (done.exit_code, words in done.output) == (code, True), done.output


def test_a_truncated_set_stops_all_before_any_student_is_asked(results, sets):
    file = sets / "hans" / "heuristics_evaluation_set.txt"
    file.write_text(file.read_text()[:-20])
    done = evaluate(results, sets)
    assert done.exit_code == 1
    assert ":9: 2 columns, but 4 expected" in done.output
    assert not any(results.rglob("evaluations"))


def test_a_set_whose_texts_are_not_the_task_s_is_refused(results, tmp_path):
    (tmp_path / "rows.csv").write_text("a,label\none,1\nthree,0\n")
    (tmp_path / "mine.toml").write_text('name = "mine"\ntasks = ["rte"]\ntexts = ["a"]\nfile = "rows.csv"\n')
    done = bench("evaluate", "--on", tmp_path / "mine.toml", "--results", results)
    assert (done.exit_code, "1 text(s) a row, students of rte read 2" in done.output) == (2, True), done.output
    # What a run's rows had is in its record, which knows it of tasks of one's own, too.
    (path,) = results.glob("runs/*/sst2/none/*/record.json")
    record = json.loads(path.read_text())
    assert record["data"]["texts"] == 1
    path.write_text(json.dumps(record | {"task": "reviews", "data": record["data"] | {"texts": 2}}))
    (tmp_path / "mine.toml").write_text('name = "mine"\ntasks = ["reviews"]\ntexts = ["a"]\nfile = "rows.csv"\n')
    done = bench("evaluate", "--on", tmp_path / "mine.toml", "--results", results)
    assert (done.exit_code, "1 text(s) a row, students of reviews read 2" in done.output) == (2, True), done.output


def test_every_field_written_is_in_the_schema(results, sets):
    assert evaluate(results, sets, on="imdb").exit_code == 0
    (first, *_) = results.rglob("evaluations/imdb.json")
    assert set(json.loads(first.read_text())) == set(Evaluation.__struct_fields__)


def test_real_sets_are_scored(results, ood_dir):
    done = evaluate(results, ood_dir, "--strategy", "none", "--max-rows", "40", on="hans,imdb,advglue")
    assert done.exit_code == 0, done.output
    for task, name in (("rte", "hans"), ("rte", "advglue"), ("sst2", "imdb"), ("sst2", "advglue")):
        (run,) = (path.parent for path in results.glob(f"runs/*/{task}/none/*/record.json"))
        rows = pd.read_parquet(run / "evaluations" / f"{name}.parquet")
        data = load_set(registry()[name][task], GLUE[task].labels, [ood_dir], 40)
        assert rows["id"].tolist() == [row.id for row in data.examples]
        assert rows["label"].tolist() == [row.label for row in data.examples]


def test_the_leaderboard_is_of_the_set(results, sets):
    assert evaluate(results, sets).exit_code == 0
    rows = json.loads(bench("compare", "--on", "hans", "--format", "json", "--results", results).stdout)
    assert {(row["task"], row["strategy"]) for row in rows} == {("rte", "none"), ("rte", "clean-twice")}
    scores = {}
    for row in rows:
        (run,) = (path.parent for path in results.glob(f"runs/*/rte/{row['strategy']}/*/record.json"))
        found = scores[row["strategy"]] = read_evaluation(run, "hans")
        assert row["mean"] == found.main.value
        assert row["split"] == "evaluations/hans"
        assert row["signature"].endswith(f"|hans={found.fingerprint}")
    (twice,) = (row for row in rows if row["strategy"] == "clean-twice")
    assert twice["difference"] == pytest.approx(scores["clean-twice"].main.value - scores["none"].main.value)
    # Another version of the set is another setting: nothing of the two is compared.
    (sets / "aclImdb" / "test" / "neg" / "0_1.txt").write_text("another review")
    assert "1 evaluations made" in evaluate(results, sets, "--strategy", "none", on="imdb").output
    rows = json.loads(bench("compare", "--on", "imdb", "--format", "json", "--results", results).stdout)
    assert [row["difference"] for row in rows if row["strategy"] == "clean-twice"] == [None]
    wrong = bench("compare", "--on", "paws", "--results", results)
    assert (wrong.exit_code, "make it: bench evaluate --on paws" in wrong.output) == (2, True)


def test_a_student_that_was_trained_again_is_evaluated_again(results, sets):
    assert evaluate(results, sets, on="hans").exit_code == 0
    (run,) = (path.parent for path in results.glob("runs/*/rte/none/*/record.json"))
    path = run / "evaluations" / "hans.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"student": "0" * len(found["student"])}))
    assert "1 evaluations made, 1 were there already" in evaluate(results, sets, on="hans").output
    assert json.loads(path.read_text())["student"] == found["student"]


def test_all_sets_stand_side_by_side_and_in_the_report(results, sets, tmp_path):
    (sets / "aclImdb" / "test" / "pos" / "0_1.txt").write_text("a film of much length " * 100)
    assert evaluate(results, sets).exit_code == 0
    rows = json.loads(bench("compare", "--on", "all", "--format", "json", "--results", results).stdout)
    assert {(row["task"], row["set"], row["strategy"]) for row in rows} == {
        (task, name, strategy)
        for task, name in (("rte", "hans"), ("sst2", "imdb"))
        for strategy in ("none", "clean-twice")
    }
    for name in ("hans", "imdb"):
        one = json.loads(bench("compare", "--on", name, "--format", "json", "--results", results).stdout)
        one = {row["strategy"]: row for row in one}
        for row in (row for row in rows if row["set"] == name):
            (run,) = (path.parent for path in results.glob(f"runs/*/{row['task']}/{row['strategy']}/*/record.json"))
            assert row["dev"] == read_record(run)["main"]["value"]
            assert row["constant"] == read_evaluation(run, name).constant
            for key in ("mean", "difference", "gain_low", "gain_high", "verdict"):
                assert row[key] == one[row["strategy"]][key]
    table = bench("compare", "--on", "all", "--results", results).output
    assert "rte: trained with x scored on" in table
    words = " ".join(table.split())
    assert "one answer for all rows scores at best: hans 50.0" in words
    assert "imdb: 6 of 25,000 rows, 1 cut at the maximum length" in words
    wrong = bench("compare", "--on", "all", "--quality", "--results", results)
    assert (wrong.exit_code, "--on all is a table of its own: leave out --quality" in wrong.output) == (2, True)
    page = tmp_path / "report.html"
    assert bench("report", "--results", results, "--output", page).exit_code == 0
    html = page.read_text("utf-8")
    assert "On other sets" in html
    assert "hans (accuracy)" in html


def test_one_set_that_cannot_be_compared_takes_nothing_from_the_others(results, sets, tmp_path):
    assert evaluate(results, sets).exit_code == 0
    (run,) = (path.parent for path in results.glob("runs/*/sst2/none/*/record.json"))
    (run / "evaluations" / "imdb.json").write_text("{")
    done = bench("compare", "--on", "all", "--results", results)
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert "rte: trained with x scored on" in words
    assert "imdb: left out, " in words
    assert "is corrupt" in words
    assert "delete it and evaluate again" in words
    # The other run's stays; and a score that none can be is corrupt, too.
    assert "imdb: none was not evaluated on it: no gains" in words
    assert evaluate(results, sets, on="imdb").exit_code == 0
    whole = json.loads((run / "evaluations" / "imdb.json").read_text())
    for change in ({"main": whole["main"] | {"value": 5.0}}, {"metrics": {"accuracy": -0.5}}, {"schema": 9}):
        (run / "evaluations" / "imdb.json").write_text(json.dumps(whole | change))
        done = bench("compare", "--on", "imdb", "--results", results)
        assert (done.exit_code, "is corrupt: " in done.stderr) == (0, True), done.output
    page = tmp_path / "report.html"
    assert bench("report", "--results", results, "--output", page).exit_code == 0
    assert "hans (accuracy)" in page.read_text("utf-8")
    # The baseline's scores on a set that it was not evaluated on are missing, and said to be.
    (run / "evaluations" / "imdb.json").unlink()
    words = " ".join(bench("compare", "--on", "all", "--results", results).output.split())
    assert "imdb: none was not evaluated on it: no gains" in words
    # Gains stay gains over the baseline where the report leaves it out.
    assert bench("report", "--results", results, "--strategy", "clean-twice", "--output", page).exit_code == 0
    table = page.read_text("utf-8").partition("On other sets</h2>")[2].partition("</section>")[0]
    assert '<tr data-strategy="none">' in table


def test_where_all_evaluations_are_left_out_the_report_says_why(results, sets, tmp_path):
    page = tmp_path / "report.html"
    assert bench("report", "--results", results, "--output", page).exit_code == 0
    assert "On other sets</h2>" not in page.read_text("utf-8")
    assert evaluate(results, sets, on="imdb").exit_code == 0
    for path in results.glob("runs/*/sst2/*/*/evaluations/imdb.json"):
        path.write_text("{")
    assert bench("report", "--results", results, "--output", page).exit_code == 0
    part = page.read_text("utf-8").partition("On other sets</h2>")[2].partition("</section>")[0]
    assert "<li>imdb: left out, " in part
    assert "<table" not in part


def test_what_was_said_of_each_row_is_a_split(results, sets):
    assert evaluate(results, sets, on="hans").exit_code == 0
    records, _ = scan(results)
    found, notes = evaluated_on(results, records, "hans")
    assert notes == []
    frame, wrong = predicted(results, tidy(found), ["evaluations/hans"])
    assert wrong == []
    assert frame.groupby("id", observed=True).size().tolist() == [8, 8]
    means = (frame["prediction"] == frame["label"]).groupby(frame["id"], observed=True).mean()
    assert {record.id: record.main.value for record in found} == means.to_dict()


def test_a_student_trained_again_has_no_evaluation_yet(results, sets):
    assert evaluate(results, sets, on="hans").exit_code == 0
    records, _ = scan(results)
    for record in records:
        if record.task == "rte" and record.strategy == "none":
            record.student.hash = "another"
    found, notes = evaluated_on(results, records, "hans")
    assert [record.strategy for record in found] == ["clean-twice"]
    assert notes == ["1 evaluations are of students from before a run was trained again: bench evaluate --on hans"]
