"""What is seen of a run: in terminals of several widths, and as log lines."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.live import Live

from bench.experiment.progress import Progress
from bench.observer import clock_time


class Clock:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self):
        return self.now


def line(progress, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(progress, end="")
    text = console.file.getvalue()
    assert "\n" not in text
    assert len(text) <= width
    return text.rstrip()


def live(width=80):
    console = Console(width=width, file=io.StringIO(), force_terminal=True)
    return Live(console=console, auto_refresh=False, transient=True)


@pytest.fixture
def progress():
    """A generator in training, in the thirteenth cell of a long grid."""
    clock = Clock()
    progress = Progress(live(), clock)
    progress.cell(13, 64, "wnli · ./sentence_shuffle.py:SentenceShuffle · seed 0", lambda phase, left, rate: 7805.0)
    progress.update("generator", 0, 1_800_000)
    clock.now += 10
    progress.evaluated("accuracy", 0.75)
    progress.update("generator", 100_000, 1_800_000, 4.477)
    return progress


def test_wide_there_is_all(progress):
    found = line(progress, 200)
    assert found.startswith("[13/64] wnli · ./sentence_shuffle.py:SentenceShuffle · seed 0  ")
    assert "━" in found
    assert found.endswith(
        "generator 100,000/1,800,000  loss 4.477  dev accuracy 0.750  10,000.0/s  2:50 left, all 2:10:05"
    )


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 120, 160])
def test_the_time_left_is_the_last_to_go(progress, width):
    found = line(progress, width)
    assert found.endswith("2:50 left, all 2:10:05")
    assert ("generator 100,000/1,800,000" in found) == (width >= 60)
    assert found.startswith("[13/64]") == (width >= 80)
    # In the order in which they go, what is there has all after it beside it.
    there = [part in found for part in ("━", "loss", "dev accuracy", "/s")]
    assert there == sorted(there)


def test_from_the_first_second_it_says_what_it_does():
    progress = Progress(live(), Clock())
    progress.doing("loading libraries")
    assert line(progress, 80) == "loading libraries"
    progress.cell(1, 3, "rte · none · seed 0")
    assert line(progress, 80) == "[1/3] rte · none · seed 0  reading data and models"
    progress.update("teacher", 0, 57)
    assert line(progress, 80).endswith("teacher 0/57")


def test_an_adversary_s_turns_are_on_the_student_s_clock():
    clock = Clock()
    progress = Progress(live(), clock)
    progress.update("adversary", 0, 19, -0.5)
    clock.now += 5
    progress.update("adversary", 0, 19, -0.5)
    found = line(progress, 80)
    assert found.endswith("student 0/19 (adversary's turn)")
    assert "/s" not in found
    assert "loss" not in found
    clock.now += 5
    progress.update("student", 10, 19, 0.25)
    assert line(progress, 80).endswith("student 10/19  loss 0.250  1.0/s  0:09 left")


def test_one_attack_s_pace_is_not_the_one_before_s():
    clock = Clock()
    progress = Progress(live(), clock)
    progress.update("attack", 0, 100)
    clock.now += 1000
    progress.update("attack", 100, 100)
    clock.now += 1
    progress.update("attack", 8, 100)
    clock.now += 4
    progress.update("attack", 16, 100)
    assert line(progress, 80).endswith("attack 16/100  2.0/s  0:42 left")


def test_a_long_note_is_one_line_that_the_terminal_breaks():
    progress = Progress(live(40), Clock())
    progress.note("[1/2] rte · none · seed 0: accuracy 0.800 in 4 s of training")
    assert "in 4 s of training\n" in progress._live.console.file.getvalue()


def test_without_a_terminal_there_is_a_line_now_and_then(capsys):
    clock = Clock()
    progress = Progress(clock=clock)
    progress.cell(1, 2, "rte · none · seed 0")
    for _ in range(4):
        clock.now += 16
        progress.update("student", int(clock.now), 1000, 0.5)
    lines = [text[9:] for text in capsys.readouterr().err.splitlines()]
    assert lines == [
        "[1/2] rte · none · seed 0",
        "student 132/1,000  loss 0.500  1.0/s  14:28 left",
        "student 164/1,000  loss 0.500  1.0/s  13:56 left",
    ]


def test_clock_times():
    assert [clock_time(seconds) for seconds in (0.4, 94, 3600, 7805)] == ["0:00", "1:34", "1:00:00", "2:10:05"]


def test_rows_held_out_are_not_called_dev():
    progress = Progress(live(), Clock(), scored="held-out")
    progress.update("student", 1, 9)
    progress.evaluated("accuracy", 0.75)
    progress.update("student", 2, 9, 0.5)
    assert "held-out accuracy 0.750" in line(progress, 120)
