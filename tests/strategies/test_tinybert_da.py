"""TinyBERT's augmentation, against a plain reading of it: one text, one masked word, one forward at a time."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from tokenizers import decoders as decoding
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

from bench.data.tasks import GLUE, Example
from bench.errors import UsageError
from bench.rewriter import Context
from bench.spec import StrategySpec
from strategies.tinybert_da import TinyBertDA
from strategies.words import core

WORDS = """
    film actor story scene plot music camera light sound voice dream night river stone house garden window mirror
    paper letter summer winter morning evening doctor teacher driver painter writer singer good bad slow quick
""".strip().split()
TEXTS = [
    "The good film, (slow) at first; a quick story!",
    "music  and\tlight",
    "Doctor unfilmable painter of stoneable rivers",
    "the of and",
    "writer's voice - camera. 42 ... night",
    "summer summer Summer winter",
]


def bert_like(folder):
    """A lower-casing WordPiece tokenizer and a random BERT."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "the", "a", "of", "at", "and", "first", "un"]
    pieces += ["##able", "##film", "##s", "##x", "'", ".", ",", "(", ")", ";", "!", "-", "s", "[unused1]"]
    core_ = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    core_.normalizer = normalizers.BertNormalizer(lowercase=True)
    core_.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core_.decoder = decoding.WordPiece()
    core_.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core_,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        model_max_length=64,
    )
    config = BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=64, pad_token_id=0, num_hidden_layers=2, **SIZES
    )
    save(BertForMaskedLM, config, tokenizer, folder)
    return lambda piece: piece.isalnum()


def roberta_like(folder):
    """A byte-level tokenizer whose pieces begin with the space before a word, and a random RoBERTa."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<s>", "<pad>", "</s>", "<unk>", *letters, "<mask>"]
    merges = []
    for word in [f"Ġ{w}" for w in [*WORDS, "the", "and"]] + ["able", "The"]:
        for end in range(2, len(word) + 1):
            if word[:end] not in names:
                names.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    core_ = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, merges))
    core_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core_.decoder = decoding.ByteLevel()
    core_.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core_,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token=AddedToken("<mask>", lstrip=True),
        model_input_names=["input_ids", "attention_mask"],
    )
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=130,
        pad_token_id=1,
        type_vocab_size=1,
        num_hidden_layers=1,
        **SIZES,
    )
    save(RobertaForMaskedLM, config, tokenizer, folder)
    return lambda piece: piece[0] == "Ġ" and piece[1:].isalnum()


SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "initializer_range": 0.4}


def save(family, config, tokenizer, folder):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        family(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module", params=[bert_like, roberta_like], ids=["wordpiece", "byte-level"])
def generator(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("generator")
    is_word = request.param(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    family = BertForMaskedLM if request.param is bert_like else RobertaForMaskedLM
    return str(folder), tokenizer, family.from_pretrained(folder).eval(), is_word


def context(folder):
    return Context(GLUE["sst2"], {"generator": str(folder)})


def plain_candidates(generator, text, word, count=15):
    """The ``count`` likeliest whole words where ``word`` stands first in ``text``, by one plain forward."""
    _, tokenizer, model, is_word = generator
    before, after = text[: text.index(word)], text[text.index(word) + len(word) :]
    inputs = tokenizer(before + tokenizer.mask_token + after, text, return_tensors="pt")
    ((at,),) = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero(as_tuple=True)[0][None].tolist()
    with torch.no_grad():
        order = model(**inputs).logits[0, at].argsort(descending=True).tolist()
    pieces = tokenizer.convert_ids_to_tokens(order)
    words = [p.removeprefix("Ġ") for p in pieces if p not in tokenizer.all_special_tokens and is_word(p)]
    return words[:count]


def rewrites(texts, folder, seeds, **options):
    rngs = [random.Random(seed) for seed in seeds]
    return TinyBertDA(**options).rewrite_texts(texts, rngs, context(folder))


@pytest.mark.parametrize(("text", "word"), [(TEXTS[0], "film"), ("music and light", "light"), (TEXTS[4], "camera")])
def test_a_word_becomes_each_of_the_likeliest_fifteen_equally_often(generator, text, word):
    expected = plain_candidates(generator, text, word)
    assert len(set(expected)) == 15
    place = next(i for i, run in enumerate(text.split()) if core(run) == word)
    n = 3000
    made = rewrites([text] * n, generator[0], range(n))
    seen = Counter(core(new.split()[place]) for new in made)
    assert set(seen) <= {*expected, word}
    for candidate in set(expected) - {word}:
        p = 0.4 / 15
        assert abs(seen[candidate] - n * p) < 4 * (n * p * (1 - p)) ** 0.5


def test_stop_words_numbers_punctuation_and_spacing_stay(generator):
    made = rewrites(TEXTS * 40, generator[0], range(240), rate=1.0)
    for old, new in zip(TEXTS * 40, made, strict=True):
        assert len(new.split()) == len(old.split())
        for before, after in zip(old.split(), new.split(), strict=True):
            if before.lower() in {"the", "of", "and", "at", "a", "42", "...", "-", "writer's"}:
                assert after == before
            assert before.replace(core(before), "#") == after.replace(core(after), "#")
            assert core(after)[:1].isupper() == core(before)[:1].isupper()
    assert all("\t" in new and "  " in new for new in made[1::6])
    assert made[3::6] == ["the of and"] * 40


def test_a_rewrite_depends_on_its_text_and_generator_alone(generator):
    texts = [" ".join(random.Random(i).choices(WORDS, k=1 + i % 7)) for i in range(60)] + TEXTS
    together = rewrites(texts, generator[0], range(len(texts)))
    one_by_one = [rewrites([text], generator[0], [seed])[0] for seed, text in enumerate(texts)]
    backwards = rewrites(texts[::-1], generator[0], range(len(texts))[::-1])
    assert together == one_by_one == backwards[::-1]
    assert together != texts


def test_words_are_replaced_at_the_rate(generator):
    texts = [" ".join(random.Random(i).sample(WORDS, 10)) for i in range(200)]
    best = [[plain_candidates(generator, text, word, 1)[0] for word in text.split()] for text in texts[:20]]
    made = rewrites(texts, generator[0], range(200), rate=0.3, candidates=1)
    for old, new, top in zip(texts, made, best, strict=False):
        assert all(n in (o, t) for o, n, t in zip(old.split(), new.split(), top, strict=True))
    # Where the likeliest word is the word itself a replacement does not show.
    changed = sum(o != n for old, new in zip(texts, made, strict=True) for o, n in zip(old.split(), new.split()))  # noqa: B905
    shown = np.mean([w != t for text, top in zip(texts, best, strict=False) for w, t in zip(text.split(), top)])  # noqa: B905
    assert abs(changed - 600 * shown) < 4 * (2000 * 0.3 * 0.7) ** 0.5 + 600 * 4 * (shown * (1 - shown) / 200) ** 0.5


def test_what_does_not_fit_the_model_stays(generator):
    text = " ".join(WORDS * 4)
    (made,) = rewrites([text], generator[0], [0], rate=1.0)
    changed = [i for i, (a, b) in enumerate(zip(text.split(), made.split(), strict=True)) if a != b]
    specials = 3 if generator[1].cls_token == "[CLS]" else 4
    longest = 64 if specials == 3 else 128
    assert len(changed) > 10
    assert max(changed) < (longest - specials + 1) // 2


@pytest.fixture
def glove(tmp_path):
    """Vectors in which a word is next to those that follow it in the list."""
    names = [*WORDS, "unfilmable", "stoneable", "rivers"]
    path = tmp_path / "glove.txt"
    lines = [f"{name} {np.cos(i / 40):.6f} {np.sin(i / 40):.6f}" for i, name in enumerate(names)]
    path.write_text("\n".join(lines) + "\n")
    return path, names


def test_words_of_several_pieces_become_neighbours_of_their_vector_or_stay(generator, glove):
    path, names = glove
    text = "a Stoneable of xyzzyx"
    pieces = generator[1].tokenize(" stoneable"), generator[1].tokenize(" xyzzyx")
    assert len(pieces[0]) > 1
    assert set(rewrites([text] * 30, generator[0], range(30), rate=1.0)) <= {text} | {
        text.replace("xyzzyx", w) for w in generator[1].get_vocab()
    }
    made = rewrites([text] * 300, generator[0], range(300), rate=1.0, candidates=3, vectors=str(path))
    place = names.index("stoneable")
    nearest = sorted((abs(i - place), name) for i, name in enumerate(names) if i != place)[:3]
    assert {new.split()[1].lower() for new in made} == {name for _, name in nearest}
    assert all(new.split()[1][0].isupper() for new in made)
    assert all(new.split()[0] == "a" for new in made)


def test_it_asks_for_the_generator_and_for_the_vectors_it_is_given(tmp_path):
    assert TinyBertDA().reads() == ("generator",)
    assert list(TinyBertDA().resources()) == []
    (lacking,) = TinyBertDA(vectors=str(tmp_path / "glove.txt")).resources()
    assert not lacking.ready()
    assert "nlp.stanford.edu/projects/glove" in lacking.command
    (tmp_path / "glove.txt").write_text("a 1\n")
    assert lacking.ready()


def test_copies_differ_and_blank_texts_stay(generator):
    task_context = Context(GLUE["mnli"], {"generator": generator[0]})
    examples = [Example(0, ("good film", "slow story of a quick actor")), Example(1, ("good film", " "))]
    forms = TinyBertDA(copies=6, side="task").rewrite(examples, [random.Random(0), random.Random(1)], task_context)
    assert [len(row) for row in forms] == [6, 6]
    assert {form[0] for form in forms[0]} == {"good film"}
    assert len({form[1] for form in forms[0]}) > 3
    assert forms[1] == [("good film", " ")] * 6


@pytest.mark.parametrize("text", ["tinybert-da[rate=0]", "tinybert-da[rate=1.1]", "tinybert-da[candidates=0]"])
def test_impossible_options_are_refused(text):
    with pytest.raises(UsageError):
        StrategySpec.parse(text)
