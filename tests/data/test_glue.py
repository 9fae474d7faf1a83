"""GLUE's tasks, and GLUE read from a folder."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bench.data.glue import FolderSource
from bench.data.source import differences
from bench.data.sources import describe, open_source
from bench.data.tasks import GLUE, Example
from bench.errors import BenchError, UsageError

FULL = ("cola", "sst2", "mrpc", "stsb", "rte", "wnli", "ax")
PARTIAL = {
    "qqp": {"train": (25376, 363846), "dev": (7600, 40430)},
    "mnli": {"train": (15891, 392702), "dev_mismatched": (1000, 9832)},
    "qnli": {"train": (4463, 104743), "dev": (1000, 5463)},
}


def put(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.tsv").write_bytes(text.encode())
    return folder


def rte(root: Path, train: str = "", dev: str = "", header: str = "index\tsentence1\tsentence2\tlabel") -> FolderSource:
    row = "0\ta\tb\tentailment\n"
    put(root / "RTE", train=f"{header}\n{train or row}", dev=f"{header}\n{dev or row}")
    return FolderSource(root)


def texts(examples: list[Example]) -> list[tuple[str, ...]]:
    return [example.texts for example in examples]


def test_glue_is_exactly_glue():
    assert list(GLUE) == ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli", "ax"]
    assert {name: task.main_metric for name, task in GLUE.items()} == {
        "cola": "matthews",
        "sst2": "accuracy",
        "mrpc": "f1",
        "stsb": "pearson",
        "qqp": "accuracy",
        "mnli": "accuracy",
        "qnli": "accuracy",
        "rte": "accuracy",
        "wnli": "accuracy",
        "ax": "matthews",
    }
    assert GLUE["mnli"].labels == GLUE["ax"].labels == ("entailment", "neutral", "contradiction")
    assert GLUE["rte"].labels == GLUE["qnli"].labels == ("entailment", "not_entailment")
    assert GLUE["wnli"].labels == ("not_entailment", "entailment")
    assert GLUE["stsb"].is_regression
    assert GLUE["stsb"].score_range == (0.0, 5.0)
    assert [name for name, task in GLUE.items() if task.majority_is_hard] == ["wnli"]
    assert all(len(task.submission_labels) == len(task.labels) for task in GLUE.values())
    assert [(name, task.trained_on) for name, task in GLUE.items() if task.trained_on] == [("ax", "mnli")]


@pytest.mark.parametrize("name", FULL)
def test_full_real_tasks_have_the_official_rows(glue_dir, name):
    data = open_source("folder", glue_dir).load(name)
    assert data.rows == dict(GLUE[name].rows)
    assert differences(data.task, data.rows) == {}


@pytest.mark.parametrize("name", PARTIAL)
def test_partial_real_tasks_say_so(glue_dir, name):
    assert differences(GLUE[name], FolderSource(glue_dir).load(name).rows) == PARTIAL[name]


def test_real_rows_are_read_as_they_are_written(glue_dir):
    source = FolderSource(glue_dir)
    cola, mrpc, stsb = source.load("cola"), source.load("mrpc"), source.load("stsb")
    # The last row of CoLA's dev file has no line end, and the first is data, not a header.
    assert cola.splits["dev"][0] == Example(0, ("The sailors rode the breeze clear of the rocks.",), 1)
    assert [example.id for example in cola.splits["dev"]] == list(range(1043))
    assert sum(example.label for example in cola.splits["train"]) == 6023
    assert mrpc.splits["train"][0].texts[1].startswith('Referring to him as only "the witness", Amrozi')
    # A text that begins with a quote mark keeps it, and does not swallow the lines up to the next one.
    assert mrpc.splits["dev"][0].texts[1].startswith('"The foodservice pie business')
    assert stsb.splits["train"][1].label == pytest.approx(3.8)
    assert all(example.label is None for example in stsb.splits["test"])


def test_real_label_balance(glue_dir):
    source = FolderSource(glue_dir)
    rte_dev = [example.label for example in source.load("rte").splits["dev"]]
    assert (rte_dev.count(0), rte_dev.count(1)) == (146, 131)
    mnli_dev = [example.label for example in source.load("mnli").splits["dev"]]
    assert [mnli_dev.count(label) for label in range(3)] == [3479, 3123, 3213]


def test_describe_lists_every_task_and_why_one_is_missing(tmp_path):
    rows = {row["name"]: row for row in describe(rte(tmp_path))}
    assert list(rows) == list(GLUE)
    assert rows["rte"]["rows"] == {"train": 1, "dev": 1}
    assert rows["rte"]["official"] == {"train": 2490, "dev": 277, "test": 3000}
    assert rows["rte"]["partial"] is True
    assert rows["rte"]["error"] is None
    assert rows["cola"]["rows"] == {}
    assert "looked for CoLA, cola" in rows["cola"]["error"]


def test_quotes_and_odd_line_separators_are_text(tmp_path):
    odd = "a \x0b b \x0c c \x1c d \x85 e \u2028 f"
    data = rte(tmp_path, train=f'0\t"open\tb\tentailment\r\n1\t{odd}\tsay ""x""\tnot_entailment\r\n').load("rte")
    assert texts(data.splits["train"]) == [('"open', "b"), (odd, 'say ""x""')]
    assert [example.label for example in data.splits["train"]] == [0, 1]


def test_columns_are_found_by_name(tmp_path):
    header = "label\textra\tsentence2\tsentence1\tindex"
    data = rte(tmp_path, train="entailment\t?\tsecond\tfirst\t9\n", dev="entailment\t?\tb\ta\t0\n", header=header)
    assert data.load("rte").splits["train"] == [Example(0, ("first", "second"), 0)]


def test_cola_with_and_without_header(tmp_path):
    put(
        tmp_path / "CoLA",
        train="gj04\t1\t\tOne.\ngj04\t0\t*\tTwo.\n",
        dev="sentence\tlabel\nThree.\t0\n",
        test="index\tsentence\n0\tFour.\n",
    )
    splits = FolderSource(tmp_path).load("cola").splits
    assert splits["train"] == [Example(0, ("One.",), 1), Example(1, ("Two.",), 0)]
    assert splits["dev"] == [Example(0, ("Three.",), 0)]
    assert splits["test"] == [Example(0, ("Four.",), None)]


def test_byte_order_mark_and_test_labels(tmp_path):
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    put(tmp_path / "MRPC", **dict.fromkeys(("train", "dev", "test"), header + "1\t7\t8\ta\tb\n"))
    splits = FolderSource(tmp_path).load("mrpc").splits
    assert splits["train"] == [Example(0, ("a", "b"), 1)]
    assert splits["test"] == [Example(0, ("a", "b"), None)]


def test_microsofts_mrpc_is_split_by_glues_ids(tmp_path):
    folder = tmp_path / "mrpc"
    folder.mkdir()
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
    train = header + "1\t1\t2\ta\tb\r\n0\t3\t4\tc\td\r\n1\t2\t1\te\tf\r\n"
    (folder / "msr_paraphrase_train.txt").write_bytes(train.encode())
    (folder / "msr_paraphrase_test.txt").write_bytes((header + "1\t5\t6\tg\th\r\n").encode())
    with pytest.raises(UsageError, match=r"dev_ids\.tsv"):
        FolderSource(tmp_path).load("mrpc")
    (folder / "dev_ids.tsv").write_text("3\t4\n")
    source = FolderSource(tmp_path)
    splits = source.load("mrpc").splits
    assert texts(splits["train"]) == [("a", "b"), ("e", "f")]
    assert splits["dev"] == [Example(0, ("c", "d"), 0)]
    assert splits["test"] == [Example(0, ("g", "h"), None)]
    assert source.count("mrpc") == {"train": 2, "dev": 1, "test": 1}


def test_mnli_splits_and_label_order(tmp_path):
    header = "index\tgenre\tsentence1_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
    folder = put(
        tmp_path / "MNLI",
        train=header + "".join(f"0\tg\t(\tp\th\tneutral\t{label}\n" for label in GLUE["mnli"].labels),
        dev_matched=header + "0\tg\t(\tm\th\tneutral\tneutral\n",
        dev_mismatched=header + "0\tg\t(\tmm\th\tneutral\tcontradiction\n",
        test_mismatched="index\tsentence1\tsentence2\n0\ttmm\th\n",
    )
    splits = FolderSource(tmp_path).load("mnli").splits
    assert [example.label for example in splits["train"]] == [0, 1, 2]
    assert splits["dev"] == [Example(0, ("m", "h"), 1)]
    assert splits["dev_mismatched"] == [Example(0, ("mm", "h"), 2)]
    assert splits["test_mismatched"] == [Example(0, ("tmm", "h"), None)]
    assert "test" not in splits
    (folder / "dev_matched.tsv").unlink()
    with pytest.raises(UsageError, match=r"dev_matched\.tsv, dev_matched\.tsv\.gz"):
        FolderSource(tmp_path).load("mnli")


def test_gzip_is_the_same_data(tmp_path):
    plain = rte(tmp_path / "plain")
    packed = tmp_path / "packed" / "rte"
    packed.mkdir(parents=True)
    for name in ("train", "dev"):
        content = (tmp_path / "plain" / "RTE" / f"{name}.tsv").read_bytes()
        (packed / f"{name}.tsv.gz").write_bytes(gzip.compress(content))
    source = FolderSource(tmp_path / "packed")
    assert source.load("rte") == plain.load("rte")
    assert source.fingerprint("rte") == plain.fingerprint("rte") == plain.load("rte").fingerprint
    assert len(source.fingerprint("rte")) == 16
    (packed / "train.tsv.gz").write_bytes(gzip.compress(content + b"1\tx\ty\tentailment\n"))
    assert FolderSource(tmp_path / "packed").fingerprint("rte") != source.fingerprint("rte")
    (packed / "train.tsv.gz").write_bytes(gzip.compress(content)[:-9])
    with pytest.raises(BenchError, match=r"train\.tsv\.gz is damaged gzip"):
        source.load("rte")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0\ta\tentailment\n", r"train\.tsv:3: 3 columns, but 4 expected .*; 1 row of this file"),
        (
            "0\ta\tb\tc\tentailment\n0\ta\n",
            r"train\.tsv:3: 5 columns, but 4 expected .*; 2 rows of this file",
        ),
        ("\n0\ta\tb\tentailment\n", r"train\.tsv:3: 1 columns, but 4 expected"),
        (
            "0\ta\tb\tEntailment\n",
            r"train\.tsv:3: label 'Entailment' is not allowed; allowed: entailment, not_",
        ),
        ("0\ta\tb\t-1\n", r"train\.tsv:3: label '-1' is not allowed"),
        ("0\ta\tb\t\n", r"train\.tsv:3: label '' is not allowed"),
        ("0\t\udcff\tb\tentailment\n", r"train\.tsv:3: byte 0xff is not UTF-8"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(tmp_path, row, message):
    source = rte(tmp_path)
    content = f"index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n{row}"
    (tmp_path / "RTE" / "train.tsv").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(BenchError, match=message):
        source.load("rte")


@pytest.mark.parametrize("score", ["5.1", "-0.5", "nan", "high"])
def test_scores_outside_the_range_are_refused(tmp_path, score):
    header = "index\tsentence1\tsentence2\tscore\n"
    put(tmp_path / "stsb", train=f"{header}0\ta\tb\t5.0\n1\ta\tb\t{score}\n", dev=f"{header}0\ta\tb\t0\n")
    with pytest.raises(BenchError, match=rf"train\.tsv:3: score '{score}' is not allowed; allowed: 0 to 5"):
        FolderSource(tmp_path).load("stsb")


def test_missing_column_empty_file_and_no_rows(tmp_path):
    source = rte(tmp_path, header="index\tsentence1\tsentence2\tgold")
    with pytest.raises(BenchError, match=r"train\.tsv: column 'label' is missing; columns found: index, sent.* gold"):
        source.load("rte")
    for content, message in (("index\tsentence1\tsentence2\tlabel\n", "has no rows"), ("", "is empty")):
        (tmp_path / "RTE" / "train.tsv").write_text(content)
        with pytest.raises(BenchError, match=message):
            source.load("rte")


def test_missing_folders_files_and_tasks(tmp_path):
    with pytest.raises(UsageError, match="no such data folder"):
        open_source("folder", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="--data-dir"):
        open_source("folder")
    with pytest.raises(UsageError, match="looked for SST-2, sst2, sst-2"):
        FolderSource(tmp_path).load("sst2")
    (tmp_path / "SST-2").mkdir()
    with pytest.raises(UsageError, match=r"no train file for sst2 .*: looked for train\.tsv, train\.tsv\.gz"):
        FolderSource(tmp_path).load("sst2")
    with pytest.raises(UsageError, match="did you mean 'sst2'"):
        FolderSource(tmp_path).load("sst-2")


def test_ax_has_only_a_test_split(tmp_path):
    put(tmp_path / "diagnostic", diagnostic="index\tsentence1\tsentence2\n0\tp\th\n")
    assert FolderSource(tmp_path).load("ax").splits == {"test": [Example(0, ("p", "h"), None)]}
