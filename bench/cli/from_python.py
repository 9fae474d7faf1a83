"""``bench.run``: what the verb ``run`` does, called from Python."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from bench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


def run(
    strategy: str | Sequence[str] = "none,mate-kd",
    tasks: str | Sequence[str] = "all",
    *,
    strength: float | None = None,
    budget: Sequence[str] = (),
    tuned: bool = False,
    seeds: int | None = None,
    seed: Sequence[int] = (),
    redo: bool = False,
    keep_students: str = "auto",
    quick: bool = False,
    train_rows: str = "all",
    max_train: int | None = None,
    recipe: str | None = None,
    workers: int | None = None,
    jobs: int | None = None,
    launcher: str = "processes",
    timeout: float | None = None,
    track: str | None = None,
    weak_teacher: bool = False,
    dry_run: bool = False,
    preset: str = "mini",
    data_dir: str | os.PathLike[str] | None = None,
    set: Sequence[str] = (),
    results: str | os.PathLike[str] = "results",
) -> pd.DataFrame:
    """Train and score strategies on tasks, and return these runs as the frame that ``bench.results`` returns.

    Each parameter is the option of ``bench run`` with its name, its default and its checks; ``bench run --help`` says
    what it means. What may be given several times or with commas is a sequence here, or one text. What is there already
    is not run again.

    Raises UsageError where the request is wrong, and BenchError where something failed, as where a cell did: its
    record, with the reason, is then in ``bench.results``.
    """
    given = dict(locals())
    from bench.cli.choices import training_options
    from bench.cli.run import failed_cells, trained
    from bench.cli.run import run as command
    from bench.experiment.provenance import COMMAND
    from bench.reporting.runs import written

    words = [*_words(command, given)]
    try:
        context = command.make_context("bench run", [*words])
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None
    token = COMMAND.set(shlex.join(["bench", "run", *words]))
    try:
        with context:
            done, fresh = training_options(trained)(**context.params)
    finally:
        COMMAND.reset(token)
    if failed := failed_cells(done, fresh):
        raise failed
    return written([*done, *fresh])


def _words(command: click.Command, given: dict[str, Any]) -> Iterator[str]:
    """Yield ``given`` as one would type it, less what is the default."""
    options = {name.lstrip("-").replace("-", "_"): one for one in command.params for name in one.opts}
    for name, value in given.items():
        option = options[name]
        assert isinstance(option, click.Option)
        if value is None or value is False or value == option.get_default(click.Context(command)):
            continue
        spelled = f"--{name.replace('_', '-')}"
        if option.is_flag:
            yield spelled
        elif option.multiple:
            for one in [value] if isinstance(value, str | int) else value:
                yield f"{spelled}={one}"
        else:
            yield f"{spelled}={_text(value)}"


def _text(value: Any) -> str:
    """Return a value as it is typed: several of them with commas."""
    several = isinstance(value, Iterable) and not isinstance(value, str | os.PathLike)
    return ",".join(map(str, value)) if several else os.fspath(value) if isinstance(value, os.PathLike) else str(value)
