from __future__ import annotations

import difflib
import importlib.util
import math
import os
import random
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from families import build, tokenizer

from bench.data.tasks import GLUE, Example
from bench.errors import BenchError, UsageError
from bench.options import fields_of
from bench.registry import about
from bench.spec import StrategySpec, missing
from bench.strategy import Context
from strategies.nlpaug.augmenters import Contextual, Nlpaug, Sentences, Words
from strategies.nlpaug.family import FAMILY, Library
from strategies.nlpaug.source import member_name
from strategies.nlpaug.words import Seam, spans

if FAMILY.missing:
    pytest.skip(f"{FAMILY.missing}", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "nltk_data"
if SHARED.is_dir():
    os.environ.setdefault("NLTK_DATA", str(SHARED))

TEXTS = (
    "it 's a charming and often affecting journey .",
    "The  well-made picture\tdoesn't bore; see it (twice) -- \"really\" good, isn't it?",
    "although laced with humor and a few fanciful touches , the film is a refreshingly serious look at young women . ",
    "We received your letter yesterday.  The answer follows below! Is that acceptable?\n\nBest regards",
    "unflinchingly bleak and desperate",
)
ODD = (
    "word",
    "🙂 🙃 👩‍👩‍👧 ok",
    "שלום עולם, מה קורה",
    "\ta\tb\r\nc d ",
    "...",
    "我喜欢 😀 电影",
    "x" * 3000,
    "a good film " * 1700,
)
TASK = GLUE["sst2"]
WISHED = {
    *("keyboard", "ocr", "random-char", "spelling", "synonym", "antonym", "random-word", "split", "reserved"),
    *("tf-idf", "word-embs", "contextual", "back-translation"),
    *("contextual-for-sentence", "abst-summ", "lambada", "random-sent"),
}


def rngs(texts: Any) -> list[random.Random]:
    return [random.Random(f"{text}") for text in texts]


def make(spec: str) -> Nlpaug:
    made = StrategySpec.parse(f"nlpaug:{spec}").create()
    assert isinstance(made, Nlpaug)
    return made


@cache
def generator(folder: Path) -> Path:
    """A tiny masked LM with a lower-casing word-piece tokenizer that knows the words of TEXTS, some in two pieces."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    words = sorted({word for text in TEXTS for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    halves = ["un", "##flinchingly", "##ing", "##ly", "[unused1]"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *halves, *(w for w in words if w != "unflinchingly")]
    core = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}
    special = {f"{name}_token": token for name, token in names.items()}
    PreTrainedTokenizerFast(tokenizer_object=core, **special).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 1}
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=64, initializer_range=0.5, **sizes)
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generator(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def context(bert: Path) -> Context:
    return Context(TASK, models={"generator": str(bert)}, texts=[(text,) for text in TEXTS])


every_member = pytest.mark.parametrize("member", FAMILY.members())
# Those that need vectors or models of their own have tests of their own below.
rewriters = pytest.mark.parametrize(
    "member",
    [m for m in FAMILY.members() if issubclass(FAMILY.load(m), Words | Contextual | Sentences) and m != "word-embs"],
)


@pytest.fixture
def ready(member: str) -> str:
    """The spec of a member that can run here, with options that let it do something."""
    spec = {"reserved": "reserved[reserved_tokens=(good|bad,film|movie,best regards|yours),aug_p=1]"}.get(
        member, member
    )
    if lacking := missing(make(spec)):
        pytest.skip("; ".join(f"{resource.name}: {resource.command}" for resource in lacking))
    return spec


def test_members_and_their_options_are_the_library_s():
    assert not WISHED - set(FAMILY.members())
    fields = fields_of(FAMILY.load("keyboard"))
    assert fields["aug_char_p"] == (float, 0.3)
    assert fields["aug_word_max"] == (int | None, 10)
    assert fields["stopwords"] == (tuple[str, ...], ())
    assert not {"name", "verbose", "tokenizer", "reverse_tokenizer", "self"} & fields.keys()
    assert fields_of(FAMILY.load("random-char"))["action"][1] == "substitute"
    assert "action" not in fields_of(FAMILY.load("synonym"))  # it has but one
    made = make("keyboard[aug_char_p=0.1,stopwords=(film,the),lang=de,aug_word_max=none]")
    assert made.options() | {"aug_char_p": 0.1, "stopwords": ["film", "the"], "lang": "de", "aug_word_max": None} == (
        made.options()
    )


def test_every_option_is_a_parameter_of_the_installed_library():
    import inspect

    for member in FAMILY.members():
        made = FAMILY.load(member)()
        parameters = inspect.signature(made.library_class().__init__).parameters
        for option in made.augmenter.options:
            if not option.required and type(made).__dataclass_fields__[option.name].default == option.default:
                default = parameters[option.name].default
                assert option.default == (() if default is None and option.default == () else default)
        assert {option.name for option in made.augmenter.options} <= parameters.keys()


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        ("KeyboardAug", "keyboard"),
        ("TfIdfAug", "tf-idf"),
        ("WordEmbsAug", "word-embs"),
        ("ContextualWordEmbsAug", "contextual"),
        ("ContextualWordEmbsForSentenceAug", "contextual-for-sentence"),
    ],
)
def test_names(cls: str, name: str):
    assert member_name(cls) == name


def test_a_misspelt_option_gets_the_nearest_and_a_bad_value_its_choices():
    with pytest.raises(UsageError, match="did you mean 'aug_char_p'"):
        make("keyboard[aug_charp=0.1]")
    with pytest.raises(UsageError, match="did you mean 'random'"):
        make("random-char[swap_mode=randm]")
    with pytest.raises(UsageError, match=r"nlpaug:keybord.*did you mean 'nlpaug:keyboard'"):
        make("keybord")
    with pytest.raises(UsageError, match="lists alternatives"):
        make("reserved[reserved_tokens=(good)]")


def test_what_is_missing_is_said_with_what_to_type(monkeypatch: pytest.MonkeyPatch):
    commands = [resource.command for resource in missing(make("reserved"))]
    assert commands == ["nlpaug:reserved[reserved_tokens=(FWD|FW,Regards|Best Regards)]"]
    monkeypatch.setattr("strategies.nlpaug.family.folder", lambda: None)
    assert "pip install" in str(Library().missing)
    assert Library().members() == ()


def test_a_listing_imports_no_library():
    code = (
        "import sys; from strategies.nlpaug.family import FAMILY\n"
        "for m in FAMILY.members():\n"
        "    made = FAMILY.load(m)(); [r.ready() for r in made.resources()]; made.reads()\n"
        "print([m for m in ('nlpaug', 'torch', 'transformers', 'numpy', 'nltk', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@every_member
def test_descriptions_are_one_short_line(member: str):
    line = about(FAMILY.load(member))
    assert 10 < len(line) < 120
    assert line.endswith(".") or member == "reserved"


def test_seam():
    seam = Seam()

    def change(text: str, how: Any) -> str:
        return seam.join(how(seam.split(text)))

    odd = "  (good\tfilm), isn't  it 's \"fine\"?\n"
    assert change(odd, lambda w: w) == odd
    assert [odd[a:b] for a, b in spans(odd)] == [
        "(",
        "good",
        "film",
        ")",
        ",",
        "isn't",
        "it",
        "'s",
        '"',
        "fine",
        '"',
        "?",
    ]
    assert change("a\tb  c", lambda w: [w[1], "x", w[0]]) == "b\tx  a"
    assert change("it was (nice)", lambda w: [w[0], w[2], w[1], *w[3:]]) == "it ( was nice)"
    without_good = lambda words: [word for word in words if word != "good"]  # noqa: E731
    assert change("a (good film), yes", without_good) == "a (film), yes"
    assert change("very good, bad", without_good) == "very, bad"
    assert change("a good (bad) one", without_good) == "a (bad) one"
    assert change("The good\tfilm", lambda w: ["Good", *w[2:]]) == "Good\tfilm"
    assert change("a b\tc d", lambda w: [w[0], "x", "y", "z", "v", w[3]]) == "a x y\tz v d"
    assert change("a (b)  c", lambda w: [*w[:2], "new", *w[2:]]) == "a (new b)  c"


@rewriters
def test_unless_a_word_is_chosen_every_byte_stays(member: str, ready: str, context: Context):
    made = make(ready)
    if "stopwords_regex" not in fields_of(type(made)):
        assert member in ("reserved", "random-sent")
        return
    made.stopwords_regex = ".*"  # type: ignore[attr-defined]
    texts = [*TEXTS, *ODD]
    assert made.rewrite_texts(texts, rngs(texts), context) == texts


@rewriters
def test_other_words_and_the_space_between_stay(member: str, ready: str, context: Context):
    made = make(ready)
    some = 0
    for text, new in zip(TEXTS, made.rewrite_texts(TEXTS, rngs(TEXTS), context), strict=True):
        old_parts, new_parts = re.split(r"(\s+)", text), re.split(r"(\s+)", new)
        matcher = difflib.SequenceMatcher(None, old_parts, new_parts, autojunk=False)
        lost = len(old_parts) - sum(block.size for block in matcher.get_matching_blocks())
        # A word that goes takes the space before it along, and its comma goes to the word in front.
        assert member == "random-sent" or lost <= 3 * math.ceil(0.3 * len(spans(text))), (text, new)
        some += new != text
    assert some >= (1 if member in ("reserved", "antonym", "random-sent") else 3)


@rewriters
def test_a_row_s_rewrite_depends_on_nothing_but_its_generator(member: str, ready: str, context: Context):
    first = make(ready).rewrite_texts(TEXTS, rngs(TEXTS), context)
    other = make(ready)
    backwards = other.rewrite_texts(TEXTS[::-1], rngs(TEXTS[::-1]), context)[::-1]
    random.seed(5)
    alone = [other.rewrite_texts([text], rngs([text]), context)[0] for text in TEXTS]
    assert first == backwards == alone
    others = [other.rewrite_texts(TEXTS, [random.Random(i)] * 5, context) for i in range(20)]
    assert member == "reserved" or any(first != texts for texts in others)


@rewriters
def test_odd_texts_come_through(member: str, ready: str, context: Context):
    examples = [Example(i, (text,)) for i, text in enumerate([*ODD, "", "  "])]
    forms = make(f"{ready.rstrip(']')}{',' if '[' in ready else '['}copies=2]").rewrite(
        examples, rngs(examples), context
    )
    assert [len(row) for row in forms] == [2] * len(examples)
    assert all(text.strip() for row in forms[:-2] for (text,) in row)
    assert forms[-2:] == [[("",)] * 2, [("  ",)] * 2]
    changed = forms[3][0][0]
    assert changed.startswith("\t")
    assert changed.endswith(" ")


def test_phrases_that_are_not_replaced_keep_their_spelling(context: Context):
    text = "Nooonnnnn way. best regards, BEST Regards from (Fwd)!"
    made = make("reserved[reserved_tokens=(best regards|yours,Fwd|FW),case_sensitive=false,aug_p=1]")
    results = {made.rewrite_texts([text], [random.Random(i)], context)[0] for i in range(5)}
    assert results == {"Nooonnnnn way. yours, yours from (FW)!"}
    made = make("reserved[reserved_tokens=(best regards|yours,Fwd|FW),aug_p=0.01]")
    results = {made.rewrite_texts([text], [random.Random(i)], context)[0] for i in range(9)}
    assert results == {text.replace("best regards", "yours"), text.replace("Fwd", "FW")}


def test_misspellings_do_not_come_in_the_order_of_a_set(context: Context):
    dictionary = make("spelling").built(context).model.dict
    assert len(dictionary) > 1000
    assert all(words == sorted(words) for words in dictionary.values())


def test_tf_idf_learns_from_the_task_s_texts(context: Context):
    made = make("tf-idf")
    assert made.learns_from_texts
    with pytest.raises(BenchError, match="training texts"):
        made.rewrite_texts(["a b"], rngs("a"), Context(TASK))
    known = {text[a:b].lower() for text in TEXTS for a, b in spans(text)}
    new = " ".join(made.rewrite_texts(TEXTS, rngs(TEXTS), context))
    assert {new[a:b].lower() for a, b in spans(new)} <= known
    # Another context is another vocabulary, in the same process.
    other = Context(TASK, texts=[("one two",), ("two three four",), ("two",)])
    results = " ".join(made.rewrite_texts(["two two two"] * 9, rngs("abcdefghi"), other)).lower().split()
    assert {"two"} < set(results) <= {"one", "two", "three", "four"}


def test_the_masked_lm_leaves_case_and_special_tokens_alone(context: Context, bert: Path):
    texts = [re.sub(r"(?<![\w'-])\w", lambda first: first[0].upper(), text) for text in TEXTS] * 8
    chance = [random.Random(i) for i in range(len(texts))]
    for options in ("", "[top_k=none,aug_p=1]", "[action=insert]", "[mask_rate=0]"):
        made = make(f"contextual{options}")
        assert made.reads() == ("generator",)
        for text, new in zip(texts, made.rewrite_texts(texts, chance, context), strict=True):
            assert not re.search(r"\[|##|unused", new)
            old, words = ([some[a:b] for a, b in spans(some)] for some in (text, new))
            if "insert" in options:
                assert len(words) > len(old)
                assert [word for word in words if word in old and not word.islower()] == [
                    word for word in old if not word.islower()
                ]
            else:
                assert len(words) == len(old)
                assert re.findall(r"\s+", new) == re.findall(r"\s+", text)
                capital = [word for word, before in zip(words, old, strict=True) if before[0].isupper()]
                assert not [word for word in capital if word[0].isalpha() and not word[0].isupper()]
    own = make(f"contextual[model_path={bert}]")
    assert own.reads() == ()
    assert own.rewrite_texts(TEXTS, rngs(TEXTS), Context(TASK)) == make("contextual").rewrite_texts(
        TEXTS, rngs(TEXTS), context
    )


@pytest.mark.parametrize("rate", [0, 0.15, 1])
def test_a_masked_lm_row_does_not_depend_on_those_beside_it(context: Context, rate: float):
    chance = random.Random(0)
    words = " ".join(TEXTS).split()
    texts = [" ".join(chance.choices(words, k=chance.randint(1, 45))) for _ in range(60)]
    made = make(f"contextual[mask_rate={rate}]")
    together = made.rewrite_texts(texts, rngs(texts), context)
    alone = [made.rewrite_texts([text], rngs([text]), context)[0] for text in texts]
    assert together == alone
    assert sum(a != b for a, b in zip(together, texts, strict=True)) > 50


def test_how_many_words_the_masked_lm_changes(context: Context):
    text = "the film is a good look at young women and often bleak"  # twelve words of one piece
    for options, most in (("aug_p=0.3", 4), ("aug_p=0.01", 1), ("aug_p=1,aug_max=5", 5), ("aug_p=0.01,aug_min=2", 2)):
        made = make(f"contextual[{options},top_k=none]")
        rewrites = made.rewrite_texts([text] * 9, [random.Random(i) for i in range(9)], context)
        changed = [sum(a != b for a, b in zip(text.split(), new.split(), strict=True)) for new in rewrites]
        assert changed == [most] * 9


def test_one_word_at_a_time_the_masked_lm_does_what_nlpaug_does(context: Context, bert: Path):
    import transformers

    if int(transformers.__version__.partition(".")[0]) >= 5:
        pytest.skip("nlpaug's own way of calling a masked LM needs transformers 4")
    naw = pytest.importorskip("nlpaug.augmenter.word")
    # With one candidate a word and all words chosen, nothing is left to chance.
    theirs = naw.ContextualWordEmbsAug(
        model_path=str(bert), model_type="bert", top_k=1, aug_p=1, aug_max=None, action="substitute"
    )
    texts = ["a good film is often bleak", "the serious look at young women", "it is acceptable , isn ' t it ?"]
    ours = make("contextual[top_k=1,aug_p=1,aug_max=none,mask_rate=0]").rewrite_texts(texts[:2], rngs("ab"), context)
    for text, new in zip(texts, ours, strict=False):
        assert new == theirs.augment(text)[0]
        assert new != text


def test_other_tokenizers(tmp_path: Path):
    build("roberta", "masked_lm", seed=3).float().save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    text = "w4 w5  w6\tw7 w8"
    made = make(f"contextual[model_path={tmp_path},aug_p=1]")
    (new,) = made.rewrite_texts([text], rngs("a"), Context(TASK))
    assert re.fullmatch(r"w\d+ w\d+  w\d+\tw\d+ w\d+", new)
    assert all(a != b for a, b in zip(new.split(), text.split(), strict=True))


@pytest.fixture(scope="session")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models that write text: "t5" and "gpt2", by names that the library knows them by."""
    from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("writers")
    t5 = T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=1)
    T5ForConditionalGeneration(t5).save_pretrained(folder / "t5")
    GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2)).save_pretrained(folder / "gpt2")
    for name in ("t5", "gpt2"):
        tokenizer().save_pretrained(folder / name)
    return folder


@pytest.mark.parametrize(
    "spec",
    [
        "back-translation[from_model_name={0}/t5,to_model_name={0}/t5,max_length=9]",
        "abst-summ[model_path={0}/t5]",
        "contextual-for-sentence[model_path={0}/gpt2,min_length=9,max_length=12]",
    ],
)
def test_members_that_write_text(spec: str, writers: Path):
    made = make(spec.format(writers))
    assert missing(made) == []
    texts = ["w4 w5 w6 w7", " w8 w9  w10 "]
    first = made.rewrite_texts(texts, rngs(texts), Context(TASK))
    assert first == made.rewrite_texts(texts[::-1], rngs(texts[::-1]), Context(TASK))[::-1]
    if made.augmenter.member == "contextual-for-sentence":
        assert all(new.startswith(text.rstrip()) and new != text for text, new in zip(texts, first, strict=True))


def test_lambada_is_skipped_with_its_reason():
    assert "label" in str(make("lambada").supports(TASK))


def test_word_vectors(tmp_path: Path):
    if importlib.util.find_spec("gensim") is None:
        pytest.skip("gensim is not installed")
    lines = [f"{word} {i}.0 {i * i}.0 1.0" for i, word in enumerate(sorted(set(" ".join(TEXTS).split())))]
    (tmp_path / "vectors.txt").write_text("\n".join(lines))
    made = make(f"word-embs[model_type=glove,model_path={tmp_path}/vectors.txt,top_k=3]")
    assert missing(made) == []
    assert made.rewrite_texts(TEXTS, rngs(TEXTS), Context(TASK)) != list(TEXTS)


def test_faster_nlpaug_writes_what_nlpaug_writes():
    # In a process of its own, where nothing has replaced anything yet.
    code = f"""
import random
import numpy
from strategies.nlpaug.family import FAMILY
from strategies.nlpaug.speed import same_output_faster

def written():
    made = []
    for member in ("keyboard", "ocr", "random-char", "spelling", "random-word", "split", "reserved"):
        options = {{"reserved_tokens": [["film", "movie"]]}} if member == "reserved" else {{}}
        augmenter = FAMILY.load(member)().library_class()(**options)
        random.seed(0)
        numpy.random.seed(0)
        made += [augmenter.augment(text) for text in {TEXTS!r} * 5]
    return made

plain = written()
same_output_faster()
from nlpaug.util.doc import doc
assert doc.Token.__module__ == "strategies.nlpaug.speed"
assert len(set(map(str, plain))) > len(plain) / 3
print(plain == written())
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "True\n"
