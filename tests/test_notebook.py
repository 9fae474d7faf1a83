"""What a notebook does: run, read and compare, with the names and the errors of the command line."""

from __future__ import annotations

import inspect
import re
import shlex

import click
import pandas as pd
import pytest
from tiny import PRESET

import bench
from bench.cli import main, pages
from bench.errors import BenchError, UsageError
from bench.reporting.records import read_record


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The working directory and the names of a notebook that has run the cells of the page, with a tiny preset."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "tiny.toml").write_text(PRESET)
    cells = re.findall(r"^```python\n(.*?)^```", pages.page("notebook"), re.M | re.S)
    names, shown = {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for cell in cells:
            *lines, last = cell.replace('preset="mini"', 'preset="tiny.toml"').strip().split("\n")
            exec("\n".join(lines), names)
            shown.append(eval(last, names))
    return folder, names, shown


def test_the_page_runs_as_it_stands(notebook):
    _, names, (table, scores, strategies, wrong) = notebook
    assert list(table["strategy"]) == ["freelb", "none"]
    assert table["n_seeds"].tolist() == [2, 2]
    passes = names["table"]["passes"]
    assert passes[1] == 128 + 2 * 128  # 64 rows in two epochs, once forward and once back
    assert passes[0] > 2 * passes[1]
    assert table["passes_ratio"].tolist() == [passes[0] / passes[1], 1]
    assert scores.shape == (2, 2)
    assert (scores["freelb"] - scores["none"]).mean() == pytest.approx(table["difference"][0])
    assert set(strategies["strategy"]) == {"none", "freelb"}
    assert wrong.between(0, 1).all()
    pd.testing.assert_frame_equal(
        names["runs"].sort_values(["folder", "split", "metric"], ignore_index=True),
        names["frame"].sort_values(["folder", "split", "metric"], ignore_index=True),
    )
    assert all("<table" in each._repr_html_() for each in (table, scores, strategies, names["frame"]))


def test_a_run_says_the_command_that_it_stands_for(notebook):
    folder, names, _ = notebook
    record = read_record(folder / "results" / names["runs"]["folder"][0])
    assert (
        record["provenance"]["command"] == "bench run --strategy=none,freelb --tasks=rte --seeds=2 --preset=tiny.toml"
    )
    command = main.get_command(click.Context(main), "run")
    command.make_context("run", shlex.split(record["provenance"]["command"])[2:])
    assert 0 < record["cost"]["processor_share"] <= 1


def test_names_and_defaults_are_those_of_the_command_line():
    command = main.get_command(click.Context(main), "run")
    # What click says of an option without a default differs by its version.
    options = {
        name.lstrip("-").replace("-", "_"): (isinstance(option.default, str | int) and option.default) or None
        for option in command.params
        for name in option.opts
    }
    own = {name: one.default or None for name, one in inspect.signature(bench.run).parameters.items()}
    assert own == options


WRONG = {
    "unknown strategy 'mate-kdd'; did you mean 'mate-kd'": {"strategy": ["none", "mate-kdd"]},
    "unknown task": {"tasks": "rtee"},
    "Invalid value for '--seeds': 0 is not in the range": {"seeds": 0},
    "--seeds says how many, --seed which": {"seeds": 2, "seed": [3]},
    "--quick is a preset of its own": {"quick": True, "preset": "minilm"},
    "unknown option of student: 'layer'; did you mean 'layers'": {"set": ["student.layer=3"]},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_with_a_request_is_said_as_on_the_command_line(message, tmp_path):
    with pytest.raises(UsageError, match=re.escape(message)):
        bench.run(**WRONG[message], results=tmp_path)


def test_a_failed_cell_is_an_error_and_in_the_frame(notebook, monkeypatch):
    folder, *_ = notebook
    monkeypatch.chdir(folder)
    (folder / "broken.py").write_text(
        "from dataclasses import dataclass\n\nimport bench\n\n\n"
        "@dataclass\nclass Broken(bench.Strategy):\n    '''Fails.'''\n"
        "    def views(self, batch, models):\n        raise RuntimeError('no view')\n"
    )
    with pytest.raises(BenchError, match="1 of 2 cells failed"):
        bench.run(strategy="none,./broken.py:Broken", tasks="rte", preset="tiny.toml")
    frame = bench.results()
    (lost,) = frame[frame["status"] == "failed"].to_dict("records")
    assert "no view" in lost["reason"]
    assert pd.isna(lost["value"])
