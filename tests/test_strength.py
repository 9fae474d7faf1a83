"""Strength means the same for every strategy: the share of words or tokens that it changes, as measured."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from families import SPECIAL
from tiny import make_models, rows

from bench import Batch, Strategy, Strength, option
from bench.data.mini import MiniSource
from bench.data.tasks import GLUE, Example
from bench.errors import UsageError
from bench.evaluation.text_quality import text_quality
from bench.models.load import build_scratch
from bench.models.tokenizer import word_tokenizer
from bench.registry import load, names
from bench.rewriter import Context, Rewriter
from bench.spec import StrategySpec, at_strength, described, lacking
from bench.strength import Dial

TEXTS = [example.texts[0] for example in MiniSource(seed=0).load("rte").splits["train"][:60]]
WITHIN = 0.08
DIALS = {name: dial for name in names() if (dial := Dial.of(load(name))) is not None}
REWRITING = [name for name in DIALS if issubclass(load(name), Rewriter)]
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """A masked LM that has learned nothing, and so hardly ever puts the same word back."""
    folder = tmp_path_factory.mktemp("generator")
    tokenizer = word_tokenizer(TEXTS, folder)
    build_scratch(SHAPE, tokenizer, seed=0).save_pretrained(folder / "lm")
    tokenizer.save_pretrained(folder / "lm")
    return Context(GLUE["sst2"], {"generator": str(folder / "lm")}, texts=[(text,) for text in TEXTS])


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("name", REWRITING)
def test_at_a_strength_about_that_share_of_the_words_changes(name, share, context):
    spec = StrategySpec.parse(name)
    if reason := lacking(spec.create()):
        pytest.skip(reason)
    share = min(share, DIALS[name].searched[1])
    texts = TEXTS[:20] if name.startswith("textattack:") else TEXTS
    if name == "nlpaug:contextual":
        # It returns texts as its tokenizer spells them, which the edit rate counts as words changed.
        texts = [re.sub(r"([^\w\s])", r" \1 ", text.lower()) for text in TEXTS]
    examples = [Example(i, (text,), 0) for i, text in enumerate(texts)]
    rngs = [random.Random(i) for i in range(len(texts))]
    forms = spec.at_strength(share).create().rewrite(examples, rngs, context)
    quality = text_quality([example.texts for example in examples], forms)
    assert quality["word_edit_rate"] == pytest.approx(share, abs=WITHIN)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("name", sorted(DIALS.keys() - REWRITING))
def test_at_a_strength_about_that_share_of_the_tokens_changes_in_a_view(name, share):
    models, data = make_models(), rows(200)
    inputs = data.inputs(np.arange(200))
    strategy = StrategySpec.parse(name).at_strength(share).create()
    strategy.setup(models)
    (view,) = strategy.views(Batch(np.arange(200), inputs, torch.from_numpy(data.labels)), models)
    ordinary = ~torch.isin(inputs["input_ids"], torch.tensor(SPECIAL))
    if "input_ids" in view.student:
        changed = view.student["input_ids"] != inputs["input_ids"]
    else:
        words = models.student.get_input_embeddings()(inputs["input_ids"])
        changed = (view.student["inputs_embeds"] != words).any(dim=2)
    assert changed[ordinary].float().mean().item() == pytest.approx(share, abs=WITHIN)


def test_every_family_that_changes_words_has_a_strength():
    assert {"eda", "aeda", "tinybert-da", "mlm-words", "mlm", "mate-kd", "token-cutoff"} <= DIALS.keys()
    assert not {"none", "finetune", "freelb", "smart", "mixkd"} & DIALS.keys()


@pytest.mark.parametrize(
    ("asked", "canonical"),
    [
        ("eda[strength=0.3]", "eda[alpha=0.2609]"),
        ("aeda[strength=0.25,copies=2]", "aeda[copies=2,ratio=0.5]"),
        ("token-cutoff[strength=0.15]", "token-cutoff"),
        ("mate-kd[strength=0.4]", "mate-kd[rho=0.4]"),
        ("best-of-k(eda)[strength=0.3,k=2]", "best-of-k(eda[alpha=0.2609])[k=2]"),
    ],
)
def test_strength_is_spelled_as_the_option_that_it_sets(asked, canonical):
    assert str(StrategySpec.parse(asked)) == canonical


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("eda[strength=0.9]", "eda.strength is the share of the words or tokens changed: above 0 and at most 0.7, not"),
        ("eda[strength=0]", "above 0 and at most 0.7, not 0"),
        ("eda[strength=nan]", "not nan"),
        ("token-cutoff[strength=1]", "above 0 and below 1, not 1"),
        ("eda[strength=much]", "eda.strength takes a number, not 'much'"),
        ("eda[strength=0.3,alpha=0.1]", "eda: strength=0.3 sets alpha, so do not give alpha too"),
        ("best-of-k(eda[alpha=0.2])[strength=0.3]", "eda: strength=0.3 sets alpha, so do not give alpha too"),
        ("none[strength=0.3]", "none has no strength"),
        ("best-of-k(mlm-words)[strength=2]", "at most 1, not 2"),
    ],
)
def test_a_strength_that_makes_no_sense_is_refused_in_a_line(asked, words):
    with pytest.raises(UsageError) as caught:
        StrategySpec.parse(asked)
    assert words in str(caught.value)


def test_one_strength_for_a_grid_leaves_those_without_and_names_them():
    specs = list(map(StrategySpec.parse, ("none", "eda", "mate-kd+freelb")))
    changed, notes = at_strength(specs, 0.4)
    assert list(map(str, changed)) == ["none", "eda[alpha=0.3478]", "mate-kd[rho=0.4]+freelb"]
    assert notes == ["without a strength, and as shipped: none"]
    with pytest.raises(UsageError, match="there is no strength to set: no option of none says"):
        at_strength(specs[:1], 0.4)


def test_what_strengths_there_are_follows_from_the_option_s_bounds():
    @dataclass
    class Half(Strategy):
        """Leaves out words in pairs."""

        rate: float = option(0.1, "the share of pairs", above=0, below=0.25, strength=Strength(2, also={"most": 9}))
        most: int = 3

    dial = Dial.of(Half)
    assert (dial.in_words(), dial.searched) == ("above 0 and below 0.5", (0.05, 0.5))
    assert dial.options(0.3, "half") == {"rate": 0.15, "most": 9}
    with pytest.raises(UsageError, match=r"half\.strength .*: above 0 and below 0\.5, not 0\.5"):
        dial.options(0.5, "half")


def test_an_option_of_a_strategy_s_own_called_strength_is_left_alone():
    @dataclass
    class Own(Strategy):
        """Has its own idea."""

        strength: int = 3
        rate: float = option(0.1, "the share", strength=True)

    assert Dial.of(Own) is None


def test_a_listing_says_what_strength_sets():
    assert described("eda")["strength"].startswith("SHARE sets alpha to 0.87 × SHARE: about this share of the words")
    assert described("nlpaug:split")["strength"].startswith("SHARE sets aug_p to 0.42 × SHARE, and aug_max=None: about")
    assert described("none")["strength"] == ""


@pytest.mark.parametrize("search", [[], (0.5, 0.5), (2, 1), (0, 1, "log")])
def test_a_range_that_holds_nothing_is_refused_where_it_is_declared(search):
    with pytest.raises(ValueError, match="a search is"):
        option(0.1, "the share", search=search)
