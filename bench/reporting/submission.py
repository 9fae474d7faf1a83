"""A submission to GLUE's test server: eleven files of predictions in a zip, made of what runs stored."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.tasks import GLUE, Task
from bench.errors import BenchError, UsageError
from bench.files import file_digest, whole_file
from bench.reporting.schema import Done, Record

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Part:
    """One file of a submission: the task whose rows it predicts, the task whose run does, and under which split."""

    name: str
    task: str
    run_of: str
    split: str  # as GLUE has it
    file: str  # as the run's predictions are called

    @property
    def rows(self) -> int:
        """How many rows the official test set has."""
        rows = GLUE[self.task].rows[self.split]
        assert rows is not None
        return rows


PARTS = (
    Part("CoLA.tsv", "cola", "cola", "test", "test"),
    Part("SST-2.tsv", "sst2", "sst2", "test", "test"),
    Part("MRPC.tsv", "mrpc", "mrpc", "test", "test"),
    Part("STS-B.tsv", "stsb", "stsb", "test", "test"),
    Part("QQP.tsv", "qqp", "qqp", "test", "test"),
    Part("MNLI-m.tsv", "mnli", "mnli", "test", "test"),
    Part("MNLI-mm.tsv", "mnli", "mnli", "test_mismatched", "test_mismatched"),
    Part("QNLI.tsv", "qnli", "qnli", "test", "test"),
    Part("RTE.tsv", "rte", "rte", "test", "test"),
    Part("WNLI.tsv", "wnli", "wnli", "test", "test"),
    Part("AX.tsv", "ax", "mnli", "test", "ax"),
)
"""The eleven files, in the order of the tasks."""


@dataclass(frozen=True)
class Filed:
    """A file of a submission as it was written; ``run`` is None for a placeholder, one answer for every row."""

    part: Part
    run: Done | None
    answers: tuple[str, ...]


def choose_runs(records: Sequence[Record], strategy: str, rule: str, fixed: Sequence[Record] = ()) -> dict[str, Done]:
    """Return the run of each task: of ``strategy``, one that is ``fixed`` or else by the seed ``rule``.

    "best-dev" is the seed with the highest main score on dev, of equals the lowest; "first" the lowest; else a
    number. Raises UsageError where runs of different settings are to choose from, or where none is of GLUE's rows.
    """
    of = [r for r in records if isinstance(r, Done) and strategy in (r.strategy, r.strategy.partition("[")[0])]
    if not of:
        names = ", ".join(sorted({record.strategy for record in records if isinstance(record, Done)}))
        raise UsageError(f"no finished run of the strategy {strategy!r}; there are runs of: {names or 'none'}")
    if len({run.strategy for run in of}) > 1 and not any(run.strategy == strategy for run in of):
        raise UsageError(f"which? {', '.join(sorted({run.strategy for run in of}))}")
    exact = [run for run in of if run.strategy == strategy] or of
    runs = [run for run in exact if run.data.source in ("folder", "hub")]
    if not runs:
        raise UsageError(
            f"the runs of {strategy} are on {exact[0].data.source} data, not GLUE's own rows; run with --data-dir or "
            "another preset, then submit"
        )
    chosen: dict[str, Done] = {}
    for task in dict.fromkeys(part.run_of for part in PARTS):
        own = [run for run in fixed if isinstance(run, Done) and run.task == task]
        of_task = own or [run for run in runs if run.task == task and (not rule.isdigit() or run.seed == int(rule))]
        if len({(run.preset, run.signature) for run in of_task}) > 1:
            listed = ", ".join(f"{run.id} ({run.preset}, seed {run.seed})" for run in of_task[:8])
            raise UsageError(f"{task} has runs in different settings; name its run: --run ID, one of {listed}")
        if of_task:
            chosen[task] = min(of_task, key=_by_dev if rule == "best-dev" else _by_seed)
    return chosen


def _by_dev(run: Done) -> tuple[float, int]:
    return (-(run.main.value if run.main.value is not None else -2.0), run.seed)


def _by_seed(run: Done) -> tuple[float, int]:
    return (run.seed, 0)


def answers_of(part: Part, run: Done, folder: Path) -> tuple[str, ...]:
    """Return what ``run``, in ``folder``, says of each row of ``part``, as GLUE's server reads it, in the rows' order.

    Classes by their names in GLUE's files, scores clipped to the task's range with three decimals. Raises BenchError
    where the stored predictions are not there, or not one for each official row.
    """
    import pandas as pd

    path = folder / "predictions" / f"{part.file}.parquet"
    try:
        stored = pd.read_parquet(path)
    except FileNotFoundError:
        raise BenchError(f"run {run.id} predicted no {part.file} rows: its data had none") from None
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} cannot be read: {error}") from error
    return _checked(part, stored, path)


def _checked(part: Part, stored: pd.DataFrame, path: Path) -> tuple[str, ...]:
    import numpy as np

    task = GLUE[part.task]
    if missing := {"id", "prediction"} - set(stored.columns):
        raise BenchError(f"{path} has no column {', '.join(sorted(missing))}")
    if len(stored) != part.rows:
        raise BenchError(f"{path} has {len(stored):,} rows, the official test set {part.rows:,}")
    ids = stored["id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    if not np.array_equal(ids[order], np.arange(part.rows)):
        raise BenchError(f"{path}: its ids are not 0 to {part.rows - 1:,}, each once")
    values = stored["prediction"].to_numpy()[order].astype(np.float64)
    if not np.isfinite(values).all():
        raise BenchError(f"{path}: {int((~np.isfinite(values)).sum()):,} predictions are no finite numbers")
    if task.is_regression:
        assert task.score_range is not None
        return tuple(f"{value:.3f}" for value in np.clip(values, *task.score_range))
    if not np.isin(values, range(len(task.labels))).all():
        raise BenchError(f"{path}: predictions are not all classes, 0 to {len(task.labels) - 1}")
    return tuple(task.submission_labels[int(value)] for value in values)


def collect(chosen: Mapping[str, Done], results: Path, *, fill: bool = False) -> tuple[list[Filed], dict[str, str]]:
    """Return the files of a submission, and for those that cannot be made the reason.

    With ``fill`` placeholders stand in their places: the first class, or the lowest score, for every row.
    """
    filed, lacking = [], {}
    for part in PARTS:
        run = chosen.get(part.run_of)
        try:
            if run is None:
                raise BenchError(f"no finished run on {part.run_of}")
            filed.append(Filed(part, run, answers_of(part, run, results / run.folder)))
        except BenchError as error:
            lacking[part.name] = str(error)
            if fill:
                filed.append(Filed(part, None, (_constant(GLUE[part.task]),) * part.rows))
    return filed, lacking


def _constant(task: Task) -> str:
    if task.is_regression:
        assert task.score_range is not None
        return f"{task.score_range[0]:.3f}"
    return task.submission_labels[0]


def write_zip(filed: Sequence[Filed], path: Path) -> None:
    """Write the zip to ``path``, whole or not at all, and read it back; the same answers make the same bytes."""
    with whole_file(path) as part:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in filed:
                rows = "".join(f"{number}\t{answer}\n" for number, answer in enumerate(file.answers))
                entry = zipfile.ZipInfo(file.part.name, (1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, f"index\tprediction\n{rows}")
        read = read_zip(part)
        for file in filed:
            if read[file.part.name] != list(file.answers):
                raise BenchError(f"{path}: {file.part.name} reads back as something else than was written")


def read_zip(path: Path) -> dict[str, list[str]]:
    """Return the answers of each file of a submission, in the order of their ids; BenchError says what is wrong.

    Checked are the names of the files, headers, ids, numbers of rows, names of classes and the range of scores.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names, content = archive.namelist(), {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise BenchError(f"{path} is no readable zip: {error}") from error
    if sorted(names) != sorted(part.name for part in PARTS):
        odd = sorted({*names} ^ {part.name for part in PARTS})
        raise BenchError(f"{path}: eleven files are wanted, each once; missing or too much: {', '.join(odd) or names}")
    return {part.name: list(_answers(part, content[part.name], path)) for part in PARTS}


def _answers(part: Part, content: bytes, path: Path) -> Iterator[str]:
    where, task, rows = f"{path}, {part.name}", GLUE[part.task], 0
    lines = io.TextIOWrapper(io.BytesIO(content), "utf-8")
    if next(lines, "") != "index\tprediction\n":
        raise BenchError(f"{where}: its first line is not index and prediction")
    for rows, line in enumerate(lines, 1):
        number, _, answer = line.removesuffix("\n").partition("\t")
        if number != str(rows - 1):
            raise BenchError(f"{where}:{rows + 1}: index {number!r:.20} where {rows - 1} is due")
        if not _allowed(task, answer):
            raise BenchError(f"{where}:{rows + 1}: {answer!r:.40} is no answer of {task.title}")
        yield answer
    if rows != part.rows:
        raise BenchError(f"{where}: {rows:,} rows, the official test set has {part.rows:,}")


def _allowed(task: Task, answer: str) -> bool:
    if not task.is_regression:
        return answer in task.submission_labels
    assert task.score_range is not None
    try:
        return task.score_range[0] <= float(answer) <= task.score_range[1]
    except ValueError:
        return False


def manifest(filed: Sequence[Filed], path: Path) -> dict[str, object]:
    """Return what the zip at ``path`` is made of: each file's run, seed and dev score, or that it is a placeholder."""
    return {
        "sha256": file_digest(path),
        "files": {
            file.part.name: {"placeholder": True, "rows": file.part.rows}
            if file.run is None
            else {
                "placeholder": False,
                "rows": file.part.rows,
                "run": file.run.id,
                "preset": file.run.preset,
                "strategy": file.run.strategy,
                "seed": file.run.seed,
                "dev": {file.run.main.metric: file.run.main.value},
                "partial_training_data": file.run.data.rows.get("train") != file.run.data.official.get("train"),
            }
            for file in filed
        },
    }
