"""How the work of attacks is done, whatever the attack: each row of a student once, the same rows of all."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kept_students import bench

from bench.data.mini.source import MiniSource
from bench.errors import UsageError
from bench.experiment.attack_setting import Settings
from bench.experiment.attacking import attack_runs
from bench.experiment.recipes import Recipe
from bench.observer import Silent
from bench.reporting.attacks import transfer
from bench.reporting.evaluations import read_evaluation
from bench.reporting.records import scan
from bench.rewriter import Attacked, Rewriter
from bench.rewriting import store
from bench.spec import StrategySpec

GATE: dict[str, Any] = {}


@dataclass
class Upside(Rewriter):
    """Turns texts around, of every second row with success; where ``breaks``, it fails on every fourth."""

    log: str
    breaks: bool = False

    def reads(self):
        return ("student",)

    def rewrite(self, examples, rngs, context):
        return [self.row(example, Path(context.models["student"]).parent) for example in examples]

    def row(self, example, run):
        with Path(self.log).open("a") as file:
            file.write(f"{run.parent.name} {example.id}\n")
        if GATE.get("killed at") == len(Path(self.log).read_text().splitlines()):
            os.kill(os.getpid(), signal.SIGKILL)
        while run.parent.name == GATE.get("strategy") and not Path(GATE["open"]).exists():
            assert time.monotonic() < GATE["until"]
            time.sleep(0.01)
        turned = tuple(text[::-1] for text in example.texts)
        if self.breaks and example.id % 4 == 2:
            raise ValueError("no such luck")
        return Attacked([turned], "success", 5) if example.id % 2 else Attacked([example.texts], "failure", 9)


def attack_with(results, runs, log, observer, rows=12, breaks=False):
    spec = StrategySpec.parse("none")
    recipe = Recipe("upside", spec.create(), spec, Upside(str(log), breaks), ("It stands on its head.",))
    return attack_runs(results, runs, [recipe], Settings(rows, 50), observer)


def attack_until_killed(*given):
    """Attack in a process that ends at its third row, as a machine that goes away would."""
    store._FLUSH_SECONDS = 0  # as if every row took longer than what is waited for between two writes
    GATE["killed at"] = 3
    attack_with(*given, Silent())


class Watch(Silent):
    """Interrupts after the first row, if asked; opens the gate where it hears of waiting."""

    def __init__(self, interrupt=False):
        self.interrupt, self.notes = interrupt, []

    def update(self, phase, done, total, loss=None):
        assert phase == "attack"
        if self.interrupt and done:
            raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)
        if text.startswith("waiting for"):
            Path(GATE["open"]).touch()


@pytest.fixture
def work(made, tmp_path):
    """Results with two students of one task, their runs, an attack on them, and how often it saw which row."""
    results = shutil.copytree(made[0], tmp_path / "results")
    runs = [record for record in scan(results)[0] if record.task == "rte"]
    log = tmp_path / "log"

    def attack(which=slice(None), observer=None, **settings):
        return attack_with(results, runs[which], log, observer or Watch(), **settings)

    yield results, runs, attack, lambda: Counter(log.read_text().splitlines())
    GATE.clear()


def test_what_was_killed_goes_on_where_it_stopped_row_by_row(work):
    results, _, attack, seen = work
    with pytest.raises(KeyboardInterrupt):
        attack(observer=Watch(interrupt=True))
    assert sum(seen().values()) == 1
    assert not list(results.rglob("evaluations/*.json"))
    made = attack()
    assert (made.fresh, len(made.evaluations)) == (2, 2)
    # Each of twelve rows of two students once, although the first command was killed.
    assert len(seen()) == 24
    assert set(seen().values()) == {1}
    assert attack().fresh == 0
    # More rows: those that there were are not attacked again.
    assert attack(rows=24).fresh == 2
    assert len(seen()) == 48
    assert set(seen().values()) == {1}


def test_what_a_process_that_is_gone_had_attacked_is_there(work, tmp_path):
    results, runs, attack, seen = work
    given = (results, runs, tmp_path / "log")
    process = multiprocessing.get_context("spawn").Process(target=attack_until_killed, args=given)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert sum(seen().values()) == 3
    assert attack().fresh == 2
    # Of the three rows only those that it was at are attacked again.
    assert 0 < sum(seen().values()) - 24 < 3


def test_what_was_known_of_another_student_is_scored_again(work):
    results, runs, attack, _ = work
    attack()
    path = results / runs[0].folder / "evaluations" / "attack-upside.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"student": "0" * len(found["student"])}))
    assert attack().fresh == 1
    assert json.loads(path.read_text())["student"] == found["student"]


def test_two_commands_at_once_share_the_work(work, tmp_path):
    _, runs, attack, seen = work
    GATE.update(strategy=runs[0].strategy, open=tmp_path / "open", until=time.monotonic() + 600)
    first = threading.Thread(target=attack, args=(slice(0, 1),))
    first.start()
    while not (tmp_path / "log").exists():
        time.sleep(0.01)
    observer = Watch()
    made = attack(observer=observer)
    first.join()
    # The run that the other command was at came last, and was there by then.
    assert [run.strategy for run, _ in made.evaluations] == [runs[1].strategy, runs[0].strategy]
    assert made.fresh == 1
    assert any(note.startswith("waiting for upside on") for note in observer.notes)
    assert set(seen().values()) == {1}


def test_scores_are_of_what_the_attack_left_of_the_rows(work):
    results, runs, attack, _ = work
    attack(rows=30, breaks=True)
    dev = MiniSource(seed=0).load("rte").splits["dev"]
    chosen = [dev[row] for row in np.sort(np.random.default_rng(0).permutation(len(dev))[:30])]
    for run in runs:
        found = read_evaluation(results / run.folder, "attack-upside")
        rows = pd.read_parquet(results / run.folder / "evaluations" / "attack-upside.parquet")
        assert rows["id"].tolist() == [row.id for row in chosen]
        outcome = {0: "failure", 1: "success", 2: "failed", 3: "success"}
        assert rows["outcome"].tolist() == [outcome[row.id % 4] for row in chosen]
        right = rows["prediction"] == rows["label"]
        assert right[rows["outcome"] == "failure"].all()
        assert not right[rows["outcome"] == "success"].any()
        section = found.attack
        assert section.failed == sum(row.id % 4 == 2 for row in chosen) > 0
        assert section.attacked == 30 - section.failed
        assert section.success == sum(row.id % 2 for row in chosen) / section.attacked
        assert section.queries == rows.loc[rows["outcome"] != "failed", "queries"].mean()
        assert section.words_changed == 1  # no word of a text turned around is what it was
        # What the recipe failed on counts as it is.
        assert section.clean == (section.attacked + right[rows["outcome"] == "failed"].sum()) / 30
        assert found.main.value == right.mean()


def test_the_table_marks_what_was_trained_on_the_very_attack(work, tmp_path):
    results, runs, attack, _ = work
    attack(rows=30)
    records = [(record.strategy, record) for record in scan(results)[0]]
    sheets, frame = transfer(results, records, "none", {"none", "clean-twice"})
    (sheet,) = sheets
    assert [head for head, _ in sheet.columns] == ["trained with", "seeds", "no attack", "upside"]
    assert "upside: It stands on its head." in sheet.notes
    # The made-up recipe says that it is of the strategy none.
    assert dict(zip(frame["strategy"], frame["held_out"], strict=True)) == {"none": False, "clean-twice": True}
    none, twice = (cell if isinstance(cell, str) else cell.text for cell in sheet.columns[-1][1])
    assert none.endswith("‡")
    assert "‡" not in twice
    found = {run.strategy: read_evaluation(results / run.folder, "attack-upside").main.value for run in runs}
    assert frame.set_index("strategy")["mean"].to_dict() == found
    assert none == f"{100 * found['none']:.1f} ‡"
    # The page has the same table.
    page = tmp_path / "report.html"
    assert bench("report", "--results", results, "--output", page).exit_code == 0
    assert f"<td>{none}</td>" in page.read_text("utf-8")


def test_rows_that_are_not_those_of_then_are_refused(work):
    _, runs, attack, _ = work
    runs[0].spec["fingerprint"] = "0" * 16
    with pytest.raises(UsageError, match="they are others than then"):
        attack()
