"""A run's rewritten texts: who makes those of which edition."""

from __future__ import annotations

from dataclasses import dataclass, replace

from families import tokenizer
from tiny import CLASSES, Notes, examples

from bench import Context, Rewriter
from bench.data.encode import encode
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


def test_the_first_edition_may_be_another_rewriter_s_and_read_another_model(tmp_path):
    asked = []

    def folder_of(role):
        asked.append(role)
        return str(tmp_path / role), role

    texts = RewrittenTexts(
        name="first",
        task=CLASSES,
        rows=examples(3),
        folder_of=folder_of,
        encode=lambda rows: encode(rows, tokenizer(), 24, is_regression=False),
        teacher_logits=None,
        cache=tmp_path / "cache",
        observer=Notes(),
    )
    for rewriter in (First(), Pool(First(), 1)):
        words = [texts.rewritten(rewriter, edition).sets[0].texts.ids[1] for edition in (0, 2, 4)]
        assert words == [4, 5, 5]
    assert asked == ["teacher", "student", "student"] * 2
