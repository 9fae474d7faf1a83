"""Which row maker, split and size each mini task has, and the generation of its rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from random import Random

from bench.data.mini import pairs, single
from bench.data.mini.world import Voice
from bench.data.tasks import Example

# Changes whenever the same seed would give other rows.
VERSION = "1"

MAKERS: dict[str, Callable[[Voice], tuple[tuple[str, ...], int | float]]] = {
    "cola": single.cola,
    "sst2": single.sst2,
    "mrpc": pairs.mrpc,
    "stsb": pairs.stsb,
    "qqp": pairs.qqp,
    "mnli": pairs.mnli,
    "qnli": pairs.qnli,
    "rte": pairs.rte,
    "wnli": pairs.wnli,
}
MAKER_OF_SPLIT = {"dev_mismatched": pairs.mnli_mismatched, "test_mismatched": pairs.mnli_mismatched}

TRAIN_ROWS = {
    "cola": 3000,
    "sst2": 2500,
    "mrpc": 2000,
    "stsb": 2500,
    "qqp": 3000,
    "mnli": 3000,
    "qnli": 3000,
    "rte": 2000,
    "wnli": 1200,
}
DEV_ROWS, TEST_ROWS = 500, 300


def sizes(task: str) -> dict[str, int]:
    """Return the rows of each split of ``task``; train comes first."""
    rows = {"train": TRAIN_ROWS[task], "dev": DEV_ROWS, "test": TEST_ROWS}
    if task == "mnli":
        rows |= {"dev_mismatched": DEV_ROWS, "test_mismatched": TEST_ROWS}
    return rows


@lru_cache(maxsize=32)
def generate(task: str, seed: int) -> dict[str, list[Example]]:
    """Return every split of ``task``. No two of its rows have the same texts; test rows have no label."""
    seen: set[tuple[str, ...]] = set()
    splits = {}
    for split, count in sizes(task).items():
        voice = Voice(Random(f"mini {VERSION} {seed} {task} {split}"), varied=split != "train")
        maker = MAKER_OF_SPLIT.get(split, MAKERS[task])
        rows: list[Example] = []
        while len(rows) < count:
            texts, label = maker(voice)
            if texts not in seen:
                seen.add(texts)
                rows.append(Example(len(rows), texts, None if split.startswith("test") else label))
        splits[split] = rows
    return splits
