from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_records import run

import bench
from bench.errors import UsageError
from bench.files import write_json
from bench.reporting.records import run_folder

LABELS = [0, 1, 1, 0, 1]


def put(results, number, answers=LABELS, labels=LABELS, **changes):
    """A run on five dev rows and what it predicted; returns the file of that."""
    record = run(seed=number, id=f"{number:08x}", data={"rows": {"train": 10, "dev": 5}, "fingerprint": "f"}, **changes)
    folder = run_folder(results, "mini", "rte", record["strategy"], number, record["id"])
    write_json(folder / "record.json", record)
    (folder / "predictions").mkdir()
    rows = {"id": range(len(labels)), "label": labels, "logit_0": 0.5, "logit_1": 1.5, "prediction": answers}
    path = folder / "predictions" / "dev.parquet"
    pd.DataFrame(rows).to_parquet(path, index=False)
    return path


def test_one_row_per_run_split_and_row(tmp_path):
    put(tmp_path, 0)
    put(tmp_path, 1, answers=[1, 1, 1, 1, 1])
    frame = bench.predictions(tmp_path)
    assert list(frame) == ["id", "split", "row", "example", "label", "prediction"]
    assert frame.groupby("id", observed=True)["prediction"].agg(list).to_dict() == {
        "00000000": [0, 1, 1, 0, 1],
        "00000001": [1, 1, 1, 1, 1],
    }
    assert frame["row"].tolist() == 2 * [0, 1, 2, 3, 4]
    assert (frame["label"] == 2 * LABELS).all()
    one = bench.predictions(tmp_path, ["00000001"], logits=True)
    assert one[["logit_0", "logit_1"]].drop_duplicates().to_numpy().tolist() == [[0.5, 1.5]]
    assert set(one["id"]) == {"00000001"}
    assert bench.predictions(tmp_path, splits=["test"]).empty
    with pytest.raises(UsageError, match="give a list: splits=\\['dev'\\]"):
        bench.predictions(tmp_path, splits="dev")
    with pytest.raises(UsageError, match="unknown run '00000002'; did you mean"):
        bench.predictions(tmp_path, ["00000002"])


def broken(path):
    path.write_bytes(path.read_bytes()[:200])


def rewritten(**changes):
    def change(path):
        pd.read_parquet(path).assign(**changes).to_parquet(path, index=False)

    return change


WRONG = {
    "cut short": (broken, "."),
    "no predictions in it": (
        lambda path: pd.read_parquet(path).drop(columns="prediction").to_parquet(path),
        "no column",
    ),
    "fewer rows": (
        lambda path: pd.read_parquet(path)[:4].to_parquet(path),
        "4 rows, but its record says that dev has 5",
    ),
    "words": (rewritten(prediction="x"), "its column prediction holds no numbers but"),
    "not finite": (rewritten(prediction=[0, 1, np.nan, np.inf, 1]), "2 predictions are no finite numbers"),
    "other labels": (rewritten(label=[1, 1, 1, 0, 1]), "other labels than the other runs have on the same data"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_that_does_not_match_its_record_is_named_and_the_others_are_read(tmp_path, kind):
    put(tmp_path, 0)
    path = put(tmp_path, 1)
    put(tmp_path, 2)
    change, told = WRONG[kind]
    change(path)
    with pytest.warns(UserWarning, match=told) as warned:
        frame = bench.predictions(tmp_path)
    (message,) = [str(one.message) for one in warned]
    assert message.startswith(f"predictions left out, {path}: ")
    assert message.endswith("delete it to go without, or run the cell again with --redo")
    assert sorted(set(frame["id"])) == ["00000000", "00000002"]


def test_runs_without_predictions_have_none(tmp_path):
    path = put(tmp_path, 0)
    path.unlink()
    frame = bench.predictions(tmp_path)
    assert frame.empty
    assert list(frame) == ["id", "split", "row", "example", "label", "prediction"]
