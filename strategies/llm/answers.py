"""Answers of a language model, on disk as they arrive: what was paid for is not lost."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError

Question = tuple[str, int]
"""A text, and the number of the copy of it."""


@dataclass(frozen=True)
class Answer:
    """What came back: the text, None where it is empty or refused, and the tokens that are paid for."""

    text: str | None
    prompt_tokens: int
    completion_tokens: int


class Answers:
    """The answers in the file at ``path``, a line each; without one, in memory. Every line is on disk once added."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.texts: dict[Question, str] = {}
        self.prompt_tokens = self.completion_tokens = 0
        for line in path.read_text("utf-8", "replace").split("\n") if path is not None and path.is_file() else ():
            try:
                record = json.loads(line)
                self._take(
                    (record["asked"], record["copy"]), Answer(*(record[name] for name in Answer.__annotations__))
                )
            except (ValueError, KeyError, TypeError):  # an empty line, or one cut off when its writer was killed
                continue

    def _take(self, question: Question, answer: Answer) -> None:
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens
        if answer.text is not None:
            self.texts.setdefault(question, answer.text)

    def add(self, question: Question, answer: Answer) -> None:
        """Take an answer, and write it down."""
        self._take(question, answer)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            record = {"asked": question[0], "copy": question[1], **vars(answer)}
            # A line end first: a line that was cut off stays alone. One write, so that several programs may add.
            line = f"\n{json.dumps(record)}".encode()
            try:
                file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                try:
                    os.write(file, line)
                    os.fsync(file)
                finally:
                    os.close(file)
            except OSError as error:
                raise BenchError(
                    f"cannot write {self.path}: {error.strerror}; what was answered there is kept"
                ) from error
