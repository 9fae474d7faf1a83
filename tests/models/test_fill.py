"""The filler against a plain reading of the model: one text, one forward, no padding."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from families import MASK, SPECIAL, build, every_family, tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from bench.errors import BenchError
from bench.models.fill import Filler, Masked, whole_words
from bench.models.inputs import accepted


def saved(folder, family, head="masked_lm"):
    model = build(family, head, seed=3).float()
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model.eval()


def texts(longest):
    """Texts of every length up to the longest that the model reads, with one mask to all but the ends masked."""
    chance = random.Random(0)
    for length in (3, 4, 5, 7, 8, 9, 15, 16, 17, longest - 1, longest):
        for masks in {1, 2, 3, length - 2} & set(range(1, length - 1)):
            places = sorted(chance.sample(range(1, length - 1), masks))
            ids = [0, *(chance.randint(4, MASK - 1) for _ in range(length - 2)), 2]
            for place in places:
                ids[place] = MASK
            yield Masked(ids, places)


@every_family
def test_the_best_words_are_those_of_a_plain_forward_and_each_text_s_own(family, tmp_path):
    model = saved(tmp_path, family)
    engine = Filler(str(tmp_path), "cpu")
    some = list(texts(engine.longest))
    assert len(some[-1].ids) == engine.longest
    together = engine.best(some, 5)
    for text, (logits, ids) in zip(some, together, strict=True):
        inputs = {"input_ids": torch.tensor([text.ids])}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.no_grad():
            plain = model(**accepted(model, inputs)).logits[0, text.places]
        plain[:, SPECIAL] = -torch.inf
        expected = plain.topk(5)
        assert ids.tolist() == expected.indices.tolist()
        np.testing.assert_allclose(logits, expected.values, atol=1e-4)
    for text, (logits, ids) in zip(some, together, strict=True):
        ((own_logits, own_ids),) = engine.best([text], 5)
        # Rows of ten numbers, as this ELECTRA's, are summed in an order that depends on where they stand.
        assert (own_logits == logits).all() or (family == "electra" and np.allclose(own_logits, logits, atol=1e-6))
        assert (own_ids == ids).all()
    (every,) = engine.best(some[:1])
    assert every[1].shape == (1, len(engine.words)) == (1, MASK - 4)


def test_words_stand_at_their_pieces_and_what_is_cut_off_nowhere(tmp_path):
    saved(tmp_path, "bert")
    engine = Filler(str(tmp_path), "cpu")
    text = "w4 w5!  w6"
    read, places = engine.read(text, {0: (0, 2), 1: (3, 5), 2: (8, 10)}, beside=text)
    # "w5!" is one piece, unknown, so that the word alone is none.
    assert places == {0: range(1, 2), 2: range(3, 4)}
    assert list(read.ids) == [0, 4, 3, 6, 2, 4, 3, 6, 2]
    assert list(read.types) == [0] * 5 + [1] * 4
    read, places = engine.read(" ".join(["w4"] * 99), {i: (3 * i, 3 * i + 2) for i in range(99)})
    assert (len(read.ids), len(places)) == (24, 22)
    read, places = engine.read(" ".join(["w4"] * 99), {i: (3 * i, 3 * i + 2) for i in range(99)}, most=10)
    assert (len(read.ids), len(places)) == (10, 8)


def test_a_model_without_a_masked_lm_s_head_is_refused(tmp_path):
    saved(tmp_path, "bert", head="classifier")
    with pytest.raises(BenchError, match="its head is missing"):
        Filler(str(tmp_path), "cpu")


@pytest.mark.parametrize(
    ("decoder", "pieces", "words"),
    [
        (decoders.WordPiece(), ["film", "films", "##s", "##ing", "s", "42", "[unused1]"], {"film", "films", "s", "42"}),
        (decoders.ByteLevel(), ["film", "s", "Ġfilm", "Ġthe", "Ġ(", "Ġ", "ing"], {"Ġfilm", "Ġthe"}),
        (decoders.Metaspace(), ["film", "s", "▁film", "▁a", "▁", "▁!"], {"▁film", "▁a"}),
        (None, ["film", "s", "42", "n't", "--"], {"film", "s", "42"}),
    ],
    ids=["WordPiece", "byte-level", "SentencePiece", "whole words"],
)
def test_which_pieces_are_words(decoder, pieces, words):
    pieces = [*pieces, "!", "..."]
    core = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate([*pieces, "<unk>"])}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if decoder is not None:
        core.decoder = decoder
    found = whole_words(PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>"))
    assert {pieces[number] for number in found} == words
    assert all(word == pieces[number].lstrip("Ġ▁") for number, word in found.items())
