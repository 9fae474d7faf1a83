"""Plain code run side by side, each piece until it asks something, so that what all ask is answered together."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from strategies.textattack.library import seed

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


class _EndedError(BaseException):
    """Another piece has failed, so none is to go on."""


class SideBySide(Generic[Question, Answer]):
    """Runs functions that call ``ask``; ``answer`` gets the questions of all that wait, in their order.

    One runs at a time, with the state of the global random generators that it left, so that each draws what it would
    draw alone. The library's searches ask in the middle of loops of their own: hence a thread for each.
    """

    def __init__(self, answer: Callable[[Sequence[Question]], Sequence[Answer]]) -> None:
        self._answer = answer
        self._running: _Piece | None = None

    def ask(self, question: Question) -> Answer:
        """Return the answer to ``question``; in the meantime others run."""
        assert self._running is not None
        return self._running.wait_for(question)

    def run(self, works: Sequence[Callable[[], Result]], seeds: Sequence[int], most: int = 128) -> list[Result]:
        """Return what each of ``works`` returns, after seeding with its own of ``seeds``; ``most`` run at a time.

        What one raises is raised here, and ends the others.
        """
        todo = deque(_Piece(work, number) for work, number in zip(works, seeds, strict=True))
        pieces, waiting = list(todo), list[_Piece]()
        try:
            while todo or waiting:
                while todo and len(waiting) < most:
                    piece = todo.popleft()
                    if self._go_on(piece):
                        waiting.append(piece)
                answers = self._answer([piece.question for piece in waiting]) if waiting else []
                for piece, answer in zip(waiting, answers, strict=True):
                    piece.answer = answer
                waiting = [piece for piece in waiting if self._go_on(piece)]
        finally:
            for piece in pieces:
                piece.end()
        return [piece.result for piece in pieces]

    def _go_on(self, piece: _Piece) -> bool:
        """Let ``piece`` run until it asks or ends; return whether it asks."""
        self._running = piece
        try:
            return piece.go_on()
        finally:
            self._running = None


class _Piece:
    """One function in a thread of its own, of which this one waits while it runs."""

    def __init__(self, work: Callable[[], Any], number: int) -> None:
        self._work, self._number = work, number
        self.question: Any = None
        self.answer: Any = None
        self.result: Any = None
        self._error: BaseException | None = None
        self._has_turn, self._has_stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._asks = self._ended = False
        self._draws: tuple[Any, ...] | None = None

    def go_on(self) -> bool:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            seed(self._number)
            self._thread.start()
        else:
            assert self._draws is not None
            numbers, array, tensor = self._draws
            random.setstate(numbers)
            np.random.set_state(array)
            torch.set_rng_state(tensor)
        self._has_turn.release()
        self._has_stopped.acquire()
        self._draws = (random.getstate(), np.random.get_state(), torch.get_rng_state())
        if self._error is not None:
            raise self._error
        return self._asks

    def end(self) -> None:
        """Let the thread end, wherever it is."""
        if self._thread is None or not self._thread.is_alive():
            return
        self._ended = True
        self._has_turn.release()
        self._thread.join()

    def wait_for(self, question: Any) -> Any:
        """Called in the thread: ask, and return the answer once there is one."""
        self.question, self._asks = question, True
        self._has_stopped.release()
        self._has_turn.acquire()
        if self._ended:
            raise _EndedError
        return self.answer

    def _run(self) -> None:
        self._has_turn.acquire()
        try:
            self.result = self._work()
        except _EndedError:
            return
        except BaseException as error:  # noqa: BLE001 - raised where the others are
            self._error = error
        self._asks = False
        self._has_stopped.release()
