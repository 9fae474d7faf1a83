"""Several processes that train each cell together come to what one process comes to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
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
TOGETHER = ("torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "bench")


def start(results: Path, data: Path, *program: str, parts: int = 2) -> subprocess.Popen:
    (data / "no_number.py").write_text(NO_NUMBER)
    strategies = [*STRATEGIES, f"{data / 'no_number.py'}:NoNumber"]
    options = ["--preset", "mini", "--data-dir", data, "--tasks", "wnli", "--results", results]
    changes = [f"--set={change}" for change in (*TINY, "recipe.epochs=4", f"recipe.accumulate={parts}")]
    command = [sys.executable, "-m", *program, "run", *options, *changes, "--strategy", ",".join(strategies)]
    # A session of its own: what is left of it can be ended in the end.
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def end(process: subprocess.Popen) -> tuple[int, str]:
    try:
        said, _ = process.communicate(timeout=240)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def runs(results: Path) -> dict[str, tuple[dict, np.ndarray | None]]:
    """The record of each strategy, and the logits of its student on dev."""
    found = {}
    for path in results.glob("runs/*/*/*/*/record.json"):
        record, logits = json.loads(path.read_text()), path.parent / "predictions" / "dev.parquet"
        answers = pd.read_parquet(logits).filter(like="logit_").to_numpy() if logits.exists() else None
        found[record["strategy"]] = record, answers
    return found


@pytest.mark.skipif(not __import__("torch").distributed.is_available(), reason="this torch knows no processes")
def test_two_processes_that_are_cut_off_and_go_on_come_to_what_one_comes_to(tmp_path):
    data = glue(tmp_path / "glue")
    code, said = end(start(tmp_path / "alone", data, "bench"))
    assert code == 1, said  # the last strategy's loss is no number
    cut_off = start(tmp_path / "together", data, *TOGETHER)
    deadline = time.monotonic() + 240
    while not list((tmp_path / "together").glob("runs/*/*/mate-kd*/*/checkpoint/states/2")):
        assert time.monotonic() < deadline
        assert cut_off.poll() is None, end(cut_off)
        time.sleep(0.02)
    cut_off.terminate()
    code, said = end(cut_off)
    assert code != 0, said
    code, said = end(start(tmp_path / "together", data, *TOGETHER))
    assert code == 1, said
    assert said.count("5 cells run") + said.count("4 cells run") == 1, said  # one process speaks
    alone, together = runs(tmp_path / "alone"), runs(tmp_path / "together")
    assert alone.keys() == together.keys()
    assert len(alone) == len(STRATEGIES) + 1
    for strategy, (one, logits) in alone.items():
        two, same = together[strategy]
        assert (one["id"], one["status"]) == (two["id"], two["status"])
        if one["status"] == "failed":
            assert one["reason"] == two["reason"]
            assert "loss is nan" in one["reason"]
            continue
        assert np.abs(logits - same).max() < 1e-5 * np.abs(logits).max()
        assert one["metrics"]["dev"] == pytest.approx(two["metrics"]["dev"], abs=1e-6)
        for counted in ("student_updates", "adversary_updates", "examples", "tokens", "forwards", "backwards"):
            assert one["cost"][counted] == two["cost"][counted], (strategy, counted)
        assert one["teacher"]["dev"] == two["teacher"]["dev"]
    assert together[MATE_KD][0]["resumed"] == 1


def test_what_does_not_go_with_several_processes_is_said_before_any_work(tmp_path):
    code, said = end(start(tmp_path / "results", glue(tmp_path / "glue"), *TOGETHER, parts=1))
    assert code != 0
    assert "--set recipe.accumulate=2" in said
