from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from bench import Batch, Context, Example, TextStrategy, View
from bench.data.tasks import GLUE
from bench.errors import BenchError, UsageError
from bench.rewriter import Writer
from bench.rewriting.context import context_for
from bench.rewriting.engine import rewrite_all
from bench.text_strategy import pick


@dataclass
class Marked(TextStrategy):
    """Appends a random digit to every text."""

    def rewrite_texts(self, texts, rngs, context):
        return [f"{text} {rng.randrange(10**6)}" for text, rng in zip(texts, rngs, strict=True)]


def rewrite(strategy, texts, task="rte"):
    context = Context(GLUE[task])
    return strategy.rewrite([Example(0, texts)], [random.Random(1)], context)[0]


@pytest.mark.parametrize(
    ("task", "side", "changed"),
    [
        ("rte", "task", (False, True)),
        ("mrpc", "task", (True, True)),
        ("rte", "both", (True, True)),
        ("mrpc", "first", (True, False)),
        ("mrpc", "second", (False, True)),
    ],
)
def test_which_text_of_a_pair_changes(task, side, changed):
    ((form),) = rewrite(Marked(side=side), ("one", "two"), task)
    assert tuple(a != b for a, b in zip(form, ("one", "two"), strict=True)) == changed


def test_by_default_both_texts_change_anew_in_every_epoch():
    assert rewrite(Marked(), ("one", "two"), "rte") == rewrite(Marked(side="both"), ("one", "two"), "rte")
    assert [Marked().edition(epoch) for epoch in range(3)] == [0, 1, 2]


def test_single_texts_always_change_and_blank_ones_never():
    assert rewrite(Marked(side="second"), ("one",), "sst2")[0][0].startswith("one ")
    assert rewrite(Marked(), ("one", "  "), "mrpc")[0][1] == "  "


def test_copies_differ_and_do_not_depend_on_the_rows_beside():
    three = rewrite(Marked(copies=3), ("one",), "sst2")
    assert len(set(three)) == 3
    beside = Marked(copies=3).rewrite(
        [Example(5, ("x",)), Example(0, ("one",))], [random.Random(9), random.Random(1)], Context(GLUE["sst2"])
    )
    assert beside[1] == three
    with pytest.raises(UsageError, match="at least 1, not 0"):
        Marked(copies=0)


def test_a_rewrite_too_few_is_said_in_words():
    @dataclass
    class Short(Marked):
        def rewrite_texts(self, texts, rngs, context):
            return super().rewrite_texts(texts, rngs, context)[1:]

    with pytest.raises(BenchError, match=r"Short.rewrite_texts\(\) returned 0 texts of 1; return a rewrite of each"):
        rewrite(Short(), ("one",), "sst2")


def views_of(lengths, widths):
    """Views whose ids say which view (hundreds) and row (ones) they are of."""
    made = []
    for number, (row_lengths, width) in enumerate(zip(lengths, widths, strict=True)):
        mask = torch.tensor([[1] * n + [0] * (width - n) for n in row_lengths])
        ids = (100 * (number + 1) + torch.arange(len(row_lengths)))[:, None] * mask
        logits = torch.full((len(row_lengths), 2), float(number))
        made.append(View({"input_ids": ids, "attention_mask": mask}, teacher_logits=logits))
    return made


def test_picking_takes_each_row_from_its_view_and_cuts_the_padding():
    views = views_of([(2, 4, 1), (3, 1, 6)], [4, 6])
    picked = pick(views, torch.tensor([1, 0, 0]))
    assert picked.student["input_ids"].tolist() == [[200, 200, 200, 0], [101, 101, 101, 101], [102, 0, 0, 0]]
    assert picked.student["attention_mask"].sum(dim=1).tolist() == [3, 4, 1]
    assert picked.teacher_logits[:, 0].tolist() == [1, 0, 0]


def test_a_step_sees_one_copy_of_each_row_and_over_time_all():
    class Here:
        rng = torch.Generator().manual_seed(0)

    strategy = Marked(copies=4)
    copies = views_of([(2, 2, 2)] * 4, [2] * 4)
    batch = Batch(np.arange(3), {}, torch.zeros(3), rewrites=[(strategy, copies)])
    seen = set()
    for _ in range(60):
        (view,) = strategy.views(batch, Here())
        seen |= set(view.student["input_ids"][:, 0].tolist())
    assert seen == {100 * view + row for view in (1, 2, 3, 4) for row in range(3)}


def test_a_writer_s_rows_stand_in_the_place_of_the_training_rows():
    @dataclass
    class Samples(Writer):
        """A sentence of the training texts, whichever row it is for."""

        def reads(self):
            return ("texts",)

        def write(self, rngs, context):
            return [rng.choice(context.texts) for rng in rngs]

    task = GLUE["sst2"]
    rows = [Example(i, (text,), 0) for i, text in enumerate(["one", "two", "three"])]
    context = context_for(Samples(), task, lambda role: ("", ""), rows=rows)
    first, again = (rewrite_all(Samples(), rows, context, seed=3).forms for _ in range(2))
    assert first == again
    assert all(len(forms) == 1 and forms[0] in context.texts for forms in first)
    written = [rewrite_all(Samples(), rows, context, seed=seed).forms for seed in range(20)]
    assert len({str(forms) for forms in written}) > 3


def test_what_preparing_took_counts_when_the_texts_come_from_the_cache_too(tmp_path, monkeypatch):
    clock = [0.0]

    @dataclass
    class Prepared(Marked):
        def prepare(self, examples, context, observer):
            clock[0] += 100.0 * len(examples)

    monkeypatch.setattr("bench.rewriting.engine.time.perf_counter", lambda: clock[0])
    rows = [Example(i, (text,), 0) for i, text in enumerate(["one", "two", "three"])]

    def seconds(count):
        return rewrite_all(Prepared(), rows[:count], Context(GLUE["sst2"]), cache=tmp_path).work_seconds

    assert [seconds(2), seconds(2), seconds(3), seconds(3)] == [200, 200, 300, 300]
    assert rewrite_all(Prepared(), rows[:1], Context(GLUE["sst2"])).work_seconds == 100
