"""`bench tune` and `bench run --tuned`, from command line to two leaderboards, with tiny models."""

from __future__ import annotations

import json
import re
import shlex

import pandas as pd
import pytest
from click.testing import CliRunner
from test_run_cli import TINY, records

from bench.cli import main
from bench.data.held_out import split
from bench.data.mini import MiniSource
from bench.experiment import assembly, cell

SETTINGS = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
SEARCH = ("--strategy", "aeda,token-cutoff", "--tasks", "rte", "--trials", "3")


def bench(verb, *arguments, results=None):
    models = [*SETTINGS, "--max-train", "64", "--weak-teacher"] if verb in ("run", "tune") else []
    where = [] if results is None else ["--results", str(results)]
    return CliRunner().invoke(main, [verb, *arguments, *models, *where])


def chosen(results):
    return {path.name: path.read_bytes() for path in sorted((results / "tuned").rglob("*.json"))}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    done = bench("tune", *SEARCH, results=folder)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def results(tuned, tmp_path):
    """Results without a run, whose caches hold the models."""
    (tmp_path / "cache").symlink_to(tuned / "cache")
    return tmp_path


def test_every_strategy_gets_as_many_trials_of_the_same_strengths(tuned):
    found = [json.loads(content) for content in chosen(tuned).values()]
    assert {one["strategy"] for one in found} == {"aeda", "token-cutoff"}
    drawn = []
    for one in found:
        assert [one["tried"][0]["strategy"], len(one["tried"])] == [one["strategy"], 3]
        numbers = [float(trial["strategy"].partition("=")[2].strip("]")) for trial in one["tried"][1:]]
        drawn.append([number * (0.5 if one["strategy"] == "aeda" else 1) for number in numbers])
        best = max(trial["score"] for trial in one["tried"])
        assert one["tuned"]["score"] == best
        assert one["chosen"] == next(trial["strategy"] for trial in one["tried"] if trial["score"] == best)
    assert drawn[0] == pytest.approx(drawn[1], abs=1e-3)


def test_what_uses_a_choice_is_said_with_all_that_it_was_chosen_under(tuned, results):
    again = bench("tune", *SEARCH, results=tuned)
    assert again.exit_code == 0, again.output
    command = re.search(r"use it: bench (run --tuned .*)", again.output)[1]
    assert "--set data.max_train=64" in command
    done = CliRunner().invoke(main, [*shlex.split(command), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "chosen under other" not in done.output
    # The same search chooses the same again; another one asks before it chooses over it.
    kept = chosen(tuned)
    other = bench("tune", *SEARCH[:-1], "2", results=tuned)
    assert other.exit_code == 2
    assert "aeda on rte (3 trials, seed 0, 1 training seeds); " in other.output
    assert "give --replace" in other.output
    assert chosen(tuned) == kept
    shown = bench("tune", *SEARCH[:-1], "2", "--replace", "--dry-run", results=tuned)
    assert "to be replaced: " in shown.output


def test_trials_are_scored_on_rows_of_train_that_none_of_them_trains_on(results, monkeypatch):
    seen = []

    def distil(models, strategy, recipe, rule, feed, splits, **others):
        seen.append(({*splits["train"].example_ids}, {*splits["dev"].example_ids}, splits.keys()))
        return original(models, strategy, recipe, rule, feed, splits, **others)

    original = assembly.distil
    monkeypatch.setattr(assembly, "distil", distil)
    done = bench("tune", "--strategy", "token-cutoff", "--tasks", "rte", "--trials", "2", results=results)
    assert done.exit_code == 0, done.output
    train, held = split(MiniSource(seed=0).load("rte").splits["train"])
    assert len(seen) == 2
    for trained, scored, splits in seen:
        assert splits == {"train", "dev"}
        assert scored == {row.id for row in held}
        assert trained < {row.id for row in train}
        assert not trained & scored
    labels = {row.id: row.label for row in held}
    for path in results.rglob("predictions/*.parquet"):
        frame = pd.read_parquet(path)
        assert dict(zip(frame["id"], frame["label"], strict=True)) == labels


def test_a_search_that_was_cut_off_goes_on_and_chooses_the_same(tuned, results, monkeypatch):
    ran = []

    def run_cell(cell, *others, **more):
        ran.append(str(cell.strategy))
        if len(ran) == 3:
            raise KeyboardInterrupt
        return original(cell, *others, **more)

    original = cell.run_cell
    monkeypatch.setattr("bench.experiment.launch.run_cell", run_cell)
    assert bench("tune", *SEARCH, results=results).exit_code == 130
    assert not (results / "tuned").exists()
    done = bench("tune", *SEARCH, results=results)
    assert done.exit_code == 0, done.output
    # The two that were finished are not run again.
    assert (len(ran), ran[2]) == (3 + 4, ran[3])
    assert chosen(results) == chosen(tuned)


def test_tuned_runs_stand_in_a_table_of_their_own(tuned):
    for more in ((), ("--tuned",)):
        done = bench("run", "--strategy", "none,aeda", "--tasks", "rte", *more, results=tuned)
        assert done.exit_code == 0, done.output
    assert "without a range to search, and as shipped: none" in done.output
    assert "1 cells run, 1 were there already" in done.output
    kept = json.loads(next(text for name, text in chosen(tuned).items() if name.startswith("aeda")))
    (run,) = [run for run in records(tuned / "runs") if run["tuned"]]
    assert (run["strategy"], run["tuned"]) == (kept["chosen"], kept["tuned"])
    shown = bench("compare", "--full", results=tuned).output
    shipped, _, own = shown.partition("preset mini, tuned")
    assert shipped.startswith("preset mini, as shipped")
    assert "(tuned)" not in shipped
    assert "aeda (tuned)" in own
    assert "aeda (tuned): the best of 3 trials on rows held out of train: rte " in " ".join(own.split())
    # The trials are a leaderboard elsewhere.
    assert bench("compare", "--results", str(tuned / "tune")).exit_code == 0


def test_what_was_chosen_under_other_settings_is_used_and_said(tuned):
    done = bench(
        "run", "--strategy", "aeda", "--tasks", "rte", "--tuned", "--recipe", "annealing", "--dry-run", results=tuned
    )
    assert done.exit_code == 0, done.output
    assert "chosen under other settings or other data than these: aeda on rte" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tune", "--strategy", "none,finetune"), "nothing to search: no option of none, finetune declares a range"),
        (("tune", "--strategy", "eda[alpha=0.2]"), "nothing to search: no option of eda[alpha=0.2] declares a range"),
        (("tune", "--strategy", "aeda", "--trials", "1"), "1 is not in the range"),
        (("tune", "--strategy", "aeda", "--tasks", "rta"), "unknown task 'rta'; did you mean 'rte'?"),
        (("run", "--strategy", "aeda", "--tasks", "wnli", "--tuned"), "aeda is not tuned on wnli; type: bench tune"),
        (("run", "--strategy", "aeda", "--tuned", "--strength", "0.3"), "--strength sets what --tuned has chosen"),
        (("run", "--strategy", "aeda", "--strength", "0.7"), "aeda.strength is the share of the words or tokens"),
        (("run", "--strategy", "none", "--strength", "0.2"), "there is no strength to set: no option of none says"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(arguments, words, results):
    done = bench(*arguments, results=results)
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())


def test_a_choice_that_cannot_be_read_is_named_with_what_to_type(tuned, results):
    dry = bench("tune", *SEARCH, "--dry-run", results=results)
    assert dry.exit_code == 0, dry.output
    assert "6 cells to run, 0 done" in dry.output
    path = next((tuned / "tuned").rglob("aeda-*.json"))
    copy = results / path.relative_to(tuned)
    copy.parent.mkdir(parents=True)
    copy.write_text("{")
    done = bench("run", "--strategy", "aeda", "--tasks", "rte", "--tuned", results=results)
    assert done.exit_code == 1
    assert "is corrupt" in done.output
    assert "tune again: bench tune" in " ".join(done.output.split())


@pytest.mark.parametrize(
    "change", [{"chosen": "{evil}:Evil"}, {"chosen": "none"}, {"strategy": "eda"}, {"task": "cola"}]
)
def test_a_file_of_choices_runs_no_code_and_chooses_among_the_trials_only(change, tuned, results):
    evil = results / "evil.py"
    evil.write_text(f"open({str(results / 'ran')!r}, 'w')")
    path = next((tuned / "tuned").rglob("aeda-*.json"))
    copy = results / path.relative_to(tuned)
    copy.parent.mkdir(parents=True)
    changed = {key: value.format(evil=evil) for key, value in change.items()}
    copy.write_text(json.dumps(json.loads(path.read_text()) | changed))
    done = bench("run", "--strategy", "aeda", "--tasks", "rte", "--tuned", "--dry-run", results=results)
    assert done.exit_code == 1, done.output
    assert str(copy) in done.stderr
    assert "tune again: bench tune" in " ".join(done.output.split())
    assert not (results / "ran").exists()


def test_one_strength_for_a_grid(results):
    done = bench("run", "--strategy", "none,aeda", "--tasks", "rte", "--strength", "0.2", "--dry-run", results=results)
    assert done.exit_code == 0, done.output
    assert "without a strength, and as shipped: none" in done.output
    assert "rte · aeda[ratio=0.4] · seed 0" in done.output
