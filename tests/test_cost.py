from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bench.cost import Cost, waited


def test_a_phase_within_another_is_counted_once():
    cost = Cost()
    start = time.perf_counter()
    with cost.timed("student"):
        time.sleep(0.02)
        with cost.timed("adversary"):
            time.sleep(0.04)
    spent = time.perf_counter() - start
    assert cost.seconds["adversary"] >= 0.04
    assert cost.seconds["student"] >= 0.02
    assert cost.train_seconds <= spent


def test_work_that_is_charged_counts_as_training_and_takes_nothing_from_the_phase_it_is_charged_in():
    cost = Cost()
    with cost.timed("student"), cost.timed("rewrite_call"):
        for phase in ("rewrite", "rewrite_encode", "rewrite_teacher"):  # as an earlier run may have done it
            cost.seconds[phase] += 100.0
    assert 0 <= cost.seconds["rewrite_call"] < 100
    assert 0 <= cost.seconds["student"] < 100
    assert 300 <= cost.train_seconds < 400
    assert waited(cost.seconds) == pytest.approx(cost.seconds["rewrite_call"] + cost.seconds["student"])


def test_what_goes_wrong_is_timed_too():
    cost = Cost()
    with pytest.raises(RuntimeError, match="stop"), cost.timed("student"):
        time.sleep(0.01)
        raise RuntimeError("stop")
    assert cost.seconds["student"] >= 0.01


def test_counters_go_on_where_they_were():
    cost, again = Cost(student_updates=3, tokens=7), Cost()
    cost.forwards["student"] += 8
    cost.seconds["evaluate"] += 1.5
    cost.seconds["student"] += 2.25
    again.load_state_dict(cost.state_dict())
    again.forwards["student"] += 8
    again.forwards["teacher"] += 1
    assert again.forwards == {"student": 16, "teacher": 1}
    assert cost.forwards == {"student": 8}
    assert again.train_seconds == 2.25
    summary = again.summary()
    assert summary["student_updates"] == 3
    assert summary["seconds"] == {"evaluate": 1.5, "student": 2.25}
    assert summary["peak_memory_mb"]["process"] > 10


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="only Linux can forget a process's peak memory"
)
def test_peak_memory_counts_from_where_it_was_forgotten():
    # In a process of its own, where nothing else takes and gives back memory.
    code = """
import numpy as np
from bench.cost import Cost, peak_memory_mb
import torch
big = np.ones(2**28, dtype=np.uint8)
del big
before = peak_memory_mb()["process"]
Cost().forget_peak()
after = peak_memory_mb()["process"]
kept = np.ones(2**27, dtype=np.uint8)
print(before, after, peak_memory_mb()["process"])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after, again = map(int, told.split())
    assert after < before - 200
    assert again >= after + 120


def test_the_share_of_a_processor_tells_waiting_from_work():
    cost = Cost()
    assert cost.processor_share is None
    with cost.timed("student"):
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        with cost.timed("rewrite_call"):  # waited for others, which is no update
            time.sleep(0.5)
    working = cost.processor["student"]
    assert working >= 0.05
    with cost.timed("adversary"):
        time.sleep(2 * cost.seconds["student"])
    assert cost.processor_share < 0.5
    assert cost.summary()["processor_share"] == round(cost.processor_share, 3)
    again = Cost()
    again.load_state_dict(cost.state_dict())
    assert again.processor_share == cost.processor_share
