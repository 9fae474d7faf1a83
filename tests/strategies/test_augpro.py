"""AugPro against a plain search: one token, one candidate and one distance at a time."""

from __future__ import annotations

import math

import pytest
import torch
from families import END, PAD, SPECIAL, START, VOCAB, every_family
from tiny import CLASSES, SCORES, models_and_batch

from bench.errors import UsageError
from bench.models.inputs import accepted
from bench.spec import StrategySpec
from bench.strategy import Batch, Models
from strategies.augpro import AugPro


def is_word(token: int) -> bool:
    return token not in (START, PAD, END)


def nearest(point: list[float], matrix: list[list[float]], left_out: set[int], by: str) -> int:
    """The word whose embedding has the greatest cosine with ``point``, or the smallest distance to it."""

    def closeness(row: list[float]) -> float:
        if by == "euclid":
            return -math.dist(point, row)
        return sum(a * b for a, b in zip(point, row, strict=True)) / (math.hypot(*point) * math.hypot(*row))

    words = [word for word in range(VOCAB) if word not in SPECIAL and word not in left_out]
    return max(words, key=lambda word: closeness(matrix[word]))


def gradient(models: Models, batch: Batch) -> torch.Tensor:
    """The gradient in the word embeddings of mean KL(p_T || p_S), or of the mean squared error of scores."""
    words = models.student.get_input_embeddings()(batch.inputs["input_ids"]).detach().requires_grad_()
    inputs = {**accepted(models.student, batch.inputs), "inputs_embeds": words}
    del inputs["input_ids"]
    logits = models.student(**inputs).logits
    if models.task.is_regression:
        loss = ((logits - batch.teacher_logits) ** 2).mean()
    else:
        p, q = batch.teacher_logits.softmax(dim=1), logits.softmax(dim=1)
        loss = (p * (p / q).log()).sum() / len(logits)
    return torch.autograd.grad(loss, words)[0]


@every_family
@pytest.mark.parametrize("by", ["cosine", "euclid"])
def test_the_nearest_third_word_to_two_mixed_takes_their_place(family, by):
    models, batch = models_and_batch(family, CLASSES, 8)
    state = models.rng.get_state()
    (view,) = AugPro(rate=0.7, nearest=by).views(batch, models)

    models.rng.set_state(state)
    ids = batch.inputs["input_ids"].tolist()
    uniform = torch.rand(len(ids), len(ids[0]), generator=models.rng)
    partner = torch.randperm(len(ids), generator=models.rng).tolist()
    shares = torch.rand((len(ids), 1, 1), generator=models.rng).flatten().tolist()
    matrix = models.student.get_input_embeddings().weight.tolist()
    expected = [list(row) for row in ids]
    for b, row in enumerate(ids):
        for i, token in enumerate(row):
            other = ids[partner[b]][i]
            if uniform[b, i] < 0.7 and is_word(token) and token != other:
                point = [shares[b] * x + (1 - shares[b]) * y for x, y in zip(matrix[token], matrix[other], strict=True)]
                expected[b][i] = nearest(point, matrix, {token, other}, by)
    assert view.student["input_ids"].tolist() == expected != ids
    assert view.teacher is view.student


@every_family
@pytest.mark.parametrize("by", ["cosine", "euclid"])
@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])
def test_the_nearest_other_word_to_a_step_against_the_student_takes_its_place(family, by, task):
    models, batch = models_and_batch(family, task, 8)
    state = models.rng.get_state()
    (view,) = AugPro(method="fgsm", rate=0.7, nearest=by, epsilon=0.8).views(batch, models)

    models.rng.set_state(state)
    ids = batch.inputs["input_ids"].tolist()
    uniform = torch.rand(len(ids), len(ids[0]), generator=models.rng)
    matrix = models.student.get_input_embeddings().weight.tolist()
    numbers = [x for row in matrix for x in row]
    step = 0.8 * math.sqrt(sum(x * x for x in numbers) / len(numbers))
    uphill = gradient(models, batch).tolist()
    expected = [list(row) for row in ids]
    for b, row in enumerate(ids):
        for i, token in enumerate(row):
            if uniform[b, i] < 0.7 and is_word(token):
                point = [x + math.copysign(step, g) for x, g in zip(matrix[token], uphill[b][i], strict=True)]
                expected[b][i] = nearest(point, matrix, {token}, by)
    assert view.student["input_ids"].tolist() == expected != ids
    assert models.cost.forwards["student"] == models.cost.backwards["student"] == len(ids)


@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])
def test_a_long_step_is_harder_for_the_student_than_words_merely_near(task):
    models, batch = models_and_batch("bert", task, 60)
    distances = []
    for epsilon in (1e-6, 2.0):
        models.rng.manual_seed(0)
        (view,) = AugPro(method="fgsm", rate=1.0, epsilon=epsilon).views(batch, models)
        # Against the answer to the clean text, which the step climbs away from.
        with torch.no_grad():
            answers = models.logits("student", view.student)
        distances.append(float((answers - batch.teacher_logits).square().mean()))
    assert distances[1] > distances[0]


def test_the_teacher_reads_the_new_text_anew():
    models, batch = models_and_batch("bert", CLASSES, 8)
    (view,) = AugPro().views(batch, models)
    with torch.no_grad():
        expected = models.teacher(**view.student).logits
    torch.testing.assert_close(models.teacher_targets(view, batch), expected)
    assert not torch.allclose(expected.double(), batch.teacher_logits)


def test_places_kept_free_in_the_vocabulary_are_never_chosen(monkeypatch):
    models, batch = models_and_batch("bert", CLASSES, 8)
    (before,) = AugPro(rate=1.0).views(batch, models)
    taken = set(before.student["input_ids"].flatten().tolist()) - {*SPECIAL}
    monkeypatch.setattr("bench.models.masked_lm.not_text", lambda tokenizer: sorted({*SPECIAL, *taken}))
    (after,) = AugPro(rate=1.0).views(batch, models)
    changed = after.student["input_ids"] != batch.inputs["input_ids"]
    assert changed.any()
    assert not taken & set(after.student["input_ids"][changed].tolist())


@pytest.mark.parametrize("text", ["method=cut", "rate=0", "rate=1.1", "nearest=l1", "epsilon=0"])
def test_impossible_options_are_refused(text):
    with pytest.raises(UsageError):
        StrategySpec.parse(f"augpro[{text}]")
