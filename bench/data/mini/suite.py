"""Which function, splits and sizes each mini task has, and the generation of its rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from random import Random

from bench.data.mini import pairs, single
from bench.data.mini.world import Voice
from bench.data.tasks import Example
from bench.toml import read_entries

# Changes whenever the same seed would give other rows of any task; the draws do not follow it, so that the rows of
# tasks which a change leaves alone stay.
VERSION, _DRAWS = "5", "mini 3"

TASKS = read_entries(Path(__file__).with_name("tasks.toml"))

Row = tuple[tuple[str, ...], "int | float"]
_PAIRS = (pairs.mrpc, pairs.stsb, pairs.qqp, pairs.mnli, pairs.qnli, pairs.rte, pairs.wnli)
ROW_OF: dict[str, Callable[[Voice], Row]] = {row.__name__: row for row in (single.cola, single.sst2, *_PAIRS)}
ROW_OF_SPLIT = {"dev_mismatched": pairs.mnli_mismatched, "test_mismatched": pairs.mnli_mismatched}

DEV_ROWS, TEST_ROWS = 500, 300


def sizes(task: str) -> dict[str, int]:
    """Return the rows of each split of ``task``; train comes first."""
    rows = {"train": TASKS[task]["train"], "dev": DEV_ROWS, "test": TEST_ROWS, "shifted": DEV_ROWS}
    if task == "mnli":
        rows |= {"dev_mismatched": DEV_ROWS, "test_mismatched": TEST_ROWS}
    return rows


@lru_cache(maxsize=32)
def generate(task: str, seed: int) -> dict[str, list[Example]]:
    """Return every split of ``task``. No two of its rows have the same texts; test rows have no label."""
    seen: set[tuple[str, ...]] = set()
    splits = {}
    for split, count in sizes(task).items():
        voice = Voice(Random(f"{_DRAWS} {seed} {task} {split}"), varied=split == "shifted")
        row_of = ROW_OF_SPLIT.get(split, ROW_OF[task])
        rows: list[Example] = []
        while len(rows) < count:
            voice.register = voice.pick((0, 1))
            texts, label = row_of(voice)
            if texts not in seen:
                seen.add(texts)
                rows.append(Example(len(rows), texts, None if split.startswith("test") else label))
        splits[split] = rows
    return splits
