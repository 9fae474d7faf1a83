"""Papers' numbers: the file that comes with the package, a file of one's own, and both beside records."""

from __future__ import annotations

import pytest
from checkout import ROOT
from click.testing import CliRunner
from made_records import comparison, run

from bench.cli import main
from bench.data.tasks import GLUE
from bench.errors import UsageError
from bench.files import write_json
from bench.reporting.averages import averages
from bench.reporting.beside_papers import beside, sheets
from bench.reporting.published import FILE, read
from bench.reporting.records import run_folder
from bench.reporting.schema import record_of

HEADER = "source,setting,method,task,metric,value,split,selection,seeds\n"
OWN = HEADER + (
    "Paper,big -> small-base,none,rte,accuracy,70,dev,last,2\n"
    "Paper,big -> small-base,MATE-KD,rte,accuracy,73.5,dev,last,2\n"
    "Paper,big -> small-base,TAKD,rte,accuracy,71,dev,,\n"
    "Paper,big -> small-base,MATE-KD,mrpc,accuracy,80,test,best,5\n"
    "Paper,big -> small-base,MATE-KD,average,mean of nine tasks,80,dev,last,2\n"
)


def cell(task, strategy, seed, value, **changes):
    spec = {"teacher": {"model": "org/BIG"}, "student": {"model": "small"}, "recipe": {"method": "kd"}}
    return run(task, strategy, seed, value, spec=spec, data={"source": "folder"}, **changes)


RUNS = [
    *(cell("rte", "none", seed, value) for seed, value in enumerate((0.70, 0.72))),
    *(cell("rte", "mate-kd", seed, value) for seed, value in enumerate((0.74, 0.76))),
    cell("rte", "eda", 0, 0.71),
    cell("mrpc", "mate-kd", 0, 0.6, main={"metric": "f1"}, metrics={"dev": {"f1": 0.6, "accuracy": 0.5}}),
]


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(OWN)
    return path


def joined(papers, runs=RUNS):
    records = [record_of(one) for one in runs]
    frame = comparison(runs).tasks
    rows = beside(frame, averages(frame), records, papers)
    return rows, sheets(rows, frame, papers)


def test_the_file_that_comes_along_is_the_one_in_results_and_knows_whose_method_is_ours():
    papers = read()
    assert len(papers) == 104
    assert (ROOT / "results" / "published.csv").read_bytes() == FILE.read_bytes()
    mate = [(p.task, p.value, p.split) for p in papers if p.ours == "mate-kd"]
    assert mate == [("average", 82.64, "dev"), ("average", 80.9, "test")]
    kd = {p.task: p.value for p in papers if (p.ours, p.recipe) == ("none", "kd") and p.setting.startswith("Ro")}
    assert (kd["rte"], kd["cola"]) == (71.11, 60.97)
    assert {p.recipe for p in papers if p.method == "Annealing-KD"} == {"annealing"}
    assert {p.ours for p in papers if p.method == "TAKD"} == {""}


def test_there_here_difference_and_gains_are_those_worked_out_by_hand(own):
    rows, tables = joined(read(own))
    found = {(row["task"], row["method"]): row for row in rows.to_dict("records")}
    none, mate = found["rte", "none"], found["rte", "MATE-KD"]
    assert [none[key] for key in ("paper", "ours", "difference")] == pytest.approx([70, 71, 1])
    assert [mate[key] for key in ("paper", "ours", "difference")] == pytest.approx([73.5, 75, 1.5])
    # Each within its own protocol: 73.5 - 70 there, 75 - 71 here.
    assert [mate["paper_gain"], mate["our_gain"]] == pytest.approx([3.5, 4])
    # Same models but for their names' endings, same metric, split, rule and number of seeds.
    assert mate["differs"] == ()
    # The metric of the paper where we have it, and what else is not alike in words.
    other = found["mrpc", "MATE-KD"]
    assert (other["metric"], other["ours"], other["difference"]) == ("accuracy", pytest.approx(50), pytest.approx(-30))
    assert other["differs"] == (
        "split: there test; here dev",
        "student reported: there best; here last",
        "seeds: there 5; here 1",
    )
    # A mean over other tasks is another quantity.
    mean = found["average", "MATE-KD"]
    assert mean["difference"] != mean["difference"]
    assert "tasks: there mean of nine tasks; here mrpc, rte" in mean["differs"]
    (table,) = tables
    assert table.lead[0].startswith("not like for like, as split, student reported, seeds and tasks differ")
    notes = "\n".join(table.notes)
    assert "there and not here: TAKD on rte" in notes
    assert "here and not there: eda on rte" in notes


def test_our_gain_has_its_interval_and_plain_distillation_of_another_budget_is_beside_no_paper(own):
    values = {"none": (0.70, 0.72), "mate-kd": (0.73, 0.77), "none[forwards_of=mate-kd]": (0.8, 0.9)}
    made = [cell("rte", name, seed, value) for name, own in values.items() for seed, value in enumerate(own)]
    for record in made:
        record["base"] = record["strategy"].partition("[")[0]
    rows, (table,) = joined(read(own), made)
    assert "none[forwards_of=mate-kd]" not in {*rows["strategy"]}
    # Gains of 3 and 5: 4 on average with a standard error of 1, and 12.706 is t's quantile for one degree of freedom.
    mate = rows[(rows["strategy"] == "mate-kd") & (rows["task"] == "rte")].iloc[0]
    assert [mate["our_gain"], mate["our_gain_low"], mate["our_gain_high"]] == pytest.approx(
        [4, 4 - 12.7062, 4 + 12.7062]
    )
    mean = rows[(rows["strategy"] == "mate-kd") & (rows["task"] == "average")].iloc[0]
    assert mean["our_gain_low"] == pytest.approx(mate["our_gain_low"])
    gains = dict(table.columns)["gain here [95 %]"]
    assert [cell for cell in gains if cell != "–"] == ["+4.0 [-8.7, +16.7]"] * 2


def test_other_models_and_rows_are_said_and_another_recipe_is_another_method(own):
    made = [run("rte", "none", 0, 0.7, spec={"teacher": {"model": "scratch"}, "student": {"model": "teacher"}})]
    made[0]["data"] = made[0]["data"] | {"source": "mini", "max_train": 100}
    rows, (table,) = joined(read(own), made)
    (row,) = rows.to_dict("records")
    assert "models: there big -> small-base; here a tiny one from scratch -> the same" in row["differs"]
    assert "data: there all of GLUE's; here generated rows, not GLUE's, trained on 100 rows" in row["differs"]
    assert row["difference"] != row["difference"]
    assert "difference" not in dict(table.columns)
    made[0]["spec"]["recipe"] = {"method": "annealing"}
    rows, (table,) = joined(read(own), made)
    assert rows.empty
    assert table.notes == ["none of its tasks and strategies has a published number here"]


def test_an_average_is_beside_the_one_over_the_same_tasks(own):
    own.write_text(
        HEADER + "P,,none,average,mean of eight tasks,80,dev,,\nP,,none,average,mean of nine tasks,70,dev,,\n"
    )
    nine = [cell(task, "none", 0, 0.5 if task == "wnli" else 0.6) for task in GLUE if task != "ax"]
    rows, _ = joined(read(own), nine)
    assert list(rows["ours"]) == pytest.approx([60, 100 * (8 * 0.6 + 0.5) / 9])
    assert list(rows["difference"]) == pytest.approx([-20, 100 * (8 * 0.6 + 0.5) / 9 - 70])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (HEADER + "P,,KD,rte,accuracy,eighty,dev,,\n", ":2: value is 'eighty': a number of points is meant, 0 to 100"),
        (HEADER + "P,,KD,rte,accuracy,nan,dev,,\n", ":2: value is 'nan'"),
        (HEADER + "P,,KD,cola,matthews,-101,dev,,\n", ":2: value is '-101': a number of points is meant, -100 to 100"),
        (HEADER + "P,,KD,rte,acc,80,dev,,\n", ":2: unknown metric of rte: 'acc'; did you mean 'accuracy'?"),
        (HEADER + "P,,KD,RTE,accuracy,80,dev,,\n", ":2: task is 'RTE': write average, or a task's name"),
        (HEADER + "P,,KD,rte,accuracy,80,val,,\n", ":2: unknown split: 'val'"),
        (HEADER + "P,,,rte,accuracy,80,dev,,\n", ":2: method is empty"),
        (HEADER + "P,,KD,rte,accuracy,80,dev,,\n" * 2, ":3: KD on rte stands there already: "),
        (HEADER + "P,,KD,rte,accuracy,80\n", ":2: 6 columns, but 9 expected"),
        (HEADER, "has no row below its header"),
        ("source,metod\n", "unknown column of"),
        ("source,method,task,metric,value\n", "column 'split' is missing"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_line_and_value(content, words, tmp_path):
    results, path = tmp_path / "results", tmp_path / "own.csv"
    write_json(run_folder(results, "mini", "rte", "none", 0, "0a1b2c3d") / "record.json", RUNS[0])
    path.write_text(content)
    done = CliRunner().invoke(main, ["compare", "--results", str(results), "--published", str(path)])
    assert done.exit_code in (1, 2), done.output
    assert words in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_it_is_printed_with_the_papers_own_file_if_no_other_is_named(tmp_path):
    for one in RUNS:
        write_json(
            run_folder(tmp_path, "mini", one["task"], one["strategy"], one["seed"], "0a1b2c3d") / "record.json", one
        )
    done = CliRunner().invoke(main, ["compare", "--results", str(tmp_path), "--published", "--tasks", "rte"])
    assert done.exit_code == 0, done.output
    assert "not like for like, as models" in done.stdout
    assert "arXiv 2212.05998" in done.stdout
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "none.csv")
