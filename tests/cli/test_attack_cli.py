"""Kept students under attack by TextAttack's recipes, and the table of who was trained with what."""

from __future__ import annotations

import json
import shutil
import string
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from kept_students import bench

from bench.data.mini.source import MiniSource
from bench.evaluation import text_quality
from bench.experiment import attacking
from bench.experiment.recipes import recipes_of
from bench.registry import families
from bench.reporting.evaluations import Evaluation, read_evaluation
from bench.reporting.records import read_record
from bench.resources import nltk_data

FAMILY = families()["textattack"]
needs_library = pytest.mark.skipif(FAMILY.missing is not None, reason=f"{FAMILY.missing}")
needs_words = pytest.mark.skipif(
    not nltk_data("corpora/stopwords").ready(), reason="no NLTK data corpora/stopwords; set NLTK_DATA"
)


@pytest.fixture(scope="module")
def attacked(made, tmp_path_factory):
    """Results whose students were attacked, and the command's."""
    results = shutil.copytree(made[0], tmp_path_factory.mktemp("attacked") / "results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attacking, "sentence_encoder", lambda: SimpleNamespace(ready=lambda: True))
        patch.setattr(text_quality, "embed", lambda texts, device: np.array([letters(text) for text in texts]))
        done = bench(*ATTACK, "--results", results)
    assert done.exit_code == 0, done.output
    return results, done


def letters(text):
    """How often each letter stands in it, as a vector of length 1: in the place of an encoder of sentences."""
    counts = np.array([text.lower().count(letter) for letter in string.ascii_lowercase], dtype=float)
    return counts / np.linalg.norm(counts)


ATTACK = ("attack", "--recipes", "deepwordbug", "--rows", "16", "--budget", "200", "--workers", "1")


@needs_library
@needs_words
def test_scores_and_every_rows_outcome_lie_beside_the_record(attacked):
    results, done = attacked
    assert "4 attacks made, 0 were there already" in done.output
    assert "left out: deepwordbug on stsb: attacks need classes, and this task's labels are scores" in done.output
    dev = {row.id: row for row in MiniSource(seed=0).load("rte").splits["dev"]}
    same, n_turned = [], 0
    for strategy in ("none", "clean-twice"):
        (run,) = (path.parent for path in results.glob(f"runs/*/rte/{strategy}/*/record.json"))
        found = read_evaluation(run, "attack-deepwordbug")
        assert set(json.loads((run / "evaluations" / "attack-deepwordbug.json").read_text())) == set(
            Evaluation.__struct_fields__
        )
        rows = pd.read_parquet(run / "evaluations" / "attack-deepwordbug.parquet")
        same.append(rows["id"].tolist())
        assert (found.student, found.rows) == (read_record(run)["student"]["hash"], 16)
        outcomes = rows["outcome"].value_counts()
        tried = 16 - outcomes.get("skipped", 0)
        section = found.attack
        assert (section.recipe, section.strategy, section.budget) == ("deepwordbug", "textattack:deepwordbug", 200)
        assert (section.clean, section.attacked) == (tried / 16, tried)
        assert section.success == outcomes.get("success", 0) / tried
        assert found.main.value == outcomes.get("failure", 0) / 16 == (rows["prediction"] == rows["label"]).mean()
        assert section.queries == rows.loc[rows["outcome"] != "skipped", "queries"].mean() <= 200
        turned = rows[rows["outcome"] == "success"]
        assert section.words_changed == (turned["words_changed"].mean() if len(turned) else None)
        n_turned += len(turned)
        cosines = [
            np.mean(
                [
                    letters(new) @ letters(old)
                    for new, old in zip((row.text_0, row.text_1), dev[row.id].texts, strict=True)
                ]
            )
            for row in turned.itertuples()
        ]
        np.testing.assert_allclose(turned["similarity"], cosines, atol=1e-12)
        assert section.similarity == (pytest.approx(np.mean(cosines)) if cosines else None)
        assert rows.loc[rows["outcome"] != "success", "similarity"].isna().all()
        changed = [(row.text_0, row.text_1) != dev[row.id].texts for row in rows.itertuples()]
        assert changed == (rows["outcome"] == "success").tolist()
        assert rows["label"].tolist() == [dev[id].label for id in rows["id"]]
    assert n_turned > 0
    assert same[0] == same[1], "every student is attacked on the same rows"


@needs_library
@needs_words
def test_the_same_command_again_attacks_nothing(attacked, monkeypatch):
    results, _ = attacked

    def no_worker(*_):
        raise AssertionError("a row is attacked again")

    monkeypatch.setattr("bench.rewriting.workers.Pool.take", no_worker)
    assert "0 attacks made, 4 were there already" in bench(*ATTACK, "--results", results).output
    # Nor does scoring again, or a change of what is scored beside it: rows are known by student and recipe.
    assert "4 attacks made" in bench(*ATTACK, "--redo", "--results", results).output
    fewer = ("attack", "--recipes", "deepwordbug", "--rows", "16", "--budget", "200", "--tasks", "sst2", "--redo")
    assert "2 attacks made" in bench(*fewer, "--results", results).output


@needs_library
@needs_words
def test_trained_with_by_attacked_by(attacked):
    results, _ = attacked
    table = bench("compare", "--attacks", "--results", results)
    assert table.exit_code == 0, table.output
    assert "rte: trained with x attacked by" in table.output
    assert "deepwordbug: 16 of 500 dev rows, at most 200 queries each" in table.output
    rows = json.loads(bench("compare", "--attacks", "--format", "json", "--results", results).stdout)
    assert {(row["task"], row["strategy"], row["recipe"]) for row in rows} == {
        (task, strategy, "deepwordbug") for task in ("rte", "sst2") for strategy in ("none", "clean-twice")
    }
    board = bench("compare", "--on", "attack-deepwordbug", "--format", "json", "--results", results)
    on = {(row["task"], row["strategy"]): row for row in json.loads(board.stdout)}
    for row in rows:
        same = on[row["task"], row["strategy"]]
        for key in ("mean", "difference", "gain_low", "gain_high", "verdict"):
            assert row[key] == same[key]


@needs_library
@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--recipes", "deepwordbg"), "did you mean 'deepwordbug'", 2),
        ((), "which recipes?", 2),
        (("--recipes", "wordnet"), "wordnet rewrites texts and attacks no model; attacks: a2t", 2),
        (("--recipes", "input-reduction"), "no accuracy under attack", 2),
        (("--recipes", "pwws[share=0.5]"), "the option share is of training", 2),
        (("--recipes", "pwws", "--budget", "1"), "1 is not in the range", 2),
        (("--recipes", "pwws", "--rows", "1"), "1 is not in the range", 2),
        (("--recipes", "textfooler[vectors=no/such]"), "no/such is missing, get it with: give the option vectors", 1),
        (("--recipes", "deepwordbug", "--tasks", "stsb"), "nothing can be attacked", 1),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(made, arguments, words, code):
    done = bench("attack", "--results", made[0], *arguments)
    assert (done.exit_code, words in done.output) == (code, True), done.output


@needs_library
@needs_words
def test_a_run_without_a_student_is_named_and_nothing_is_left_to_attack(made, tmp_path):
    results = shutil.copytree(made[0], tmp_path / "results")
    for student in results.glob("runs/*/rte/*/*/student"):
        shutil.rmtree(student)
    done = bench(*ATTACK, "--tasks", "rte", "--results", results)
    assert done.exit_code == 1
    assert "2 of the runs chosen have no student" in done.output
    assert "it has been freed since; train it again and keep it" in done.output


def test_without_the_library_the_recipes_are_listed_and_the_reason_given(made, monkeypatch):
    monkeypatch.setitem(vars(FAMILY), "missing", "textattack is not installed; type: pip install it")
    listed = bench("attack", "--list")
    assert listed.exit_code == 0, listed.output
    assert "textfooler" in listed.output
    done = bench("attack", "--recipes", "pwws", "--results", made[0])
    assert (done.exit_code, "no attack pwws: textattack is not installed" in done.output) == (2, True), done.output


@needs_library
def test_recipes_are_called_by_their_own_names():
    one, two = recipes_of(["textattack:bae[sentence_encoder=none]", "pwws"], 50)
    assert (one.title, one.name) == ("bae[sentence_encoder=none]", "attack-bae-sentence_encoder=none")
    assert (two.title, two.rewriter.budget) == ("pwws", 50)
    assert any("masked language model is this run's generator" in note for note in one.notes)
