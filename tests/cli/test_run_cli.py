"""`bench run` from command line to records, with models of a few thousand weights on the embedded tasks."""

from __future__ import annotations

import json
import re
import textwrap

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from made_records import undocumented

from bench import registry
from bench.cli import main
from bench.data.mini import MiniSource
from bench.evaluation.metrics import compute, score
from bench.evaluation.predict import predict
from bench.reporting.records import read_record

TINY = {
    "data.max_length": 24,
    "teacher.model": "generator",
    "student.model": "teacher",
    "student.layers": 1,
    "teacher.epochs": 1,
    "recipe.epochs": 1,
    "generator.tokens": 2000,
    "generator.shape.hidden_size": 16,
    "generator.shape.num_hidden_layers": 2,
    "generator.shape.num_attention_heads": 2,
    "generator.shape.intermediate_size": 16,
}


def bench(*arguments, results=None, tiny=True):
    settings = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")] if tiny else []
    where = [] if results is None else ["--results", str(results)]
    return CliRunner().invoke(
        main, ["run", *settings, "--max-train", "64", "--weak-teacher", *where, *map(str, arguments)]
    )


def records(results):
    return [read_record(path.parent) for path in sorted(results.rglob("record.json"))]


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """Results whose caches hold the tiny generator, so that it is trained once for all tests."""
    folder = tmp_path_factory.mktemp("shared")
    done = bench("--strategy", "none", "--tasks", "rte", results=folder)
    assert done.exit_code == 0, done.output
    return folder / "cache"


@pytest.fixture
def results(caches, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "cache").symlink_to(caches)
    return folder


@pytest.fixture
def no_teachers(caches, tmp_path):
    """Results whose caches hold the tiny generator and no teacher, whichever tests ran before."""
    folder = tmp_path / "results"
    (folder / "cache").mkdir(parents=True)
    for kind in ("generators", "tokenizers"):
        (folder / "cache" / kind).symlink_to(caches / kind)
    return folder


def test_a_grid_is_run_recorded_and_not_run_again(results):
    command = (
        "--strategy",
        "none,mate-kd[generator_steps=1,student_steps=1,generator_lr=none],finetune",
        "--tasks",
        "rte,stsb",
    )
    first = bench(*command, results=results)
    assert first.exit_code == 0, first.output
    assert f"6 cells run; records and predictions: {results / 'runs'}" in first.output
    assert f"bench compare --results {results}" in first.output
    paths = sorted(results.rglob("record.json"))
    assert len(paths) == 6
    for path in paths:
        record = read_record(path.parent)
        assert record["status"] == "done"
        assert undocumented(record) == []
        answers = pd.read_parquet(path.parent / "predictions" / "dev.parquet")["prediction"]
        assert record["checks"]["most_predicted"] == answers.value_counts(normalize=True).max()
        assert record["checks"]["dev_in_train"] == 0
        assert 0 <= record["checks"]["constant"] < 1
        assert record["data"]["rows"]["train"] == 64
        assert record["data"]["max_train"] == 64
        assert record["cost"]["student_updates"] == 2
        metric = {"rte": "accuracy", "stsb": "pearson"}[record["task"]]
        assert record["main"] == {"split": "dev", "metric": metric, "value": record["metrics"]["dev"][metric]}
        assert record["provenance"]["packages"]["torch"]
        assert json.loads((path.parent / "spec.json").read_text())["id"] == record["id"]
        assert path.parent.name == f"seed-0-{record['id']}"
        assert len((path.parent / "curve.jsonl").read_text().splitlines()) == 1
        assert not (path.parent / "checkpoint").exists()
        is_mate, is_finetune = (record["strategy"].startswith(name) for name in ("mate-kd", "finetune"))
        assert (record["teacher"] is None) == is_finetune
        assert (record["generator"] is None) == (not is_mate)
        assert record["cost"]["adversary_updates"] == (2 if is_mate else 0)
        assert (record["adversary"] is None) == (not is_mate)
        if is_mate:
            assert record["strategy_options"]["generator_lr"] == record["spec"]["recipe"]["lr"] / 40
            assert record["adversary"]["rows"] == 64
            assert 0 < record["adversary"]["kl_from_start"] < 0.01
            # What was looked at is in no count of the run: two updates of each kind, and views of two batches.
            assert record["cost"]["forwards"] == {"generator": 128, "teacher": 128, "student": 192}
    for task in ("rte", "stsb"):
        rows = [record for record in records(results) if record["task"] == task]
        assert len({row["signature"] for row in rows}) == 1
        assert len({row["teacher"]["hash"] for row in rows if row["teacher"]}) == 1

    before = {path: path.stat().st_mtime_ns for path in paths}
    again = bench(*command, results=results)
    assert again.exit_code == 0, again.output
    assert "0 cells run, 6 were there already" in again.output

    paths[2].unlink()
    third = bench(*command, results=results)
    assert third.exit_code == 0, third.output
    assert "1 cells run, 5 were there already" in third.output
    after = {path: path.stat().st_mtime_ns for path in sorted(results.rglob("record.json"))}
    assert [path for path in paths if after[path] != before[path]] == [paths[2]]


def test_predictions_score_to_the_record_s_numbers(results):
    assert bench("--strategy", "none", "--tasks", "mnli,stsb", results=results).exit_code == 0
    source = MiniSource()
    for path in results.rglob("record.json"):
        record, task = read_record(path.parent), source.tasks[read_record(path.parent)["task"]]
        data = source.load(task.name)
        labelled = {"dev", "shifted"} | ({"dev_mismatched"} if task.name == "mnli" else set())
        assert set(record["metrics"]) == labelled
        files = {file.stem: pd.read_parquet(file) for file in (path.parent / "predictions").iterdir()}
        assert set(files) == labelled | {"test"} | ({"test_mismatched"} if task.name == "mnli" else set())
        for split, table in files.items():
            assert table["id"].tolist() == [example.id for example in data.splits[split]]
            logits = table[[f"logit_{i}" for i in range(task.n_outputs)]].to_numpy()
            if split in labelled:
                assert table["label"].to_numpy() == pytest.approx([e.label for e in data.splits[split]])
                assert score(task, logits, table["label"]) == pytest.approx(record["metrics"][split])
                assert compute(task, table["prediction"], table["label"]) == pytest.approx(record["metrics"][split])


def test_redo_runs_again_and_gives_the_same_numbers(results):
    command = ("--strategy", "mate-kd[generator_steps=1,student_steps=1]", "--tasks", "rte")
    bench(*command, results=results)
    (path,) = results.rglob("dev.parquet")
    first = pd.read_parquet(path)
    path.unlink()
    # A kill while these were written left them.
    left = [path.parent / ".dev.parquet.0a1b2c3d.part", path.parents[1] / ".record.json.4e5f6a7b.part"]
    for folder in left:
        folder.mkdir()
        (folder / "half").touch()
    assert "1 cells run;" in bench(*command, "--redo", results=results).output
    pd.testing.assert_frame_equal(pd.read_parquet(path), first)
    assert not any(folder.exists() for folder in left)


def test_a_corrupt_record_is_said_set_aside_and_run_again(results):
    command = ("--strategy", "finetune", "--tasks", "rte")
    bench(*command, results=results)
    (path,) = results.rglob("record.json")
    path.write_text(path.read_text()[:100])
    again = bench(*command, results=results)
    assert again.exit_code == 0, again.output
    assert "1 cells run;" in again.output
    assert f"{path} is corrupt" in again.stderr
    aside = results / "aside" / path.relative_to(results)
    assert f"moved to {aside}" in again.stderr
    assert len(aside.read_text()) == 100
    assert read_record(path.parent)["status"] == "done"


def write_strategy(folder, body, name="mine.py"):
    path = folder / name
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from bench import Rewriter, Strategy, View\n" + textwrap.dedent(body)
    )
    return path


IDEA = """
    @dataclass
    class Idea(Strategy):
        '''The same text again.'''
        def views(self, batch, models):
            {imports}
            yield View(student=batch.inputs)
"""


def test_editing_an_installed_strategy_runs_it_again(results, tmp_path, monkeypatch):
    """The loop in which the author of a strategy lives: a new answer after each edit, none without."""
    package = tmp_path / "idea_pkg"
    package.mkdir()
    write_strategy(package, IDEA.format(imports="from idea_pkg import words"), "idea.py")
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text("")
    installed = tmp_path / "idea_pkg-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: idea-pkg\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[bench.strategies]\nidea = idea_pkg.idea:Idea\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._installed.cache_clear()
    again(results, "idea", {package / "idea.py": True, package / "words.py": True, tmp_path / "other.py": False})
    registry._installed.cache_clear()


def test_editing_a_module_beside_a_strategy_file_runs_it_again(results, tmp_path):
    mine = write_strategy(tmp_path, IDEA.format(imports="if batch is None: import near"))
    (tmp_path / "near.py").write_text("")
    again(results, f"{mine}:Idea", {tmp_path / "near.py": True, tmp_path / "other.py": False})


def again(results, strategy, edits):
    """Run ``strategy``, and again after each of ``edits``: files, and whether a run depends on them."""
    command = ("--strategy", strategy, "--tasks", "rte")
    assert "1 cells run;" in bench(*command, results=results).output
    assert "0 cells run, 1 were there already" in bench(*command, results=results).output
    for file, counts in edits.items():
        with file.open("a") as opened:
            opened.write("# edited\n")
        output = bench(*command, results=results).output
        assert ("1 cells run;" if counts else "0 cells run, 1 were there already") in output, (file, output)


def test_a_strategy_file_of_one_s_own(results, tmp_path):
    mine = write_strategy(
        tmp_path,
        '''
        @dataclass
        class Twice(Strategy):
            """The same text again."""
            weight: float = 1.0
            def supports(self, task):
                return "it is about scores" if task.is_regression else None
            def views(self, batch, models):
                yield View(student=batch.inputs, weight=self.weight)
        ''',
    )
    done = bench("--strategy", f"none,{mine}:Twice[weight=0.5]", "--tasks", "rte,stsb", results=results)
    assert done.exit_code == 0, done.output
    found = {(record["task"], record["strategy"]): record for record in records(results)}
    spelled = f"{mine}:Twice[weight=0.5]"
    assert found["rte", spelled]["status"] == "done"
    assert found["rte", spelled]["strategy_options"] == {"weight": 0.5}
    twice, once = (found["rte", name]["cost"]["forwards"]["student"] for name in (spelled, "none"))
    assert twice == 2 * once
    assert found["stsb", spelled]["status"] == "skipped"
    assert found["stsb", spelled]["reason"] == "it is about scores"
    # Skipped is settled: nothing is left to do.
    again = bench("--strategy", f"none,{mine}:Twice[weight=0.5]", "--tasks", "rte,stsb", results=results)
    assert "0 cells run, 4 were there already" in again.output


def test_a_cell_that_fails_is_recorded_the_others_go_on_and_it_is_tried_again(results, tmp_path):
    body = """
    @dataclass
    class Breaks(Strategy):
        '''Breaks.'''
        def views(self, batch, models):
            raise RuntimeError("out of words")
            yield
    """
    broken = write_strategy(tmp_path, body, "broken.py")
    command = ("--strategy", f"{broken}:Breaks,finetune", "--tasks", "rte", "--seeds", "2")
    done = bench(*command, results=results)
    assert done.exit_code == 1
    assert "2 of 4 cells failed (error.txt in its folder says where); the same command tries them again" in done.stderr
    found = records(results)
    failed = [record for record in found if record["status"] == "failed"]
    assert len(failed) == 2
    assert all(re.fullmatch(r"RuntimeError: out of words \(broken.py:\d+\)", record["reason"]) for record in failed)
    assert {record["strategy"] for record in failed} == {f"{broken}:Breaks"}
    assert [record["status"] for record in found if record["strategy"] == "finetune"] == ["done", "done"]
    assert "out of words" in done.output
    (trace, _) = sorted(results.rglob("error.txt"))
    assert "broken.py" in trace.read_text()
    again = bench(*command, results=results)
    assert again.exit_code == 1
    assert "2 cells run, 2 were there already" in again.output


def test_whatever_a_strategy_does_its_cell_fails_and_the_next_one_runs(results, tmp_path):
    body = """
    import sys
    @dataclass
    class Leaves(Strategy):
        def views(self, batch, models):
            sys.exit(0)
    @dataclass
    class LeavesRewriting(Strategy, Rewriter):
        def rewrite(self, examples, rngs, context):
            sys.exit(4)
    @dataclass
    class Mumbles(Strategy):
        def views(self, batch, models):
            raise RuntimeError("half of \\ud83d")
    @dataclass
    class Turns(Strategy):
        def turn(self, step):
            return "adversery"
    """
    file = write_strategy(tmp_path, body, "odd.py")
    names = ("Leaves", "LeavesRewriting", "Mumbles", "Turns")
    strategies = ",".join(f"{file}:{name}" for name in names)
    done = bench("--strategy", f"{strategies},none", "--tasks", "rte", results=results)
    assert done.exit_code == 1, done.output
    reasons = {record["strategy"].rpartition(":")[2]: record["reason"] for record in records(results)}
    assert reasons["Leaves"].startswith("SystemExit: 0 (")
    assert "SystemExit: 4" in reasons["LeavesRewriting"]
    assert reasons["Mumbles"].startswith(r"RuntimeError: half of \ud83d (odd.py:")
    assert reasons["Turns"] == "Turns.turn() returned 'adversery', not 'student' or 'adversary'"
    assert reasons["none"] is None


def test_a_run_that_is_interrupted_goes_on_where_it_was(results, tmp_path):
    switch = tmp_path / "interrupt"
    body = f"""
    from pathlib import Path
    import torch

    @dataclass
    class Noise(Strategy):
        '''Random words; interrupted by the keyboard at the third update while a file is there.'''
        def views(self, batch, models):
            if models.cost.student_updates == 2 and Path({str(switch)!r}).exists():
                raise KeyboardInterrupt
            ids = batch.inputs["input_ids"]
            other = torch.randint(5, 60, ids.shape, generator=models.rng)
            inputs = {{**batch.inputs, "input_ids": torch.where(ids > 4, other, ids)}}
            yield View(student=inputs, teacher=inputs)
    """
    noise = write_strategy(tmp_path, body, "noise.py")
    strategy = f"{noise}:Noise+mate-kd[generator_steps=1,student_steps=1,generator_lr=0.1]"
    command = ("--strategy", strategy, "--tasks", "rte", "--set", "recipe.epochs=2")
    often = (*command, "--set", "recipe.checkpoint_seconds=0")
    switch.touch()
    cut = bench(*often, results=results)
    assert cut.exit_code == 130
    assert "Interrupted. The same command goes on from here:\n  bench" in cut.stderr
    assert list(results.rglob("record.json")) == []
    (state,) = results.rglob("states")
    switch.unlink()
    resumed = bench(*often, results=results)
    assert resumed.exit_code == 0, resumed.output
    (path,) = results.rglob("record.json")
    record = read_record(path.parent)
    assert (record["status"], record["resumed"], record["cost"]["student_updates"]) == ("done", 1, 4)
    assert not state.exists()
    (parquet,) = results.rglob("dev.parquet")
    first = pd.read_parquet(parquet)
    straight = bench(*command, "--redo", results=results)
    assert straight.exit_code == 0, straight.output
    whole = read_record(path.parent)
    assert whole["resumed"] == 0
    # The generator that the resumed run compared its own with is the one that it had started from.
    assert whole["adversary"] == record["adversary"]
    assert whole["adversary"]["kl_from_start"] > 0.1
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), first)
    # Nor is what --redo had done when it was cut off.
    switch.touch()
    assert bench(*often, "--redo", results=results).exit_code == 130
    assert list(results.rglob("record.json")) == []
    switch.unlink()
    again = bench(*often, "--redo", results=results)
    assert again.exit_code == 0, again.output
    assert read_record(path.parent)["resumed"] == 1


def test_a_task_of_one_s_own(results, tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 150), ("dev", 40)):
        words = [" ".join(rng.choice(["fine", "dull", "film", "plot", "cast"], 6)) for _ in range(count)]
        rows = [f"{text}\t{'good' if 'fine' in text else 'bad'}" for text in words]
        (tmp_path / f"{split}.tsv").write_text("text\trating\n" + "\n".join(rows) + "\n")
    (tmp_path / "reviews.toml").write_text(
        'name = "reviews"\ntexts = ["text"]\nlabel = "rating"\nlabels = ["bad", "good"]\n'
        'metrics = ["f1", "accuracy"]\n[files]\ntrain = "train.tsv"\ndev = "dev.tsv"\n'
    )
    done = bench("--strategy", "none", "--tasks", f"rte,{tmp_path}/reviews.toml", results=results)
    assert done.exit_code == 0, done.output
    found = {record["task"]: record for record in records(results)}
    assert set(found) == {"rte", "reviews"}
    assert "for reviews give --preset minilm" in done.stderr
    assert found["reviews"]["main"]["metric"] == "f1"
    assert found["reviews"]["data"]["source"] == "file"
    assert found["reviews"]["data"]["rows"] == {"train": 64, "dev": 40}


def test_seeds_can_be_named(results):
    done = bench(
        "--strategy", "finetune", "--tasks", "rte", "--seed", "3", "--seed", "1", "--seed", "3", results=results
    )
    assert done.exit_code == 0, done.output
    assert sorted(record["seed"] for record in records(results)) == [1, 3]
    assert "2 cells run;" in done.output


# --- requests that make no sense


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--strategy", "mate-dk"], "unknown strategy 'mate-dk'; did you mean 'mate-kd'?"),
        (["--strategy", "mate-kd[roh=1]"], "unknown option of mate-kd: 'roh'; did you mean 'rho'?"),
        (["--strategy", "mate-kd[rho=1"], "brackets"),
        (["--strategy", ""], "names no strategy"),
        (["--strategy", "./nowhere.py:Mine"], "no such strategy file: nowhere.py"),
        (["--tasks", "rtee"], "unknown task 'rtee'; did you mean 'rte'?"),
        (["--tasks", ","], "no task is named"),
        (["--tasks", "./nowhere.toml"], "no such file: nowhere.toml"),
        (["--preset", "minni"], "unknown preset 'minni'; did you mean 'mini'?"),
        (["--preset", "./nowhere.toml"], "no such file: nowhere.toml"),
        (["--set", "recipe.lrr=1"], "unknown option of recipe: 'lrr'; did you mean 'lr'?"),
        (["--set", "generator.shape.hiden_size=8"], "unknown shape key 'hiden_size'; did you mean 'hidden_size'?"),
        (["--set", "teacher.model=student", "--set", "student.model=teacher"], "leads back to itself"),
        (["--set", "student.model=./nowhere"], "no such model folder: ./nowhere"),
        (["--seeds", "0"], "0 is not in the range 1<=x<=1000"),
        (["--seeds", "1000000000"], "1000000000 is not in the range"),
        (["--seeds", "one"], "'one' is not a valid integer range"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--seeds", "2", "--seed", "1"], "--seeds says how many, --seed which: give one of the two"),
        (["--results", ""], "the name of a folder is empty"),
        (["--recipe", ""], "unknown value for recipe.method: ''"),
        (["--data-dir", "./nowhere"], "nowhere"),
        (["--max-train", "0"], "--max-train"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_a_hint(arguments, words, tmp_path):
    done = bench(*arguments, results=tmp_path / "results")
    assert words in done.stderr
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    assert not list(tmp_path.rglob("record.json"))


def test_a_results_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    done = bench("--tasks", "rte", results=tmp_path / "file" / "results")
    assert done.exit_code == 2
    assert "cannot make the results folder" in done.stderr
    assert "--results DIR" in done.stderr


def test_a_teacher_that_learned_nothing_fails_its_cells_with_the_reason(results):
    settings = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    # With next to no learning rate it answers what its random head says: nearly always the same.
    arguments = [
        "--strategy",
        "none,finetune",
        "--tasks",
        "cola",
        "--set",
        "teacher.lr=1e-9",
        "--results",
        str(results),
    ]
    done = CliRunner().invoke(main, ["run", *settings, "--max-train", "64", *arguments])
    assert done.exit_code == 1
    clean, finetune = sorted(records(results), key=lambda record: record["status"], reverse=True)
    assert (finetune["strategy"], finetune["status"]) == ("finetune", "done")
    assert (clean["strategy"], clean["status"]) == ("none", "failed")
    assert "no better than the best constant answer (0.000) by more than one standard error" in clean["reason"]
    assert "--weak-teacher" in clean["reason"]
    # Insisting is no other experiment: the cell that failed is run, the one that is done is not.
    forced = bench(*arguments, results=results)
    assert forced.exit_code == 0, forced.output
    assert "1 cells run, 1 were there already" in forced.output


def only_record(results, strategy):
    (found,) = [record for record in records(results) if record["strategy"] == strategy]
    return found


def test_rewritten_texts_are_cached_for_all_seeds_and_judged(results, tmp_path):
    mine = write_strategy(
        tmp_path,
        """
        @dataclass
        class Reversed(Strategy, Rewriter):
            '''The words from last to first, of the second text.'''
            def rewrite(self, examples, rngs, context):
                assert not context.models and not context.texts
                return [[(e.texts[0], " ".join(reversed(e.texts[1].split())))] for e in examples]
        """,
        "reversed.py",
    )
    shared = ("--set", "data.rewrite_seed=0")
    done = bench("--strategy", f"none,{mine}:Reversed", "--tasks", "rte", "--seeds", "2", *shared, results=results)
    assert done.exit_code == 0, done.output
    first, second = (record for record in records(results) if "Reversed" in record["strategy"])
    # A run costs what its texts took to make, whoever made them.
    assert (
        first["cost"]["rewritten"]
        == second["cost"]["rewritten"]
        == {"rows": 64, "forms": 64, "failed": 0, "truncated": 64}
    )
    for record in (first, second):
        quality = record["text_quality"]
        assert quality["rows"] == quality["forms"] == 64
        assert quality["changed"] > 0.9
        assert 0 < quality["word_edit_rate"] <= 1
        assert 0 <= quality["teacher_label_kept"] <= 1
        assert quality["divergence_after"] > 0
        # Reversed words are the same words, but for those cut off at the maximum length.
        assert quality["distinct_1"] == pytest.approx(quality["distinct_1_before"], abs=0.01)
        assert quality["rewriting"] == {"rows": 64, "failed": 0}
        assert record["cost"]["forwards"]["teacher"] == 64
        assert record["cost"]["seconds"]["rewrite"] == first["cost"]["seconds"]["rewrite"]
    plain = next(record for record in records(results) if record["strategy"] == "none")
    assert plain["text_quality"] is None


def test_an_attack_reads_a_snapshot_of_the_student_every_epoch(results, tmp_path):
    seen = tmp_path / "seen"
    mine = write_strategy(
        tmp_path,
        f"""
        from pathlib import Path
        from bench import Attacked

        @dataclass
        class Asks(Strategy, Rewriter):
            '''Asks the student about every row, in vain.'''
            refresh = 1
            def reads(self):
                return ("student",)
            def rewrite(self, examples, rngs, context):
                from transformers import AutoModelForSequenceClassification, AutoTokenizer
                model = AutoModelForSequenceClassification.from_pretrained(context.models["student"])
                assert AutoTokenizer.from_pretrained(context.models["student"]).mask_token
                assert model.config.num_labels == 2
                with Path({str(seen)!r}).open("a") as file:
                    file.write(context.digests["student"] + "\\n")
                return [Attacked([e.texts], "failure", queries=3) for e in examples]
        """,
        "asks.py",
    )
    done = bench("--strategy", f"{mine}:Asks", "--tasks", "rte", "--set", "recipe.epochs=2", results=results)
    assert done.exit_code == 0, done.output
    assert len(set(seen.read_text().split())) == 2  # another student in each epoch
    record = only_record(results, f"{mine}:Asks")
    assert record["cost"]["attack_queries"] == 2 * 64 * 3
    assert record["text_quality"]["rewriting"] == {"rows": 128, "failed": 0, "failure": 128}
    assert record["text_quality"]["changed"] == 0
    assert not list(results.rglob("checkpoint"))


def test_what_a_strategy_lacks_skips_its_cells_before_any_training_until_it_is_there(results, tmp_path):
    vectors = tmp_path / "vectors.txt"
    mine = write_strategy(
        tmp_path,
        f"""
        from bench.resources import file

        @dataclass
        class Needs(Strategy):
            '''Needs a file.'''
            def resources(self):
                return [file({str(vectors)!r}, "download vectors", "the vectors")]
        """,
        "needs.py",
    )
    command = ("--strategy", f"{mine}:Needs", "--tasks", "rte")
    done = bench(*command, results=results)
    assert done.exit_code == 0, done.output
    assert "Needs will be skipped: the vectors is missing, get it with: download vectors" in done.output
    assert only_record(results, f"{mine}:Needs")["status"] == "skipped"
    vectors.touch()
    assert bench(*command, results=results).exit_code == 0
    assert only_record(results, f"{mine}:Needs")["status"] == "done"


def test_a_recipe_is_another_setting_under_which_every_strategy_runs(results):
    combined = "mate-kd[generator_steps=1,objective=mse,student_steps=1]"
    command = ("--strategy", f"none,{combined}", "--tasks", "rte", "--recipe", "annealing", "--set", "recipe.epochs=5")
    done = bench(*command, results=results)
    assert done.exit_code == 0, done.output
    plain, mate_kd = only_record(results, "none"), only_record(results, combined)
    assert plain["spec"]["recipe"]["method"] == "annealing"
    assert plain["signature"] == mate_kd["signature"]
    # Ten updates, of which the last three know neither teacher nor views: seven cost two forwards of 32 rows.
    assert mate_kd["cost"]["adversary_updates"] == 7
    assert mate_kd["cost"]["forwards"]["student"] - 7 * 32 == (7 * 2 + 3) * 32
    assert mate_kd["text_quality"]["rows"] == 64
    assert bench("--strategy", "none", "--tasks", "rte", results=results).exit_code == 0
    assert len({record["signature"] for record in records(results)}) == 2
    unknown = bench("--strategy", "none", "--tasks", "rte", "--recipe", "annealed", results=results)
    assert unknown.exit_code == 2
    assert "annealing" in unknown.output


def test_a_smoke_run_is_a_preset_of_its_own_on_one_task(results):
    done = bench("--quick", "--strategy", "none", results=results)
    assert done.exit_code == 0, done.output
    (record,) = records(results)
    assert (record["preset"], record["task"]) == ("quick", "wnli")
    assert "a smoke run: it shows that all works" in done.output
    # Also where it is named that is the default: it would not be what runs.
    for preset in ("minilm", "mini"):
        with_preset = bench("--quick", "--preset", preset, results=results)
        assert with_preset.exit_code == 2
        assert "--quick is a preset of its own, on embedded tasks: leave --preset and" in with_preset.output


def test_how_long_a_grid_takes_is_said_before_it_starts(results):
    done = bench("--strategy", "finetune", "--tasks", "rte,cola", results=results)
    assert done.exit_code == 0, done.output
    estimate = re.search(
        r"2 cells to run: about (\d+):(\d\d) \(from a few updates; cell by cell: --dry-run\)", done.output
    )
    assert estimate
    assert done.output.index(estimate[0]) < done.output.index("[1/2]")


def test_few_rows_of_dev_are_timed_for_it(results, monkeypatch):
    read = []

    def timed(model, data, *rest, **more):
        read.append(len(data))
        return predict(model, data, *rest, **more)

    monkeypatch.setattr("bench.experiment.calibration._DEV_ROWS", 7)
    monkeypatch.setattr("bench.distill.loop.predict", timed)
    done = bench("--strategy", "finetune", "--tasks", "rte,cola", results=results)
    assert done.exit_code == 0, done.output
    assert read[0] == 7
    assert min(read[1:]) > 7


def test_a_dry_run_says_what_would_run_how_long_it_takes_and_runs_nothing(no_teachers, tmp_path):
    mine = write_strategy(
        tmp_path,
        """
        from bench import TextStrategy

        @dataclass
        class Same(TextStrategy):
            '''The same text again.'''
            def rewrite_texts(self, texts, rngs, context):
                return texts

        @dataclass
        class Fussy(Strategy):
            '''Takes no task.'''
            def supports(self, task):
                return "it takes none"
        """,
        "dry.py",
    )
    grid = f"finetune,mate-kd[generator_steps=1,student_steps=1],{mine}:Same,{mine}:Fussy"
    assert bench("--strategy", "finetune", "--tasks", "cola", results=no_teachers).exit_code == 0
    (path,) = no_teachers.rglob("record.json")
    done = bench("--strategy", grid, "--tasks", "cola", "--seeds", "2", "--dry-run", results=no_teachers)
    assert done.exit_code == 0, done.output
    cells, _, at_once = done.stdout.partition("\n\n")
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in cells.splitlines()[:-1])
    about = r"about \d+:\d\d \({}\)"
    assert lines["cola · finetune · seed 0"] == "done"
    assert re.fullmatch("to run, " + about.format("from 1 run like it"), lines["cola · finetune · seed 1"])
    timed, mate_kd = about.format("a few updates timed"), "cola · mate-kd[generator_steps=1,student_steps=1] · seed 0"
    assert re.fullmatch(f"to run, {timed}", lines[mate_kd])
    assert lines[f"cola · {mine}:Same · seed 0"] == "to run, time unknown until it has run once: it rewrites texts"
    assert lines[f"cola · {mine}:Fussy · seed 1"] == "will be skipped: it takes none"
    assert lines["generator"] == "there already"
    assert re.fullmatch(f"to be trained, {timed}", lines["teacher of cola"])
    total = r"5 cells to run, 1 done: about \d+:\d\d, plus the cells of unknown time"
    assert re.match(total, cells.splitlines()[-1])
    counts, times, memory = (re.split(r"  +", line)[1:] for line in at_once.splitlines()[:3])
    assert counts == ["1", "2", "4"]  # of three cells with a time, and a teacher
    one, two, four = (int(minutes) * 60 + int(seconds) for minutes, seconds in (time.split(":") for time in times))
    assert one >= two >= four >= one // 4
    assert float(memory[2]) == pytest.approx(4 * float(memory[0]), abs=0.3)
    assert list(no_teachers.rglob("record.json")) == [path]
    assert not [*(no_teachers / "cache" / "teachers").glob("[!.]*")]
    # What no cell needs is not counted.
    alone = ("--set", "student.model=scratch", "--seed", "7", "--dry-run")  # is what bench plan does
    only = bench("--strategy", "finetune", "--tasks", "cola", *alone, results=no_teachers)
    assert [line.split("  ")[0] for line in only.stdout.splitlines()[:-1]] == ["cola · finetune · seed 7"]
    # Nor is anything moved.
    path.write_text("{")
    again = bench("--strategy", "finetune", "--tasks", "cola", "--dry-run", results=no_teachers)
    assert again.stdout.startswith("cola · finetune · seed 0  to run, ")
    assert path.read_text() == "{"
