from __future__ import annotations

import pytest

from bench.data.mini import MiniSource
from bench.errors import UsageError
from bench.experiment.grid import make_grid
from bench.experiment.presets import load_settings, open_data, preset_names
from bench.settings import Recipe
from bench.spec import StrategySpec


def test_the_presets_there_are():
    assert {"mini", "minilm", "bert", "roberta"} <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_says_what_it_is_for(name):
    settings = load_settings(name)
    assert settings.preset == name
    assert 20 < len(settings.about) < 200
    assert settings.to_dict()["recipe"]["batch_size"] == settings.recipe.batch_size
    assert settings.data.source == ("mini" if name in ("mini", "quick") else "hub")


def test_a_smoke_run_has_the_models_of_mini_and_less_training():
    mini, quick = load_settings("mini"), load_settings("quick")
    for role in ("teacher", "student", "generator"):
        assert getattr(quick, role).shape == getattr(mini, role).shape
    assert quick.teacher.epochs + quick.recipe.epochs <= (mini.teacher.epochs + mini.recipe.epochs) / 2
    assert quick.generator.tokens <= mini.generator.tokens / 2


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
        ("strategies.mate-dk.rho=0.4", "unknown strategy 'mate-dk'"),
        ("strategies.mate-kd.roh=0.4", "unknown option of strategies.mate-kd: 'roh'; did you mean 'rho'?"),
        ("strategies.mate-kd.rho=4", "strategies.mate-kd.rho is the share of tokens masked: above 0 and at most 1"),
        ("strategies.mate-kd.rho=much", "strategies.mate-kd.rho takes a number, not 'much'"),
        ("strategies.mate-kd=5", "strategies.mate-kd is a section, not 5"),
        ("recipe=1", "recipe is a section, not '1'; set one of its keys: recipe.KEY=…"),
        ("recipe.lr.x=1", "cannot set 'recipe.lr.x': 'lr' is a value, not a section"),
        ("data.source=glue", "unknown value for data.source: 'glue'"),
        ("recipe.weights=1,1", "recipe.weights are three numbers"),
        ("recipe.weights=0,0,1", "of labels or teacher above 0, not (0.0, 0.0, 1.0)"),
        ("recipe.weights=1,-1,1", "recipe.weights is the weights of labels, teacher and views: at least 0, not"),
        ("recipe.epochs=0", "passes over the training rows: above 0 and at most 10,000, not 0.0"),
        ("recipe.epochs=1e300", "at most 10,000, not 1e+300"),
        ("recipe.clip=0", "recipe.clip is the largest norm of the gradient: above 0, not 0.0"),
        ("recipe.clip=nan", "a finite number above 0, not nan"),
        ("recipe.warmup=nan", "at least 0 and at most 1, not nan"),
        ("recipe.warmup=-3", "at most 1, not -3.0"),
        ("teacher.warmup=5", "at most 1, not 5.0"),
        ("recipe.evaluate_every=-1", "above 0, not -1.0"),
        ("recipe.evaluate_every=nan", "above 0, not nan"),
        ("recipe.lr=-1", "recipe.lr is the highest learning rate: above 0, not -1.0"),
        ("teacher.lr=nan", "above 0, not nan"),
        ("recipe.checkpoint_seconds=nan", "at least 0"),
        ("generator.lr=nan", "above 0, not nan"),
        ("generator.seed=-1", "at least 0"),
        ("generator.tokens=-5", "at least 1, not -5"),
        ("generator.batch_tokens=-1", "at least 1, not -1"),
        ("generator.mask_rate=0", "above 0 and at most 1, not 0.0"),
        ("generator.mask_rate=2", "above 0 and at most 1, not 2.0"),
        ("student.layers=-1", "at least 0, not -1"),
        ("student.layers=0,-1", "at least 0, not (0, -1)"),
        ("data.rewrite_seed=99999999999999999999999", "below 9,223,372,036,854,775,808, not 9999"),
        ("data.max_length=7", "at least 8, not 7"),
        ("preset=x", "a preset is called by its file's name"),
    ],
)
def test_an_override_that_makes_no_sense_says_why(override, words):
    with pytest.raises(UsageError) as caught:
        load_settings("bert", [override])
    assert words in str(caught.value)


def test_checkpoints_may_never_be_written():
    assert load_settings("mini", ["recipe.checkpoint_seconds=inf"]).recipe.checkpoint_seconds == float("inf")


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


def test_a_preset_s_options_take_the_place_of_a_strategy_s_defaults():
    settings = load_settings("bert", ["strategies.mate-kd.student_steps=20", "strategies.mate-kd.generator_lr=1e-2"])
    assert settings.strategies == {"mate-kd": {"student_steps": 20, "generator_lr": 0.01}}

    def spec(text):
        return StrategySpec.parse(text, settings.strategies)

    assert str(spec("mate-kd")) == str(spec("mate-kd[student_steps=20]")) == "mate-kd"
    assert (spec("mate-kd").create().student_steps, spec("mate-kd").create().generator_lr) == (20, 0.01)
    assert spec("mate-kd").effective(settings.recipe)["generator_lr"] == 0.01
    # The paper's setting stays within reach, also where it is the class's default.
    paper = spec("mate-kd[student_steps=100,generator_lr=none]")
    assert str(paper) == "mate-kd[generator_lr=None,student_steps=100]"
    assert paper.effective(settings.recipe) == StrategySpec.parse("mate-kd").effective(settings.recipe)
    assert spec("aeda+mate-kd").effective()["mate-kd.student_steps"] == 20
    assert spec("mlm") == StrategySpec.parse("mlm")


def test_only_runs_of_a_strategy_depend_on_what_a_preset_gives_it():
    source = MiniSource()

    def ids(*overrides):
        settings = load_settings("bert", overrides)
        specs = [StrategySpec.parse(text, settings.strategies) for text in ("none", "mate-kd", "aeda+mate-kd")]
        return {str(cell.strategy): cell.id for cell in make_grid(settings, source, [source.tasks["rte"]], specs, [0])}

    plain, given = ids(), ids("strategies.mate-kd.student_steps=20")
    assert plain.keys() == given.keys()
    assert plain["none"] == given["none"]
    assert plain["mate-kd"] != given["mate-kd"]
    assert plain["aeda+mate-kd"] != given["aeda+mate-kd"]


def test_the_paper_s_presets_leave_mate_kd_the_paper_s_schedule_and_rate():
    for name in ("bert", "roberta"):
        settings = load_settings(name)
        options = StrategySpec.parse("mate-kd", settings.strategies).effective(settings.recipe)
        assert (options["generator_steps"], options["student_steps"]) == (10, 100)
        assert options["generator_lr"] == pytest.approx(5e-7)
