"""Many questions put to an endpoint at the same time, until all are answered or the budget is spent."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from strategies.llm.answers import Answers, Question
from strategies.llm.connections import Connections
from strategies.llm.endpoint import Endpoint, NoAnswerError

if TYPE_CHECKING:
    from bench.observer import Observer

_GIVE_UP_AFTER = 10


@dataclass(frozen=True)
class Budget:
    """What may be spent in all: tokens, and money at prices per million tokens; None: without a limit."""

    max_tokens: int | None
    max_cost: float | None
    input_price: float
    output_price: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what tokens cost."""
        return (prompt_tokens * self.input_price + completion_tokens * self.output_price) / 1e6

    def lacks(self, prompt_tokens: int, completion_tokens: int) -> str | None:
        """Return which option forbids to have spent so many tokens, None if none does."""
        if self.max_tokens is not None and prompt_tokens + completion_tokens > self.max_tokens:
            return f"max_tokens={self.max_tokens}"
        if self.max_cost is not None and self.cost(prompt_tokens, completion_tokens) > self.max_cost:
            return f"max_cost={self.max_cost:g}"
        return None


@dataclass
class Asking:
    """Questions put to an endpoint, ``at_once`` of them at the same time, until all are answered or something ends it.

    ``why`` says what ended it early. A question reserves the most that it may cost, so that the budget holds.
    """

    endpoint: Endpoint
    answers: Answers
    budget: Budget
    at_once: int
    observer: Observer
    why: str | None = None
    unanswered: int = 0
    last: str = ""
    _in_a_row: int = 0
    _reserved: list[int] = field(default_factory=lambda: [0, 0])
    _fatal: BenchError | None = None
    _lock: Any = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    def ask(self, prompts: Iterable[tuple[Question, str]], total: int, seed: int) -> None:
        """Put all questions with their ``prompts``; BenchError where the endpoint takes none of them."""
        left = iter(prompts)
        with Connections() as connections, ThreadPoolExecutor(self.at_once) as pool:
            work = [pool.submit(self._work, left, total, connections, seed) for _ in range(self.at_once)]
            try:
                for one in work:
                    one.result()
            finally:
                self._ended.set()  # no thread asks on; what is on its way is waited for
        if self._fatal is not None:
            raise self._fatal

    def _work(self, left: Iterator[tuple[Question, str]], total: int, connections: Connections, seed: int) -> None:
        while True:
            with self._lock:
                question, prompt = (None, "") if self._ended.is_set() else next(left, (None, ""))
                if question is None:
                    return
                most = self.endpoint.most_tokens(prompt)
                spent = (self.answers.prompt_tokens, self.answers.completion_tokens)
                if option := self.budget.lacks(*map(sum, zip(spent, self._reserved, most, strict=True))):
                    self._end(f"{option} leaves no room for another")
                    return
                self._reserved = [sum(pair) for pair in zip(self._reserved, most, strict=True)]
            answer, why, may_be_paid = None, "", False
            try:
                answer = self.endpoint.ask(connections, prompt, seed + question[1], self._ended)
                why = "" if answer.text is not None else "it was empty, refused or too long"
            except NoAnswerError as error:
                why, may_be_paid = str(error), True
            except BenchError as error:
                self._fatal = error
                self._end(str(error))
            with self._lock:
                # What got no answer may have been paid for all the same: its room stays taken.
                if not may_be_paid:
                    self._reserved = [held - own for held, own in zip(self._reserved, most, strict=True)]
                if answer is not None:
                    self.answers.add(question, answer)
                    self.observer.update("answers", len(self.answers.texts), total)
                self.unanswered += bool(why)
                self.last = why or self.last
                self._in_a_row = self._in_a_row + 1 if why else 0
                if self._in_a_row == _GIVE_UP_AFTER:
                    self._end(f"{_GIVE_UP_AFTER} questions in a row got no answer")

    def _end(self, why: str) -> None:
        self.why = self.why or why
        self._ended.set()
