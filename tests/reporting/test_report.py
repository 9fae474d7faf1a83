from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from click.testing import CliRunner
from made_records import leaderboard, run

from bench.cli import main
from bench.files import write_json
from bench.reporting.comparison import compare
from bench.reporting.records import run_folder
from bench.reporting.report.board import cells, line
from bench.reporting.report.changes import changes
from bench.reporting.report.evidence import Shelf, curve_of, mean_curves, samples_of, spread
from bench.reporting.report.field import Field
from bench.reporting.report.numbers import NONE, interval, points, probability, times
from bench.reporting.report.page import page
from bench.reporting.report.verdict import corrected_over, headline, support
from bench.reporting.schema import record_of


def compared(*rivals, seeds=5, tasks=9, baseline="none"):
    """A comparison of strategies given as (name, verdict, gain)."""
    rows = [(baseline, "baseline", None), *rivals]
    figures = {"gain_low": -0.01, "gain_high": 0.02, "detectable": 0.012, "smallest_p": 0.25, "p_holm": 0.064}
    strategies = [
        {"strategy": name, "base": name.partition("[")[0], "verdict": said, "gain": gain, **figures}
        for name, said, gain in rows
    ]
    cells = [{"strategy": name, "task": str(task), "n_paired": seeds} for name, *_ in rows for task in range(tasks)]
    return SimpleNamespace(baseline=baseline, strategies=pd.DataFrame(strategies), tasks=pd.DataFrame(cells))


SAME, ALONE = "not distinguishable", "cannot tell with 1 seed"


@pytest.mark.parametrize(
    ("comparison", "sentence"),
    [
        (
            compared(("eda", SAME, 0.01), ("mlm", SAME, 0.0)),
            "None of 2 strategies can be told from plain distillation with 5 seeds on 9 tasks.",
        ),
        (
            compared(("eda", "better", 0.01), ("mlm", SAME, 0.0), ("vda", "worse", -0.01)),
            "eda is better than plain distillation with 5 seeds on 9 tasks; vda is worse; "
            "the other one cannot be told from it.",
        ),
        (
            compared(*((f"s{n}", "better", 0.05 - n / 100) for n in range(4))),
            "4 strategies, s0 first, are better than plain distillation with 5 seeds on 9 tasks.",
        ),
        (
            compared(("eda", "worse", -0.01), seeds=3, tasks=1, baseline="mlm"),
            "eda is worse than mlm with 3 seeds on 1 task.",
        ),
        (
            compared(("eda", ALONE, 0.01), seeds=1, tasks=1),
            "1 seed on 1 task cannot tell eda from plain distillation.",
        ),
        (compared(), "Nothing stands beside plain distillation here that could be held against it."),
        (
            # Controls, other budgets and the student without a teacher are no strategies: neither counted nor named.
            compared(
                ("finetune", "worse", -0.05),
                ("eda", SAME, 0.0),
                ("none[forwards_of=mate-kd]", "better", 0.1),
                ("clean-twice", SAME, 0.02),
            ),
            "eda cannot be told from plain distillation with 5 seeds on 9 tasks.",
        ),
        (
            compared(("clean-twice", "better", 0.01), ("r-drop", SAME, 0.0), ("finetune", SAME, 0.0)),
            "No strategy stands beside plain distillation here, only 2 controls and 1 reference.",
        ),
    ],
)
def test_the_verdict_is_one_sentence(comparison, sentence):
    assert headline(comparison) == sentence


def test_the_verdict_rests_on_what_would_have_been_seen():
    said = support(compared(("eda", SAME, 0.006), ("mlm", SAME, -0.006)))
    assert said == (
        "Smallest difference that would have been seen: 1.2 points. "
        "Largest gain of a strategy: eda, +0.6 points (95 % interval −1.0 to +2.0)."
    )
    assert "whatever the data, is .250." in support(compared(("eda", ALONE, 0.006), seeds=3, tasks=1))
    said = support(compared(("eda", ALONE, 0.006), ("mlm", ALONE, 0.0), ("vda", ALONE, 0.0), seeds=3, tasks=1))
    assert "whatever the data, is .250, after Holm's correction over 3 rows .750." in said


def test_what_is_no_strategy_is_named_where_it_gains_more():
    budget, control = ("none[forwards_of=mate-kd]", SAME, 0.095), ("r-drop", SAME, 0.03)
    said = support(compared(("eda", SAME, 0.037), ("mlm", SAME, 0.0), budget, control, ("finetune", SAME, 0.04)))
    own, *above = said.split(" points (95 % interval −1.0 to +2.0")
    assert own.endswith("Largest gain of a strategy: eda, +3.7")
    assert [part.partition("). ")[2] for part in above] == [
        "Plain distillation on another budget, none[forwards_of=mate-kd], gains more: +9.5",
        "The reference finetune, a student without a teacher, gains more: +4.0",
        "",
    ]
    assert said.endswith("; not distinguishable, p .064).")
    rows = compared(("eda", SAME, 0.037), ("mlm", SAME, 0.0), budget, control, ("finetune", SAME, 0.04))
    assert corrected_over(rows) == "all 5 rows tested: 2 strategies, 1 row of another budget, 1 control and 1 reference"


def test_numbers_are_written_as_people_read_them():
    assert [points(v, signed=True) for v in (0.0123, -0.0004, -0.012, None, float("nan"))] == [
        "+1.2", "0.0", "−1.2", "–", "–",
    ]  # fmt: skip
    assert interval(-0.01, 0.004) == "−1.0 to +0.4"
    assert [probability(p) for p in (0.0004, 0.031, 1.0)] == ["<.001", ".031", "1"]
    assert [times(c) for c in (1.04, 12.3)] == ["1.0×", "12×"]


def test_changed_words_are_marked():
    assert changes("a b c", "a x y c d") == [("same", "a"), ("out", "b"), ("in", "x y"), ("same", "c"), ("in", "d")]
    assert changes("a b", "a  b ") == [("same", "a b")]


def test_a_mean_curve_never_jumps_to_other_seeds():
    curves = [("eda", [(1, 0.5), (2, 0.7)]), ("eda", [(1, 0.6), (3, 0.9)]), ("none", [(1, 0.2)])]
    assert [(row["strategy"], row["step"], row["score"]) for row in mean_curves(curves)] == [
        ("eda", 1, 55.0),
        ("none", 1, 20.0),
    ]


def test_damaged_curves_and_samples_are_left_out(tmp_path):
    assert curve_of(tmp_path, "f1") == []
    (tmp_path / "curve.jsonl").write_text('{"step": 1, "f1": 0.5}\n{"step": 2, "f1": null}\n[3]\n{"step": 3, "f')
    assert curve_of(tmp_path, "f1") == [(1, 0.5)]
    (tmp_path / "samples.jsonl").write_text('{"before": ["a"], "after": [["b"]]}\n{"before": "a", "after": [[1]]}\n')
    assert samples_of(tmp_path) == [{"before": ["a"], "after": [["b"]]}]


def test_of_many_runs_each_strategy_keeps_its_first_seeds():
    records = [(name, record_of(run("rte", name, seed))) for name in ("eda", "mlm") for seed in range(3)]
    assert [(name, record.seed) for name, record in spread(records, 3)] == [("eda", 0), ("mlm", 0), ("eda", 1)]


def test_what_records_have_in_common_is_kept_once():
    shelf = Shelf()
    places = [shelf.add(record_of(run(seed=seed)), "none") for seed in range(2)]
    one, other = (shelf.records[place] for place in places)
    assert [key for key, a, b in zip(shelf.keys, one, other, strict=True) if a != b] == ["seed"]
    assert shelf.pool[one[shelf.keys.index("teacher")]]["dev"] == "0.75"


def test_a_page_of_ten_thousand_runs_stays_small_and_says_what_it_leaves_out(tmp_path):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    few = [run(task, f"s{n}", seed) for task in ("cola", "rte") for n in range(2) for seed in range(2)]
    (small,) = compare(leaderboard([run(), run(seed=1), *few]))
    tasks, strategies = (
        pd.concat([frame, *(frame.iloc[-1:].assign(strategy=f"more{n}", gain=0.01) for n in range(400))])
        for frame in (small.tasks, small.strategies)
    )
    many = dataclasses.replace(small, tasks=tasks, strategies=strategies, pairwise=small.pairwise)
    records = [(f"more{n % 400}", record_of(run("rte", f"more{n % 400}", n // 400))) for n in range(10_000)]
    html = page([many], records, tmp_path)
    assert len(html) < 2_500_000
    assert "253 of 403 rows of the tables, those of the smallest gains" in html
    assert "9,200 more are left out, later seeds first, to keep the page small" in html


def test_the_command_writes_the_page_of_what_is_chosen(tmp_path):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    for strategy, value in (("none", 0.5), ("eda", 0.6), ("mlm", 0.4)):
        for seed in range(2):
            tree = run("rte", strategy, seed, value + seed / 100, id=f"{strategy}{seed}")
            write_json(run_folder(tmp_path, "mini", "rte", strategy, seed, tree["id"]) / "record.json", tree)
    page_file = tmp_path / "page.html"
    request = ["report", "--results", str(tmp_path), "--strategy", "none,ed*", "--output", str(page_file)]
    result = CliRunner().invoke(main, request)
    assert result.exit_code == 0, result.output
    html = page_file.read_text("utf-8")
    assert "2 seeds on 1 task cannot tell eda from plain distillation." in html
    assert 'data-strategy="eda"' in html
    assert 'data-strategy="mlm"' not in html
    assert CliRunner().invoke(main, [*request, "--tasks", "cola"]).exit_code == 2


def test_seconds_that_are_in_no_cost_are_marked_there_and_not_by_the_gain():
    busy = run(strategy="mlm", cost={"processor_share": 0.2})
    (comparison,) = compare(leaderboard([run(), run(strategy="eda", provenance={"hardware": "another"}), busy]))
    field = Field("c1", comparison)
    seconds = {row["strategy"]: line(field, row, (-1, 1))["seconds"][0] for row in field.strategies}
    assert seconds == {"none": "1.0×", "eda": "–⇆", "mlm": "–◔"}
    assert not [mark for name in field.names for cell in cells(field, name) for mark, *_ in cell["marks"]]


def test_a_gain_without_an_interval_is_shown_nowhere():
    (comparison,) = compare(leaderboard([run(value=0.5), run(strategy="eda", value=0.6)]))
    field = Field("c1", comparison)
    (eda,) = (row for row in field.strategies if row["strategy"] == "eda")
    assert line(field, eda, (-1, 1))["gain"][0] == NONE
    (cell,) = cells(field, "eda")
    assert (cell["interval"], cell["main"], cell["marks"]) == ("", "60.0", [])
    assert "Largest gain" not in support(comparison)
    assert "+10" not in page([comparison], [], Path()).partition("<main")[2].partition("</main>")[0]


def test_what_a_browser_would_obey_is_spelled_out():
    (comparison,) = compare(leaderboard([run(), run(strategy="eda\x1b\u202e")]))
    html = page([comparison], [], Path())
    assert "eda\\x1b\\u202e" in html
    assert "\x1b" not in html.partition("<main")[2].partition("</main>")[0]


def test_without_the_libraries_of_charts_the_command_that_gets_them_is_shown(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "altair" else find(name))
    result = CliRunner().invoke(main, ["report", "--results", str(tmp_path)])
    assert result.exit_code == 1
    assert "need altair, which is not installed; type: pip install 'distil-augment-bench[report]'" in result.output
