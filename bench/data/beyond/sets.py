"""Sets to evaluate on as data: those of ``sets.toml``, and one described by a TOML file of one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from bench.data.beyond.answers import Answers, Scored, scored
from bench.data.tables import FORMATS
from bench.data.tasks import CLASS_METRICS, GLUE, SCORE_METRICS, Task
from bench.errors import UsageError, unknown
from bench.options import build, option
from bench.toml import read_entries, read_toml


@dataclass(frozen=True)
class Layout:
    """One way in which a set lies in a folder: in the first of the files ``path`` that is there, also with .gz.

    ``more`` are files that lie beside its folder and go on with the rows. ``columns`` are those of a file without a
    header. Only rows with the values ``where`` are read. ``byte_strings``: texts are written as Python's b'...'.
    ``variant`` says in what the rows are not those of the set as published.
    """

    path: tuple[str, ...]
    format: Literal["tsv", "csv", "jsonl", "parquet", "json", "lines", "folders", "table"]
    more: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    byte_strings: bool = False
    quoting: bool = False
    variant: str = ""


@dataclass(frozen=True)
class EvaluationSet:
    """A set, as it is for the models of one task; see the head of ``sets.toml``."""

    name: str
    title: str
    task: str
    texts: tuple[str, ...]
    metrics: tuple[str, ...]
    about: str = ""
    label: str = "label"
    labels: Mapping[str, str] = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    rows: int | None = None
    unlabelled: tuple[str, ...] = ()
    files: tuple[Layout, ...] = ()
    key: str = ""
    hub: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    citation: str = ""
    url: str = ""
    glue_x: bool = False

    @property
    def is_regression(self) -> bool:
        """Whether the labels are scores."""
        return self.metrics[0] in SCORE_METRICS

    def scored(self, own: tuple[str, ...]) -> Scored:
        """Return how answers of a model of the classes ``own`` are scored; UsageError where the labels do not map."""
        theirs = tuple(dict.fromkeys(self.labels.values())) or own
        where = f"set {self.name} for {self.task}"
        if self.is_regression or not own:
            if self.is_regression and not own:
                return Scored((), (), {})
            kinds = ("scores", "classes") if self.is_regression else ("classes", "scores")
            raise UsageError(f"{where}: labels do not map: the set has {kinds[0]}, the model answers with {kinds[1]}")
        answers = self.answers or {name: name for name in own}
        return scored(answers, theirs, own, where)

    def scoring_task(self, result: Scored) -> Task:
        """Return what the metrics are computed for: a task of the classes that are scored."""
        return Task(self.name, self.title, self.texts, result.classes, self.metrics, {})


_ENTRIES = Path(__file__).with_name("sets.toml")


@cache
def registry() -> Mapping[str, dict[str, EvaluationSet]]:
    """Return every known set by its name: {task: the set as it is for that task}."""
    return {name: _by_task(name, entry) for name, entry in read_entries(_ENTRIES).items()}


def _by_task(name: str, entry: Mapping[str, Any]) -> dict[str, EvaluationSet]:
    common = {key: value for key, value in entry.items() if key not in ("parts", "answers", "glue_x", "files")}
    parts, answers = entry.get("parts", {}), entry.get("answers", {})
    files = tuple(Layout(**layout) for layout in entry.get("files", ()))
    by_task = {}
    for task in dict.fromkeys((*parts, *answers)):
        fields = common | {"answers": answers.get(task, {})} | parts.get(task, {})
        by_task[task] = EvaluationSet(
            name=name, task=task, files=files, glue_x=task in entry.get("glue_x", ()), **fields
        )
    return by_task


@dataclass(frozen=True)
class SetFile:
    """The keys of a set file of one's own."""

    name: str = option(MISSING, "what tables and files call the set: lower-case letters, digits, - and _")
    tasks: tuple[str, ...] = option(MISSING, "the tasks whose students are evaluated on it")
    texts: tuple[str, ...] = option(MISSING, "the columns of the text, or of the two texts of a pair")
    file: str = option(MISSING, "the file of rows, relative to this one: .tsv, .csv, .jsonl (also .gz) or .parquet")
    label: str = option("label", "the column of the label")
    labels: dict[str, Any] = option(
        {}, "the class of each label that the file writes; none: the task's own classes by name, or as 0, 1, …"
    )
    answers: dict[str, Any] = option(
        {}, "for each task the class that each answer of its students stands for, or the several; none: its own"
    )
    metrics: tuple[str, ...] = option(
        ("accuracy",), f"the metrics, the main one first: {', '.join((*CLASS_METRICS, *SCORE_METRICS))}"
    )
    groups: tuple[str, ...] = option((), "columns by whose values the main metric is also given")
    quoting: bool = option(False, "whether a .tsv file is quoted as CSV is")
    title: str = option("", "a longer name")
    licence: str = option("", "under which licence the rows are")
    citation: str = option("", "what to cite for them")


def own_set(path: Path) -> dict[str, EvaluationSet]:
    """Return the set that the TOML file ``path`` describes, by task; UsageError says what is wrong."""
    try:
        asked = build(SetFile, read_toml(path), "set")
        if asked.name in registry() or asked.name in GLUE or asked.name in ("train", "dev", "test"):
            raise UsageError(f"name is {asked.name!r}, which is taken; choose another")
        if asked.name == "all" or asked.name.startswith("attack-"):
            raise UsageError(f"name is {asked.name!r}: all is every set, attack-… an attack; choose another")
        if not asked.tasks:
            raise UsageError("tasks names no task")
        if len(asked.texts) > 2:
            raise UsageError(f"texts names {len(asked.texts)} columns; one or two are possible")
        if strange := [task for task in asked.answers if task not in asked.tasks]:
            raise unknown("task in answers", strange[0], asked.tasks)
        file = path.parent / asked.file
        if not asked.file.endswith(FORMATS):
            raise UsageError(f"file is {asked.file}; known endings: {' '.join(FORMATS)}")
        if not file.is_file():
            raise UsageError(f"no such file: {file}")
        by_task = {
            task: EvaluationSet(
                name=asked.name,
                title=asked.title or asked.name,
                task=task,
                texts=asked.texts,
                metrics=asked.metrics,
                label=asked.label,
                labels={str(written): str(name) for written, name in asked.labels.items()},
                answers=asked.answers.get(task, {}),
                groups=asked.groups,
                files=(Layout((str(file.resolve()),), "table", quoting=asked.quoting),),
                licence=asked.licence,
                citation=asked.citation,
            )
            for task in asked.tasks
        }
        for each in by_task.values():
            if not set(each.metrics) <= set(SCORE_METRICS if each.is_regression else CLASS_METRICS):
                raise UsageError(f"metrics are {', '.join(each.metrics)}; name those of classes or those of scores")
            if not each.is_regression:
                each.scoring_task(Scored(("0", "1"), (), {}))  # its checks of name, texts and metrics
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return by_task


def chosen_sets(names: list[str]) -> dict[str, dict[str, EvaluationSet]]:
    """Return the sets that ``names`` ask for, a known one or a FILE.toml each; "all" is every known one."""
    sets: dict[str, dict[str, EvaluationSet]] = {}
    for name in names:
        if name.endswith(".toml"):
            own = own_set(Path(name))
            sets[next(iter(own.values())).name] = own
        elif name == "all":
            sets |= registry()
        elif name in registry():
            sets[name] = registry()[name]
        else:
            raise unknown("evaluation set", name, registry(), "(see: bench evaluate --list; your own: ./FILE.toml)")
    if not sets:
        raise UsageError("no set is named: --on hans,paws, or --on ./FILE.toml; see bench evaluate --list")
    return sets


def described(entry: EvaluationSet) -> dict[str, Any]:
    """Return all of ``entry`` that scores depend on besides its rows, as plain values."""
    fields = dataclasses.asdict(entry)
    return {key: fields[key] for key in ("task", "texts", "metrics", "label", "labels", "answers", "unlabelled", "key")}
