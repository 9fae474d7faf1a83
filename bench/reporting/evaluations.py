"""Evaluations of finished runs beyond their own dev set: files beside the record, and what tables make of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from bench.errors import BenchError, UsageError, unknown
from bench.files import whole_file, write_json
from bench.reporting.records import EVALUATIONS, folder_name
from bench.reporting.schema import Amount, Checks, Cosine, Count, Done, Main, Provenance, Record, Share, check_scores

_ATTACK = "attack-"


class AttackSection(Struct, kw_only=True):
    """How an attack on a student went, on the rows of a sample."""

    recipe: str  # the recipe with its options
    strategy: str  # the strategy whose training texts the recipe makes
    budget: Count  # texts that it may ask the student about per row
    clean: Share  # share of the rows that the student has right as they are
    attacked: Count  # rows that it has right, and that the attack therefore tried
    success: Share | None  # share of these that the attack turned; null where there are none
    queries: Amount | None  # texts that the student was asked about per attacked row
    words_changed: Amount | None  # words inserted, deleted or replaced over words of a turned row, mean over these
    similarity: Cosine | None  # mean cosine of the sentence embeddings of turned rows and what they were
    failed: Count = 0  # rows on which the recipe itself failed; they count as not turned
    instead: list[str] = []  # how what runs here differs from what the recipe's authors ran


class Evaluation(Struct, kw_only=True):
    """How a run's student does on one set, or under an attack; its answers are in the parquet file of the same name."""

    schema: Annotated[int, Meta(ge=1, le=1)] = 1  # version of this form
    name: str  # name of the set
    title: str = ""  # its longer name
    id: str  # id of the run
    task: str  # the task that the student was trained on
    student: str  # digest of the student's weights
    fingerprint: str  # 16 hex digits of the set's rows and of how they are scored
    source: str = ""  # file or data set of the hub that the rows are from
    variant: str = ""  # in what the rows are not those of the set as published
    rows: Count  # rows that were scored
    official: Count | None = None  # rows of the set as published; null where that is not known
    classes: list[str] = []  # the classes that are scored; none: scores
    main: Main  # the score that tables show
    metrics: dict[str, float | None]  # every metric
    groups: dict[str, tuple[float, Count]] = {}  # the main metric within groups of rows, and their number
    constant: float | None = None  # what the best constant answer scores
    most_predicted: Share | None = None  # share of rows that get the student's most frequent answer
    truncated: Count = 0  # rows cut at the maximum length
    seconds: Amount = 0.0  # what answering took
    licence: str = ""  # under which licence the rows are
    citation: str = ""  # what to cite for them
    attack: AttackSection | None = None  # how the attack went that is meant by its name; null where it is a set
    provenance: Provenance = msgspec.field(default_factory=Provenance)  # where the evaluation comes from

    def __post_init__(self) -> None:
        """Raise ValueError for scores that cannot be."""
        check_scores("main", {self.main.metric: self.main.value})
        check_scores("metrics", self.metrics)


_decoder = msgspec.json.Decoder(Evaluation)


def attack_name(recipe: str) -> str:
    """Return what the evaluation under attack by ``recipe`` is called."""
    return folder_name(f"{_ATTACK}{recipe}")


def evaluation_file(run: Path, name: str) -> Path:
    """Return where the evaluation ``name`` of the run in the folder ``run`` is, or will be."""
    return run / EVALUATIONS / f"{name}.json"


def there(run: Path, name: str) -> Evaluation | None:
    """Return the evaluation ``name`` of the run in the folder ``run``, or None: a corrupt one is to be made anew."""
    try:
        return read_evaluation(run, name)
    except BenchError:
        return None


def read_evaluation(run: Path, name: str) -> Evaluation | None:
    """Return the evaluation ``name`` of the run in the folder ``run``, or None; BenchError where it is corrupt."""
    path = evaluation_file(run, name)
    try:
        return _decoder.decode(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{path} is corrupt: {error}; delete it and evaluate again") from error


def write_evaluation(run: Path, evaluation: Evaluation, columns: dict[str, Any]) -> None:
    """Write ``evaluation`` beside the record in ``run``, after its rows: what is there is whole."""
    import pandas as pd

    with whole_file(run / EVALUATIONS / f"{evaluation.name}.parquet") as part:
        pd.DataFrame(columns).to_parquet(part, index=False)
    write_json(evaluation_file(run, evaluation.name), msgspec.to_builtins(evaluation))


def attacks_beside(results: Path, records: Iterable[Record]) -> list[str]:
    """Return the names of the attacks that any of ``records`` has an evaluation of."""
    return [name for name in _beside(results, records) if name.startswith(_ATTACK)]


def sets_beside(results: Path, records: Iterable[Record]) -> list[str]:
    """Return the names of the sets that any of ``records`` has an evaluation of."""
    return [name for name in _beside(results, records) if not name.startswith(_ATTACK)]


def _beside(results: Path, records: Iterable[Record]) -> list[str]:
    folders = (results / record.folder / EVALUATIONS for record in records)
    return sorted({path.stem for folder in folders for path in folder.glob("*.json")})


def evaluated_on(results: Path, records: Iterable[Record], name: str) -> tuple[list[Record], list[str]]:
    """Return the runs evaluated on the set ``name``, as if that were the split they are scored on, and notes.

    What a set's content and scoring have in common is part of the signature: two versions of a set are never
    averaged. An evaluation of another student than the run's own, from before it was trained again, does not count,
    and a corrupt one is left out with a note. UsageError where no run was evaluated on it.
    """
    if name != folder_name(name):
        raise UsageError(f"{name!r} cannot be the name of a set; see bench evaluate --list")
    evaluated: list[Record] = []
    known: set[str] = set()
    corrupt: list[str] = []
    stale = 0
    for record in records:
        if not isinstance(record, Done):
            continue
        folder = results / record.folder
        try:
            evaluation = read_evaluation(folder, name)
            if evaluation is None:
                known |= {path.stem for path in (folder / EVALUATIONS).glob("*.json")}
            elif record.student is not None and evaluation.student != record.student.hash:
                stale += 1
            else:
                evaluated.append(_as_split(record, evaluation))
        except BenchError as error:
            corrupt.append(str(error))
    if not evaluated and corrupt:
        raise BenchError("; ".join(corrupt))
    if not evaluated:
        raise unknown("evaluation", name, known, f"(make it: {_command(name)})")
    notes = [f"left out, {reason}" for reason in corrupt]
    if stale:
        notes.append(f"{stale} evaluations are of students from before a run was trained again: {_command(name)}")
    return evaluated, notes


def _command(name: str) -> str:
    from bench.data.beyond.sets import registry

    if name.startswith(_ATTACK):
        # The name is a folder's: what stood in brackets cannot be read from it.
        recipe = name.removeprefix(_ATTACK)
        return f"bench attack --recipes {recipe if recipe.isalnum() else 'RECIPE'}"
    return f"bench evaluate --on {name}" if name in registry() else f"bench evaluate --on ./FILE.toml, that of {name}"


def _as_split(record: Done, evaluation: Evaluation) -> Done:
    replace = msgspec.structs.replace
    # As the file beside the record is called: AX is a set here, and the name of a test split of MNLI's runs.
    split = f"{EVALUATIONS}/{evaluation.name}"
    official = {} if evaluation.official is None else {split: evaluation.official}
    rows = {name: count for name, count in record.data.rows.items() if name == "train"}
    return replace(
        record,
        signature=f"{record.signature}|{evaluation.name}={evaluation.fingerprint}",
        main=replace(evaluation.main, split=split),
        metrics={split: evaluation.metrics},
        data=replace(
            record.data, rows=rows | {split: evaluation.rows}, official=official, fingerprint=evaluation.fingerprint
        ),
        # It was not asked about these rows, and is no worse a teacher for what it scores on others.
        teacher=None if record.teacher is None else replace(record.teacher, dev=None, constant=None, majority=None),
        checks=Checks(constant=evaluation.constant, most_predicted=evaluation.most_predicted),
    )
