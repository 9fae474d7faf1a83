"""flips(...) against a plain search: ask the teacher about every form, sort the flips by words changed."""

from __future__ import annotations

import difflib
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from families import build, tokenizer
from tiny import CLASSES, SCORES, examples, make_models, rows

from bench import Batch, Context, Strategy, TextStrategy, View
from bench.errors import UsageError
from bench.spec import StrategySpec
from strategies.best_of_k import Pool
from strategies.flips import Flips, edits


@dataclass
class Swaps(TextStrategy):
    """One to four words of the second text become others."""

    side: str = "second"

    def rewrite_texts(self, texts, rngs, context):
        made = []
        for text, rng in zip(texts, rngs, strict=True):
            words = text.split()
            for _ in range(rng.randint(1, 4)):
                words[rng.randrange(len(words))] = f"w{rng.randint(4, 48)}"
            made.append(" ".join(words))
        return made


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    build("bert", "classifier", seed=1, layers=2).float().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return Context(CLASSES, {"teacher": str(folder)}, {"teacher": "it"})


def test_the_flip_with_the_fewest_words_changed_is_taken(context):
    strategy = Flips(Swaps(), pool=12)
    (rewriter,) = strategy.rewriters()
    some = examples(30)
    made = rewriter.rewrite(some, [random.Random(i) for i in range(30)], context)
    pools = Pool(Swaps(), 12).rewrite(some, [random.Random(i) for i in range(30)], context)
    teacher, pieces = build("bert", "classifier", seed=1, layers=2).float().eval(), tokenizer()

    def answer(form):
        return int(teacher(**pieces(*form, return_tensors="pt")).logits.argmax())

    def changed(old, new):
        # The forms have as many words as the row, so that edits are words that differ.
        return sum(a != b for a, b in zip(" ".join(old).split(), " ".join(new).split(), strict=True))

    for row, pool, result in zip(some, pools, made, strict=True):
        flips = [form for form in pool.forms if answer(form) != answer(row.texts)]
        distinct = {form for form in pool.forms if form != row.texts}
        assert result.queries == 1 + len(distinct)
        (form,) = result.forms
        if not flips:
            assert (form, result.outcome) == (row.texts, "failure")
            continue
        assert result.outcome == "success"
        assert form in flips
        assert changed(row.texts, form) == edits(row.texts, form) == min(changed(row.texts, f) for f in flips)
    outcomes = [result.outcome for result in made]
    assert min(outcomes.count("success"), outcomes.count("failure")) >= 3


def test_words_inserted_deleted_and_replaced_count_on_both_sides():
    assert edits(("a b c", "d"), ("a c", "d e")) == 2
    assert edits(("a b c", "d"), ("x b c", "d")) == 1
    text, other = "a b c d e f", "b c x d f g"
    blocks = difflib.SequenceMatcher(None, text.split(), other.split(), autojunk=False).get_opcodes()
    plain = sum(max(b - a, d - c) for kind, a, b, c, d in blocks if kind != "equal")
    assert edits((text,), (other,)) == plain == 4


def test_a_row_s_flip_does_not_depend_on_the_rows_beside_it(context):
    (rewriter,) = Flips(Swaps()).rewriters()
    some = examples(10, most=20)
    together = rewriter.rewrite(some, [random.Random(i) for i in range(10)], context)
    assert together == [rewriter.rewrite([row], [random.Random(i)], context)[0] for i, row in enumerate(some)]


@pytest.mark.parametrize(("share", "count"), [(0.5, 4), (0.25, 2), (1.0, 8)])
def test_a_share_of_the_rows_is_shown_flipped_and_held_to_the_teacher_s_answer_to_the_flip(share, count):
    models, which = make_models(), np.arange(8)
    strategy = Flips(Swaps(), share=share)
    clean, other = rows(8), rows(8, seed=50)
    batch = Batch(which, clean.inputs(which), torch.from_numpy(clean.labels))
    with torch.no_grad():
        batch.teacher_logits = models.logits("teacher", batch.inputs)
        flipped = View(other.inputs(which), teacher_logits=models.logits("teacher", other.inputs(which)))
    batch.rewrites = [(strategy.rewriters()[0], [flipped])]
    seen = set()
    for _ in range(30):
        (view,) = strategy.views(batch, models)
        shown = set()
        for row in range(8):
            length = int(view.student["attention_mask"][row].sum())
            pieces, flip, own = (
                inputs["input_ids"][row][:length].tolist() for inputs in (view.student, flipped.student, batch.inputs)
            )
            is_flip = pieces == flip
            assert is_flip or pieces == own
            target = flipped.teacher_logits if is_flip else batch.teacher_logits
            assert torch.equal(view.teacher_logits[row], target[row])
            shown |= {row} if is_flip else set()
        assert len(shown) == count
        seen |= shown
    assert seen == set(range(8))  # each update draws its own


def test_what_it_cannot_go_around_and_where_it_cannot_run():
    with pytest.raises(UsageError, match="flips looks for them among rewritten texts"):
        StrategySpec.parse("flips(none)")
    with pytest.raises(UsageError, match="share"):
        StrategySpec.parse("flips(aeda)[share=0]")
    strategy = StrategySpec.parse("flips(aeda)[pool=2,refresh=3]").create()
    assert strategy.supports(SCORES) == "a score has no class to flip"
    assert strategy.supports(CLASSES) is None
    (rewriter,) = strategy.rewriters()
    assert (rewriter.refresh, rewriter.reads()) == (3, ("teacher",))
    assert isinstance(strategy, Strategy)


def test_the_record_holds_the_options_that_a_wrapped_attack_really_has():
    from strategies.textattack.family import FAMILY

    if FAMILY.missing:
        pytest.skip(FAMILY.missing)
    spec = StrategySpec.parse("flips(textattack:pwws)")
    taken, name = spec.effective(), "textattack:pwws"
    set_here = {f"{name}.victim": "teacher", f"{name}.goal": "prediction", f"{name}.share": 1.0, f"{name}.refresh": 0}
    assert taken | set_here | {"share": 0.5} == taken
    (rewriter,) = spec.create().rewriters()
    assert rewriter.reads() == ("teacher",)
    assert rewriter.size == 1
