"""Readers and parsers under arbitrary input: each returns or raises the suite's own error, in a line, in time.

``TARGETS`` names what is fuzzed; ``fuzz`` puts a number of inputs through one of them. Inputs are drawn from pieces
that the reader knows, so that many get past its first look, with arbitrary ones between.
"""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from made_records import run

import bench
from bench.brackets import split_list
from bench.data.custom import load_task_file
from bench.data.glue import FolderSource
from bench.data.tables import read_table
from bench.errors import BenchError
from bench.experiment.launchers import Launching
from bench.experiment.presets import load_settings, typed_settings
from bench.reporting.records import read_record
from bench.spec import StrategySpec, parse_list

SECONDS = 10.0
"""No input, all of which are small, may take a reader longer."""


class Target(NamedTuple):
    """Inputs, and what is done with one of them in a folder of its own."""

    inputs: st.SearchStrategy[Any]
    read: Callable[[Any, Path], Any]


def pieces(*known: str) -> st.SearchStrategy[str]:
    """Text made of ``known`` pieces and others."""
    return st.lists(st.sampled_from(known) | st.text(max_size=6), max_size=24).map("".join)


def chunks(*known: bytes) -> st.SearchStrategy[bytes]:
    """Bytes made of ``known`` chunks and others."""
    return st.lists(st.sampled_from(known) | st.binary(max_size=6), max_size=40).map(b"".join)


def spliced(whole: bytes, *known: bytes) -> st.SearchStrategy[bytes]:
    """``whole`` with at most two places cut out or written over."""
    places = st.tuples(st.integers(0, len(whole)), st.integers(0, 12), st.sampled_from(known) | st.binary(max_size=4))

    def cut(changes: list[tuple[int, int, bytes]]) -> bytes:
        content = whole
        for start, length, instead in changes:
            content = content[:start] + instead + content[start + length :]
        return content

    return st.lists(places, max_size=2).map(cut)


def parquet_bytes() -> bytes:
    """A small table as parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = io.BytesIO()
    pq.write_table(pa.table({"text": ["a b", "c"], "label": ["x", "y"]}), content)
    return content.getvalue()


def record_bytes() -> bytes:
    """A whole record."""
    return json.dumps(run("rte", "eda", 1, 0.6, spec={"teacher": {"epochs": 3}}, cost={"attack_queries": 3})).encode()


NAMES = (
    *("none", "eda", "aeda", "mate-kd", "mlm", "freelb", "best-of-k", "flips", "nlpaug:keyboard", "nlpaug:*", "all"),
    *("file:x.tsv", "./no.py:X", "textattack:", "smart", "mixkd", "rho", "k", "copies", "strength", "weights", "side"),
    *("objective", "forwards_of", "reuse"),
)
MARKS = ("[", "]", "(", ")", "+", ",", "=", ":", "*", "?", " ", "0.4", "-1", "1e999", "nan", "true", "none", "9" * 400)
SPEC = pieces(*NAMES, *MARKS)
CELLS = (b"\t", b"\t", b",", b"\n", b"\n", b"\r\n", b"\r", b'"', b"0", b"1", b"0.5", b"nan", b"entailment", b"a b c")
HEAD = (b"index\tsentence1\tsentence2\tlabel\n", b"sentence\tlabel\n", b"index\tquestion\tsentence\tlabel\n")
ODD = (b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\x1f\x8b\x08", b"\x1a", b"\xe2\x80\xa8", b"\x85")
LINES = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"text"',
    b":",
    b'"label"',
    b"null",
    b"1e999",
    b"\\ud800",
    b"{}\n",
    b'{"text": "a"}\n',
)
PARQUET = (b"PAR1", b"\x15\x04", b"\x00\x00\x00\x01", b"\x15\xff\xff\xff\x0f")
RTE = b"".join(b"%d\ta b %d\tc d\t%sentailment\n" % (n, n, b"not_" * (n % 2)) for n in range(6))
RECORD = (b"null", b"-1", b"1e999", b"true", b"[]", b"{}", b'"x"', b"0", b"\\u0000", b'"', b"}", b"9" * 30)
TASK = b"""name = "a"
texts = ["t"]
label = "l"
labels = ["x", "y"]
[files]
train = "train.tsv"
dev = "t.tsv"
"""
PRESET = (Path(bench.__file__).parent / "experiment" / "presets" / "mini.toml").read_bytes()
TOML_BYTES = (
    b"=",
    b"[",
    b"]",
    b'"',
    b"\n",
    b"nan",
    b"-1",
    b"1e400",
    b"{",
    b"}",
    b"true",
    b'""',
    b"[[",
    b".",
    b"\\u0000",
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["scratch", "kd"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SECTIONS = ("teacher", "student", "generator", "recipe", "data", "strategies", "preset")
KEYS = (
    *("model", "epochs", "batch_size", "lr", "shape", "layers", "max_length", "weights", "temperature", "source"),
    *("hidden_size", "tokens", "precision", "selection", "max_train", "warmup", "method", "accumulate", "eda"),
)
SETTINGS = st.tuples(st.sampled_from(SECTIONS), st.sampled_from(KEYS), pieces(*MARKS)).map(
    lambda t: "{}.{}={}".format(*t)
)
TREES = st.dictionaries(
    st.sampled_from(SECTIONS) | st.text(max_size=6),
    VALUES | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), VALUES, max_size=4),
    max_size=4,
)


def table(ending: str) -> Callable[[bytes, Path], Any]:
    """Read the bytes as a table whose file ends so."""

    def read(content: bytes, folder: Path) -> Any:
        (folder / f"table{ending}").write_bytes(content)
        return read_table(folder / f"table{ending}")

    return read


def glue(content: tuple[bytes, bytes], folder: Path) -> Any:
    """Read the bytes as two splits of GLUE's RTE."""
    (folder / "RTE").mkdir()
    for split, rows in zip(("train", "dev"), content, strict=True):
        (folder / "RTE" / f"{split}.tsv").write_bytes(HEAD[0] + rows)
    return FolderSource(folder).load("rte")


def task_file(content: bytes, folder: Path) -> Any:
    """Read the bytes as a task file beside its tables."""
    (folder / "train.tsv").write_text("t\tl\na\tx\nb\ty\n")
    (folder / "t.tsv").write_text("t\tl\nc\tx\nd\ty\n")
    (folder / "task.toml").write_bytes(content)
    source = load_task_file(folder / "task.toml")
    return [source.load(name) for name in source.tasks]


def preset_file(content: bytes, folder: Path) -> Any:
    """Read the bytes as a preset."""
    (folder / "own.toml").write_bytes(content)
    return load_settings(str(folder / "own.toml"))


def record(content: bytes, folder: Path) -> Any:
    """Read the bytes as a record."""
    (folder / "record.json").write_bytes(content)
    return read_record(folder)


TARGETS = {
    "strategies on the command line": Target(SPEC, lambda text, _: parse_list(text, {})),
    "one strategy with options": Target(SPEC, lambda text, _: StrategySpec.parse(text)),
    "lists with brackets": Target(pieces(*MARKS), lambda text, _: split_list(text)),
    "launchers": Target(pieces("ray", "slurm", "processes", "cpus", "gpus", *MARKS), lambda text, _: Launching(text)),
    "--set": Target(
        st.lists(SETTINGS | pieces(*SECTIONS, *KEYS, ".", *MARKS), max_size=2),
        lambda texts, _: load_settings("mini", texts),
    ),
    "settings as a tree": Target(TREES, lambda tree, _: typed_settings({"preset": "own", **tree})),
    "preset files": Target(spliced(PRESET, *TOML_BYTES), preset_file),
    "task files": Target(spliced(TASK, *TOML_BYTES), task_file),
    "GLUE's .tsv": Target(st.tuples(spliced(RTE, *CELLS, *ODD), spliced(RTE, *CELLS, *ODD)), glue),
    "tables .tsv": Target(chunks(*HEAD, *CELLS, *ODD), table(".tsv")),
    "tables .csv": Target(chunks(*HEAD, *CELLS, *ODD), table(".csv")),
    "tables .jsonl": Target(spliced(b'{"text": "a", "label": 1}\n' * 3, *LINES, *ODD), table(".jsonl")),
    "tables .tsv.gz": Target(spliced(gzip.compress(HEAD[0] + RTE, mtime=0), *ODD), table(".tsv.gz")),
    "tables .parquet": Target(spliced(parquet_bytes(), *PARQUET, *ODD), table(".parquet")),
    "records": Target(spliced(record_bytes(), *RECORD, *ODD), record),
}


def is_refused(target: Target, value: Any) -> bool:
    """Put ``value`` through ``target`` and return whether it was refused; raises as ``fuzz`` does."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        try:
            target.read(value, Path(folder))
            refused, said = False, ""
        except BenchError as error:
            refused, said = True, str(error)
        assert len(said) < 5000
        assert said.count("\n") <= 5
        assert time.process_time() - began < SECONDS
    return refused


def fuzz(name: str, count: int) -> tuple[int, int]:
    """Put ``count`` inputs through the target and return how many it read, and how many it refused.

    Raises whatever else a reader raises, with the input made as small as can be; AssertionError for an error of more
    than a few lines, or one that takes too long.
    """
    target, ends = TARGETS[name], [0, 0]

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def one(value: Any) -> None:
        ends[is_refused(target, value)] += 1

    one()
    return ends[0], ends[1]
