"""Paraphrases by a large language model, run here or asked for at an OpenAI-shaped endpoint."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench import Context, TextStrategy, option
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench import Example, Resource, Task
    from bench.observer import Observer
    from bench.rewriter import Forms
    from strategies.llm.answers import Answers, Question

_PROMPT = (
    "Write the following text again in other words, with the same meaning. Answer with the new text alone, on one line."
    "\n\n{text}"
)
_BUDGET = "for this model and prompt, earlier commands included; none: no limit"


@dataclass(kw_only=True)
class Paraphrase(TextStrategy):
    """Texts written again by a large language model, run here or behind an endpoint (AugGPT, arXiv 2302.13007).

    With ``url`` an OpenAI-shaped endpoint is asked (URL/chat/completions). Its key is read from the environment
    variable ``key`` and written nowhere. Each answer is on disk, in the results' cache, as soon as it arrives, known by
    model, prompt, text and seed: nothing is paid for twice, whenever the command is cut off. With ``max_tokens`` or
    ``max_cost`` asking stops before either is passed; rows without an answer stay as they are and are asked for
    again by the next command. Without ``url`` the model at ``model`` runs here: a causal or an encoder-decoder LM.

    Every seed of a run shares the texts; ``seed`` and ``copies`` bring others.
    """

    url: str | None = option(None, "the endpoint's address, https://HOST/v1 say; none: the model runs here")
    model: str = option(
        "Qwen/Qwen2.5-0.5B-Instruct", "the model: a folder or a name on the hub, or the endpoint's name"
    )
    prompt: str | None = option(None, "a file with the prompt, {text} in the place of the text; none: to paraphrase")
    temperature: float = option(1.0, "the temperature of sampling", at_least=0.01)
    answer_tokens: int = option(256, "the number of tokens of an answer at most", at_least=1)
    seed: int = option(0, "the seed of sampling, where the endpoint takes one", at_least=0, below=2**31)
    refresh: int = option(
        0, "the number of epochs after which texts are rewritten anew: 0, never", at_least=0, at_most=0
    )
    key: str = option("OPENAI_API_KEY", "the environment variable with the endpoint's key")
    max_tokens: int | None = option(None, f"the number of tokens to spend in all, {_BUDGET}", at_least=1)
    max_cost: float | None = option(None, f"the money to spend in all, {_BUDGET}", above=0)
    input_price: float = option(0.0, "the price of a million tokens asked", at_least=0)
    output_price: float = option(0.0, "the price of a million tokens answered", at_least=0)
    timeout: float = option(60.0, "the seconds after which an answer is not waited for", above=0)
    tries: int = option(5, "the number of times a question is asked that gets no answer", at_least=1)
    wait: float = option(1.0, "the seconds before the second try; doubled from try to try", at_least=0)
    at_once: int = option(8, "the number of questions on their way at the same time", at_least=1, at_most=256)

    def __post_init__(self) -> None:
        if self.url is None:
            if self.max_tokens is not None or self.max_cost is not None:
                raise UsageError("max_tokens and max_cost are an endpoint's: give its url=https://HOST/v1")
        elif (parts := urlsplit(self.url)).scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"url is an endpoint's address, https://HOST/v1 say, not {self.url!r}")
        elif "@" in parts.netloc or parts.query:
            raise UsageError(f"a key does not belong in the url, which is recorded: set the variable {self.key}")
        if self.max_cost is not None and not self.input_price + self.output_price:
            raise UsageError("max_cost needs prices: give input_price and output_price, per million tokens")

    def resources(self) -> Sequence[Resource]:
        from bench.resources import file, hub_model, python_package

        needed = [hub_model(self.model)]
        if self.url is not None:
            needed = [python_package("httpx", "httpx>=0.27,<1"), python_package("tenacity", "tenacity>=8.2,<10")]
        if self.prompt is not None:
            needed.append(
                file(self.prompt, "an editor (write {text} where the text goes)", f"the prompt {self.prompt}")
            )
        return needed

    def files(self, task: Task) -> tuple[str, ...]:
        return tuple(filter(None, (self.prompt, None if self.url else self.model)))

    def prepare(self, examples: Sequence[Example], context: Context, observer: Observer) -> None:
        self._ask(self._questions(examples, context), self._kept(context), context, observer)

    def rewrite(self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context) -> list[Forms]:
        answers = self._kept(context)
        if context.cache is None:
            from bench.observer import Silent

            self._ask(self._questions(examples, context), answers, context, Silent())
        sides = self.changeable(context.task)
        return [
            [
                tuple(
                    _answer(answers, (text, copy)) if side in sides and text.strip() else text
                    for side, text in enumerate(row.texts)
                )
                for copy in range(self.copies)
            ]
            for row in examples
        ]

    def _questions(self, examples: Sequence[Example], context: Context) -> list[Question]:
        texts = (row.texts[side] for row in examples for side in self.changeable(context.task))
        return [(text, copy) for text in dict.fromkeys(texts) if text.strip() for copy in range(self.copies)]

    def _kept(self, context: Context) -> Answers:
        """Return the answers that are there, for this model and prompt and way of sampling."""
        from bench.files import content_digest, digest
        from strategies.llm.answers import Answers

        if context.cache is None:
            return Answers(None)
        model = self.model if self.url else content_digest(Path(self.model).expanduser()) or self.model
        known = digest(model, self._prompt(), self.temperature, self.answer_tokens, self.seed)
        path = context.cache / "answers" / f"{known}.jsonl"
        return _read(path, path.stat().st_size if path.is_file() else 0)

    def _prompt(self) -> str:
        if self.prompt is None:
            return _PROMPT
        from bench.data.tables import read_text

        prompt = read_text(Path(self.prompt).expanduser())
        if "{text}" not in prompt:
            raise UsageError(f"{self.prompt} has no {{text}}, in the place of which the text goes")
        return prompt

    def _ask(self, questions: Sequence[Question], answers: Answers, context: Context, observer: Observer) -> None:
        """Ask for what ``answers`` lack, as far as the budget goes; a note says what came of it."""
        lacking = [question for question in questions if question not in answers.texts]
        if not lacking:
            return
        template = self._prompt()
        prompts = ((question, template.replace("{text}", question[0])) for question in lacking)
        if self.url is None:
            from strategies.llm.local import answer_here

            answer_here(self.model, prompts, answers, len(lacking), self._sampling(), context.device, observer)
            return
        from strategies.llm.asking import Asking, Budget
        from strategies.llm.endpoint import Endpoint

        endpoint = Endpoint(
            self.url,
            self.model,
            self.temperature,
            self.answer_tokens,
            self.timeout,
            self.tries,
            self.wait,
            self._secret(),
        )
        budget = Budget(self.max_tokens, self.max_cost, self.input_price, self.output_price)
        asking = Asking(endpoint, answers, budget, self.at_once, observer)
        try:
            asking.ask(prompts, len(answers.texts) + len(lacking), self.seed)
        finally:
            got = sum(question in answers.texts for question in lacking)
            tokens = (answers.prompt_tokens, answers.completion_tokens)
            price = f", {budget.cost(*tokens):.4g} of money" if self.input_price + self.output_price else ""
            observer.note(
                f"llm:paraphrase: {got:,} of {len(lacking):,} texts answered; {sum(tokens):,} tokens{price} so far"
                + (f"; {asking.unanswered:,} without an answer, the last: {asking.last}" if asking.unanswered else "")
                + (f"; stopped: {asking.why}" if asking.why else "")
            )

    def _secret(self) -> str | None:
        key = os.environ.get(self.key, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise UsageError(
                f"the key in the environment variable {self.key} has line ends or characters no key has: set it anew"
            )
        return key or None

    def _sampling(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "max_new_tokens": self.answer_tokens, "seed": self.seed}


class UnansweredError(OSError):
    """There is no answer for a text yet; the next command asks again."""


def _answer(answers: Answers, question: Question) -> str:
    """Return the answer in one line, without quotation marks around it that the text has not."""
    if question not in answers.texts:
        raise UnansweredError("no answer, within the budget or from the endpoint; what was answered is kept")
    text = " ".join(answers.texts[question].split())
    for mark in ('"', "'", "“"):
        end = "”" if mark == "“" else mark
        if len(text) > 2 and text[0] == mark and text[-1] == end and not question[0].lstrip().startswith(mark):
            text = text[1:-1].strip()
    return text or question[0]


@lru_cache(maxsize=1)
def _read(path: Path, size: int) -> Answers:
    from strategies.llm.answers import Answers

    return Answers(path)
