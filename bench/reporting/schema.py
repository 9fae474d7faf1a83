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
# A metric's value, of a model or of a constant answer.
Score = Annotated[float, Meta(ge=-1.0001, le=1.0001)]
Cosine = Annotated[float, Meta(ge=-1.0001, le=1.0001)]
Amount = Annotated[float, Meta(ge=-1e-4, le=1e10)]

# Settings as JSON holds them, to the depth that presets have: nothing nested so deeply that it cannot be printed.
_Scalar: TypeAlias = str | int | float | bool | None
_Flat: TypeAlias = _Scalar | list[_Scalar] | dict[str, _Scalar]
Value: TypeAlias = _Scalar | list[_Flat] | dict[str, _Flat]
Section: TypeAlias = _Scalar | list[Value] | dict[str, Value]

MAY_BE_NEGATIVE = ("matthews", "pearson", "spearman")
"""The metrics that are correlations."""


class Main(Struct):
    """The score that tables show."""

    split: str  # split that was scored
    metric: str  # the task's main metric
    value: float | None  # the score as a fraction; null where it was no finite number


def check_scores(where: str, scores: Mapping[str, float | None]) -> None:
    """Raise ValueError for one of ``scores``, by metric, that the metric never gives; ``where`` they stand."""
    for metric, value in scores.items():
        if value is not None and not (-1.0001 if metric in MAY_BE_NEGATIVE else 0) <= value <= 1.0001:
            raise ValueError(f"no {metric} is {value} - at `$.{where}`")


class DataSection(Struct):
    """The rows of the task."""

    source: str = ""  # where they come from: mini, folder, hub or file
    fingerprint: str = ""  # 16 hex digits of the content
    texts: Count | None = None  # texts of a row; null in older records
    rows: dict[str, Count] = {}  # rows by split, as used
    official: dict[str, Count] = {}  # rows by split, as published; splits without an official size are left out
    max_train: Count | None = None  # largest number of training rows that was asked for
    train_rows: Count | None = None  # rows per class, of scores in all, that were asked for; null: all
    truncated: dict[str, Count] = {}  # rows cut at the maximum length, by split


class TeacherSection(Struct):
    """The frozen teacher; null where a strategy does without."""

    dev: Score | None = None  # its main metric on dev
    constant: Score | None = None  # what the best constant answer scores there
    standard_error: Amount = 0.0  # of its gain over that
    majority: Score | None = None  # in older records: what always answering train's most frequent class scores on dev
    metric: str = ""  # the task's main metric
    hash: str = ""  # digest of its weights
    seconds: Seconds | None = None  # what fine-tuning it took; null where it was given
    precision: str = "fp32"  # number format of its weights
    effect: str = ""  # what a lower precision does to its answers, in words


class GeneratorSection(Struct):
    """The masked language model; null where a strategy does without."""

    hash: str = ""  # digest of its weights before the run
    perplexity: Amount | None = None  # on held-out texts; this and what follows is there where it was trained here
    held_out_texts: Count = 0  # texts that the perplexity is over
    train_texts: Count = 0  # texts it was trained on
    tokens: Count = 0  # word pieces it was trained on
    seconds: Seconds | None = None  # what training it took


class SelectionSection(Struct):
    """Which of a run's students is reported."""

    rule: str  # its name: last, split-dev or best-dev
    optimistic: bool  # whether it reports the rows on which it selected
    step: Count = 0  # student updates of the student that was chosen


class StudentSection(Struct):
    """The student that the scores are of; null in older records."""

    hash: str = ""  # digest of its weights and configuration
    parameters: Count = 0  # how many weights it has
    kept: bool = False  # whether it was put into the folder student of the run; `bench clean` may have freed it since
    reason: str | None = None  # why it was not, where it should have been


class CostSection(Struct):
    """What the run cost."""

    student_updates: Count  # the budget, equal for every strategy
    adversary_updates: Count  # updates of what the strategy trains itself
    train_seconds: Seconds  # student and adversary updates and rewriting; no evaluation
    attack_queries: Count = 0  # texts that attacks asked their victim about
    tokens: Count = 0  # word pieces of the clean rows of all student updates
    padding: Count = 0  # word pieces added to make batches rectangular
    examples: Count = 0  # clean rows of all student updates
    forwards: dict[str, Count] = {}  # rows by model
    backwards: dict[str, Count] = {}  # rows by model
    seconds: dict[str, Annotated[float, Meta(ge=-1e10, le=1e10)]] = {}  # wall-clock seconds by phase
    rewritten: dict[str, Count] = {}  # rows and forms of rewriting: all, failed, truncated; outcomes of attacks
    failures: dict[str, Count] = {}  # rows that could not be rewritten, by the reason
    processor_share: Share | None = None  # share of its updates' seconds that it had a processor; low: a busy machine
    peak_memory_mb: dict[str, Count] = {}  # highest resident memory of the process, and of the GPU where there is one


class BudgetSection(Struct):
    """A budget other than the recipe's student updates; null where there is none."""

    kind: str  # what it is measured in: forwards or seconds
    of: str  # the strategy that took as much
    updates: Count  # student updates that it comes to
    recipe_updates: Count  # student updates of all other runs of the table


class AdversarySection(Struct):
    """What a learned adversary had come to at the end of the run; null where none learned."""

    rows: Count  # training rows in the sample
    divergence: Amount  # mean divergence of teacher and student on what it makes of these rows
    divergence_at_start: Amount  # the same student's on what it made of them untrained, with the same noise
    standard_error: Amount  # of the difference of the two, over rows
    words: Count | None = None  # words that it chose in these rows; null, as what follows, where it chooses none
    kl_from_start: Amount | None = None  # mean KL, in nats, of its distribution at these words to that at its start


class TextQuality(Struct):
    """What the strategy did to a sample of training texts; null where it makes none."""

    rows: Count | None = None  # training rows in the sample
    forms: Count | None = None  # texts made of them
    changed: Share | None = None  # forms that differ from their original
    word_edit_rate: Amount | None = None  # words inserted, deleted or replaced over words of the original
    distinct_1: Share | None = None  # different words over words
    distinct_2: Share | None = None  # different pairs of neighbouring words over such pairs
    distinct_1_before: Share | None = None  # the same of the originals' words
    distinct_2_before: Share | None = None  # the same of the originals' pairs
    duplicates: Share | None = None  # forms that occur more than once
    dev_overlap: Share | None = None  # of the changed forms, those that are a dev row
    teacher_label_kept: Share | None = None  # of the changed forms, those that keep the teacher's answer
    divergence_before: Amount | None = None  # mean divergence of teacher and student on these forms' originals
    divergence_after: Amount | None = None  # the same on these forms
    similarity: Cosine | None = None  # mean cosine of the sentence embeddings of these forms and their originals
    teacher_label_kept_all: Share | None = None  # teacher_label_kept over all forms, changed or not
    divergence_before_all: Amount | None = None  # divergence_before over all forms
    divergence_after_all: Amount | None = None  # divergence_after over all forms
    similarity_all: Cosine | None = None  # similarity over all forms
    texts_per_row: Amount | None = None  # different texts, other than its own, that a row gave over the run
    teacher_stddev: Amount | None = None  # standard deviation of the teacher's mean probability (arXiv 2012.02909)
    truncated: Share | None = None  # forms cut at the maximum length
    rewriting: dict[str, Count] | None = None  # counts of the whole training set's rewriting


class Checks(Struct):
    """What shows that a score means nothing."""

    constant: Score | None = None  # what the best constant answer scores on the rows that the main score is over
    most_predicted: Share | None = None  # share of these rows that get the student's most frequent answer
    dev_in_train: Count | None = None  # dev rows whose texts are also a training row's


class Provenance(Struct):
    """Where the record comes from."""

    bench: str = ""  # version of this package
    git_commit: str | None = None  # commit of the checkout; null outside one
    git_dirty: bool | None = None  # whether the checkout had changes
    packages: dict[str, str] = {}  # versions of the packages that numbers depend on
    hardware: str | None = None  # GPU, or processor with its number of threads
    python: str = ""  # version of Python
    started: str | None = None  # UTC, ISO 8601
    finished: str | None = None  # UTC, ISO 8601
    command: str = ""  # the command line


class TunedSection(Struct, frozen=True):
    """The search that chose the strategy's options; null where they are as they were asked for."""

    strategy: str  # the strategy as it was asked for, which the first trial is
    trials: Count  # how many settings of its options were tried
    seed: Count  # seed of the draws
    training_seeds: tuple[Count, ...]  # seeds that every trial was trained with
    metric: str  # the task's main metric
    held_out: Count  # rows held out of train that the trials were scored on
    score: Score  # mean over the seeds of the trial that scored best
    as_shipped: Score | None  # the same of the strategy as it was asked for; null where that failed


class Record(Struct, kw_only=True, tag_field="status"):
    """One run: a strategy on a task under one seed."""

    schema: Annotated[int, Meta(ge=SCHEMA, le=SCHEMA)]  # version of this form
    id: str  # 8 hex digits of everything that the result depends on
    preset: str  # name of the preset
    task: str  # name of the task
    strategy: str  # the strategy as it is spelled on a command line
    strategy_options: dict[str, Section]  # all its options, with the values that took effect
    seed: Count  # seed of the student and of the strategy
    signature: str  # what must be equal for two results to be comparable, hashed by part
    spec: dict[str, Section] = {}  # the settings that took effect, by section
    tuned: TunedSection | None = None  # the search that chose the options; null where they are as asked for
    searched: list[str] | None = None  # its options that `bench tune` can search; null in older records
    verified: str | None = None  # how its strategy was checked; null where it was not, and in older records
    provenance: Provenance = msgspec.field(default_factory=Provenance)  # where the record comes from
    reason: str | None = None  # why there is no score
    folder: str = ""  # the run's folder relative to the results; set where the record is read

    @property
    def status(self) -> str:
        """ "done", "failed" or "skipped"."""
        return str(self.__struct_config__.tag)


class Done(Record, kw_only=True, tag="done"):
    """A run with a score."""

    data: DataSection  # the rows of the task
    teacher: TeacherSection | None = None  # the frozen teacher; null where a strategy does without
    generator: GeneratorSection | None = None  # the masked language model; null where a strategy does without
    main: Main  # the score that tables show
    metrics: dict[str, dict[str, float | None]]  # every metric by split
    selection: SelectionSection  # which student is reported
    student: StudentSection | None = None  # the student that the scores are of; null in older records
    cost: CostSection  # what the run cost
    budget: BudgetSection | None = None  # a budget other than the recipe's student updates; null where there is none
    adversary: AdversarySection | None = None  # what a learned adversary had come to; null where none learned
    text_quality: TextQuality | None = None  # what the strategy did to a sample of training texts; null: none
    checks: Checks = msgspec.field(default_factory=Checks)  # what shows that a score means nothing
    resumed: Count = 0  # how often the run was taken up from a checkpoint

    def __post_init__(self) -> None:
        """Raise ValueError for scores and counts that cannot be."""
        check_scores("main", {self.main.metric: self.main.value})
        for split, scores in self.metrics.items():
            check_scores(f"metrics.{split}", scores)
        counts = (self.text_quality.rewriting if self.text_quality else None) or self.cost.rewritten
        if counts.get("failed", 0) > counts.get("rows", 0):
            raise ValueError(f"{counts['failed']} rows of {counts.get('rows', 0)} failed to be rewritten")


class FailedRun(Record, tag="failed"):
    """A run that something went wrong in; it is tried again."""


class SkippedRun(Record, tag="skipped"):
    """A run that the strategy or this machine does not support."""


class NewerError(ValueError):
    """A record is of a later form than this version of the program knows: not damaged, and another's to judge."""


class _Form(Struct):
    schema: int


_decoder = msgspec.json.Decoder(Done | FailedRun | SkippedRun)
_forms = msgspec.json.Decoder(_Form)


def parse(raw: bytes) -> Record:
    """Return the record written in ``raw``; ValueError says in what it is wrong, NewerError that it is newer."""
    try:
        return _decoder.decode(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except msgspec.ValidationError as error:
        if (form := _form(raw)) > SCHEMA:
            raise NewerError(
                f"made by a newer version of this program (schema {form}, and this one knows {SCHEMA}): install that"
            ) from error
        raise


def _form(raw: bytes) -> int:
    """Return the version that ``raw`` says it is of; 0 where it says none."""
    try:
        return _forms.decode(raw).schema
    except (msgspec.DecodeError, RecursionError):
        return 0


def record_of(tree: Mapping[str, Any]) -> Record:
    """Return the record that ``tree`` holds, in plain numbers; ValueError says in what it is wrong."""
    return msgspec.convert(tree, Done | FailedRun | SkippedRun)
