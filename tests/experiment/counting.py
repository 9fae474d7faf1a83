"""``bench``, which leaves in a folder how many rows the students of this process went forward and backward with.

Run as a script: counting.py FOLDER ARGUMENT .... They are counted where models compute, beside the record's own counts.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from bench.cli import main

computed = Counter[str]()


def count() -> None:
    """Have every pass of a student's update count its rows, by the task and the class of the strategy."""
    import torch

    from bench.distill.student_updates import StudentUpdates
    from bench.strategy import Models

    run_pass, logits = StudentUpdates._pass, Models._logits
    inside: list[str] = []

    def counted_pass(self: StudentUpdates, terms: Any) -> torch.Tensor:
        inside.append(f"{self.models.task.name} {type(self.strategy).__name__}")
        try:
            return run_pass(self, terms)
        finally:
            inside.pop()

    def counted_logits(self: Models, role: Any, inputs: Any) -> torch.Tensor:
        answers = logits(self, role, inputs)
        if inside and role == "student" and torch.is_grad_enabled():
            computed[f"{inside[-1]} forward"] += len(answers)

            def backward(gradient: torch.Tensor) -> None:
                computed[f"{name} backward"] += len(gradient)

            name = inside[-1]
            answers.register_hook(backward)
        return answers

    StudentUpdates._pass, Models._logits = counted_pass, counted_logits  # type: ignore[method-assign]


def left(folder: Path) -> Counter[str]:
    """Return the rows that all processes counted in ``folder``."""
    return sum((Counter(json.loads(path.read_text())) for path in folder.glob("*.json")), Counter())


if __name__ == "__main__":
    folder = Path(sys.argv.pop(1))
    folder.mkdir(exist_ok=True)
    count()
    atexit.register(lambda: (folder / f"{os.getpid()}.json").write_text(json.dumps(computed)))
    main(prog_name="bench")
