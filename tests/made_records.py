"""Records as runs leave them, made up for the tests of tables."""

from __future__ import annotations


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
        "main": {"split": "dev", "metric": "accuracy", "value": value},
        "metrics": {"dev": {"accuracy": value}},
        "selection": {"rule": "last", "optimistic": False},
        "cost": {"student_updates": 100, "adversary_updates": 0, "train_seconds": seconds},
        "text_quality": None,
        "provenance": {"hardware": "cpu", "finished": "2025-01-01"},
    }
    for key, change in changes.items():
        old = record[key]
        merge = isinstance(old, dict) and isinstance(change, dict) and key != "strategy_options"
        record[key] = old | change if merge else change
    return record
