from __future__ import annotations

import multiprocessing
import os
import random
import shutil

import pytest
from tiny import Notes

from bench.errors import BenchError
from bench.files import CHECKSUMS, is_whole, set_aside, whole_file, whole_folder

CONTENT = {"a.json": b'{"dev": 0.5}', "b.npy": bytes(range(256)) * 20, "empty": b""}


def fill(home):
    with whole_folder(home) as part:
        for name, content in CONTENT.items():
            (part / name).write_bytes(content)
    return home


def test_a_folder_is_whole_or_absent(tmp_path):
    home, notes = tmp_path / "a" / "b", Notes()
    with pytest.raises(RuntimeError, match="stop"), whole_folder(home) as part:
        (part / "one").write_text("1")
        raise RuntimeError("stop")
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]
    assert not is_whole(home, notes)
    with whole_folder(home) as part:
        (part / "one").write_text("1")
        assert not home.exists()
    assert (home / "one").read_text() == "1"
    assert is_whole(home, notes)
    # Who comes second finds an equal one there, perhaps in use.
    with whole_folder(home) as part:
        (part / "two").write_text("2")
    assert {path.name for path in home.iterdir()} == {"one", CHECKSUMS}
    assert list(home.parent.iterdir()) == [home]
    assert notes.notes == []


def replaced(content):
    return lambda path: path.write_bytes(content(path.read_bytes()))


def flipped(content):
    place = random.Random(0).randrange(len(content)) if content else 0
    return content[:place] + bytes([content[place] ^ 16] if content else b"x") + content[place + 1 :]


def as_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "truncated": replaced(lambda content: content[: len(content) // 2] or b"x"),
    "emptied": replaced(lambda content: b"" if content else b"x"),
    "zeroed": replaced(lambda content: bytes(len(content) or 1)),
    "flipped": replaced(flipped),
    "longer": replaced(lambda content: content * 2 + b" "),
    "other JSON": replaced(lambda content: b"[]"),
    "missing": os.unlink,
    "a folder": as_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", [*CONTENT, CHECKSUMS])
def test_a_damaged_folder_is_set_aside_with_a_note(tmp_path, file, damage):
    home, notes = fill(tmp_path / "home"), Notes()
    assert is_whole(home, notes)
    DAMAGES[damage](home / file)
    assert not is_whole(home, notes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home.corrupt-1"]
    (note,) = notes.notes
    assert str(home) in note
    assert "home.corrupt-1" in note
    assert file in note or file == CHECKSUMS
    assert is_whole(fill(home), notes)


def test_files_that_a_desktop_leaves_behind_are_no_damage(tmp_path):
    home = fill(tmp_path / "home")
    (home / ".DS_Store").write_text("x")
    assert is_whole(home, Notes())


@pytest.mark.parametrize("put", [lambda path: path.write_text("x"), lambda path: path.symlink_to("nowhere")])
def test_what_is_no_folder_is_set_aside(tmp_path, put):
    home = tmp_path / "home"
    put(home)
    assert not is_whole(home, Notes())
    assert is_whole(fill(home), Notes())


def test_what_was_set_aside_is_not_overwritten(tmp_path):
    path = tmp_path / "x"
    for number in (1, 2):
        path.write_text(str(number))
        assert set_aside(path) == tmp_path / f"x.corrupt-{number}"
    assert [file.read_text() for file in sorted(tmp_path.iterdir())] == ["1", "2"]
    set_aside(path)


def contend(home, number):
    """Fill, use and damage one folder, over and over."""
    for turn in range(60):
        if not is_whole(home, Notes()):
            fill(home)
        if turn % 5 == number:
            shutil.rmtree(home, ignore_errors=True)
        elif turn % 5 == number + 2:
            (home / "a.json").unlink(missing_ok=True)


def test_processes_that_make_one_folder_at_once_do_not_disturb_each_other(tmp_path):
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=contend, args=(tmp_path / "home", number)) for number in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0]
    if not is_whole(tmp_path / "home", Notes()):
        fill(tmp_path / "home")
    assert is_whole(tmp_path / "home", Notes())
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match=r"cannot write .*file/home.*--results DIR"):
        fill(tmp_path / "file" / "home")


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="stop"), whole_file(path) as part:
        part.write_text("half")
        raise RuntimeError("stop")
    assert path.read_text() == "old"
    with whole_file(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
