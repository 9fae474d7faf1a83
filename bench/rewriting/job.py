"""What is done to rows, in whichever process: a rewriter rewrites them, what it returns is checked."""

from __future__ import annotations

import json
import random
import re
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.tasks import Example
from bench.errors import BenchError
from bench.rewriter import Attacked, Context, Forms, Rewriter

_HALF_A_PAIR = re.compile("[\ud800-\udfff]")

Row = tuple[int, Example]
"""What is to be rewritten: for which edition, and the example."""


@dataclass
class RowResult:
    """What became of one row: its forms, or why it has ``failed``.

    ``final`` is False where another try may end otherwise: the worker was lost, or the machine short of something.
    ``seconds`` is the time it took; None in a process's first call, which also imports libraries and loads models.
    """

    forms: Forms = field(default_factory=list)
    outcome: str | None = None
    queries: int = 0
    seconds: float | None = None
    failed: str | None = None
    final: bool = True


@dataclass
class Job:
    """What to do with rows, wherever that is done: everything a row's rewrite depends on besides the row."""

    rewriter: Rewriter
    context: Context
    seed: int
    name: str
    """The strategy as messages call it."""

    def rewrite(self, rows: Sequence[Row]) -> list[RowResult]:
        """Return what the rewriter makes of each row; where it raises, the rows are asked one by one.

        BenchError is not a row's but the whole work's failure, as is a wrong number of rows, forms or texts.
        """
        start = time.perf_counter()
        # A function of the texts alone, or of text and id: neither a row's place nor who rewrites it may matter.
        rngs = [
            random.Random(
                json.dumps([self.seed, edition, *example.texts, *([example.id] if self.rewriter.by_id else [])])
            )
            for edition, example in rows
        ]
        examples = [example for _, example in rows]
        try:
            rewrites = list(self.rewriter.rewrite(examples, rngs, self.context))
        except BenchError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - recorded with the row and shown; the next row may be fine
            if len(examples) == 1:
                # Memory, disk and the like may be there the next time.
                final = not isinstance(error, MemoryError | OSError)
                return [RowResult(failed=in_a_line(error), seconds=time.perf_counter() - start, final=final)]
            return [result for row in rows for result in self.rewrite([row])]
        if len(rewrites) != len(examples):
            raise BenchError(
                f"{self.name}: rewrite() returned {len(rewrites)} rows of {len(examples)}, example {examples[0].id} on"
            )
        seconds = (time.perf_counter() - start) / len(examples)
        return [self._checked(example, result, seconds) for example, result in zip(examples, rewrites, strict=True)]

    def _checked(self, example: Example, result: Any, seconds: float) -> RowResult:
        attack = result if isinstance(result, Attacked) else Attacked(result, "")
        forms = attack.forms if isinstance(attack.forms, list | tuple) else [attack.forms]
        wanted = len(example.texts)
        wrong = [form for form in forms if not isinstance(form, list | tuple) or len(form) != wanted]
        if not forms or wrong or not all(isinstance(text, str) for form in forms for text in form):
            raise BenchError(
                f"{self.name}: rewrite() made {attack.forms!r:.300} of example {example.id}; every row needs a list of "
                f"forms, each a tuple of {wanted} text{'s' * (wanted > 1)}"
            )
        # Plain strings: a library's own kind of text could not be read without it.
        plain = [tuple(map(str, form)) for form in forms]
        if any(_HALF_A_PAIR.search(text) for form in plain for text in form):
            return RowResult(failed="its rewrite is no Unicode text (half a surrogate pair)", seconds=seconds)
        return RowResult(plain, attack.outcome or None, attack.queries, seconds)


def in_a_line(error: BaseException) -> str:
    """Return ``error`` in one line, with the place in the code that raised it where it is no message for people."""
    if isinstance(error, BenchError):
        return str(error)
    text, frames = " ".join(str(error).split()), traceback.extract_tb(error.__traceback__)
    what = f"{type(error).__name__}: {text:.300}" if text else type(error).__name__
    return f"{what} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else what
