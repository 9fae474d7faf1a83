"""Texts and rows from a table: matched by id or free, identified by content, and what is wrong with a table."""

from __future__ import annotations

import json
import pickle
from collections import Counter

import pytest
from click.testing import CliRunner
from tiny import Notes

from bench import Example
from bench.cli import main
from bench.conformance import suite
from bench.conformance.tiny_tasks import TASKS, examples
from bench.data.tables import write_table
from bench.data.tasks import GLUE
from bench.errors import BenchError, UsageError
from bench.rewriting.context import context_for
from bench.rewriting.engine import rewrite_all
from bench.rewriting.identity import identity
from bench.spec import StrategySpec, lacking

pytestmark = pytest.mark.texts_alone
SST2 = GLUE["sst2"]
# The last two are one text under two numbers, and numbers have gaps, as in a sample of a task's rows.
ROWS = [Example(id, (text,), 0) for id, text in [(0, "a b"), (2, "c d"), (5, "e f"), (6, "e f")]]


def made(spec, rows=ROWS, task=SST2, cache=None, ask=None, observer=None):
    strategy = StrategySpec.parse(spec).create()
    context = context_for(strategy, task, lambda role: ("", ""), rows=rows)
    return rewrite_all(strategy, rows if ask is None else ask, context, cache=cache, observer=observer).forms


@pytest.fixture
def table(tmp_path):
    def write(name="made.tsv", **columns):
        write_table(tmp_path / name, columns)
        return f"file:{tmp_path / name}"

    return write


@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl", "parquet"])
def test_rows_with_ids_are_forms_of_those_training_rows(table, ending):
    ids, texts = [6, 0, 5, 0, 2, 7], ["six", "zero", "five", "null", "two", "of a row left out"]
    spec = table(f"made.{ending}", id=ids, sentence=texts)
    wanted = [[("zero",), ("null",)], [("two",)] * 2, [("five",)] * 2, [("six",)] * 2]
    assert made(spec) == wanted
    assert made(spec, ask=ROWS[2:]) == wanted[2:]


def test_free_rows_are_dealt_out_until_all_are_used(table):
    texts = [f"row {n}" for n in range(10)]
    forms = made(f"{table(sentence=texts)}[id=none]")
    assert {len(own) for own in forms} == {3}
    times = Counter(text for own in forms for (text,) in own)
    assert set(times) == set(texts)
    assert sorted(times.values()) == [1] * 8 + [2] * 2
    assert made(f"{table(sentence=texts[:2])}[id=none]") == [[("row 0",)], [("row 1",)]] * 2


@pytest.mark.parametrize(("options", "said"), [("[id=none]", "2 of 5 rows repeat another"), ("", "1 of 5 rows repeat")])
def test_rows_that_repeat_others_are_counted(table, options, said):
    notes = Notes()
    made(table(id=[0, 2, 5, 6, 6], sentence=["a", "b", "b", "c", "c"]) + options, observer=notes)
    (note,) = notes.notes
    assert said in note


def test_rows_of_no_training_row_are_counted(table):
    notes = Notes()
    made(table(id=[0, 2, 5, 6, 7, 10**15], sentence=list("abcdef")), observer=notes)
    assert [note.partition(": ")[2] for note in notes.notes] == [
        "2 of 6 rows are of no training row here, and are left out"
    ]


def test_a_wrapper_keeps_rows_of_one_text_apart(table):
    spec = table(id=[0, 2, 5, 6], sentence=["zero", "two", "five", "six"])
    (pool,) = StrategySpec.parse(f"best-of-k({spec})[pool=2]").create().rewriters()
    context = context_for(pool, SST2, lambda role: ("", ""), rows=ROWS)
    assert rewrite_all(pool, ROWS, context).forms[2:] == [[("five",)] * 2, [("six",)] * 2]
    assert pool.files(SST2)


def test_pairs_take_the_columns_of_the_task_or_those_named(table):
    rows = [Example(0, ("a", "b"), 0)]
    columns = {"id": [0], "premise": ["p"], "hypothesis": ["h"], "hypothesis_augmented": ["new"], "other": ["o"]}
    spec = table("made.parquet", **columns)
    assert made(spec, rows, GLUE["mnli"]) == [[("p", "new")]]
    assert made(f"{spec}[columns=(other,hypothesis)]", rows, GLUE["mnli"]) == [[("o", "h")]]


def test_what_augment_wrote_can_be_trained_on(table, tmp_path):
    table("train.tsv", id=["0", "1"], sentence=["one good film", "two bad films"])
    output, results = tmp_path / "more.parquet", tmp_path / "results"
    command = ["augment", str(tmp_path / "train.tsv"), "--strategy", "aeda[copies=2]", "--columns", "sentence"]
    done = CliRunner().invoke(main, [*command, "--output", str(output), "--results", str(results)])
    assert done.exit_code == 0, done.output
    rows = [Example(0, ("one good film",), 0), Example(1, ("two bad films",), 1)]
    forms = made(f"file:{output}", rows)
    assert [len(own) for own in forms] == [2, 2]
    assert all(text.startswith("one") or "one" in text for (text,) in forms[0])
    assert not {("one good film",), ("two bad films",)} & {form for own in forms for form in own}


def test_a_changed_file_is_another_run_and_the_same_content_elsewhere_the_same(table):
    def known(spec):
        strategy = StrategySpec.parse(spec).create()
        return identity(strategy, context_for(strategy, SST2, lambda role: ("", ""), rows=ROWS), 0, 0)

    first = known(table(sentence=["a"]))
    assert known(table("copy.tsv", sentence=["a"])) == first
    changed = known(table(sentence=["b"]))
    assert changed["files"] != first["files"]
    assert {**changed, "files": first["files"]} == first


def test_a_changed_file_is_read_again_though_rewrites_are_cached(table, tmp_path):
    spec = table(id=[0, 2, 5, 6], sentence=list("wxyz"))
    assert made(spec, cache=tmp_path / "cache")[0] == [("w",)]
    table(id=[0, 2, 5, 6], sentence=list("vxyz"))
    assert made(spec, cache=tmp_path / "cache")[0] == [("v",)]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"id": [0], "text": ["a"]}, "", r"column 'sentence' is missing; columns found: id, text"),
        ({"number": [0], "sentence": ["a"]}, "", r"column 'id' is missing; columns found: number, .* \[id=…\]"),
        ({"number": [0], "sentence": ["a"]}, "[id=nmber]", r"column 'nmber' is missing"),
        (
            {"id": [1, 2, 3, 6], "sentence": list("wxyz")},
            "",
            r"2 of 4 training rows have no row here, .* 0",
        ),
        ({"id": [1, 2, 3, 6], "sentence": list("wxyz")}, "", r"has 4 numbers, from 1 to 6, and .* counted from 0"),
        ({"id": ["one"], "sentence": ["a"]}, "", r"made.tsv:2: id 'one' is not the number of a training row"),
        ({"id": ["-1"], "sentence": ["a"]}, "", r"made.tsv:2: id '-1' is not the number of a training row"),
        ({"id": ["1_0"], "sentence": ["a"]}, "", r"id '1_0' is not the number of a training row"),
        ({"id": ["1" * 5000], "sentence": ["a"]}, "", r"id '1{30,40}\.\.\.1{30,40}' is not the number"),
        ({"id": [0], "sentence": [" "]}, "", r"made.tsv:2: sentence is empty; leave the row out"),
        ({"id": [], "sentence": []}, "", r"made.tsv has no rows"),
        (
            {"id": [0], "sentence": ["a"]},
            "[columns=(id,sentence)]",
            r"2 columns \(id, sentence\), but sst2 has 1",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said(table, columns, options, message):
    spec = table(**columns) + options
    with pytest.raises(BenchError, match=message):
        StrategySpec.parse(spec).create().supports(SST2)
        made(spec)


def test_cells_that_are_no_text_are_an_error(table):
    spec = table("made.jsonl", id=[0, 1], sentence=["a", 3])
    with pytest.raises(BenchError, match=r"made.jsonl:2: sentence is not a text but 3"):
        made(spec)
    spec = table("made.parquet", id=[0.5], sentence=["a"])
    with pytest.raises(BenchError, match=r"made.parquet, row 1: id 0.5 is not the number"):
        made(spec)


def test_a_file_that_is_not_there(tmp_path):
    spec = StrategySpec.parse(f"file:{tmp_path}/none.tsv")
    assert "none.tsv is missing" in lacking(spec.create())
    for name in ("x" * 5000, "\0"):  # names that no file can have
        with pytest.raises(UsageError, match="no such file"):
            made(f"file:{tmp_path}/{name}.tsv")
    by_task = StrategySpec.parse(f"file:{tmp_path}/{{task}}.tsv").create()
    assert by_task.supports(SST2) == f"there is no file {tmp_path}/sst2.tsv"
    with pytest.raises(UsageError, match="no such file"):
        made(str(spec))


def test_it_is_spelled_pickled_and_documented(table):
    spec = StrategySpec.parse(f"{table(sentence=['a'])}[id=none]")
    assert StrategySpec.parse(str(spec)) == spec
    again = pickle.loads(pickle.dumps(spec.create()))
    assert (again.path, again.id) == (spec.create().path, None)
    page = CliRunner().invoke(main, ["docs", "file"])
    assert "{task}" in page.output
    listed = json.loads(CliRunner().invoke(main, ["list", "strategies", "--format", "json"]).stdout)
    assert "file:PATH" in [row["name"] for row in listed]


@pytest.mark.usefixtures("on_pairs")
@pytest.mark.parametrize("options", ["", "[id=none]"])
def test_it_passes_every_check(table, tmp_path, options):
    for task in TASKS:
        rows = examples(task)
        texts = {name: [row.texts[side] + " indeed" for row in rows] for side, name in enumerate(task.texts)}
        table(f"{task.name}.parquet", id=[row.id for row in rows], **texts)
    findings = list(suite.examine(StrategySpec.parse(f"file:{tmp_path}/{{task}}.parquet{options}")))
    assert {one.check: one.detail for one in findings if one.outcome == "failed"} == {}
