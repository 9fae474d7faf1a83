"""Signals that wait for the end of what is in hand."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from bench.interrupts import Interrupted, Interrupts, terminable


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def heeded():
    """Have SIGINT heeded where this was started in the background, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_it_is_obeyed_and_a_second_one_does_not(number):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as interrupt, Interrupts() as interrupts:
        interrupts.obey()
        send(number)
        assert interrupts.asked == number
        interrupts.obey()
    assert interrupt.value.number == number
    assert signal.getsignal(number) == before
    reached = []
    with pytest.raises(Interrupted), Interrupts():
        send(number)
        reached.append("first")
        send(number)
        reached.append("second")
    assert reached == ["first"]


def test_where_signals_are_released_one_comes_through_and_one_that_waited_comes_first():
    reached = []
    with pytest.raises(Interrupted), Interrupts() as interrupts, interrupts.released():
        send(signal.SIGTERM)
        reached.append("after")
    with pytest.raises(Interrupted), Interrupts() as interrupts:
        send(signal.SIGTERM)
        with interrupts.released():
            reached.append("inside")
    with pytest.raises(Interrupted), terminable():
        send(signal.SIGTERM)
        reached.append("terminable")
    assert reached == []


def test_an_ignored_signal_stays_ignored_and_another_thread_changes_nothing():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            send(signal.SIGINT)
            assert interrupts.asked == 0
    finally:
        signal.signal(signal.SIGINT, before)
    handlers = []

    def enter():
        with Interrupts():
            handlers.append(signal.getsignal(signal.SIGTERM))

    there = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [there]
