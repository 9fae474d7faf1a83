"""Runs with curves and samples in their folders, for the tests of the page; names and texts that try to be markup."""

from __future__ import annotations

import json

from made_records import failures, leaderboard, run

from bench.reporting.comparison import compare
from bench.reporting.schema import record_of

MARKUP = "<script>document.title='broken out'</script>"
ODD_TASK = '"><img src=x onerror=alert(1)>'
TASKS = ("cola", "rte", ODD_TASK)
GAINS = {"none": 0.0, "eda": 0.05, MARKUP: -0.05, "mlm": 0.001}


def made(results):
    """Return (comparisons, [(strategy, record)]): four strategies, three tasks, three seeds, a failure."""
    runs = []
    for number, task in enumerate(TASKS):
        for place, (strategy, gain) in enumerate(GAINS.items()):
            for seed in range(3):
                value = 0.5 + 0.1 * number + gain + 0.002 * ((seed * (place + 1) + number) % 3)
                runs.append(_run(task, strategy, seed, value))
    lost = run("sst2", "mlm", 0) | {"status": "failed", "reason": f"it broke: {MARKUP}"}
    keep = ("schema", "id", "status", "reason", "preset", "task", "strategy", "strategy_options", "seed", "signature")
    runs.append({key: lost[key] for key in keep})
    comparisons = compare(leaderboard(runs), None, "none", failures(runs))
    records = []
    for number, tree in enumerate(runs):
        record = record_of(tree)
        record.folder = f"runs/{number}"
        folder = results / record.folder
        folder.mkdir(parents=True)
        _write(folder / "curve.jsonl", [{"step": 50 * n, "accuracy": 0.4 + 0.02 * n} for n in (1, 2, 3)])
        if tree["strategy"] != "none":
            _write(
                folder / "samples.jsonl", [{"row": 7, "before": ["a plain text"], "after": [["a <b>bold</b> text"]]}]
            )
        records.append((record.strategy, record))
    return comparisons, records


def _run(task, strategy, seed, value):
    return run(
        task,
        strategy,
        seed,
        round(value, 4),
        id=f"{task[:1]}{strategy[:1]}{seed}".encode().hex()[:8],
        cost={
            "forwards": {"student": 100 if strategy == "none" else 200},
            "processor_share": 0.2 if strategy == "mlm" else 1.0,
        },
        verified=f"{MARKUP} equals its formula" if strategy == "eda" else None,
        text_quality=None if strategy == "none" else {"changed": 0.5},
        provenance={"command": f"bench run --strategy '{strategy}'", "packages": {"torch": "2.9.9"}},
    )


def _write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
