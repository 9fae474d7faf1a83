"""A user's own task, described by a TOML file."""

from __future__ import annotations

import gzip
import json

import pytest

from bench.data.custom import load_task_file
from bench.data.sources import describe
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
    assert (data.source, data.partial) == ("file", {})
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
        source.load("sim")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a", "rating": "good"}\n{"text": "a"}\n', r"train\.jsonl:2: key 'rating' is missing"),
        ('{"text": 3, "rating": "good"}\n', r"train\.jsonl:1: text is not a text but 3"),
        ('{"text": \n', r"train\.jsonl:1: not JSON"),
        ("[1]\n", r"train\.jsonl:1: an object was expected, found list"),
        ("\n", r"train\.jsonl has no rows|column 'text' is missing"),
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
        ("labels =", "lables =", "unknown key 'lables'; did you mean 'labels'"),
        ("train =", "trian =", "unknown split 'trian'; did you mean 'train'"),
        ('"f1"', '"f2"', "unknown classification metric 'f2'; did you mean 'f1'"),
        ('"f1"', '"pearson"', "unknown classification metric 'pearson'"),
        ('"reviews"', '"rte"', "which is GLUE's"),
        ('"reviews"', '"My task"', "name is 'My task'; use lower-case"),
        ('name = "reviews"', "", "name is missing"),
        ('["text"]', '"text"', "texts is 'text'; a list such as"),
        ('["text"]', '["a", "b", "c"]', "texts names 3 columns"),
        ('["text"]', '["text", "text"]', "names something twice: text, text"),
        ('["bad", "good"]', '["good"]', "labels has one class"),
        ("[files]", "score_range = [0, 1]\n[files]", "for regression only"),
        ("[files]", "quoting = 1\n[files]", "quoting is 1; true or false"),
        ("[files]", "[file]", "unknown key 'file'; did you mean 'files'"),
        ('dev = "dev.tsv"', "", "dev is missing"),
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
