"""What a record holds: one line per field. Every record is checked against this as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

SCHEMA = 1

Count = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(ge=0, le=1e10)]
# Sums of rounded numbers may come out beside their bounds by a little.
Share = Annotated[float, Meta(ge=0, le=1.0001)]
Cosine = Annotated[float, Meta(ge=-1.0001, le=1.0001)]
Positive = Annotated[float, Meta(ge=-1e-4, le=1e10)]

# Settings as JSON holds them, to the depth that presets have: nothing nested so deeply that it cannot be printed.
_Scalar: TypeAlias = str | int | float | bool | None
_Flat: TypeAlias = _Scalar | list[_Scalar] | dict[str, _Scalar]
Value: TypeAlias = _Scalar | list[_Flat] | dict[str, _Flat]
Section: TypeAlias = _Scalar | list[Value] | dict[str, Value]

_MAY_BE_NEGATIVE = ("matthews", "pearson", "spearman")


class Main(Struct):
    """The score that tables show."""

    split: str
    """Split that was scored."""
    metric: str
    """The task's main metric."""
    value: float | None
    """The score as a fraction; null where it was no finite number."""


class Data(Struct):
    """The rows of the task."""

    source: str = ""
    """Where they come from: mini, folder, hub or file."""
    fingerprint: str = ""
    """16 hex digits of the content."""
    rows: dict[str, Count] = {}
    """Rows by split, as used."""
    official: dict[str, Count] = {}
    """Rows by split, as published; splits without an official size are left out."""
    max_train: Count | None = None
    """Largest number of training rows that was asked for."""
    truncated: dict[str, Count] = {}
    """Rows cut at the maximum length, by split."""


class Teacher(Struct):
    """The frozen teacher; null where a strategy does without."""

    dev: float | None = None
    """Its main metric on dev."""
    constant: float | None = None
    """What the best constant answer scores there."""
    standard_error: Positive = 0.0
    """Of its gain over that."""
    majority: float | None = None
    """In older records: what always answering train's most frequent class scores on dev."""
    metric: str = ""
    """The task's main metric."""
    hash: str = ""
    """Digest of its weights."""
    seconds: Seconds | None = None
    """What fine-tuning it took; null where it was given."""
    precision: str = "fp32"
    """Number format of its weights."""
    effect: str = ""
    """What a lower precision does to its answers, in words."""


class Generator(Struct):
    """The masked language model; null where a strategy does without."""

    hash: str = ""
    """Digest of its weights before the run."""
    perplexity: Positive | None = None
    """On held-out texts; this and what follows is there where it was trained here."""
    held_out_texts: Count = 0
    """Texts that the perplexity is over."""
    train_texts: Count = 0
    """Texts it was trained on."""
    tokens: Count = 0
    """Word pieces it was trained on."""
    seconds: Seconds | None = None
    """What training it took."""


class Selection(Struct):
    """Which of a run's students is reported."""

    rule: str
    """Its name: last, split-dev or best-dev."""
    optimistic: bool
    """Whether it reports the rows on which it selected."""
    step: Count = 0
    """Student updates of the student that was chosen."""


class Cost(Struct):
    """What the run cost."""

    student_updates: Count
    """The budget, equal for every strategy."""
    adversary_updates: Count
    """Updates of what the strategy trains itself."""
    train_seconds: Seconds
    """Student and adversary updates and rewriting; no evaluation."""
    attack_queries: Count = 0
    """Texts that attacks asked their victim about."""
    tokens: Count = 0
    """Word pieces of the clean rows of all student updates."""
    padding: Count = 0
    """Word pieces added to make batches rectangular."""
    examples: Count = 0
    """Clean rows of all student updates."""
    forwards: dict[str, Count] = {}
    """Rows by model."""
    backwards: dict[str, Count] = {}
    """Rows by model."""
    seconds: dict[str, float] = {}
    """Wall-clock seconds by phase."""
    rewritten: dict[str, Count] = {}
    """Rows and forms of rewriting: all, those that failed, those from the cache, outcomes of attacks."""
    peak_memory_mb: dict[str, Count] = {}
    """Highest resident memory of the process, and of the GPU where there is one."""


class TextQuality(Struct):
    """What the strategy did to a sample of training texts; null where it makes none."""

    rows: Count | None = None
    """Training rows in the sample."""
    forms: Count | None = None
    """Texts made of them."""
    changed: Share | None = None
    """Forms that differ from their original."""
    word_edit_rate: Positive | None = None
    """Words inserted, deleted or replaced over words of the original."""
    distinct_1: Share | None = None
    """Different words over words."""
    distinct_2: Share | None = None
    """Different pairs of neighbouring words over such pairs."""
    distinct_1_before: Share | None = None
    """The same of the originals' words."""
    distinct_2_before: Share | None = None
    """The same of the originals' pairs."""
    duplicates: Share | None = None
    """Forms that occur more than once."""
    dev_overlap: Share | None = None
    """Of the changed forms, those that are a dev row."""
    teacher_label_kept: Share | None = None
    """Forms of which the teacher says what it says of the original."""
    divergence_before: Positive | None = None
    """Mean divergence of teacher and student on the originals."""
    divergence_after: Positive | None = None
    """The same on the forms."""
    similarity: Cosine | None = None
    """Mean cosine of the sentence embeddings of form and original."""
    truncated: Share | None = None
    """Forms cut at the maximum length."""
    rewriting: dict[str, Count] | None = None
    """Counts of rewriting the whole training set: rows, failed, cached, outcomes of attacks."""


class Checks(Struct):
    """What shows that a score means nothing."""

    constant: float | None = None
    """What the best constant answer scores on the rows that the main score is over."""
    most_predicted: Share | None = None
    """Share of these rows that get the student's most frequent answer."""
    dev_in_train: Count | None = None
    """Dev rows whose texts are also a training row's."""


class Provenance(Struct):
    """Where the record comes from."""

    bench: str = ""
    """Version of this package."""
    git_commit: str | None = None
    """Commit of the checkout; null outside one."""
    git_dirty: bool | None = None
    """Whether the checkout had changes."""
    packages: dict[str, str] = {}
    """Versions of the packages that numbers depend on."""
    hardware: str | None = None
    """GPU, or processor with its number of threads."""
    python: str = ""
    """Version of Python."""
    started: str | None = None
    """UTC, ISO 8601."""
    finished: str | None = None
    """UTC, ISO 8601."""
    command: str = ""
    """The command line."""


class Record(Struct, kw_only=True, tag_field="status"):
    """One run: a strategy on a task under one seed."""

    schema: Annotated[int, Meta(ge=SCHEMA, le=SCHEMA)]
    """Version of this form."""
    id: str
    """8 hex digits of everything that the result depends on."""
    preset: str
    """Name of the preset."""
    task: str
    """Name of the task."""
    strategy: str
    """The strategy as it is spelled on a command line."""
    strategy_options: dict[str, Section]
    """All its options, with the values that took effect."""
    seed: Count
    """Seed of the student and of the strategy."""
    signature: str
    """What must be equal for two results to be comparable, hashed by part."""
    spec: dict[str, Section] = {}
    """The settings that took effect, by section."""
    provenance: Provenance = msgspec.field(default_factory=Provenance)
    """Where the record comes from."""
    reason: str | None = None
    """Why there is no score."""
    folder: str = ""
    """The run's folder relative to the results; set where the record is read."""

    @property
    def status(self) -> str:
        """ "done", "failed" or "skipped"."""
        return str(self.__struct_config__.tag)


class Done(Record, kw_only=True, tag="done"):
    """A run with a score."""

    data: Data
    """The rows of the task."""
    teacher: Teacher | None = None
    """The frozen teacher; null where a strategy does without."""
    generator: Generator | None = None
    """The masked language model; null where a strategy does without."""
    main: Main
    """The score that tables show."""
    metrics: dict[str, dict[str, float | None]]
    """Every metric by split."""
    selection: Selection
    """Which student is reported."""
    cost: Cost
    """What the run cost."""
    text_quality: TextQuality | None = None
    """What the strategy did to a sample of training texts; null where it makes none."""
    checks: Checks = msgspec.field(default_factory=Checks)
    """What shows that a score means nothing."""
    resumed: Count = 0
    """How often the run was taken up from a checkpoint."""

    def __post_init__(self) -> None:
        """Raise ValueError for scores that cannot be."""
        scores = [(f"metrics.{split}", m, v) for split, values in self.metrics.items() for m, v in values.items()]
        for where, metric, value in [*scores, ("main", self.main.metric, self.main.value)]:
            if value is not None and not (-1.0001 if metric in _MAY_BE_NEGATIVE else 0) <= value <= 1.0001:
                raise ValueError(f"no {metric} is {value} - at `$.{where}`")
        counts = (self.text_quality.rewriting if self.text_quality else None) or self.cost.rewritten
        if counts.get("failed", 0) > counts.get("rows", 0):
            raise ValueError(f"{counts['failed']} rows of {counts.get('rows', 0)} failed to be rewritten")


class Failed(Record, tag="failed"):
    """A run that something went wrong in; it is tried again."""


class Skipped(Record, tag="skipped"):
    """A run that the strategy or this machine does not support."""


_decoder = msgspec.json.Decoder(Done | Failed | Skipped)


def parse(raw: bytes) -> Record:
    """Return the record written in ``raw``; ValueError says in what it is wrong."""
    try:
        return _decoder.decode(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def record_of(tree: Mapping[str, Any]) -> Record:
    """Return the record that ``tree`` holds, in plain numbers; ValueError says in what it is wrong."""
    return msgspec.convert(tree, Done | Failed | Skipped)
