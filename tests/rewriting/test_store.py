from __future__ import annotations

import itertools
import os
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rewriting_rows import CONTEXT, Watch, calls, gone, rows, sentences

from bench import files
from bench.errors import BenchError
from bench.rewriting import engine, store
from bench.rewriting.engine import rewrite_all


def column(table, name, values, kind=None):
    """``table`` with other ``values`` in a column; its metadata stay."""
    place = table.schema.names.index(name)
    values = values if isinstance(values, pa.ChunkedArray | pa.Array) else pa.array(values, kind)
    return table.set_column(place, name, values)


def not_utf8(table):
    texts = table["text_0"].combine_chunks()
    _, offsets, letters = texts.buffers()
    return column(
        table, "text_0", pa.StringArray.from_buffers(len(texts), offsets, pa.py_buffer(b"\xff" * len(letters)))
    )


def half(table):
    return table.slice(0, len(table) // 2)


BYTES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-1],
    "zeroed": lambda content: bytes(len(content)),
    "foreign": lambda content: b"not parquet at all",
    "a bit": lambda content: content[:60] + bytes([content[60] ^ 1]) + content[61:],
}
TABLES = {
    "no keys": lambda t: t.drop_columns(["key"]),
    "no texts": lambda t: t.drop_columns(["text_0"]),
    "no columns": lambda t: pa.table({}),
    "a text more": lambda t: t.append_column("text_1", t["text_0"]),
    "other order": lambda t: t.select(t.schema.names[::-1]),
    "numbers for texts": lambda t: column(t, "text_0", range(len(t)), pa.int64()),
    "no text": lambda t: column(t, "text_0", [None, *t["text_0"].to_pylist()[1:]]),
    "text for queries": lambda t: column(t, "queries", ["many"] * len(t)),
    "text for seconds": lambda t: column(t, "seconds", ["long"] * len(t)),
    "rows doubled": lambda t: pa.concat_tables([t, half(t)]),
    "rows lost": half,
    "no rows": lambda t: t.slice(0, 0),
    "all failed": lambda t: column(t, "failed", ["it did"] * len(t)),
    "texts exchanged": lambda t: column(t, "text_0", t["text_0"].to_pylist()[::-1]),
    "keys exchanged": lambda t: column(t, "key", t["key"].to_pylist()[::-1]),
    "not UTF-8": not_utf8,
    "no digest": lambda t: t.replace_schema_metadata({}),
}


@pytest.mark.parametrize("damage", [*BYTES, *TABLES])
def test_a_damaged_part_is_set_aside_by_name_and_its_rows_made_again(create, tmp_path, damage):
    log, examples = tmp_path / "log", sentences(12)
    strategy = create(f"Plain[log={log}]")
    rewrite_all(strategy, examples[:4], CONTEXT, cache=tmp_path)
    (whole,) = tmp_path.glob("rewrites/*/*.parquet")
    before = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path)
    (part,) = set(tmp_path.glob("rewrites/*/*.parquet")) - {whole}
    if damage in BYTES:
        part.write_bytes(BYTES[damage](part.read_bytes()))
    else:
        pq.write_table(TABLES[damage](pq.read_table(part)), part)
    log.unlink()
    healed = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, observer=(watch := Watch()))
    assert (healed.forms, healed.cached, healed.failed) == (before.forms, 4, {})
    assert calls(log)[0].keys() == {example.texts[0] for example in examples[4:]}
    aside = part.with_name(f"{part.name}.corrupt-1")
    (note,) = watch.notes
    assert note.startswith(f"damaged, set aside as {aside} and to be made anew: {part} (")
    assert aside.exists()
    again = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, observer=(quiet := Watch()))
    assert (again.forms, again.cached, quiet.notes) == (before.forms, 12, [])


def test_a_damaged_card_is_written_again(create, tmp_path):
    rewrite_all(create("Plain"), sentences(2), CONTEXT, cache=tmp_path)
    (card,) = tmp_path.glob("rewrites/*/card.json")
    content = card.read_text()
    card.write_bytes(b"")
    assert rewrite_all(create("Plain"), sentences(2), CONTEXT, cache=tmp_path).cached == 2
    assert card.read_text() == content


@pytest.mark.parametrize("name", ["Plain", "Library"])
def test_cached_rows_cost_one_reading_of_each_part_no_process_and_no_waiting_for_the_disk(
    create, tmp_path, monkeypatch, name
):
    examples = sentences(500)
    first = rewrite_all(create(name), examples, CONTEXT, cache=tmp_path, workers=1)
    opened = []
    monkeypatch.setattr(
        pq, "ParquetFile", lambda path, real=pq.ParquetFile, **how: opened.append(path) or real(path, **how)
    )
    monkeypatch.setattr(engine, "in_workers", None)
    monkeypatch.setattr(engine.Job, "rewrite", None)
    monkeypatch.setattr(files, "_sync", None)
    # A run of few rows has hundreds of editions ahead, at every epoch.
    again = rewrite_all(create(name), examples, CONTEXT, ahead=range(1, 300), cache=tmp_path)
    assert (again.forms, again.cached) == (first.forms, 500)
    assert sorted(opened) == sorted(tmp_path.glob("rewrites/*/*.parquet"))


def test_parts_are_written_while_the_work_goes_on(create, tmp_path, monkeypatch):
    clock = itertools.count(step=10.0)
    monkeypatch.setattr(store, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(engine, "_REPORT_SECONDS", 0.0)
    seen = []

    class Looks(Watch):
        def update(self, phase, done, total):
            seen.append(len(list(tmp_path.glob("rewrites/*/*.parquet"))))

    rewrite_all(create("Plain"), sentences(10), CONTEXT, cache=tmp_path, observer=Looks())
    assert seen == list(range(1, 11))  # ten seconds pass with every row
    assert rewrite_all(create("Plain"), sentences(10), CONTEXT, cache=tmp_path).cached == 10


def test_an_unwritable_cache_is_an_error(create, tmp_path):
    (tmp_path / "rewrites").write_text("in the way")
    with pytest.raises(BenchError, match="cannot write .*rewrites"):
        rewrite_all(create("Plain"), sentences(2), CONTEXT, cache=tmp_path)


def test_what_is_cached_is_not_made_again(create, tmp_path):
    log, examples = tmp_path / "log", [*sentences(30), *rows("attacked a b", start=30)]
    strategy = create(f"Library[log={log}]")
    first = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, workers=1)
    log.unlink()
    again = rewrite_all(strategy, examples[::-1], CONTEXT, cache=tmp_path)
    assert not log.exists()
    assert again.forms == first.forms[::-1]
    assert (first.cached, again.cached) == (0, 31)
    assert (again.outcomes, again.queries, again.work_seconds) == ({"success": 1}, 7, first.work_seconds)
    more = rewrite_all(strategy, [*examples, *rows("new a b")], CONTEXT, cache=tmp_path, workers=1)
    assert calls(log)[0] == {"new a b": 1, examples[0].texts[0]: 1}  # a row that works tells how long loading takes
    assert more.cached == 31
    assert rewrite_all(strategy, [*examples, *rows("new a b")], CONTEXT, cache=tmp_path).forms == more.forms
    rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, seed=1, workers=1)
    assert calls(log)[0].total() == 33


def test_an_interrupt_inside_a_row_passes_and_saves(create, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        rewrite_all(create("Plain"), [*sentences(1), *rows("interrupt")], CONTEXT, cache=tmp_path)
    assert rewrite_all(create("Plain"), sentences(1), CONTEXT, cache=tmp_path).cached == 1


@pytest.mark.parametrize("name", ["Plain", "Library"])
def test_interrupted_work_goes_on_where_it_stopped(create, tmp_path, monkeypatch, name):
    monkeypatch.setattr(engine, "_REPORT_SECONDS", 0.0)
    log, gate = tmp_path / "log", tmp_path / "gate"
    # The last rows are not done before the gate is open: however fast the rest is, the work is not.
    examples = [*sentences(40), *rows(*(f"wait {i}" for i in range(20)), start=40)]
    strategy = create(f"{name}[log={log},gate={gate}]")
    with pytest.raises(KeyboardInterrupt):
        rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, workers=2, observer=Watch(stop=15))
    before, pids = calls(log)
    assert 15 <= before.total() < 60
    assert all(gone(pid) for pid in pids - {os.getpid()})
    gate.touch()
    watch = Watch()
    done = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, workers=2, observer=watch)
    assert done.cached >= 15
    assert calls(log)[0].total() == before.total() + 60 - done.cached + (name == "Library")
    assert watch.done[-1] == (60, 60)
    assert watch.done[0][0] > done.cached
    assert done.forms == rewrite_all(create(f"Plain[gate={gate}]"), examples, CONTEXT).forms


@pytest.mark.parametrize("name", ["Plain", "Library"])
def test_editions_made_ahead_are_those_that_would_be_made_later(create, tmp_path, name):
    log, examples = tmp_path / "log", sentences(6)
    alone = [rewrite_all(create("Plain"), examples, CONTEXT, edition=edition).forms for edition in range(4)]
    strategy = create(f"{name}[log={log}]")
    first = rewrite_all(
        strategy, examples, CONTEXT, ahead=[2, 3], cache=tmp_path, observer=(watch := Watch()), workers=1
    )
    assert (first.forms, first.cached, watch.done[-1]) == (alone[0], 0, (18, 18))
    assert set(calls(log)[0].values()) == {3}
    assert len(calls(log)[1]) == 1  # one process started for all of them
    for edition, cached in ((2, 6), (3, 6), (1, 0)):
        later = rewrite_all(strategy, examples, CONTEXT, edition=edition, cache=tmp_path, workers=1)
        assert (later.forms, later.cached) == (alone[edition], cached)
        assert later.work_seconds > 0
    # With nothing of its own to do, a call makes nothing ahead either.
    rewrite_all(strategy, examples, CONTEXT, ahead=[9], cache=tmp_path)
    assert set(calls(log)[0].values()) == {4}
