from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from families import END, PAD, START, tokenizer
from tiny import SCORES, examples, rows

from bench.data.encode import BatchOrder, TokenBatchOrder, by_length, encode, join
from bench.data.tasks import Example

TWO = [Example(5, ("w10 w11 w12", "w13"), 1), Example(9, ("w20", "w21"), 0)]


def test_pairs_are_tokenised_padded_on_the_right_and_have_segments():
    encoded = encode(TWO, tokenizer(), 24)
    assert len(encoded) == 2
    assert encoded.lengths.tolist() == [7, 5]
    assert encoded.truncated == 0
    assert encoded.labels.tolist() == [1, 0]
    assert encoded.labels.dtype == np.int64
    assert encoded.example_ids.tolist() == [5, 9]
    inputs = encoded.inputs(np.array([1, 0]))
    assert inputs["input_ids"].tolist() == [
        [START, 20, END, 21, END, PAD, PAD],
        [START, 10, 11, 12, END, 13, END],
    ]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 0], [1] * 7]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1, 1]]
    assert all(tensor.dtype == torch.int64 for tensor in inputs.values())


def test_a_batch_is_padded_to_its_own_longest_row_only():
    assert encode(TWO, tokenizer(), 24).inputs(np.array([1]))["input_ids"].shape == (1, 5)


def test_single_texts_and_rows_without_label():
    encoded = encode([Example(0, ("w10",)), Example(1, ("w11 w12",))], tokenizer(), 24)
    assert encoded.inputs(np.array([0]))["input_ids"].tolist() == [[START, 10, END]]
    assert encoded.labels.tolist() == [-1, -1]
    scores = encode([Example(0, ("w10",)), Example(1, ("w11",), 2.5)], tokenizer(), 24, is_regression=True)
    assert scores.labels.dtype == np.float32
    assert np.isnan(scores.labels[0])
    assert scores.labels[1] == 2.5


def test_the_longer_text_is_cut_first_and_cut_rows_are_counted():
    encoded = encode(TWO, tokenizer(), 6)
    assert encoded.inputs(np.array([0]))["input_ids"].tolist() == [[START, 10, 11, END, 13, END]]
    assert encoded.truncated == 1
    assert encode(TWO, tokenizer(), 7).truncated == 0


def test_more_rows_than_one_chunk_are_the_same_as_one_by_one(monkeypatch):
    whole = rows(10)
    monkeypatch.setattr("bench.data.encode._CHUNK", 3)
    parts = rows(10)
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(parts, field.name))


def test_join_is_the_rows_of_all():
    both = encode(TWO, tokenizer(), 6)
    whole = join([both, rows(4)])
    assert len(whole) == 6
    assert whole.truncated == 1
    assert whole.example_ids.tolist() == [5, 9, 100, 101, 102, 103]
    for row in range(4):
        joined, alone = whole.inputs(np.array([2 + row])), rows(4).inputs(np.array([row]))
        assert all(torch.equal(joined[key], alone[key]) for key in alone)
    scores = join([rows(3, SCORES), rows(2, SCORES)])
    assert scores.labels.dtype == np.float32


def test_the_first_rows_are_those_of_the_whole():
    whole = rows(5)
    first = whole.first(2)
    assert (len(first), first.example_ids.tolist()) == (2, [100, 101])
    assert all(torch.equal(first.inputs(np.arange(2))[key], value) for key, value in whole.inputs(np.arange(2)).items())
    assert len(join([first, whole])) == 7
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(whole.first(9), field.name), getattr(whole, field.name))


LENGTHS = np.random.default_rng(0).geometric(0.06, 1003) + 2


def padding_share(batches, lengths):
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    return 1 - lengths.sum() / padded


def epoch_of(order, epoch):
    return [order[epoch * order.per_epoch + i] for i in range(order.per_epoch)]


@pytest.mark.parametrize(
    "order", [BatchOrder(LENGTHS, 16, seed=3), TokenBatchOrder(LENGTHS, 400, seed=3)], ids=["rows", "tokens"]
)
def test_every_row_comes_once_an_epoch_and_epochs_differ(order):
    first, second = epoch_of(order, 0), epoch_of(order, 1)
    for batches in (first, second):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(LENGTHS)))
    assert [b.tolist() for b in first] != [b.tolist() for b in second]
    assert {tuple(sorted(b)) for b in first} != {tuple(sorted(b)) for b in second}


@pytest.mark.parametrize("make", [lambda s: BatchOrder(LENGTHS, 16, s), lambda s: TokenBatchOrder(LENGTHS, 400, s)])
def test_a_batch_is_a_function_of_seed_and_position_alone(make):
    order, again, other = make(3), make(3), make(4)
    forwards = [order[i].tolist() for i in range(2 * order.per_epoch)]
    backwards = [again[i].tolist() for i in reversed(range(2 * order.per_epoch))][::-1]
    assert forwards == backwards
    assert forwards != [other[i].tolist() for i in range(2 * other.per_epoch)]


def test_batches_have_the_size_asked_for_but_one():
    order = BatchOrder(LENGTHS, 16, seed=3)
    sizes = sorted(len(batch) for batch in epoch_of(order, 0))
    assert order.per_epoch == 63
    assert sizes == [1003 % 16] + [16] * 62


def test_batches_of_similar_length_need_little_padding_yet_come_in_random_order():
    order = BatchOrder(LENGTHS, 16, seed=3)
    shuffled = np.array_split(np.random.default_rng(3).permutation(len(LENGTHS)), order.per_epoch)
    batches = epoch_of(order, 0)
    assert padding_share(batches, LENGTHS) < 0.5 * padding_share(shuffled, LENGTHS)
    longest = [LENGTHS[batch].max() for batch in batches]
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.5


@pytest.mark.parametrize("rows", [200, 1003])
def test_the_rows_that_fill_no_batch_are_any(rows):
    # Not the longest, epoch for epoch: they count more than the rows of full batches.
    lengths = LENGTHS[:rows]
    order = BatchOrder(lengths, 16, seed=3)
    rest = [batch for epoch in range(60) for batch in epoch_of(order, epoch) if len(batch) < 16]
    assert [len(batch) for batch in rest] == [rows % 16] * 60
    ranks = np.argsort(np.argsort(lengths, kind="stable"))[np.concatenate(rest)]
    # A uniform rank has a standard deviation of rows / sqrt(12).
    assert abs(ranks.mean() - (rows - 1) / 2) < 4 * rows / np.sqrt(12 * len(ranks))
    assert len(set(ranks.tolist())) > 0.9 * rows * (1 - np.exp(-len(ranks) / rows))


@pytest.mark.parametrize(
    ("make", "most"),
    # With the whole epoch sorted by length it would be 0.64 and 0.93; drawn at random 0.07 and 0.1.
    [(lambda rows: BatchOrder(rows, 16, seed=3), 0.2), (lambda rows: TokenBatchOrder(rows, 400, seed=3), 0.65)],
    ids=["rows", "tokens"],
)
def test_the_rows_of_a_small_set_have_other_company_in_the_next_epoch(make, most):
    order, company = make(LENGTHS[:200]), []
    for epoch in range(6):
        batches = [set(batch.tolist()) for batch in epoch_of(order, epoch)]
        company.append({row: batch - {row} for batch in batches for row in batch})
    again = [
        len(now[row] & then[row]) / max(1, len(now[row]))
        for now, then in itertools.pairwise(company)
        for row in range(200)
    ]
    assert np.mean(again) < most


@pytest.mark.parametrize("rows", [*range(170, 200)])
def test_the_longest_rows_are_no_small_batch_of_tokens(rows):
    lengths = np.minimum(LENGTHS[:rows], 30)
    order = TokenBatchOrder(lengths, 300, seed=3)
    last = [max(epoch_of(order, epoch), key=lambda batch: np.sort(lengths[batch])[0]) for epoch in range(2)]
    assert min(len(batch) * lengths[batch].max() for batch in last) > 120


def test_token_batches_keep_to_their_budget_and_fill_it():
    order = TokenBatchOrder(LENGTHS, 400, seed=3)
    padded = [len(batch) * LENGTHS[batch].max() for batch in epoch_of(order, 1)]
    assert max(padded) <= 400
    assert np.mean(padded) > 300
    # A row longer than the budget is a batch by itself.
    lengths = np.array([3, 900, 4, 1000])
    alone = TokenBatchOrder(lengths, 400, seed=0)
    assert sorted(sorted(batch.tolist()) for batch in epoch_of(alone, 0)) == [[0, 2], [1], [3]]


def test_evaluation_batches_come_longest_first_and_cover_all():
    batches = by_length(LENGTHS, 100)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(LENGTHS)))
    assert np.all(np.diff(LENGTHS[np.concatenate(batches)]) <= 0)
    assert [len(b) for b in batches] == [100] * 10 + [3]


def test_examples_carry_their_ids_into_the_encoding():
    assert rows(3).example_ids.tolist() == [e.id for e in examples(3)]
