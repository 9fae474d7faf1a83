"""Data sets in the hub's layout: what save_to_disk wrote, and the hub's own folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.data.glue import FolderSource
from bench.data.glue_hub import HubSource, dataset_examples
from bench.data.source import TaskData, differences
from bench.data.tasks import GLUE
from bench.errors import BenchError

datasets = pytest.importorskip("datasets")

HUB_SPLITS = {"dev": "validation", "train": "train", "test": "test"}
MNLI_SPLITS = {
    "train": "train",
    "dev": "validation_matched",
    "dev_mismatched": "validation_mismatched",
    "test": "test_matched",
    "test_mismatched": "test_mismatched",
}


def as_dataset_dict(data: TaskData, names: tuple[str, ...] = ()) -> Any:
    """The rows as the hub holds them: class numbers (in the order ``names``), -1 in test."""
    task = data.task
    names = names or task.labels
    kind = datasets.Value("float32") if task.is_regression else datasets.ClassLabel(names=list(names))
    features = datasets.Features(
        {column: datasets.Value("string") for column in task.texts} | {"label": kind, "idx": datasets.Value("int32")}
    )

    def number(label: int | float | None) -> int | float:
        if label is None:
            return -1
        return label if task.is_regression else names.index(task.labels[int(label)])

    hub_names = MNLI_SPLITS if task.name == "mnli" else HUB_SPLITS
    return datasets.DatasetDict(
        {
            hub_names[split]: datasets.Dataset.from_list(
                [
                    dict(zip(task.texts, example.texts, strict=True))
                    | {"label": number(example.label), "idx": example.id}
                    for example in examples
                ],
                features=features,
            )
            for split, examples in data.splits.items()
        }
    )


@pytest.mark.parametrize("name", ["cola", "stsb", "rte", "wnli", "ax"])
def test_saved_data_sets_equal_the_tsv_files(glue_dir, tmp_path, name):
    data = FolderSource(glue_dir).load(name)
    as_dataset_dict(data).save_to_disk(tmp_path / name)
    source = FolderSource(tmp_path)
    saved = source.load(name)
    if name == "stsb":
        for split, examples in data.splits.items():
            assert [e.texts for e in saved.splits[split]] == [e.texts for e in examples]
            if split != "test":
                assert [e.label for e in saved.splits[split]] == pytest.approx([e.label for e in examples])
    else:
        assert saved.splits == data.splits
    assert differences(saved.task, saved.rows) == {}
    assert source.count(name) == data.rows
    assert saved.fingerprint == FolderSource(tmp_path).fingerprint(name)


@pytest.fixture
def mnli(tmp_path) -> TaskData:
    folder = tmp_path / "tsv" / "MNLI"
    folder.mkdir(parents=True)
    header = "sentence1\tsentence2\tgold_label\n"
    rows = "".join(f"p{label}\th\t{label}\n" for label in ("contradiction", "entailment", "neutral"))
    for name in ("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched"):
        (folder / f"{name}.tsv").write_text(header + rows)
    return FolderSource(tmp_path / "tsv").load("mnli")


def test_class_numbers_in_another_order_are_translated_by_name(mnli):
    assert [example.label for example in mnli.splits["train"]] == [2, 0, 1]
    shuffled = as_dataset_dict(mnli, ("contradiction", "neutral", "entailment"))
    assert shuffled["train"]["label"][:] == [0, 2, 1]
    assert dataset_examples(shuffled, GLUE["mnli"], "here") == mnli.splits


def test_other_class_names_and_unlabelled_training_rows_are_refused(mnli):
    data = as_dataset_dict(mnli)
    renamed = data["train"].cast_column("label", datasets.ClassLabel(names=["yes", "maybe", "no"]))
    with pytest.raises(BenchError, match=r"here, train, row 1: label 'no' is not allowed; allowed: entailment, n"):
        dataset_examples(datasets.DatasetDict({**data, "train": renamed}), GLUE["mnli"], "here")
    unlabelled = data["train"].map(lambda row: {**row, "label": -1})
    with pytest.raises(BenchError, match="row 1: label '-1' is not allowed"):
        dataset_examples(datasets.DatasetDict({**data, "train": unlabelled}), GLUE["mnli"], "here")
    bare = data["train"].cast_column("label", datasets.Value("int64"))
    with pytest.raises(BenchError, match="row 1: label 2 is not allowed"):
        dataset_examples(datasets.DatasetDict({**data, "train": bare}), GLUE["mnli"], "here")


def test_missing_columns_and_splits_are_named(mnli):
    data = as_dataset_dict(mnli)
    short = datasets.DatasetDict({name: rows.remove_columns("premise") for name, rows in data.items()})
    with pytest.raises(BenchError, match="column 'premise' is missing; columns found: hypothesis, label, idx"):
        dataset_examples(short, GLUE["mnli"], "here")
    del data["validation_matched"]
    with pytest.raises(BenchError, match="here has no dev split; splits found: train, validation_mismatched"):
        dataset_examples(data, GLUE["mnli"], "here")


def lay_out_like_the_hub(folder: Path, data: TaskData) -> Path:
    """Parquet files a configuration and a README that lists them, as in nyu-mll/glue."""
    config = data.task.name
    (folder / config).mkdir(parents=True)
    lines = ["---", "configs:", f"- config_name: {config}", "  data_files:"]
    for split, rows in as_dataset_dict(data).items():
        rows.to_parquet(folder / config / f"{split}-00000-of-00001.parquet")
        lines += [f"  - split: {split}", f"    path: {config}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return folder


def test_hub_layout_gives_the_same_rows(mnli, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    source = HubSource(str(lay_out_like_the_hub(tmp_path / "hub", mnli)))
    loaded = source.load("mnli")
    assert loaded.splits == mnli.splits
    assert loaded.source == "hub"
    assert source.count("mnli") == mnli.rows
    assert len(loaded.fingerprint) == 16
    assert source.fingerprint("mnli") == loaded.fingerprint == HubSource(source.dataset).fingerprint("mnli")
    with pytest.raises(BenchError, match=r"cannot get rte of .* --data-dir DIR.*--preset mini"):
        source.load("rte")


def test_offline_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BenchError, match=r"OfflineModeIsEnabled.*--data-dir DIR.*--preset mini"):
        HubSource().load("rte")


def test_a_hub_that_does_not_answer_is_not_asked_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("bench.models.hub.unreachable", lambda: "https://hub does not answer: no route to host")
    monkeypatch.setattr(datasets, "load_dataset", lambda *asked: asked)
    with pytest.raises(BenchError, match=r"cannot get rte .*: https://hub does not answer: no route .*--data-dir DIR"):
        HubSource().load("rte")
    (tmp_path / "nyu-mll___glue" / "rte").mkdir(parents=True)
    assert HubSource()._dataset("rte") == ("nyu-mll/glue", "rte")  # what is in the cache is left to the library


@pytest.mark.parametrize("content", ["[1]", '{"splits": 3}', "", "{}"])
def test_a_saved_data_set_of_another_shape_is_said_in_a_line(tmp_path, content):
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE" / "dataset_dict.json").write_text(content)
    with pytest.raises(BenchError, match="RTE .*(save it again|splits found)"):
        FolderSource(tmp_path).count("rte")
