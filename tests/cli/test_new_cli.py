from __future__ import annotations

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.cli.new import KINDS


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_passes_every_check_as_it_is(kind, folder):
    done = CliRunner().invoke(main, ["new", "my-first_idea2", "--kind", kind])
    assert done.exit_code == 0, done.output
    assert [path.name for path in folder.iterdir()] == ["my_first_idea2.py"]
    *_, command = (line for line in done.stdout.splitlines() if line.startswith("  bench check "))
    assert command == "  bench check ./my_first_idea2.py:MyFirstIdea2"
    checked = CliRunner().invoke(main, command.split()[1:])
    assert checked.exit_code == 0, checked.output
    assert " failed " not in checked.output.replace(" 0 failed", "")


def test_nothing_is_overwritten(folder):
    (folder / "idea.py").write_text("mine")
    done = CliRunner().invoke(main, ["new", "idea"])
    assert (done.exit_code, "idea.py is there already" in done.stderr) == (2, True)
    assert (folder / "idea.py").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "a b", "../x", "x.py", "1st", "-", "é", "n" * 300])
def test_a_name_that_is_none_is_refused(name, folder):
    done = CliRunner().invoke(main, ["new", "--", name])
    assert (done.exit_code, "is no name for a strategy" in done.stderr) == (2, True)
    assert not list(folder.iterdir())
