"""SSMBA against the chances of every outcome, computed from plain forwards of the masked LM."""

from __future__ import annotations

import math
import random
import re
from collections import Counter

import pytest
import torch
from families import MASK

from bench.errors import UsageError
from bench.models.fill import filler
from bench.spec import StrategySpec
from strategies.ssmba import SSMBA

WORDS = range(4, MASK)


def rewrites(context, texts, seeds, **options):
    return SSMBA(**options).rewrite_texts(texts, [random.Random(seed) for seed in seeds], context)


def chances(context, ids, place, top_k=None):
    """The model's probability of each word at ``place`` of ``ids``, of the ``top_k`` likeliest renormalised."""
    with torch.no_grad():
        logits = filler(context.models["generator"], "cpu").model(input_ids=torch.tensor([ids])).logits[0, place]
    weights = {word: math.exp(logits[word].double()) for word in WORDS}
    kept = sorted(WORDS, key=weights.__getitem__)[-(top_k or len(WORDS)) :]
    total = sum(weights[word] for word in kept)
    return {word: weights[word] / total if word in kept else 0.0 for word in WORDS}


def agree(seen, expected, n):
    """Every outcome is seen as often as ``expected`` says, within 4.5 standard deviations; no other is."""
    assert sum(expected.values()) == pytest.approx(1)
    assert set(seen) <= {outcome for outcome, p in expected.items() if p}
    for outcome, p in expected.items():
        assert abs(seen[outcome] - n * p) <= 4.5 * math.sqrt(n * p) + 1, outcome


@pytest.mark.parametrize(
    ("rate", "random_share", "kept_share", "top_k"),
    [(0.15, 0.1, 0.1, None), (1 / 3, 0.5, 0.2, 5), (1 / 3, 0.0, 0.0, 3), (0.3, 1.0, 0.0, None)],
)
def test_one_word_is_corrupted_and_drawn_by_the_model_s_own_probabilities(
    context, rate, random_share, kept_share, top_k
):
    n, old = 2000, [4, 5, 6]
    # Of three words at most one is selected: the number is rounded up with chance 3 * rate.
    expected = Counter({"w4 w5 w6": 1 - 3 * rate})
    for place in (0, 1, 2):
        ids = [0, *old, 2]
        corruptions = {MASK: 1 - random_share - kept_share} | {word: random_share / len(WORDS) for word in WORDS}
        expected["w4 w5 w6"] += rate * kept_share
        for piece, p in corruptions.items():
            if p > 1e-9:
                ids[place + 1] = piece
                for word, q in chances(context, ids, place + 1, top_k).items():
                    new = [*old[:place], word, *old[place + 1 :]]
                    expected[" ".join(f"w{i}" for i in new)] += rate * p * q
    options = {"random_share": random_share, "kept_share": kept_share, "top_k": top_k}
    seen = Counter(rewrites(context, ["w4 w5 w6"] * n, range(n), rate=rate, tries=1, **options))
    agree(seen, expected, n)


def test_words_selected_together_are_masked_together_and_drawn_each_by_itself(context):
    n = 2000
    seen = rewrites(context, ["w4 w5"] * n, range(n), rate=1.0, random_share=0.0, kept_share=0.0, tries=1)
    for place in (0, 1):
        expected = {f"w{word}": p for word, p in chances(context, [0, MASK, MASK, 2], place + 1).items()}
        agree(Counter(text.split()[place] for text in seen), expected, n)


@pytest.mark.parametrize("tries", [1, 2, 10])
def test_a_text_that_came_out_as_it_went_in_is_tried_again(context, tries):
    n = 1000
    seen = rewrites(context, ["w4"] * n, range(n), rate=1.0, random_share=0.0, kept_share=0.5, tries=tries)
    same = 0.5 + 0.5 * chances(context, [0, MASK, 2], 1)[4]
    assert abs(seen.count("w4") - n * same**tries) <= 4.5 * math.sqrt(n * same**tries) + 1


def test_what_is_no_word_of_the_model_s_stays_and_so_do_gaps(context):
    text = "w4 w5  w6\tw7 (w8), 🙂 w10"
    for new in rewrites(context, [text] * 20, range(20), rate=1.0):
        assert re.findall(r"\s+", new) == re.findall(r"\s+", text)
        assert new.split()[4:6] == ["(w8),", "🙂"]
    assert rewrites(context, ["🙂 ..."], [0]) == ["🙂 ..."]


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"rate": 1.0}])
def test_a_rewrite_depends_on_its_text_and_generator_alone(context, options):
    chance = random.Random(0)
    texts = [" ".join(f"w{chance.choice(WORDS)}" for _ in range(chance.randint(1, 30))) for _ in range(60)]
    together = rewrites(context, texts, range(60), **options)
    assert together == [rewrites(context, [text], [seed], **options)[0] for seed, text in enumerate(texts)]
    assert sum(a != b for a, b in zip(together, texts, strict=True)) > 50


@pytest.mark.parametrize("text", ["rate=0", "top_k=0", "tries=0", "kept_share=1", "random_share=0.6,kept_share=0.5"])
def test_impossible_options_are_refused(text):
    with pytest.raises(UsageError):
        StrategySpec.parse(f"ssmba[{text}]").create()
