"""A damaged cache costs time and no result: it is named, set aside and made anew, and the numbers are the same."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from test_files import DAMAGES, replaced
from test_run_cli import bench, records
from tiny import Notes

from bench.files import is_whole

OF_THE_MACHINE = ("train_seconds", "seconds", "peak_memory_mb", "processor_share")
COMMAND = ("--strategy", "mate-kd[generator_steps=1,student_steps=1]", "--tasks", "rte")


def resaved(change):
    def damage(path):
        np.save(path, change(np.load(path)))

    return damage


# Every kind of damage, and every kind of file.
CASES = [
    ("teachers/rte-*/model.safetensors", "flipped"),
    ("teachers/rte-*/card.json", replaced(lambda _: b"{}")),
    ("generators/*/model.safetensors", "truncated"),
    ("tokenizers/*/tokenizer.json", "truncated"),
    ("tokenizers/*/tokenizer_config.json", replaced(lambda _: b"5")),
    ("encoded/*/ids.npy", "flipped"),
    ("encoded/*/offsets.npy", resaved(lambda array: array + 1)),
    ("encoded/*/rest.json", "other JSON"),
    ("logits/*/logits.npy", "emptied"),
    ("logits/*/logits.npy", resaved(np.zeros_like)),
    ("logits/*/logits.npy", resaved(lambda array: array[:-1].astype(np.float64))),
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    results = tmp_path_factory.mktemp("undisturbed")
    done = bench(*COMMAND, results=results)
    assert done.exit_code == 0, done.output
    return results, outcome(results)


def outcome(results):
    (record,) = records(results)
    (predictions,) = results.rglob("dev.parquet")
    cost = {key: value for key, value in record["cost"].items() if key not in OF_THE_MACHINE}
    hashes = record["teacher"]["hash"], record["generator"]["hash"], record["generator"]["perplexity"]
    return predictions.read_bytes(), record["metrics"], hashes, cost


@pytest.mark.parametrize(("pattern", "damage"), CASES)
def test_a_run_with_a_damaged_cache_is_the_undisturbed_run(undisturbed, tmp_path, pattern, damage):
    before, expected = undisturbed
    results = tmp_path / "results"
    shutil.copytree(before / "cache", results / "cache")
    damaged = sorted((results / "cache").glob(pattern))
    assert damaged
    for path in damaged:
        (DAMAGES[damage] if isinstance(damage, str) else damage)(path)
    done = bench(*COMMAND, results=results)
    assert done.exit_code == 0, done.output
    assert outcome(results) == expected
    words = " ".join(done.stderr.split()).replace(" ", "")  # a terminal's line ends, anywhere
    for path in damaged:
        assert f"madeanew:{path.parent}({path.name})" in words.replace("[", "").replace("]", ""), done.stderr
        assert is_whole(path.parent, Notes())
        assert os.path.lexists(path.parent.with_name(f"{path.parent.name}.corrupt-1"))
