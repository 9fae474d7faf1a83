from __future__ import annotations

import sys
from pathlib import Path

import pytest
from made_records import comparison, run

from bench.errors import BenchError, UsageError
from bench.reporting.plot import figure, forest, form_of


def runs(seeds=2):
    gains = {"none": 0.0, "<b>mlm & co</b>": 0.1, "clean-twice": 0.0}
    return [
        run(task, strategy, seed, 0.5 + gain + 0.01 * n * seed)
        for task in ("rte", "cola")
        for n, (strategy, gain) in enumerate(gains.items())
        for seed in range(seeds)
    ]


def test_a_figure_is_named_by_what_it_is():
    assert form_of(Path("a/b.SVG")) == "svg"
    for name in ("gains.jpg", "gains"):
        with pytest.raises(UsageError, match="name a file that ends in .svg, .png or .pdf"):
            form_of(Path(name))


def test_without_the_library_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(BenchError, match=r"pip install -e \"\.\[report\]\" -c constraints\.txt"):
        figure([comparison(runs())], "svg")


def test_every_gain_is_drawn_with_its_interval_and_text_stays_text():
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    found = comparison(runs())
    drawn = [mark for layer in _layers(forest(found).to_dict()) for mark in layer]
    rows = found.tasks[found.tasks["strategy"] != "none"]
    for column, end in (("gain_low", "low"), ("gain_high", "high"), ("difference", "gain")):
        there = {round(mark[end], 9) for mark in drawn if end in mark}
        assert {round(100 * value, 9) for value in rows[column]} <= there
    svg = figure([found], "svg").decode()
    assert "&lt;b&gt;mlm &amp; co&lt;/b&gt;" in svg
    assert "<b>" not in svg
    assert "clean-twice (control)" in svg
    assert figure([found], "pdf").startswith(b"%PDF")


def _layers(chart):
    """The rows of data of every part of a chart."""
    yield from chart.get("datasets", {}).values()
    if "values" in chart.get("data", {}):
        yield chart["data"]["values"]
    for key in ("layer", "hconcat", "vconcat"):
        for part in chart.get(key, ()):
            yield from _layers(part)


def test_nothing_to_draw_is_an_error():
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    with pytest.raises(BenchError, match="no gain has an interval to draw"):
        figure([comparison([run(), run(strategy="eda")])], "svg")
