"""What a strategy does to the texts: how much changes, how varied the result is, whether it means the same still."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz.distance import Levenshtein

from bench.models.sentences import embed, sentence_encoder

if TYPE_CHECKING:
    from bench.data.tasks import Task
    from bench.rewriter import Forms

SCORE_KEPT_WITHIN = 0.5
"""How far a regression teacher's score may move and still count as kept."""

MOST_WORDS = 5000
"""So many words of a text are compared: no model here reads as many, and time grows with the square of their number."""


def text_quality(
    before: Sequence[tuple[str, ...]], after: Sequence[Forms], *, dev: Collection[tuple[str, ...]] = ()
) -> dict[str, float | int]:
    """Return what happened to the texts ``before`` of N rows, of which ``after`` holds the forms.

    Words are what whitespace separates. All but the first two numbers are shares, 0 to 1 (the edit rate may be more):

    - ``rows``, ``forms``: how many of each;
    - ``changed``: forms that differ from their original;
    - ``word_edit_rate``: words inserted, deleted or replaced (Levenshtein) over words of the original, mean over forms;
      of a longer text the first ``MOST_WORDS``;
    - ``distinct_1``, ``distinct_2``: different words and pairs of neighbouring words over all of them, counted for the
      N first forms, the N second forms and so on, then averaged: as large a text as the originals, whose own are
      ``distinct_1_before`` and ``distinct_2_before``;
    - ``duplicates``: forms that occur more than once;
    - ``dev_overlap``: of the changed forms, those that are a row of ``dev`` but for case and spaces.

    Raises ValueError where there is no form at all.
    """
    pairs = [(texts, form) for texts, forms in zip(before, after, strict=True) for form in forms]
    if not pairs:
        raise ValueError("text_quality needs at least one form")
    changed = [form for texts, form in pairs if form != texts]
    in_dev = {_folded(texts) for texts in dev}
    times = Counter(form for _, form in pairs)
    numbers = range(max(map(len, after)))
    distinct = [_distinct(forms[number] for forms in after if number < len(forms)) for number in numbers]
    one, two = np.mean(distinct, axis=0).tolist()
    one_before, two_before = _distinct(before)
    return {
        "rows": len(before),
        "forms": len(pairs),
        "changed": len(changed) / len(pairs),
        "word_edit_rate": sum(edit_rate(texts, form) for texts, form in pairs) / len(pairs),
        "distinct_1": one,
        "distinct_2": two,
        "distinct_1_before": one_before,
        "distinct_2_before": two_before,
        "duplicates": sum(count for count in times.values() if count > 1) / len(pairs),
        "dev_overlap": sum(_folded(form) in in_dev for form in changed) / max(1, len(changed)),
    }


def _folded(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(" ".join(text.lower().split()) for text in texts)


def _distinct(rows: Iterable[tuple[str, ...]]) -> tuple[float, float]:
    """Return different words over words, and different pairs of neighbouring words over such pairs."""
    numbers: dict[str, int] = {}
    ids: list[int] = []
    starts = []  # pairs do not reach from one text into the next
    for texts in rows:
        for text in texts:
            starts.append(len(ids))
            ids += [numbers.setdefault(word, len(numbers)) for word in text.split()]
    words = np.asarray(ids, np.int64)
    inside = np.ones(len(words) + 1, bool)
    inside[starts] = False
    pairs = (words[:-1] * len(numbers) + words[1:])[inside[1:-1]]
    return len(numbers) / max(1, len(words)), len(np.unique(pairs)) / max(1, len(pairs))


def edit_rate(texts: tuple[str, ...], form: tuple[str, ...]) -> float:
    """Return the words inserted, deleted or replaced from ``texts`` to ``form``, over the words of ``texts``."""
    if texts == form:
        return 0.0
    words = [text.split()[:MOST_WORDS] for text in texts]
    edits = sum(Levenshtein.distance(old, new.split()[:MOST_WORDS]) for old, new in zip(words, form, strict=True))
    return edits / max(1, sum(map(len, words)))


def label_quality(
    task: Task,
    teacher_before: np.ndarray,
    teacher_after: np.ndarray,
    student_before: np.ndarray,
    student_after: np.ndarray,
    rows: np.ndarray,
    changed: np.ndarray,
) -> dict[str, float | None]:
    """Return what teacher and student make of the changed forms, and under ``*_all`` of all; all inputs are logits.

    ``*_before`` [N, C] are of the originals, ``*_after`` [M, C] of the forms; form m is of row ``rows[m]`` and differs
    from it where ``changed[m]``. Without a changed form, what is over those is None.

    - ``teacher_label_kept``: share of forms of which the teacher says what it says of the original: the same class,
      or in regression a score at most ``SCORE_KEPT_WITHIN`` away;
    - ``divergence_before``, ``divergence_after``: mean KL(p_T || p_S) over the forms' originals and over the forms
      (regression: squared error): where the second is larger, the strategy finds what the student has yet to learn.
    """
    original, form = np.asarray(teacher_before, np.float64)[rows], np.asarray(teacher_after, np.float64)
    if task.is_regression:
        kept = np.abs(original[:, 0] - form[:, 0]) <= SCORE_KEPT_WITHIN
    else:
        kept = original.argmax(axis=1) == form.argmax(axis=1)
    per_form = {
        "teacher_label_kept": kept,
        "divergence_before": _divergence(original, np.asarray(student_before, np.float64)[rows], task),
        "divergence_after": _divergence(form, np.asarray(student_after, np.float64), task),
    }
    return {
        **{name: float(values[changed].mean()) if changed.any() else None for name, values in per_form.items()},
        **{f"{name}_all": float(values.mean()) for name, values in per_form.items()},
    }


GROUP = 320
"""Rows whose probabilities are averaged in ``teacher_stddev``: the authors' five batches of 64."""


def teacher_stddev(task: Task, before: np.ndarray, after: np.ndarray, rows: np.ndarray) -> float | None:
    """Return the standard deviation of the teacher's mean probability (Wang et al., NeurIPS 2022, arXiv 2012.02909).

    The paper found it to rank augmentations of images by the student's gain, the smaller the better. ``before`` [N, C]
    are the teacher's logits on the originals, ``after`` [M, C] on their forms; form m is of row ``rows[m]``. None in
    regression, where there is no probability, and for fewer than two forms.

    As in the authors' code the mean probability u [C] is over a group of ``GROUP`` rows and a form of each, and the
    result is mean_c sd_groups(u_c). They draw groups from many epochs. Our reading: groups of rows drawn independently,
    so that sd_groups(u_c) is in expectation exactly sd_m(q_mc) / sqrt(GROUP), where q_m = (p_m + p'_m) / 2 is the mean
    of the teacher's probabilities on a row and on its form; and our sample of rows for the whole training set.
    """
    if task.is_regression or len(after) < 2:
        return None
    from scipy.special import softmax

    original = softmax(np.asarray(before, np.float64), axis=1)[rows]
    q = (original + softmax(np.asarray(after, np.float64), axis=1)) / 2
    return float(q.std(axis=0, ddof=1).mean() / np.sqrt(GROUP))


def _divergence(teacher: np.ndarray, student: np.ndarray, task: Task) -> np.ndarray:
    """Return KL(p_T || p_S), or in regression the squared error, per row."""
    if task.is_regression:
        return ((teacher - student) ** 2).mean(axis=1)
    from scipy.special import log_softmax

    log_teacher = log_softmax(teacher, axis=1)
    return (np.exp(log_teacher) * (log_teacher - log_softmax(student, axis=1))).sum(axis=1)


def similarity(
    before: Sequence[tuple[str, ...]], after: Sequence[Forms], device: str = "cpu", most: int = 2000
) -> float | None:
    """Return the mean cosine of the sentence embeddings of each text of a changed form and its original.

    Embeddings are all-MiniLM-L6-v2's, the mean over word pieces (at most 128). Of more than ``most`` changed forms a
    fixed sample of as many is taken; of a pair whose one text is as it was, the cosine there is 1. None where nothing
    changed or ``sentence_encoder()`` is not ready: nothing is ever downloaded here.
    """
    pairs = [(texts, form) for texts, forms in zip(before, after, strict=True) for form in forms if form != texts]
    if not pairs or not sentence_encoder().ready():
        return None
    if len(pairs) > most:
        pairs = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))[:most]]
    cosines = [cosine for of_row in cosines_of(pairs, device) for cosine in of_row]
    return sum(cosines) / len(cosines)


def cosines_of(pairs: Sequence[tuple[tuple[str, ...], tuple[str, ...]]], device: str = "cpu") -> list[list[float]]:
    """Return for each (texts, form) the cosine of the sentence embeddings of each of its texts, before and after.

    ``sentence_encoder()`` has to be ready. Of a text that is as it was the cosine is 1.
    """
    twins = [(old, new) for texts, form in pairs for old, new in zip(texts, form, strict=True)]
    different = sorted({text for twin in twins for text in twin if twin[0] != twin[1]})
    embeddings = dict(zip(different, embed(different, device), strict=True))
    cosines = iter([1.0 if old == new else float(embeddings[old] @ embeddings[new]) for old, new in twins])
    return [[next(cosines) for _ in texts] for texts, _ in pairs]
