from __future__ import annotations

import json

import pytest
from made_records import leaderboard, run

from bench.errors import BenchError
from bench.reporting.by_size import by_size, size_of
from bench.reporting.comparison import compare
from bench.reporting.report.evidence import Shelf
from bench.reporting.report.section import Section
from bench.reporting.schema import record_of

GAINS = {8: (0.05, 0.07), 64: (0.02, 0.04), None: (0.01, 0.03)}


def of_size(task, strategy, seed, value, size):
    few = "" if size is None else f"|train_rows={size}"
    return run(task, strategy, seed, value, signature=f"bench=0.1.0|data={task}{few}", data={"train_rows": size})


def runs(task="rte", sizes=GAINS):
    return [
        of_size(task, strategy, seed, 0.5 + 0.1 * seed + (gain if strategy == "eda" else 0), size)
        for size in sizes
        for seed, gain in enumerate(GAINS[size])
        for strategy in ("none", "eda")
    ]


def test_gains_stand_at_each_size_with_their_intervals():
    sheets, frame = by_size(compare(leaderboard(runs())))
    (sheet,) = sheets
    assert [head for head, _ in sheet.columns] == ["strategy", "8", "64", "all"]
    assert [cells[0] for _, cells in sheet.columns] == ["none", "55.0", "55.0", "55.0"]
    eda = frame[frame["strategy"] == "eda"]
    assert eda["train_rows"].isna().tolist() == [False, False, True]
    assert eda["train_rows"].tolist()[:2] == [8, 64]
    assert eda["difference"].tolist() == pytest.approx([0.06, 0.03, 0.02])
    # Gains of two seeds, 0.02 apart: a standard error of 0.01, times t(1) at 97.5 %.
    assert (eda["gain_high"] - eda["difference"]).tolist() == pytest.approx([0.12706] * 3, rel=1e-3)
    assert sheet.columns[1][1][1].text.startswith("+6.0 [-6.7, +18.7]")


def test_a_large_gain_of_few_seeds_says_why_it_is_not_bold():
    gains = {8: (0.30, 0.31, 0.32), 64: (-0.01, 0.0, 0.01)}
    made = [
        of_size("rte", strategy, seed, 0.4 + 0.01 * seed + (gain if strategy == "eda" else 0), size)
        for size, of_seeds in gains.items()
        for seed, gain in enumerate(of_seeds)
        for strategy in ("none", "eda")
    ]
    (sheet,), _ = by_size(compare(leaderboard(made)))
    assert not sheet.columns[1][1][1].bold
    # Two tests: 2 · 2^(1 - n) is .05 at most from 7 seeds on.
    assert sheet.notes[-1] == (
        "too few seeds to be bold, though the interval leaves out 0, after correction over a strategy's 2 cells: "
        "8: eda; give more seeds, --seeds 7"
    )


def test_a_gain_without_its_baseline_at_that_size_is_none():
    made = [
        of_size("rte", "none", 0, 0.5, 8),
        of_size("rte", "eda", 0, 0.6, 8),
        of_size("rte", "none", 0, 0.5, 64),
        of_size("rte", "eda", 1, 0.6, 64),
    ]
    (sheet,), _ = by_size(compare(leaderboard(made)))
    assert sheet.columns[2][0] == "64"
    assert sheet.columns[2][1][1].text == "–"


def test_the_report_draws_each_gain_with_its_interval_against_the_rows(tmp_path):
    pytest.importorskip("altair")
    made = runs()
    comparisons, records = compare(leaderboard(made)), [(tree["strategy"], record_of(tree)) for tree in made]
    for number, (_, record) in enumerate(records):
        record.folder = f"runs/{number}"
    (section,) = (Section(1, one, records, tmp_path, Shelf()) for one in comparisons)
    (table,) = section.sizes
    assert table["heads"] == ["strategy", "8", "64", "all"]
    spec = section.charts[table["chart"]]
    drawn = [(row["strategy"], row["rows"], row["gain"]) for row in spec["datasets"]["sizes"]]
    assert drawn == [("eda", "8", 6.0), ("eda", "64", 3.0), ("eda", "all", 2.0)]
    assert [row["low"] for row in spec["datasets"]["sizes"]] == pytest.approx([-6.71, -9.71, -10.71], abs=0.01)
    assert '"sort": ["8", "64", "all"]' in json.dumps(spec)


def test_no_average_is_over_sizes():
    # cola has no runs on all rows: it is in no average with rte's.
    frame = leaderboard([*runs("rte"), *runs("cola", (8, 64))])
    main = frame[frame["main"]]
    assert {(row.task, size_of(row.signature)) for row in main.itertuples()} == {("rte", None)}
    (comparison,) = compare(frame)
    (eda,) = (row for row in comparison.strategies.to_dict("records") if row["strategy"] == "eda")
    assert eda["n_tasks"] == 1
    assert eda["gain"] == pytest.approx(0.02)
    # Without any on all rows the largest number counts, in every task.
    main = leaderboard([*runs("rte", (8, 64)), *runs("cola", (8, 64))]).query("main")
    assert {size_of(signature) for signature in main["signature"]} == {64}


def test_runs_on_all_rows_alone_have_no_curve():
    with pytest.raises(BenchError, match="bench run --train-rows 8,64,512,all"):
        by_size(compare(leaderboard(runs(sizes=(None,)))))
