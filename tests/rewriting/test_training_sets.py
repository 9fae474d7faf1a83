"""A run's rewritten texts: who makes those of which edition."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from families import tokenizer
from tiny import CLASSES, Notes, examples

from bench import Context, Rewriter
from bench.cost import Cost
from bench.data.encode import encode
from bench.rewriting import training_sets
from bench.rewriting.training_sets import RewrittenTexts
from strategies.best_of_k import Pool


@dataclass(frozen=True)
class First(Rewriter):
    """Repeats a word; in the first edition it is another rewriter, which reads another model."""

    word: str = "w5"
    refresh: int = 2

    def reads(self):
        return ("teacher",) if self.word == "w4" else ("student",)

    def at(self, edition):
        return self if edition else replace(self, word="w4")

    def rewrite(self, examples, rngs, context: Context):
        assert set(context.models) == set(self.reads())
        return [[tuple(f"{self.word} {self.word}" for _ in row.texts)] for row in examples]


def rewritten_texts(tmp_path, folder_of=None, **options):
    return RewrittenTexts(
        name="first",
        task=CLASSES,
        rows=examples(3),
        folder_of=folder_of or (lambda role: (str(tmp_path / role), role)),
        encode=lambda rows: encode(rows, tokenizer(), 24, is_regression=False),
        cache=tmp_path / "cache",
        observer=Notes(),
        **{"teacher_logits": None, **options},
    )


def test_the_first_edition_may_be_another_rewriter_s_and_read_another_model(tmp_path):
    asked = []

    def folder_of(role):
        asked.append(role)
        return str(tmp_path / role), role

    texts = rewritten_texts(tmp_path, folder_of)
    for rewriter in (First(), Pool(First(), 1)):
        words = [texts.rewritten(rewriter, edition).sets[0].texts.ids[1] for edition in (0, 2, 4)]
        assert words == [4, 5, 5]
    assert asked == ["teacher", "student", "student"] * 2


class Library(First):
    libraries = ("pytest",)


class Fixed(Library):
    def reads(self):
        return ()


@pytest.mark.parametrize(
    ("rewriter", "rows_at_once", "ahead"),
    [
        (Fixed(refresh=1), 100, [[1, 2, 3, 4], [3, 4], []]),
        (Fixed(refresh=2), 100, [[2, 4], [4], []]),
        (Fixed(refresh=1), 6, [[1], [3], []]),  # of more rows the texts of fewer epochs at once
        (Fixed(refresh=1), 2, [[], [], []]),
        (Fixed(refresh=0), 100, [[], [], []]),
        (Library(refresh=1), 100, [[], [], []]),  # it needs the student as it will be then
        (First(refresh=1), 100, [[], [], []]),  # it needs no processes
    ],
)
def test_what_is_slow_to_start_is_asked_for_the_texts_of_several_epochs(
    tmp_path, monkeypatch, rewriter, rows_at_once, ahead
):
    class Asked(Exception):
        pass

    def refuse(*args, ahead, **options):
        raise Asked(ahead)

    monkeypatch.setattr(training_sets, "rewrite_all", refuse)
    monkeypatch.setattr(training_sets, "_ROWS_AT_ONCE", rows_at_once)
    texts = rewritten_texts(tmp_path, epochs=5)
    for edition, expected in zip((0, 2, 4), ahead, strict=True):
        with pytest.raises(Asked) as asked:
            texts.rewritten(rewriter, edition)
        assert asked.value.args == (expected,)


def test_the_teacher_s_answers_to_every_form_are_charged_as_what_they_took_once(tmp_path):
    def answers(encoded):
        return np.zeros((len(encoded), 3), np.float32), 2.5  # seconds, from a cache perhaps

    texts = rewritten_texts(tmp_path, teacher_logits=answers)
    cost = Cost()
    texts.rewritten(Pool(Fixed(), 4), 0).charge(cost)
    assert cost.seconds["rewrite_teacher"] == 4 * 2.5
    assert 0 < cost.seconds["rewrite_encode"] < 5
    assert cost.forwards["teacher"] == 4 * 3
    assert cost.train_seconds == pytest.approx(
        4 * 2.5 + cost.seconds["rewrite_encode"] + cost.seconds["rewrite"], abs=1e-9
    )


def test_rows_that_stayed_as_they_were_are_counted_by_the_reason(tmp_path):
    class Fails(First):
        def rewrite(self, examples, rngs, context):
            if any(row.id == 101 for row in examples):
                raise LookupError("no synonym of this very word")
            return super().rewrite(examples, rngs, context)

    cost = Cost()
    rewritten_texts(tmp_path).rewritten(Fails(), 0).charge(cost)
    assert (cost.rewritten["rows"], cost.rewritten["failed"]) == (3, 1)
    assert cost.failures == {"LookupError": 1}
    assert cost.summary()["failures"] == {"LookupError": 1}
