from __future__ import annotations

import pytest

from bench.errors import UsageError
from bench.experiment.presets import load_settings, open_data, preset_names
from bench.settings import Recipe


def test_the_presets_there_are():
    assert {"mini", "minilm", "bert", "roberta"} <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_says_what_it_is_for(name):
    settings = load_settings(name)
    assert settings.preset == name
    assert 20 < len(settings.about) < 200
    assert settings.to_dict()["recipe"]["batch_size"] == settings.recipe.batch_size
    assert settings.data.source == ("mini" if name == "mini" else "hub")


def test_overrides_are_typed_and_the_last_one_holds():
    settings = load_settings(
        "bert",
        [
            "recipe.lr=1e-4",
            "recipe.lr = 2e-4",
            "student.layers=0,2",
            "data.max_train=none",
            "recipe.weights=(1,0,2)",
            "teacher.model=./a=b",
            "teacher.labels=x,y",
            "student.shape.hidden_size=64",
            "student.shape.hidden_act=gelu",
        ],
    )
    assert settings.recipe.lr == 2e-4
    assert settings.student.layers == (0, 2)
    assert settings.data.max_train is None
    assert settings.recipe.weights == (1.0, 0.0, 2.0)
    assert settings.teacher.model == "./a=b"
    assert settings.teacher.labels == ("x", "y")
    assert (settings.student.shape["hidden_size"], settings.student.shape["hidden_act"]) == (64, "gelu")
    assert load_settings("bert").recipe.lr != 2e-4


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("recipe.lr", "--set takes section.key=value, not 'recipe.lr'"),
        ("recipe.lrr=1", "unknown option of recipe: 'lrr'; did you mean 'lr'?"),
        ("recpie.lr=1", "unknown key: 'recpie'; did you mean 'recipe'?"),
        ("recipe.lr=fast", "recipe.lr takes a number, not 'fast'"),
        ("recipe=1", "recipe is a section, not '1'; set one of its keys: recipe.KEY=…"),
        ("recipe.lr.x=1", "cannot set 'recipe.lr.x': 'lr' is a value, not a section"),
        ("data.source=glue", "unknown value for data.source: 'glue'"),
        ("recipe.weights=1,1", "recipe.weights are three numbers"),
        ("recipe.epochs=0", "must be above 0"),
        ("preset=x", "a preset is called by its file's name"),
    ],
)
def test_an_override_that_makes_no_sense_says_why(override, words):
    with pytest.raises(UsageError) as caught:
        load_settings("bert", [override])
    assert words in str(caught.value)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown preset 'minilmm'; did you mean 'minilm'\? .*--preset FILE.toml"):
        load_settings("minilmm")


def test_a_preset_of_one_s_own_is_called_by_its_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('about = "my own"\n[recipe]\nlr = 3e-4\n[student]\nlayers = [0, 1]\n')
    settings = load_settings(str(path), ["recipe.epochs=7"])
    assert (settings.preset, settings.about) == ("mine", "my own")
    assert settings.recipe == Recipe(lr=3e-4, epochs=7.0)
    assert settings.student.layers == (0, 1)


def test_what_can_be_wrong_with_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    with pytest.raises(UsageError, match=f"no such file: {path}"):
        load_settings(str(path))
    path.write_text("[recipe\nlr = 1")
    with pytest.raises(UsageError, match=f"{path} is not valid TOML: .*line 1"):
        load_settings(str(path))
    path.write_bytes(b"about = '\xff'")
    with pytest.raises(UsageError, match="is not valid TOML"):
        load_settings(str(path))
    path.write_text("[recipe]\nlearning_rate = 1")
    with pytest.raises(UsageError, match="unknown option of recipe: 'learning_rate'"):
        load_settings(str(path))
    path.write_text("preset = 'other'")
    with pytest.raises(UsageError, match="remove the key 'preset'"):
        load_settings(str(path))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UsageError, match=r"cannot read .*folder\.toml"):
        load_settings(str(tmp_path / "folder.toml"))


def test_a_data_folder_overrides_the_preset_s_source(tmp_path):
    settings, source = open_data("mini")
    assert settings.data.source == source.name == "mini"
    (tmp_path / "RTE").mkdir()
    settings, source = open_data("mini", data_dir=tmp_path)
    assert settings.data.source == source.name == "folder"
    with pytest.raises(UsageError, match="--data-dir"):
        open_data("mini", ["data.source=folder"])
