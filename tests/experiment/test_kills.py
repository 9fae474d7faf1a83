"""A run that is killed at random moments leaves what one that was left in peace leaves, bit for bit."""

from __future__ import annotations

import subprocess
import sys

from checkout import ROOT


def test_a_run_of_every_phase_that_is_killed_three_times_leaves_the_same_records_predictions_and_student():
    script = [sys.executable, "tests/benchmarks/kills.py", "3", "1", "eda+mate-kd[generator_steps=2,student_steps=3]"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.endswith(", 0 differing figures\n"), done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("3 kills in ")
