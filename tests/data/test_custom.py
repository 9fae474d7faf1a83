"""A user's own task, described by a TOML file."""

from __future__ import annotations

import csv
import gzip
import json

import pytest

from bench.data.custom import load_task_file
from bench.data.source import differences, doubts
from bench.data.sources import describe
from bench.data.tables import read_table
from bench.data.tasks import Example
from bench.errors import BenchError, UsageError

TASK = """
name = "reviews"
texts = ["text"]
label = "rating"
labels = ["bad", "good"]
metrics = ["f1", "accuracy"]
[files]
train = "train.tsv"
dev = "dev.tsv"
"""
ROWS = [("fine", "good"), ("poor", "bad")]
EXAMPLES = [Example(0, ("fine",), 1), Example(1, ("poor",), 0)]


def task_file(
    folder,
    text=TASK,
    train="text\trating\nfine\tgood\npoor\tbad\n",
    dev="rating\ttext\ngood\tfine\nbad\tpoor\n",
):
    (folder / "train.tsv").write_text(train)
    (folder / "dev.tsv").write_text(dev)
    path = folder / "task.toml"
    path.write_text(text)
    return path


def test_a_classification_task(tmp_path):
    source = load_task_file(task_file(tmp_path))
    assert list(source.tasks) == ["reviews"]
    task = source.tasks["reviews"]
    assert (task.labels, task.metrics, task.main_metric, task.title) == (
        ("bad", "good"),
        ("f1", "accuracy"),
        "f1",
        "reviews",
    )
    data = source.load("reviews")
    assert data.splits == {"train": EXAMPLES, "dev": EXAMPLES}
    assert (data.source, differences(task, data.rows)) == ("file", {})
    assert source.count("reviews") == {"train": 2, "dev": 2}
    assert describe(source)[0]["rows"] == {"train": 2, "dev": 2}
    with pytest.raises(UsageError, match="unknown task 'rte'"):
        source.load("rte")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet", "tsv", "tsv.gz"])
def test_every_format_gives_the_same_rows(tmp_path, ending):
    import pandas as pd

    path = task_file(tmp_path, TASK.replace("train.tsv", f"train.{ending}"))
    file = tmp_path / f"train.{ending}"
    if ending == "parquet":
        pd.DataFrame(ROWS, columns=["text", "rating"]).to_parquet(file)
    else:
        rows = {
            "csv": ["text,rating", *map(",".join, ROWS)],
            "tsv": ["text\trating", *map("\t".join, ROWS)],
            "jsonl": [json.dumps({"text": text, "rating": rating}) for text, rating in ROWS],
        }[ending.removesuffix(".gz")]
        content = "\n".join([*rows, ""]).encode()
        file.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    assert load_task_file(path).load("reviews").splits["train"] == EXAMPLES


def test_quoting(tmp_path):
    train = 'text\trating\n"two\nlines, ""quoted"""\tgood\n'
    quoted = load_task_file(task_file(tmp_path, TASK.replace("[files]", "quoting = true\n[files]"), train))
    assert quoted.load("reviews").splits["train"][0].texts == ('two\nlines, "quoted"',)
    (tmp_path / "train.tsv").write_text('text\trating\n"x"\tgood\n')
    (tmp_path / "task.toml").write_text(TASK)
    plain = load_task_file(tmp_path / "task.toml")
    assert plain.load("reviews").splits["train"][0].texts == ('"x"',)
    assert plain.fingerprint("reviews") != quoted.fingerprint("reviews")


def test_a_csv_cell_may_be_of_any_length(tmp_path):
    limit = csv.field_size_limit()
    (tmp_path / "long.csv").write_text(f"text,rating\n{'long ' * 100_000},good\n")
    ((line, (text, rating)),) = read_table(tmp_path / "long.csv").rows
    assert (line, len(text), rating) == (2, 500_000, "good")
    assert csv.field_size_limit() == limit


def test_csv_errors_name_the_line_a_row_begins_on(tmp_path):
    path = task_file(tmp_path, TASK.replace("train.tsv", "train.csv"))
    (tmp_path / "train.csv").write_text('text,rating\n"a\nb",good\n\nc\n')
    with pytest.raises(BenchError, match=r"train\.csv:5: 1 columns, but 2 expected \(text, rating\)"):
        load_task_file(path).load("reviews")
    (tmp_path / "train.csv").write_text('text,rating\n"a\nb",good\nc,so-so\n')
    with pytest.raises(BenchError, match=r"train\.csv:4: rating 'so-so' is not allowed; allowed: bad, good"):
        load_task_file(path).load("reviews")


def test_classes_written_as_numbers(tmp_path):
    numbered = load_task_file(task_file(tmp_path, train="text\trating\nfine\t1\npoor\t0\n"))
    assert numbered.load("reviews").splits["train"] == EXAMPLES
    # Numbers that are names are only names: class "1" of the labels 1, 2 has index 0.
    stars = TASK.replace('"bad", "good"', '"1", "2"')
    source = load_task_file(task_file(tmp_path, stars, train="text\trating\na\t1\nb\t2\n", dev="text\trating\na\t0\n"))
    with pytest.raises(BenchError, match=r"dev\.tsv:2: rating '0' is not allowed; allowed: 1, 2"):
        source.load("reviews")


def test_a_regression_task_with_two_texts_and_a_test_set(tmp_path):
    toml = """
name = "sim"
texts = ["a", "b"]
score_range = [1, 5]
[files]
train = "t.jsonl"
dev = "t.jsonl"
test = "test.jsonl"
"""
    (tmp_path / "t.jsonl").write_text('{"a": "x", "b": "y", "label": 2.5}\n\n{"a": "x", "b": "z", "label": 5}\n')
    (tmp_path / "test.jsonl").write_text('{"a": "x", "b": "y"}\n')
    path = tmp_path / "sim.toml"
    path.write_text(toml)
    source = load_task_file(path)
    task = source.tasks["sim"]
    assert (task.is_regression, task.metrics, task.n_outputs) == (True, ("pearson", "spearman"), 1)
    splits = source.load("sim").splits
    assert splits["train"] == [Example(0, ("x", "y"), 2.5), Example(1, ("x", "z"), 5.0)]
    assert splits["test"] == [Example(0, ("x", "y"), None)]
    (tmp_path / "t.jsonl").write_text('{"a": "x", "b": "y", "label": 0.5}\n')
    with pytest.raises(BenchError, match=r"t\.jsonl:1: label 0\.5 is not allowed; allowed: 1 to 5"):
        load_task_file(path).load("sim")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a", "rating": "good"}\n{"text": "a"}\n', r"train\.jsonl:2: key 'rating' is missing"),
        ('{"text": 3, "rating": "good"}\n', r"train\.jsonl:1: text is not a text but 3"),
        ('{"text": \n', r"train\.jsonl:1: not JSON"),
        ("[1]\n", r"train\.jsonl:1: an object was expected, found list"),
        ("\n", r"train\.jsonl is empty"),
    ],
)
def test_bad_json_lines(tmp_path, content, message):
    path = task_file(tmp_path, TASK.replace("train.tsv", "train.jsonl"))
    (tmp_path / "train.jsonl").write_text(content)
    with pytest.raises(BenchError, match=message):
        load_task_file(path).load("reviews")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("labels =", "lables =", "unknown option of task: 'lables'; did you mean 'labels'"),
        ("train =", "trian =", "unknown option of task.files: 'trian'; did you mean 'train'"),
        ('"f1"', '"f2"', "unknown classification metric 'f2'; did you mean 'f1'"),
        ('"f1"', '"pearson"', "unknown classification metric 'pearson'"),
        ('"reviews"', '"rte"', "which is GLUE's"),
        ('"reviews"', f'"{"a" * 61}"', "60 at most"),
        ('"reviews"', '"My task"', "name is 'My task'; use lower-case"),
        ('name = "reviews"', "", "task lacks name"),
        ('["text"]', "[3]", "task.texts takes text, not 3"),
        ('["text"]', "[]", "texts names no column"),
        ('["text"]', '["a", "b", "c"]', "texts names 3 columns"),
        ('["text"]', '["text", "text"]', "names something twice: text, text"),
        ('["bad", "good"]', '["good"]', "labels has one class"),
        ("[files]", "score_range = [0, 1]\n[files]", "for regression only"),
        ("[files]", "quoting = 1\n[files]", "task.quoting takes true or false, not 1"),
        ("[files]", "[file]", "unknown option of task: 'file'; did you mean 'files'"),
        ('dev = "dev.tsv"', "", "task.files lacks dev"),
        ("dev.tsv", "dev.xls", r"dev is dev\.xls; known endings: \.tsv"),
        ("dev.tsv", "nowhere.tsv", r"no such dev file: .*nowhere\.tsv"),
    ],
)
def test_wrong_task_files_are_refused(tmp_path, old, new, message):
    assert old in TASK
    with pytest.raises(UsageError, match=message):
        load_task_file(task_file(tmp_path, TASK.replace(old, new)))


def test_a_missing_task_file(tmp_path):
    with pytest.raises(UsageError, match=r"no such file: .*none\.toml"):
        load_task_file(tmp_path / "none.toml")


BAD_TASK_FILES = {
    "deep": "a = " + "[" * 5000,
    "long number": "a = " + "1" * 5000,
    "not UTF-8": b'name = "\xe9"',
}


@pytest.mark.parametrize("name", BAD_TASK_FILES)
def test_what_is_no_toml_is_said_in_a_line(tmp_path, name):
    path, content = tmp_path / "task.toml", BAD_TASK_FILES[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match="task.toml is not valid TOML: ") as caught:
        load_task_file(path)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_a_task_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = task_file(tmp_path)
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert load_task_file(path).load("reviews").splits["train"] == EXAMPLES


def parquet(path, **columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    not_utf8 = pa.array([b"\xff", b"ok"]).view(pa.binary()).cast(pa.binary())
    tables = {"bytes": pa.StringArray.from_buffers(2, not_utf8.buffers()[1], not_utf8.buffers()[2])}
    year_10000 = pa.array([10**8 * 86_400, 0], pa.timestamp("s"))
    cells = {"text": ["fine", "poor"], "rating": ["good", "bad"], "when": year_10000, "bytes": tables["bytes"]}
    pq.write_table(pa.table({name: cells[source] for name, source in columns.items()}), path)


def test_of_parquet_only_the_columns_asked_for_are_read(tmp_path):
    path = task_file(tmp_path, TASK.replace("train.tsv", "train.parquet"))
    parquet(tmp_path / "train.parquet", text="text", rating="rating", when="when", note="bytes")
    assert load_task_file(path).load("reviews").splits["train"] == EXAMPLES
    parquet(tmp_path / "train.parquet", texts="text", rating="rating", when="when")
    with pytest.raises(BenchError, match="column 'text' is missing; columns found: texts, rating, when"):
        load_task_file(path).load("reviews")


def test_a_parquet_file_with_a_column_name_that_is_no_text_is_said_too(tmp_path):
    path = task_file(tmp_path, TASK.replace("train.tsv", "train.parquet"))
    parquet(tmp_path / "train.parquet", text="text", rating="rating")
    content = (tmp_path / "train.parquet").read_bytes()
    (tmp_path / "train.parquet").write_bytes(content.replace(b"text", b"te\x80t"))
    with pytest.raises(BenchError, match=r"train\.parquet is not readable as parquet: 'utf-8' codec"):
        load_task_file(path).load("reviews")


@pytest.mark.parametrize("text", ["when", "bytes"])
def test_parquet_that_cannot_be_read_as_texts_is_said_in_a_line(tmp_path, text):
    path = task_file(tmp_path, TASK.replace("train.tsv", "train.parquet"))
    parquet(tmp_path / "train.parquet", text=text, rating="rating")
    with pytest.raises(BenchError, match=r"train\.parquet: column 'text' cannot be read: .{5,200}$"):
        load_task_file(path).load("reviews")


BAD_ROWS = {
    "half a character": ("jsonl", '{"text": "a \\ud800 b", "rating": "good"}\n', r"jsonl:1: '\\ud800' is half"),
    "long number": ("jsonl", '{"text": "a", "rating": ' + "1" * 5000 + "}\n", r"jsonl:1: "),
    "deep": ("jsonl", '{"text": "a", "rating": ' + "[" * 100_000 + "\n", r"jsonl:1: not JSON: "),
    "many keys": ("jsonl", json.dumps(dict.fromkeys(map(str, range(9000)))) + "\n", "column 'text' is missing"),
    "a long label": ("tsv", "text\trating\na\t" + "b" * 100_000 + "\n", "'b+ … b+' is not allowed; allowed: bad, good"),
    "carriage returns": ("tsv", "text\trating\r" + "fine\tgood\r" * 9000, "end in carriage returns alone"),
    "nothing": ("jsonl", "\n\n", "rows.jsonl is empty"),
    "many columns": ("csv", ",".join(map(str, range(9000))) + "\n1,2\n", "csv:2: 2 columns, but 9000 expected"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_what_is_wrong_with_a_row_is_said_in_a_line(tmp_path, name):
    ending, content, words = BAD_ROWS[name]
    path = task_file(tmp_path, TASK.replace("train.tsv", f"rows.{ending}"))
    (tmp_path / f"rows.{ending}").write_text(content)
    with pytest.raises(BenchError, match=words) as caught:
        load_task_file(path).load("reviews")
    assert len(str(caught.value)) < 600 + len(str(path))
    assert "\n" not in str(caught.value)


def test_a_folder_where_a_table_should_be(tmp_path):
    (tmp_path / "rows.tsv").mkdir()
    with pytest.raises(BenchError, match=r"cannot read .*rows\.tsv: Is a directory"):
        read_table(tmp_path / "rows.tsv")


@pytest.mark.parametrize(
    ("train", "dev", "expected"),
    [
        ("a\tgood\nb\tbad", "c\tgood\nd\tbad", []),
        ("a\tgood\nb\tbad", "a\tgood\nd\tbad", ["the texts of 1 of 2 dev rows are also in train: scores say"]),
        ("a\tgood\nb\tgood", "c\tgood\nd\tbad", ["every row of train has the label good"]),
        ("a\tgood\nb\tbad", "c\tbad\nd\tbad", ["every row of dev has the label bad"]),
        ("a\tgood", "c\tgood\nd\tbad", ["train has one row"]),
    ],
)
def test_doubtful_data_is_remarked_on(tmp_path, train, dev, expected):
    path = task_file(tmp_path, train=f"text\trating\n{train}\n", dev=f"text\trating\n{dev}\n")
    found = doubts(load_task_file(path).load("reviews"))
    assert [text[: len(start)] for text, start in zip(found, expected, strict=True)] == expected
