"""A results folder is data: whoever opens a colleague's runs nothing that it names, and unpickles nothing in it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_records import run

import bench
from bench.cli import main
from bench.cli.run import _show
from bench.files import write_json
from bench.reporting.records import read_record, run_folder

SPELLINGS = (
    "./x.py:X",
    "x.py:X",
    "{folder}/x.py:X",
    "best-of-k({folder}/x.py:X)",
    "best-of-k(best-of-k(./x.py:X))[k=1]",
    "aeda+{folder}/x.py:X",
    "{folder}/x.py:X+./x.py:X",
    "'{folder}/x.py:X'",
    '"./x.py:X"',
    " ./x.py:X ",
    "./x.py:X[o=1]",
    "best-of-k( {folder}/x.py:X )",
    "x:X",
    "file://{folder}/x.py:X",
)


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A results folder of every spelling, beside a file that leaves a mark when it is run."""
    folder = tmp_path / "results"
    folder.mkdir()
    mark = tmp_path / "mark"
    (folder / "x.py").write_text(f"open({str(mark)!r}, 'w').write('run')\nclass X: pass\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for number, spelling in enumerate(SPELLINGS):
        strategy = spelling.format(folder=folder)
        for seed, options in enumerate(({"o": 1, "q": 2}, {"o": 1}, {"o": 2})):
            quality = {"changed": 0.5, "rewriting": {"rows": 4, "failed": 1}}
            record = run("rte", strategy, seed, strategy_options=options, text_quality=quality, id=f"{number:08x}")
            write_json(run_folder(folder, "mini", "rte", strategy, seed, record["id"]) / "record.json", record)
    assert len(list(folder.rglob("record.json"))) == 3 * len(SPELLINGS)
    yield folder
    assert not mark.exists()


@pytest.mark.parametrize("form", ["text", "json", "csv", "markdown"])
@pytest.mark.parametrize("quality", [(), ("--quality",)])
def test_compare_runs_no_file_that_a_record_names(trap, form, quality):
    for more in ((), ("--strategy", f"*x.py:X*,best-of-k({trap}/x.py:X)"), ("--baseline", "./x.py:X[o=1]")):
        done = CliRunner().invoke(main, ["compare", "--results", str(trap), "--format", form, *quality, *more])
        assert done.exit_code == 0, done.output
        assert "x.py:X" in done.stdout


def test_the_table_that_run_ends_with_runs_no_file_either(trap):
    records = [read_record(path.parent) for path in trap.rglob("record.json")]
    _show(records, trap, 0)


def test_a_table_loads_no_strategy_and_no_registry(trap):
    code = (
        "import sys; from bench.cli import main\n"
        "main(['compare', '--results', '.'], standalone_mode=False)\n"
        "names = ('strategies', 'bench.registry', 'bench.spec', 'bench.strategy', 'torch', 'pickle5', 'x')\n"
        "loaded = [name for name in names if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=trap)
    assert done.returncode == 0, done.stderr


def test_the_trap_would_show(trap, tmp_path):
    # Asked for by name, the file is run: else the tests above would show nothing.
    CliRunner().invoke(main, ["check", "./x.py:X"])
    assert (tmp_path / "mark").read_text() == "run"
    (tmp_path / "mark").unlink()


def _calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


def test_nothing_is_unpickled_from_a_results_folder():
    room = Path(bench.__file__).parent
    # Between a run and its own worker processes, and of objects made in the same process.
    files = (
        "rewriting/workers.py",
        "experiment/worker.py",
        "experiment/slurm.py",
        "conformance/subject.py",
        "conformance/registration.py",
    )
    own = {room / file for file in files}
    loads = 0
    for path in room.rglob("*.py"):
        for name, given in _calls(path):
            where = f"{path.name}: {name}"
            if name == "torch.load":
                assert given.get("weights_only") == "True", where
                loads += 1
            elif name.endswith("np.load"):
                assert given.get("allow_pickle", "False") == "False", where
                loads += 1
            elif name.startswith(("pickle.load", "joblib.", "dill.", "cloudpickle.", "pd.read_pickle", "marshal.")):
                assert path in own, where
    assert loads >= 2  # the checkpoint and the teacher's answers, at least


def test_an_option_that_only_some_records_have_is_no_difference(trap):
    done = CliRunner().invoke(main, ["compare", "--results", str(trap), "--format", "json"])
    names = {row["strategy"] for row in json.loads(done.stdout)}
    assert {"./x.py:X[o=1]", "./x.py:X[o=2]"} <= names
    assert not any("q=" in name for name in names)
