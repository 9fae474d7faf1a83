"""An OpenAI-shaped endpoint: one question, one answer, with time limits, tries and what it cost."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    stop_any,
    stop_when_event_set,
)

from bench.errors import BenchError
from strategies.llm.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from strategies.llm.connections import Connections

_LONGEST_WAIT = 60.0
_MOST_BYTES = 1 << 20
# What a chat template may put around a question.
_AROUND = 64
# What a token is at most, in bytes of an answer: longer ones are rare, and no whole answer is made of them.
_TOKEN_BYTES = 16
# An endpoint's own instructions or hidden reasoning may cost more than is seen; many times as much is no count.
_HIDDEN = 16
# Of the address, the key or the model: no other question would fare better.
_HOPELESS = (401, 402, 403, 404, 405)


class NoAnswerError(Exception):
    """A question got no answer; ``again``: another try may help, ``after`` so many seconds if the endpoint says so."""

    def __init__(self, why: str, after: float | None = None, *, again: bool = True) -> None:
        super().__init__(why)
        self.after, self.again = after, again


@dataclass(frozen=True)
class Endpoint:
    """Where and how to ask. ``wait`` are the seconds before the second try, twice as many before each that follows."""

    url: str
    model: str
    temperature: float
    answer_tokens: int
    timeout: float
    tries: int
    wait: float
    key: str | None = field(default=None, repr=False)

    def most_tokens(self, prompt: str) -> tuple[int, int]:
        """Return how many tokens question and answer may take at most: a token is a byte or more."""
        return len(prompt.encode()) + _AROUND, self.answer_tokens

    def ask(self, connections: Connections, prompt: str, seed: int, ended: threading.Event) -> Answer:
        """Return the model's answer to ``prompt``; no try begins once ``ended`` is set.

        The text is None where it is empty, refused or longer than ``answer_tokens`` can be. Raises NoAnswerError where
        it is slow, overloaded or unreadable at every try, BenchError where another try would not help: a key, a model
        or an address that it does not take.
        """
        retrying = Retrying(
            stop=stop_any(stop_after_attempt(self.tries), stop_when_event_set(ended)),
            wait=self._seconds,
            sleep=sleep_using_event(ended),
            retry=retry_if_exception(lambda error: isinstance(error, NoAnswerError) and error.again),
            reraise=True,
        )
        return retrying(self._ask_once, connections, prompt, seed)

    def _seconds(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.after if isinstance(error, NoAnswerError) else None
        return min(_LONGEST_WAIT, self.wait * 2 ** (state.attempt_number - 1) if asked is None else asked)

    def _ask_once(self, connections: Connections, prompt: str, seed: int) -> Answer:
        question = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.temperature,
            "max_tokens": self.answer_tokens,
            "seed": seed,
        }
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        place = f"{self.url.rstrip('/')}/chat/completions"
        try:
            response, body = connections.post(place, self.timeout, _MOST_BYTES, json=question, headers=headers)
        except TimeoutError as error:
            raise NoAnswerError(f"no whole answer in {self.timeout:g} s") from error
        except httpx.RequestError as error:  # of the connection, or a body not compressed as its header says
            raise NoAnswerError(f"{type(error).__name__}: {self._without_key(str(error))}") from error
        if len(body) > _MOST_BYTES:
            raise NoAnswerError(f"an answer of more than {_MOST_BYTES:,} bytes")
        if response.status_code == 429 or response.status_code >= 500:
            raise NoAnswerError(self._said(response.status_code, body), _retry_after(response.headers))
        if response.status_code in _HOPELESS or response.is_redirect:
            raise BenchError(f"{place}: {self._said(response.status_code, body)}; see the options url, model and key")
        if response.status_code != 200:  # too long a text, say
            raise NoAnswerError(self._said(response.status_code, body), again=False)
        return self._read(prompt, body)

    def _read(self, prompt: str, body: bytes) -> Answer:
        try:
            record = json.loads(body)
            choice = record["choices"][0]
            text = choice["message"].get("content")
            if not isinstance(text, str | None):
                raise TypeError(f"its content is {type(text).__name__}")
            text = (text or "").strip()
            refused = choice["message"].get("refusal") or choice.get("finish_reason") == "content_filter"
            too_long = len(text.encode()) > (self.answer_tokens + _AROUND) * _TOKEN_BYTES
            return Answer(None if refused or too_long else text or None, *self._tokens(prompt, record.get("usage")))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise NoAnswerError(
                f"no answer of OpenAI's shape: {self._without_key(body.decode(errors='replace'))}"
            ) from error

    def _tokens(self, prompt: str, usage: Any) -> Iterator[int]:
        """Yield what question and answer took; where ``usage`` has no count that can be, the most they may take."""
        for name, most in zip(("prompt_tokens", "completion_tokens"), self.most_tokens(prompt), strict=True):
            count = usage.get(name) if isinstance(usage, dict) else None
            yield count if type(count) is int and 0 <= count <= _HIDDEN * most else most

    def _said(self, status: int, body: bytes) -> str:
        return f"status {status}: {self._without_key(body.decode(errors='replace'))}"

    def _without_key(self, text: str) -> str:
        """Return the beginning of what an endpoint said, in a line; some repeat the key they were given."""
        text = " ".join(text.split())
        return (text.replace(self.key, "…") if self.key else text)[:200]


def _retry_after(headers: Mapping[str, Any]) -> float | None:
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:  # none, or a date
        return None
