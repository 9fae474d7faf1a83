"""One tiny run of every strategy, compared with what it gave when it was last looked at.

A refactoring must not change a number here. A change that is meant to is made with

    python tests/golden/test_golden.py --write [NAME ...]

and its commit says why the numbers are others.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

os.environ.setdefault("OMP_NUM_THREADS", "1")

from bench.conformance.subject import Subject
from bench.conformance.tiny_tasks import PAIR, SCORE, SENTENCE, TinyTask
from bench.conformance.training import RECIPE, run
from bench.spec import StrategySpec, missing

FILE = Path(__file__).with_name("runs.json")
TASKS = {task.name: task for task in (SENTENCE, PAIR, SCORE)}
# Fresh models differ between the two: transformers 5 initialises in another order.
VERSION = f"transformers {transformers.__version__.partition('.')[0]}"

# (strategy, task, changes to the recipe)
RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    f"{strategy} {task}": (strategy, task, {})
    for strategy in (
        "none",
        "clean-twice",
        "r-drop",
        "shuffled-words",
        "finetune",
        "mate-kd[generator_steps=1,student_steps=2,generator_lr=1e-3]",
        "cilda[generator_steps=1,student_steps=2,generator_lr=1e-3]",
        "mlm",
        "vda",
        "freelb",
        "ad2",
        # From its own noise of 1e-5 the first step goes where a tiny gradient points, on another processor elsewhere.
        "smart[epsilon=0.1,lr=0.1,sigma=0.01]",
        "mixkd",
        "augpro",
        "augpro[method=fgsm]",
        "token-cutoff",
        "aeda",
        "eda",
        "tinybert-da",
        "mlm-words",
        "ssmba",
        "best-of-k(aeda)",
        "retrieve",
    )
    for task in ("made-pair", "made-score")
} | {
    "flips": ("flips(aeda)", "made-pair", {}),
    "one text": ("mate-kd[generator_steps=1,student_steps=2,generator_lr=1e-3]", "made-sentence", {}),
    "copies": ("aeda[copies=3]", "made-pair", {}),
    "reuse and share": ("mate-kd[reuse=2,share=0.5,generator_steps=1,student_steps=2]", "made-pair", {}),
    "cross-entropy": ("mate-kd[objective=ce,generator_steps=1,student_steps=2,generator_lr=1e-3]", "made-pair", {}),
    "two of four": ("best-of-k(aeda)[k=2,candidates=4,pool=4]", "made-pair", {}),
    "most uncertain": ("best-of-k(aeda)[score=teacher-sure-student-unsure]", "made-pair", {}),
    "composition": ("aeda+mate-kd[generator_steps=1,student_steps=2,generator_lr=1e-3]", "made-pair", {}),
    "sequential composition": ("freelb+aeda", "made-pair", {}),
    "annealing": ("mate-kd[objective=mse]", "made-pair", {"method": "annealing"}),
    "continuation": ("aeda", "made-pair", {"method": "continuation"}),
    "accumulate": ("mate-kd[generator_steps=1,student_steps=2,generator_lr=1e-3]", "made-pair", {"accumulate": 2}),
    "accumulate sequential": ("freelb", "made-pair", {"accumulate": 2}),
    "temperature": ("mixkd", "made-pair", {"temperature": 2.0, "weights": (0.5, 1.0, 2.0)}),
    "token batches": ("aeda", "made-pair", {"batch_tokens": 128}),
}


def outcome(name: str, folder: Path) -> dict[str, Any]:
    """Return what one run ends in: turns, dev logits, costs, and the sums of the trained weights."""
    strategy, task, changes = RUNS[name]
    subject = Subject(StrategySpec.parse(strategy), folder)
    done = run(subject, TinyTask(TASKS[task], folder), recipe=replace(RECIPE, **changes))
    assert done.outcome is not None
    weights = done.weights()
    cost = done.models.cost
    return {
        "turns": "".join(turn[0] for turn in done.turns),
        "logits": np.round(done.outcome.logits["dev"].astype(float), 6).tolist(),
        "forwards": dict(sorted(cost.forwards.items())),
        "backwards": dict(sorted(cost.backwards.items())),
        "weights": {
            role: round(sum(float(t.double().abs().sum()) for key, t in weights.items() if key.startswith(role)), 4)
            for role in ("student", "generator")
        },
    }


def lacks(name: str) -> str:
    found = missing(StrategySpec.parse(RUNS[name][0]).create())
    return ", ".join(resource.name for resource in found)


@pytest.mark.parametrize("name", RUNS)
def test_a_tiny_run_ends_as_it_did(name: str, tmp_path: Path) -> None:
    expected = json.loads(FILE.read_text())[VERSION]
    if lacking := lacks(name):
        pytest.skip(f"{lacking} is not on this machine")
    found = outcome(name, tmp_path)
    wanted = expected[name]
    for exact in ("turns", "forwards", "backwards"):
        assert found[exact] == wanted[exact], exact
    np.testing.assert_allclose(found["logits"], wanted["logits"], rtol=1e-3, atol=2e-4)
    for role, total in wanted["weights"].items():
        assert found["weights"][role] == pytest.approx(total, rel=1e-5)


def test_no_run_is_the_plain_one() -> None:
    # Else a strategy whose views are lost would pass.
    expected = json.loads(FILE.read_text())[VERSION]
    plain = {task: expected[f"none {task}"]["logits"] for task in ("made-pair", "made-score")}
    for name, (strategy, task, changes) in RUNS.items():
        if strategy != "none" and task in plain and not changes:
            assert not np.allclose(expected[name]["logits"], plain[task], atol=1e-4), name


if __name__ == "__main__":
    if sys.argv[1:2] != ["--write"] or not RUNS.keys() >= {*(names := sys.argv[2:] or list(RUNS))}:
        sys.exit(__doc__)
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        made = {name: outcome(name, Path(folder) / str(n)) for n, name in enumerate(names)}
    known[VERSION] = {name: (known.get(VERSION, {}) | made)[name] for name in RUNS}
    FILE.write_text(json.dumps(known, indent=1) + "\n")
