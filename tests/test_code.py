from __future__ import annotations

import importlib
import sys

import pytest

from bench.code import sources, version
from bench.registry import load

SOURCES = {
    "pkg/__init__.py": "",
    "pkg/idea.py": """
import json, numpy
from bench import Strategy
from bench.errors import BenchError
from pkg import words
from .deep.inner import NUMBER
class Idea(Strategy):
    def views(self, batch, models):
        import beside
        from pkg.late import later
""",
    "pkg/words.py": "from . import base",
    "pkg/base.py": "",
    "pkg/deep/__init__.py": "NEVER = 1",
    "pkg/deep/inner.py": "from . import NEVER\nNUMBER = 1",
    "pkg/late.py": "import pkg.idea",
    "pkg/unrelated.py": "",
    "beside.py": "",
    "unrelated.py": "",
}
FOLLOWED = {"idea.py", "words.py", "base.py", "inner.py", "__init__.py", "late.py", "beside.py"}


@pytest.fixture
def idea(tmp_path, monkeypatch):
    """A strategy in a package on the path, and the folder it lies in."""
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n{text}")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("pkg.idea").Idea, tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "pkg"]:
        del sys.modules[name]


def test_imports_are_followed_wherever_they_stand(idea):
    assert set(sources([idea[0]]).values()) == FOLLOWED


@pytest.mark.parametrize("file", [name for name in SOURCES if name != "pkg/__init__.py"])
def test_an_edit_counts_where_the_file_is_followed(idea, file):
    cls, folder = idea
    before = sources([cls])
    (folder / file).write_text(f"{SOURCES[file]}\n# edited")
    assert (sources([cls]) != before) == ("unrelated" not in file)


def test_a_file_of_one_s_own_counts_with_what_lies_beside_it(tmp_path, monkeypatch):
    (tmp_path / "helping.py").write_text("import other")
    (tmp_path / "other.py").write_text("# other")
    (tmp_path / "unrelated.py").write_text("")
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from dataclasses import dataclass\nfrom bench import Strategy\n@dataclass\nclass X(Strategy):\n"
        "    def setup(self, models):\n        import helping\n"
    )
    cls = load(f"{mine}:X")
    before = sources([cls])
    assert set(before.values()) == {"mine.py", "helping.py", "other.py"}
    (tmp_path / "unrelated.py").write_text("1")
    assert sources([cls]) == before
    (tmp_path / "other.py").write_text("1")
    assert sources([cls]) != before


def test_strategies_of_this_suite_count_by_their_files_and_none_by_the_others():
    assert set(sources([load("none")]).values()) == {"none.py"}
    assert {"cilda.py", "strategy.py"} <= set(sources([load("cilda")]).values())
    assert {"eda.py", "words.py"} <= set(sources([load("eda")]).values())
    assert "eda.py" not in sources([load("mlm")]).values()


def test_libraries_count_by_their_versions(tmp_path, monkeypatch):
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "installed_library.py").write_text("class Base: pass")
    monkeypatch.syspath_prepend(library)
    (tmp_path / "own.py").write_text("import installed_library\nclass Own(installed_library.Base): pass")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(sources([importlib.import_module("own").Own]).values()) == ["own.py"]
    assert version("numpy")
    assert version("no-such-distribution") is None


def test_what_is_said_of_a_strategy_is_no_part_of_its_code(tmp_path):
    def saying(said, body="rate = 0.1"):
        file = tmp_path / "mine.py"
        file.write_text(f"class Mine:\n    '''Mine.'''\n\n{said}    {body}\n")
        return list(sources([type("Mine", (), {"__module__": register(file)})]))

    def register(file):
        sys.modules["mine"] = type(sys)("mine")
        sys.modules["mine"].__file__ = str(file)
        return "mine"

    try:
        silent = saying("")
        assert saying("    verified = (\n        'by hand, '\n        'twice'\n    )\n\n") == silent
        assert saying("    verified = 'by hand'\n") == silent
        assert saying("    verified = 'by hand'\n\n", "rate = 0.2") != silent
    finally:
        del sys.modules["mine"]
