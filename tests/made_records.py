"""Records as runs leave them, made up for the tests of tables."""

from __future__ import annotations

import msgspec

from bench.reporting import leaderboard as tables
from bench.reporting import tidy as frames
from bench.reporting.comparison import compare
from bench.reporting.schema import record_of


def tidy(runs):
    """The tidy frame of runs as ``run`` makes them, each in a folder of its own."""
    records = [record_of(one) for one in runs]
    for number, record in enumerate(records):
        record.folder = f"runs/{number}"
    return frames.tidy(records)


def leaderboard(runs, baseline="none"):
    """The leaderboard of runs as ``run`` makes them."""
    return tables.leaderboard(tidy(runs), baseline)


def failures(runs):
    """Those of them without a score."""
    return tables.failures(tidy(runs))


def comparison(runs, baseline="none", predictions=None):
    """The one comparison that runs as ``run`` makes them come to."""
    (only,) = compare(leaderboard(runs, baseline), predictions, baseline, failures(runs))
    return only


def run(task="rte", strategy="none", seed=0, value=0.5, seconds=10.0, **changes):
    """One finished run; a change to a section is merged into it."""
    record = {
        "schema": 1,
        "id": "0a1b2c3d",
        "status": "done",
        "reason": None,
        "preset": "mini",
        "task": task,
        "strategy": strategy,
        "strategy_options": {},
        "seed": seed,
        "signature": f"bench=0.1.0|data={task}",
        "data": {"rows": {"train": 10, "dev": 5}, "official": {}, "max_train": None},
        "teacher": {"dev": 0.75, "majority": 0.5},
        "generator": None,
        "spec": {},
        "tuned": None,
        "searched": None,
        "verified": None,
        "main": {"split": "dev", "metric": "accuracy", "value": value},
        "metrics": {"dev": {"accuracy": value}},
        "selection": {"rule": "last", "optimistic": False},
        "cost": {"student_updates": 100, "adversary_updates": 0, "train_seconds": seconds, "rewritten": {}},
        "adversary": None,
        "budget": None,
        "text_quality": None,
        "checks": {"constant": None, "most_predicted": None, "dev_in_train": None},
        "provenance": {"hardware": "cpu", "finished": "2025-01-01"},
    }
    for key, change in changes.items():
        old = record[key]
        merge = isinstance(old, dict) and isinstance(change, dict) and key != "strategy_options"
        record[key] = old | change if merge else change
    return record


def undocumented(tree, known=None, where=""):
    """The fields of a written record that the schema does not have."""
    known = msgspec.to_builtins(record_of(tree)) if known is None else known
    odd = []
    for key, value in tree.items():
        if key not in known:
            odd.append(where + key)
        elif isinstance(value, dict) and isinstance(known[key], dict):
            odd += undocumented(value, known[key], f"{where}{key}.")
    return odd
