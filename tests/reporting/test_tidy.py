from __future__ import annotations

import pandas as pd
import pytest
from made_records import run, tidy

import bench
from bench.cli import pages
from bench.errors import BenchError, UsageError
from bench.files import write_json
from bench.reporting.records import run_folder
from bench.reporting.tidy import Own, columns


def put(results, record):
    write_json(
        run_folder(results, *(record[k] for k in ("preset", "task", "strategy", "seed", "id"))) / "record.json", record
    )


def test_one_row_per_run_split_and_metric_and_one_for_a_run_without_a_score(tmp_path):
    scores = {"dev": {"accuracy": 0.5, "f1": 0.25}, "shifted": {"accuracy": 0.75, "f1": None}}
    put(tmp_path, run(metrics=scores))
    put(tmp_path, run(strategy="eda", status="failed", reason="out of memory", main=None))
    put(tmp_path, run(strategy="mixkd", status="skipped", reason="needs classes", main=None))
    frame = bench.results(tmp_path)
    keys = ["strategy", "status", "split", "metric", "value", "main", "reason"]
    rows = frame[keys].astype(object).where(frame[keys].notna(), None).to_numpy().tolist()
    assert rows == [
        ["eda", "failed", None, None, None, False, "out of memory"],
        ["mixkd", "skipped", None, None, None, False, "needs classes"],
        ["none", "done", "dev", "accuracy", 0.5, True, None],
        ["none", "done", "dev", "f1", 0.25, False, None],
        ["none", "done", "shifted", "accuracy", 0.75, False, None],
        ["none", "done", "shifted", "f1", None, False, None],
    ]
    assert frame["folder"].nunique() == 3


def test_columns_have_the_same_types_whatever_the_records_hold():
    cost = {"forwards": {"student": 10, "teacher": 5}, "backwards": {"student": 4}, "attack_queries": 7}
    whole = tidy([run(cost=cost, strategy_options={"b": 1, "a": [2]}), run(main=None, status="failed")])
    for frame in (whole, tidy([run(main=None, status="failed")]), tidy([])):
        assert list(frame) == list(whole)
        assert frame.dtypes.equals(whole.dtypes)
    kinds = {"seed": "Int64", "value": "float64", "main": "bool", "task": "string", "selection.optimistic": "boolean"}
    assert {name: str(whole[name].dtype) for name in kinds} == kinds
    assert whole["provenance.finished"][0] == pd.Timestamp("2025-01-01", tz="UTC")
    assert whole["strategy_options"][0] == '{"a":[2],"b":1}'
    assert whole["passes"].tolist()[0] == 10 + 5 + 2 * 4 + 7
    assert whole["passes"].isna().tolist() == [False, True]


def test_every_column_of_the_frame_is_on_its_page():
    listed = pages.page("results")
    for name in tidy([]):
        field = name.rpartition(".")[2]
        assert f"- `{field}`: " in listed, name
    assert set(tidy([])) == {*Own.__annotations__, *(column.name for column in columns())}


def test_corrupt_records_are_set_aside_with_a_warning(tmp_path):
    put(tmp_path, run())
    put(tmp_path, run(strategy="eda") | {"schema": 0})
    with pytest.warns(UserWarning, match=r"corrupt record .*eda.*moved to .*aside"):
        assert bench.results(str(tmp_path))["strategy"].tolist() == ["none"]
    assert (tmp_path / "aside").is_dir()


def test_no_results_and_no_runs_are_errors_that_say_what_to_do(tmp_path):
    with pytest.raises(BenchError, match="bench run --strategy none,mate-kd"):
        bench.results(tmp_path)
    with pytest.raises(UsageError, match=r"give what bench\.results\(FOLDER\) returns"):
        bench.leaderboard(pd.DataFrame({"task": ["rte"]}))
    (tmp_path / "runs").mkdir()
    assert bench.results(tmp_path).empty
    assert bench.leaderboard(bench.results(tmp_path)).empty


def test_a_baseline_that_is_not_there_is_named_as_on_the_command_line():
    frame = tidy([run(strategy="mate-kd"), run(strategy="eda")])
    with pytest.raises(UsageError, match="unknown baseline 'mate-kdd'; did you mean 'mate-kd'"):
        bench.leaderboard(frame, baseline="mate-kdd")
    # Plain distillation may be missing: there are then no differences.
    assert bench.leaderboard(frame)["difference"].isna().all()
    assert not bench.leaderboard(frame)["comparable"].any()
