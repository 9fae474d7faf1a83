"""mlm-words against a plain reading of the masked LM: one mask, one forward."""

from __future__ import annotations

import math
import random
import re
from collections import Counter

import pytest
import torch
from families import MASK

from bench.data.tasks import GLUE, Example
from bench.errors import UsageError
from bench.models.fill import filler
from bench.rewriter import Context
from bench.spec import StrategySpec
from strategies.mlm_words import MlmWords

TEXT = "w4 w5  w6\tw7 (w8), W9 w10 w11 w12 w13"
WORD = re.compile(r"w\d+", re.IGNORECASE)


def rewrites(context, texts, seeds, **options):
    return MlmWords(**options).rewrite_texts(texts, [random.Random(seed) for seed in seeds], context)


def probabilities(context, ids, place):
    """The model's softmax at ``place`` of ``ids`` over words, by one plain forward."""
    model = filler(context.models["generator"], "cpu").model
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, place].double()
    return torch.softmax(logits[4:MASK], dim=0).tolist()


def test_a_word_is_drawn_by_the_model_s_own_probabilities_without_the_old_one(context):
    n, text = 4000, "w4 w5 w6"
    seen = Counter(rewrites(context, [text] * n, range(n), rate=0.3, top_k=None, mask_rate=0))
    for place in (1, 2, 3):
        ids = [0, 4, 5, 6, 2]
        ids[place] = MASK
        chances = probabilities(context, ids, place)
        old = chances[place - 1]
        for piece in range(4, MASK):
            new = text.replace(f"w{place + 3}", f"w{piece}")
            p = (piece != place + 3) * chances[piece - 4] / (1 - old) / 3
            assert abs(seen.pop(new, 0) - n * p) <= 4.5 * math.sqrt(n * p) + 1
    assert not seen


def test_one_at_a_time_each_word_is_read_among_those_replaced_before(context):
    text, ids = "w4 w5 w6 w7", [0, 4, 5, 6, 7, 2]
    for place in (4, 3, 2, 1):
        old = ids[place]
        ids[place] = MASK
        chances = probabilities(context, ids, place)
        chances[old - 4] = 0
        ids[place] = 4 + max(range(len(chances)), key=chances.__getitem__)
    (new,) = rewrites(context, [text], [0], rate=1.0, top_k=1, mask_rate=0)
    assert new == " ".join(f"w{i}" for i in ids[1:-1])


@pytest.mark.parametrize(("rate", "count"), [(0.01, 1), (0.3, 3), (0.34, 4), (1.0, 9)])
@pytest.mark.parametrize("mask_rate", [0, 0.3, 1])
def test_as_many_words_change_as_the_rate_says_and_all_else_stays(context, rate, count, mask_rate):
    text = "w4 w5  w6\tw7 w8 w9 w10 w11 w12"
    for new in rewrites(context, [text] * 9, range(9), rate=rate, mask_rate=mask_rate):
        assert WORD.sub("w", new) == WORD.sub("w", text)
        assert sum(a != b for a, b in zip(new.split(), text.split(), strict=True)) == count
    for new in rewrites(context, [text] * 9, range(9), rate=rate, mask_rate=mask_rate, action="insert"):
        assert len(new.split()) == len(text.split()) + count
        left = iter(new.split())
        assert all(word in left for word in text.split())


def test_every_gap_and_what_the_model_cannot_read_stay(context):
    # To this tokenizer "(w8)," and "W9" are one unknown piece each; the first is not the word's alone.
    for new in rewrites(context, [TEXT] * 20, range(20), rate=1.0):
        assert re.findall(r"\s+", new) == re.findall(r"\s+", TEXT)
        assert new.split()[4] == "(w8),"
        assert re.fullmatch(r"W\d+", new.split()[5])
    odd = ["🙂 🙃", "...", "\ta\n", "我喜欢", "x" * 3000]
    for text, new in zip(odd, rewrites(context, odd, range(5)), strict=True):
        assert re.findall(r"\s+", new) == re.findall(r"\s+", text)


@pytest.mark.parametrize("options", [{}, {"mask_rate": 0}, {"mask_rate": 1.0}, {"action": "insert"}, {"rate": 1.0}])
def test_a_rewrite_depends_on_its_text_and_generator_alone(context, options):
    chance = random.Random(0)
    texts = [" ".join(f"w{chance.randint(4, 48)}" for _ in range(chance.randint(1, 30))) for _ in range(60)]
    together = rewrites(context, texts, range(60), **options)
    assert together == [rewrites(context, [text], [seed], **options)[0] for seed, text in enumerate(texts)]
    assert together == rewrites(context, texts[::-1], range(60)[::-1], **options)[::-1]
    assert sum(a != b for a, b in zip(together, texts, strict=True)) > 55


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("mask_rate", [0, 0.3, 1])
def test_inserting_into_a_text_as_long_as_the_model_reads_overflows_no_positions(context, rate, mask_rate):
    engine = filler(context.models["generator"], "cpu")
    longest = engine.longest
    seen: list[int] = []
    hook = engine.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    texts = [" ".join(["w5"] * length) for length in range(longest - 12, longest + 3)]
    options = {"action": "insert", "rate": rate, "mask_rate": mask_rate}
    for text, new in zip(texts, rewrites(context, texts, range(15), **options), strict=True):
        assert len(new.split()) > len(text.split())
    hook.remove()
    assert max(seen) <= longest


def test_a_pair_keeps_what_the_task_does_not_change_and_copies_differ(context):
    task = Context(GLUE["mnli"], context.models)
    (forms,) = MlmWords(copies=5, side="task").rewrite([Example(0, ("w4 w5", "w6 w7 w8"))], [random.Random(0)], task)
    assert {form[0] for form in forms} == {"w4 w5"}
    assert len({form[1] for form in forms}) > 2


def test_it_asks_for_the_generator_and_refuses_impossible_options():
    assert MlmWords().reads() == ("generator",)
    for text in ("rate=0", "rate=1.1", "top_k=0", "mask_rate=-1", "mask_rate=2", "action=delete"):
        with pytest.raises(UsageError):
            StrategySpec.parse(f"mlm-words[{text}]")
