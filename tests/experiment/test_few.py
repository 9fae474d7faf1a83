from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.data.mini import MiniSource
from bench.data.tasks import Example
from bench.errors import UsageError
from bench.experiment.few import at_sizes, few_rows, prolonged
from bench.experiment.presets import load_settings
from bench.reporting.records import read_record
from bench.settings import Recipe

ROWS = [Example(number, (f"t{number}",), number % 3) for number in range(60)]


def test_samples_are_of_each_class_nested_and_in_order():
    samples = {n: few_rows(ROWS, n, 5, is_regression=False) for n in (1, 4, 20, 100)}
    assert {n: Counter(row.label for row in rows) for n, rows in samples.items()} == {
        n: dict.fromkeys((0, 1, 2), min(n, 20)) for n in samples
    }
    ids = [[row.id for row in rows] for rows in samples.values()]
    assert all(set(few) <= set(more) for few, more in pairwise(ids))
    assert all(one == sorted(one) for one in ids)
    assert ids[-1] == [row.id for row in ROWS]
    assert few_rows(ROWS, 4, 6, is_regression=False) != samples[4]
    # What other classes have does not move a class's sample.
    assert few_rows([row for row in ROWS if row.label != 0], 4, 5, is_regression=False) == [
        row for row in samples[4] if row.label != 0
    ]


def test_of_scores_the_number_is_of_all_rows():
    rows = [Example(number, ("t",), number / 7) for number in range(50)]
    few, more = (few_rows(rows, n, 0, is_regression=True) for n in (8, 16))
    assert (len(few), len(more)) == (8, 16)
    assert set(few) <= set(more)


def test_few_rows_are_read_for_at_least_so_many_updates():
    recipe = Recipe(epochs=3, evaluate_every=1.0, few_updates=300)
    few = prolonged(recipe, per_epoch=2)
    assert (few.epochs, few.evaluate_every) == (150, 50)  # three evaluations, as before
    assert prolonged(recipe, per_epoch=100) == recipe
    assert prolonged(recipe, per_epoch=101) == recipe


def test_each_seed_has_its_own_sample_and_all_rows_have_none():
    sized = at_sizes(load_settings("mini"), "8, 64,all,8", [0, 3])
    assert [(own.data.train_rows, own.data.sample_seed, seeds) for own, seeds in sized] == [
        (8, 0, [0]),
        (8, 3, [3]),
        (64, 0, [0]),
        (64, 3, [3]),
        (None, 0, [0, 3]),
    ]


@pytest.mark.parametrize("sizes", ["", "0", "-8", "8,,64", "8 per class", "half", "1e3", "²"])
def test_other_sizes_are_refused(sizes):
    with pytest.raises(UsageError, match="takes numbers of rows per class and all"):
        at_sizes(load_settings("mini"), sizes, [0])


def test_sizes_are_an_axis_of_the_grid(tmp_path):
    command = [
        "run",
        "--quick",
        "--tasks",
        "rte",
        "--strategy",
        "none",
        "--train-rows",
        "4,16,all",
        "--seeds",
        "2",
    ]
    command += [
        "--max-train",
        "64",
        "--set",
        "teacher.epochs=1",
        "--set",
        "recipe.epochs=1",
        "--set",
        "recipe.few_updates=3",
    ]
    planned = CliRunner().invoke(main, [*command, "--dry-run", "--results", str(tmp_path)]).output
    # Each size by its name, and the teacher that all have once: its time is spent once.
    assert [planned.count(f"rte of {size} rows a class · none · seed 0") for size in (4, 16)] == [1, 1]
    assert planned.count("teacher of rte") == 1
    done = CliRunner().invoke(main, [*command, "--keep-students", "none", "--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    records = [read_record(path.parent) for path in tmp_path.rglob("record.json")]
    assert len(records) == 6
    labels = {row.id: row.label for row in MiniSource().load("rte").splits["train"]}
    assert len(labels) > 64
    by_size = {}
    for record in records:
        by_size.setdefault(record["data"]["train_rows"], []).append(record)
    assert {size: {r["data"]["rows"]["train"] for r in of} for size, of in by_size.items()} == {
        4: {8},
        16: {32},
        None: {64},
    }
    assert {size: {r["cost"]["student_updates"] for r in of} for size, of in by_size.items()} == {
        4: {3},
        16: {3},
        None: {2},
    }
    # One teacher of all rows for all sizes, one signature for each size, whatever the seed.
    assert len({record["teacher"]["hash"] for record in records}) == 1
    assert len({record["signature"] for record in records}) == 3
    assert {r["spec"]["data"]["sample_seed"] for r in by_size[4]} == {0, 1}
    assert (
        "0 cells run, 6 were there already" in CliRunner().invoke(main, [*command, "--results", str(tmp_path)]).output
    )
    rows = json.loads(CliRunner().invoke(main, ["compare", "--format", "json", "--results", str(tmp_path)]).stdout)
    # Nothing is averaged over sizes: a row for each, of two seeds.
    assert Counter(row["strategy"] for row in rows) == {"none": 3}
    assert {row["n_seeds"] for row in rows} == {2}
    differs = {words for row in rows for words in row["differs"] if words.startswith("train_rows")}
    assert len(differs) == 2
