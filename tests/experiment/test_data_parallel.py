"""Several processes that train each cell together come to what one process comes to."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from counting import left
from tiny_jobs import MATE_KD, TINY, glue

STRATEGIES = ("none", MATE_KD, "cilda[generator_steps=1,student_steps=1]", "freelb[steps=2]", "best-of-k(eda)")
NO_NUMBER = """
from dataclasses import dataclass

import torch
from bench import Strategy, View

@dataclass
class NoNumber(Strategy):
    def views(self, batch, models):
        yield View(batch.inputs, teacher_logits=torch.full_like(batch.teacher_logits, float("nan")))
"""
TOGETHER = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
EPOCHS = 3
WNLI_ROWS, STSB_ROWS = 162, 33
"""Of the batches of 32 rows the last of an epoch has 2, fewer than there are parts, or 1, fewer than processes."""


def odd_glue(folder: Path) -> Path:
    """A classification and a regression task, neither of whose rows fill batches."""
    glue(folder)
    wnli = folder / "WNLI" / "train.tsv"
    wnli.write_text(wnli.read_text() + "160\ta6 b0 train\ta1 c0\t0\n161\ta0 b1 train\ta2 c1\t1\n")
    (folder / "STS-B").mkdir()
    for split, count in (("train", STSB_ROWS), ("dev", 12)):
        rows = [f"{i}\ta{i % 7} b{i % 5}\ta{i % 3} c{i % 4}\t{i % 6}\n" for i in range(count)]
        (folder / "STS-B" / f"{split}.tsv").write_text("index\tsentence1\tsentence2\tscore\n" + "".join(rows))
    return folder


def start(results: Path, data: Path, *program: str, parts: int = 3) -> subprocess.Popen:
    (data / "no_number.py").write_text(NO_NUMBER)
    strategies = [*STRATEGIES, f"{data / 'no_number.py'}:NoNumber"]
    options = ["--preset", "mini", "--data-dir", data, "--tasks", "wnli,stsb", "--results", results]
    changes = [f"--set={change}" for change in (*TINY, f"recipe.epochs={EPOCHS}", f"recipe.accumulate={parts}")]
    counting = [Path(__file__).with_name("counting.py"), results.with_suffix(".rows")]
    command = [sys.executable, *program, *counting, "run", *options, *changes, "--strategy", ",".join(strategies)]
    # A session of its own: what is left of it can be ended in the end.
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def end(process: subprocess.Popen) -> tuple[int, str]:
    try:
        said, _ = process.communicate(timeout=900)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def runs(results: Path) -> dict[tuple[str, str], tuple[dict, np.ndarray | None]]:
    """The record of each task and strategy, and the logits of its student on dev."""
    found = {}
    for path in results.glob("runs/*/*/*/*/record.json"):
        record, logits = json.loads(path.read_text()), path.parent / "predictions" / "dev.parquet"
        answers = pd.read_parquet(logits).filter(like="logit_").to_numpy() if logits.exists() else None
        found[record["task"], record["strategy"]] = record, answers
    return found


@pytest.mark.skipif(not __import__("torch").distributed.is_available(), reason="this torch knows no processes")
def test_two_processes_that_are_cut_off_and_go_on_come_to_what_one_comes_to(tmp_path):
    data = odd_glue(tmp_path / "glue")
    code, said = end(start(tmp_path / "alone", data))
    assert code == 1, said  # the last strategy's loss is no number
    cut_off = start(tmp_path / "together", data, *TOGETHER)
    deadline = time.monotonic() + 900
    while not list((tmp_path / "together").glob("runs/*/wnli/mate-kd*/*/checkpoint/states/[1-9]*")):
        assert time.monotonic() < deadline
        assert cut_off.poll() is None, end(cut_off)
        time.sleep(0.02)
    cut_off.terminate()
    code, said = end(cut_off)
    assert code != 0, said
    code, said = end(start(tmp_path / "together", data, *TOGETHER))
    assert code == 1, said
    assert len(re.findall(r"\d+ cells run", said)) == 1, said  # one process speaks
    alone, together = runs(tmp_path / "alone"), runs(tmp_path / "together")
    assert alone.keys() == together.keys()
    assert len(alone) == 2 * (len(STRATEGIES) + 1)
    for cell, (one, logits) in alone.items():
        two, same = together[cell]
        assert (one["id"], one["status"]) == (two["id"], two["status"])
        if one["status"] == "failed":
            assert one["reason"] == two["reason"]
            assert "loss is nan" in one["reason"]
            continue
        assert np.abs(logits - same).max() < 1e-5 * np.abs(logits).max(), cell
        assert one["metrics"]["dev"] == pytest.approx(two["metrics"]["dev"], abs=1e-5)
        for counted in ("student_updates", "adversary_updates", "examples", "tokens", "forwards", "backwards"):
            assert one["cost"][counted] == two["cost"][counted], (cell, counted)
        assert one["teacher"]["dev"] == pytest.approx(two["teacher"]["dev"], abs=1e-5)
    assert together["wnli", MATE_KD][0]["resumed"] == 1
    # Rows that the processes went through, cut off or not, and not what the records say of it.
    rows, classes = left(tmp_path / "together.rows"), ("PlainDistillation", "MateKD", "CILDA", "FreeLB", "BestOfK")
    for strategy, name in zip(STRATEGIES, classes, strict=True):
        recorded = together["wnli", strategy][0]["cost"]["backwards"]["student"]
        assert rows[f"wnli {name} forward"] == rows[f"wnli {name} backward"] == recorded
    assert rows["wnli PlainDistillation forward"] == EPOCHS * WNLI_ROWS
    # Who has no row in a batch of one goes through it, too, for a gradient of nought.
    assert rows["stsb PlainDistillation forward"] == EPOCHS * (STSB_ROWS + 1)


def test_what_does_not_go_with_several_processes_is_said_before_any_work(tmp_path):
    code, said = end(start(tmp_path / "results", odd_glue(tmp_path / "glue"), *TOGETHER, parts=1))
    assert code != 0
    assert "--set recipe.accumulate=2" in said
