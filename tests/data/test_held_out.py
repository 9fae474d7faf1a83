"""Rows held out of train: which, how many, and that none of them is anywhere else."""

from __future__ import annotations

import pytest

from bench.data.held_out import HeldOut, split
from bench.data.mini import MiniSource
from bench.data.source import TaskData
from bench.data.tasks import GLUE, Example
from bench.errors import UsageError


def rows(n, repeats=1):
    return [Example(i, (f"text {i // repeats}", "and another"), i % 2) for i in range(n)]


@pytest.mark.parametrize(
    ("n", "held"), [(2, 1), (150, 75), (200, 100), (400, 100), (1000, 100), (1001, 101), (3000, 300), (30_000, 2000)]
)
def test_a_tenth_is_held_out_at_least_a_hundred_and_at_most_half(n, held):
    train, out = split(rows(n))
    assert (len(train), len(out)) == (n - held, held)
    assert sorted([*train, *out], key=lambda row: row.id) == rows(n)
    assert [row.id for row in train] == sorted(row.id for row in train)


def test_which_rows_follows_from_their_texts_alone():
    _, out = split(rows(500))
    _, other = split([Example(i + 7, row.texts, 0) for i, row in enumerate(reversed(rows(500)))])
    assert {row.texts for row in out} == {row.texts for row in other}
    assert [row.id for row in out] != list(range(100))


def test_rows_of_the_same_texts_stay_together():
    train, out = split(rows(1200, repeats=7))
    assert 120 <= len(out) < 127
    assert not {row.texts for row in train} & {row.texts for row in out}


class Poisoned:
    """A source whose dev and test rows break when they are looked at."""

    name, tasks = "mini", {"rte": GLUE["rte"], "mnli": GLUE["mnli"], "ax": GLUE["ax"]}

    def __init__(self, train):
        self.train = train

    def load(self, task):
        class Untouched(list):
            def __iter__(self):
                raise AssertionError("dev was read")

        return TaskData(GLUE["rte"], {"train": self.train, "dev": Untouched(), "test": Untouched()}, "mini", "f" * 16)

    def fingerprint(self, task):
        return "f" * 16

    def count(self, task):
        return {"train": len(self.train), "dev": 5}


def test_dev_and_test_are_not_read_and_the_held_out_rows_stand_for_dev():
    data = HeldOut(Poisoned(rows(400))).load("rte")
    assert data.splits.keys() == {"train", "dev"}
    assert len(data.splits["dev"]) == 100
    assert not {row.texts for row in data.splits["train"]} & {row.texts for row in data.splits["dev"]}
    assert data.fingerprint != "f" * 16


def test_what_has_no_rows_to_train_on_is_not_there_and_counts_are_those_loaded():
    mini = MiniSource(seed=0)
    source = HeldOut(mini)
    assert source.name == "mini"
    assert "ax" not in source.tasks
    assert set(source.tasks) <= set(mini.tasks)
    for task in ("rte", "wnli"):
        data, counted = source.load(task), source.count(task)
        assert counted.keys() == data.rows.keys()
        assert all(abs(counted[name] - data.rows[name]) <= 20 for name in counted)


def test_rows_that_are_all_the_same_cannot_be_split():
    with pytest.raises(UsageError, match="rte has too few different rows"):
        HeldOut(Poisoned(rows(50, repeats=50))).load("rte")
