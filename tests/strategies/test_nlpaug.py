from __future__ import annotations

import difflib
import importlib.util
import inspect
import math
import random
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from families import build, tokenizer

from bench.data.tasks import GLUE, Example
from bench.errors import BenchError, UsageError
from bench.options import fields_of
from bench.registry import about
from bench.rewriter import Context
from bench.spec import StrategySpec, missing
from strategies import catalogues
from strategies.nlpaug.augmenters import Nlpaug, Sentences, WordLevel
from strategies.nlpaug.family import FAMILY, NlpaugFamily
from strategies.nlpaug.spacing import Spacing, tokens

if FAMILY.missing:
    pytest.skip(f"{FAMILY.missing}", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]

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
    *("contextual-for-sentence", "abst-summ", "random-sent"),
}


def rngs(texts: Any) -> list[random.Random]:
    return [random.Random(f"{text}") for text in texts]


def spans(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in tokens().finditer(text)]


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
    [m for m in FAMILY.members() if issubclass(FAMILY.load(m), WordLevel | Sentences) and m != "word-embs"],
)


@pytest.fixture
def ready(member: str) -> str:
    """The spec of a member that can run here, with options that let it do something."""
    groups = "(good|bad|fair,film|movie|picture,best regards|yours|so long)"
    spec = {"reserved": f"reserved[reserved_tokens={groups},aug_p=1]"}.get(member, member)
    if lacking := missing(make(spec)):
        pytest.skip("; ".join(f"{resource.name}: {resource.command}" for resource in lacking))
    return spec


def test_members_and_their_options_are_the_library_s():
    assert set(FAMILY.members()) >= WISHED
    assert "lambada" not in FAMILY.members()  # it rewrites no text
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


def test_the_catalogue_is_what_importing_the_library_gives():
    if reason := FAMILY.catalogue.mismatch():
        pytest.skip(reason)
    from strategies.nlpaug import catalogue

    assert catalogues.Catalogue.text("nlpaug", catalogue.entries()) == FAMILY.path.read_text("utf-8")
    assert all(option["meaning"] for entry in FAMILY.catalogue.entries.values() for option in entry.options.values())


@every_member
def test_every_option_is_a_parameter_that_the_library_s_class_takes(member: str):
    made = FAMILY.load(member)()
    parameters = inspect.signature(made.library_class()).parameters
    assert made.entry.options.keys() <= parameters.keys()
    # Required ones aside, what is given where nobody said anything is the library's default.
    for name, value in made.options().items():
        own = name in vars(type(made).__mro__[1]).get("__annotations__", {}) and name == "model_path"
        if parameters[name].default is not inspect.Parameter.empty and not own:
            assert value == parameters[name].default


def test_another_version_of_the_library_is_blamed_where_it_takes_other_options(monkeypatch: pytest.MonkeyPatch):
    class Other:
        def __init__(self, rate: float = 0.1, tokenizer: Any = None, reverse_tokenizer: Any = None) -> None:
            pass

    monkeypatch.setattr(catalogues, "version", lambda library: "1.1.99")
    made = make("keyboard")
    # The one installed still builds: what it takes is what the catalogue says.
    assert made.rewrite_texts(TEXTS[:1], rngs(TEXTS[:1]), Context(TASK)) != [TEXTS[0]]
    module, _, name = made.entry.target.partition(":")
    monkeypatch.setattr(f"{module}.{name}", Other)
    with pytest.raises(BenchError, match=r"nlpaug:keyboard: .*'aug_char_min'.*pip install nlpaug==1\.1\.11"):
        make("keyboard").rewrite_texts(TEXTS, rngs(TEXTS), Context(TASK))
    monkeypatch.delattr(f"{module}.{name}")
    with pytest.raises(BenchError, match=r"KeyboardAug.*pip install nlpaug==1\.1\.11"):
        make("keyboard").rewrite_texts(TEXTS, rngs(TEXTS), Context(TASK))


def test_a_misspelt_option_gets_the_nearest_and_a_bad_value_its_choices():
    with pytest.raises(UsageError, match="did you mean 'aug_char_p'"):
        make("keyboard[aug_charp=0.1]")
    with pytest.raises(UsageError, match="did you mean 'random'"):
        make("random-char[swap_mode=randm]")
    with pytest.raises(UsageError, match=r"nlpaug:keybord.*did you mean 'nlpaug:keyboard'"):
        make("keybord")
    with pytest.raises(UsageError, match="lists alternatives"):
        make("reserved[reserved_tokens=(good)]")
    with pytest.raises(UsageError, match=r"aug_p is the share of the words .*: at least 0 and at most 1, not 2"):
        make("split[aug_p=2]")


def test_what_is_missing_is_said_with_what_to_type(monkeypatch: pytest.MonkeyPatch):
    commands = [resource.command for resource in missing(make("reserved"))]
    assert commands == ["nlpaug:reserved[reserved_tokens=(FWD|FW,Regards|Best Regards)]"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install" in str(NlpaugFamily().missing)
    assert NlpaugFamily().members() == []


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


def test_what_stays_keeps_its_spacing():
    spacing = Spacing()

    def change(text: str, how: Any) -> str:
        return spacing.join(how(spacing.split(text)))

    odd = "  (good\tfilm), isn't  it 's \"fine\"?\n"
    for text in (odd, *TEXTS, *ODD):
        assert change(text, lambda w: w) == text
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
    # An equal word that is new is no landmark: it is this very "a" that is gone.
    assert change("a\ta  b", lambda w: ["x", *w[1:]][1:]) == "a  b"


NOTHING = {"reserved": "reserved[reserved_tokens=(zebra|zebu)]", "random-sent": "random-sent[aug_p=0,aug_min=0]"}
"""Options with which a member has nothing to do; all others take a pattern of words to leave alone."""


@rewriters
def test_unless_a_word_is_chosen_every_byte_stays(member: str, ready: str, context: Context):
    made = make(NOTHING.get(member, f"{member}[stopwords_regex=.*]"))
    texts = [*TEXTS, *ODD]
    assert made.rewrite_texts(texts, rngs(texts), context) == texts
    # Of the four sentences of one text, some draws exchange two and back.
    seeds = [[random.Random(seed) for _ in texts] for seed in range(5)]
    assert any(make(ready).rewrite_texts(texts, chance, context) != texts for chance in seeds)


@rewriters
def test_other_words_and_the_space_between_stay(member: str, ready: str, context: Context):
    made, texts = make(ready), TEXTS * 4
    chance = [random.Random(i) for i in range(len(texts))]
    some = 0
    for text, new in zip(texts, made.rewrite_texts(texts, chance, context), strict=True):
        if member == "random-sent":
            assert Counter(re.split(r"(\s+)", new)) == Counter(re.split(r"(\s+)", text))
        else:
            old_parts, new_parts = re.split(r"(\s+)", text), re.split(r"(\s+)", new)
            matcher = difflib.SequenceMatcher(None, old_parts, new_parts, autojunk=False)
            lost = len(old_parts) - sum(block.size for block in matcher.get_matching_blocks())
            # A word that goes takes the space before it along, and its comma goes to the word in front.
            assert lost <= 3 * math.ceil(0.3 * len(spans(text))), (text, new)
        some += new != text
    assert some >= (2 if member in ("reserved", "antonym", "random-sent") else 12)


@rewriters
def test_a_row_s_rewrite_depends_on_nothing_but_its_generator(member: str, ready: str, context: Context):
    first = make(ready).rewrite_texts(TEXTS, rngs(TEXTS), context)
    other = make(ready)
    backwards = other.rewrite_texts(TEXTS[::-1], rngs(TEXTS[::-1]), context)[::-1]
    random.seed(5)
    alone = [other.rewrite_texts([text], rngs([text]), context)[0] for text in TEXTS]
    assert first == backwards == alone
    others = {tuple(other.rewrite_texts(TEXTS, [random.Random(i)] * 5, context)) for i in range(20)}
    assert len(others) > 1


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


def test_a_file_is_read_whatever_was_read_before(tmp_path: Path, context: Context):
    text = "the film"
    for word in ("movie", "picture"):
        path = tmp_path / f"{word}.txt"
        path.write_text(f"film {word}\n")
        spelling = make(f"spelling[dict_path={path},aug_p=1]")
        assert spelling.rewrite_texts([text], rngs([text]), context) == [f"the {word}"]
    assert len(make("spelling").augmenter(context).model.dict) > 1000


def test_tf_idf_learns_from_the_task_s_texts(context: Context):
    made = make("tf-idf")
    assert made.reads() == ("texts",)
    with pytest.raises(BenchError, match="training texts"):
        made.rewrite_texts(["a b"], rngs("a"), Context(TASK))
    known = {text[a:b].lower() for text in TEXTS for a, b in spans(text)}
    new = " ".join(made.rewrite_texts(TEXTS, rngs(TEXTS), context))
    assert {new[a:b].lower() for a, b in spans(new)} <= known
    # Another context is another vocabulary, in the same process.
    other = Context(TASK, texts=[("one two",), ("two three four",), ("two",)])
    results = " ".join(made.rewrite_texts(["two two two"] * 9, rngs("abcdefghi"), other)).lower().split()
    assert {"two"} < set(results) <= {"one", "two", "three", "four"}


@pytest.fixture
def contextual(context: Context) -> Any:
    if lacking := missing(make("contextual")):
        pytest.skip("; ".join(f"{resource.name}: {resource.command}" for resource in lacking))
    return lambda options, texts, seeds=None: make(f"contextual[{options}]").rewrite_texts(
        texts, seeds or rngs(texts), context
    )


def test_contextual_is_the_library_s_augmenter_and_its_model_the_generator(contextual: Any, context: Context):
    made = make("contextual[aug_p=0.4,top_k=7]")
    assert made.reads() == ("generator",)
    augmenter = made.augmenter(context)
    assert type(augmenter).__module__ == "nlpaug.augmenter.word.context_word_embs"
    assert (augmenter.model_path, augmenter.model_type) == (context.models["generator"], "bert")
    assert (augmenter.aug_p, augmenter.model.top_k, augmenter.model.device) == (0.4, 7, "cpu")


@pytest.mark.parametrize("options", ["", "action=insert", "stopwords=(film,good)", "top_k=none,aug_p=1,aug_max=none"])
def test_contextual_repeats_by_row_and_replaces_as_many_pieces_as_the_library(contextual: Any, options: str):
    texts = ["the film is a good look at young women and often bleak", *TEXTS]
    first = contextual(options, texts)
    assert contextual(options, texts[::-1])[::-1] == first
    assert [contextual(options, [text])[0] for text in texts] == first
    assert any(contextual(options, texts[:1], [random.Random(i)]) != first[:1] for i in range(5))
    old, new = texts[0].split(), first[0].split()
    if options == "action=insert":
        assert len(new) == len(old) + 4
    else:
        assert len(new) == len(old)
        changed = [a for a, b in zip(old, new, strict=True) if a != b]
        assert 1 <= len(changed) <= (12 if "aug_p=1" in options else 4)
        assert not {"film", "good"} & set(changed) or "stopwords" not in options


@pytest.mark.parametrize("action", ["substitute", "insert"])
def test_contextual_in_texts_longer_than_the_model_reads(contextual: Any, action: str):
    for length in (40, 52, 54, 60, 64, 200):
        text = " ".join(["film"] * length)
        (new,) = contextual(f"action={action}", [text])
        assert new != text
        assert len(new.split()) >= length


def test_contextual_knows_a_byte_level_masked_lm_and_says_so_of_others(tmp_path: Path, contextual: Any):
    build("roberta", "masked_lm", seed=3).float().save_pretrained(tmp_path / "roberta")
    tokenizer().save_pretrained(tmp_path / "roberta")
    made = make(f"contextual[model_path={tmp_path}/roberta]")
    assert made.reads() == ()
    assert made.augmenter(Context(TASK)).model_type == "roberta"
    build("bert", "classifier", seed=3).float().save_pretrained(tmp_path / "classifier")
    tokenizer().save_pretrained(tmp_path / "classifier")
    with pytest.raises(BenchError, match="its head is missing"):
        make(f"contextual[model_path={tmp_path}/classifier]").augmenter(Context(TASK))
    other = tokenizer()
    other.mask_token = "w9"
    build("bert", "masked_lm", seed=3).float().save_pretrained(tmp_path / "other")
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(BenchError, match="with w9; try mlm-words"):
        make(f"contextual[model_path={tmp_path}/other]").augmenter(Context(TASK))


@pytest.fixture(scope="session")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models that write text: "t5" and "gpt2", by names that the library knows them by."""
    from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("writers")
    t5 = T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=1)
    T5ForConditionalGeneration(t5).save_pretrained(folder / "t5")
    GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2)).save_pretrained(folder / "gpt2")
    pieces = tokenizer()
    pieces.model_input_names = ["input_ids", "attention_mask"]  # as those of translators
    for name in ("t5", "gpt2"):
        pieces.save_pretrained(folder / name)
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
    made.seed(rngs(texts)[0])
    assert (made.augmenter(Context(TASK)).augment(texts[0])[0].strip() or texts[0]) == first[0]  # the library's words
    if made.name.removeprefix("nlpaug:") == "contextual-for-sentence":
        assert all(new.startswith(text.rstrip()) and new != text for text, new in zip(texts, first, strict=True))
        assert all(len(new.split()) <= 10 for new in first)  # of 12 pieces two are special
        long = " ".join(["w4"] * 10)
        assert made.rewrite_texts([long], rngs([long]), Context(TASK)) == [long]


def test_word_vectors(tmp_path: Path):
    if importlib.util.find_spec("gensim") is None:
        pytest.skip("gensim is not installed")
    lines = [f"{word} {i}.0 {i * i}.0 1.0" for i, word in enumerate(sorted(set(" ".join(TEXTS).split())))]
    (tmp_path / "vectors.txt").write_text("\n".join(lines))
    made = make(f"word-embs[model_type=glove,model_path={tmp_path}/vectors.txt,top_k=3]")
    assert missing(made) == []
    assert made.rewrite_texts(TEXTS, rngs(TEXTS), Context(TASK)) != list(TEXTS)
