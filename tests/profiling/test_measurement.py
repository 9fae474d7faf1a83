"""Counting operations against formulas, and the profile as a whole on tiny models."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from families import every_family
from tiny import make_models, rows

from bench.cli import main
from bench.profiling.departures import departures
from bench.profiling.measurement import _spread, profile
from bench.profiling.operations import (
    counted,
    encoder_forward,
    head_forward,
    matmul_peak,
    necessary_generator_step,
    necessary_student_step,
)
from bench.settings import Generator, Recipe, Settings, Teacher
from bench.spec import StrategySpec
from strategies.mate_kd.strategy import MateKD

FULL = {"input_ids": torch.randint(5, 40, (4, 8)), "attention_mask": torch.ones(4, 8, dtype=torch.long)}
LENGTHS = torch.full((4,), 8)


@every_family
def test_the_formulas_count_what_torch_counts_without_padding(family: str) -> None:
    models = make_models(family)
    with torch.no_grad():
        forward = counted(lambda: models.logits("student", FULL))
        masked_lm = counted(lambda: models.logits("generator", FULL))
    assert forward == pytest.approx(encoder_forward(models.student, LENGTHS), rel=0.02)
    expected = encoder_forward(models.generator, LENGTHS) + head_forward(models.generator, 32)
    assert masked_lm == pytest.approx(expected, rel=0.02)
    backward = counted(lambda: models.logits("student", FULL).sum().backward())
    # Attention's backward computes its scores again.
    assert backward == pytest.approx(necessary_student_step(models.student, LENGTHS), rel=0.1)


def test_what_a_view_adds_is_the_sum_of_its_parts() -> None:
    models = make_models()
    student, teacher = encoder_forward(models.student, LENGTHS), encoder_forward(models.teacher, LENGTHS)
    generator = encoder_forward(models.generator, LENGTHS) + head_forward(models.generator, 10)
    need = necessary_student_step(
        models.student, LENGTHS, views=1, teacher=models.teacher, generator=models.generator, masked=10
    )
    assert need == pytest.approx(6 * student + teacher + generator)
    embeddings = 2 * 2 * 50 * 16 * 10
    assert necessary_generator_step(models.student, models.teacher, models.generator, LENGTHS, 10) == pytest.approx(
        3 * generator + 2 * student + 2 * teacher + embeddings
    )


def test_the_peak_is_a_positive_rate() -> None:
    assert matmul_peak(64, 64, 64, torch.device("cpu"), torch.float32) > 0


def test_a_profile_measures_every_side_and_changes_no_model() -> None:
    models, train = make_models(), rows(64)
    before = {name: [p.clone() for p in getattr(models, name).parameters()] for name in ("student", "generator")}
    found = profile(
        StrategySpec("mate-kd"),
        models,
        train,
        Recipe(batch_size=8),
        max_length=24,
        student_steps=2,
        adversary_steps=1,
        reference_steps=1,
    )
    for name, old in before.items():
        assert all(torch.equal(a, b) for a, b in zip(old, getattr(models, name).parameters(), strict=True))
    assert all(p.grad is None for p in models.teacher.parameters())
    positive = (
        "speedup_over_reference",
        "operations_ratio",
        "operations_ratio_adversary",
        "cost_over_kd",
        "peak_fraction",
        "peak_memory_gb",
        "seconds_adversary_step",
        "tokens_per_second",
    )
    assert all(found[key] > 0 for key in positive)
    assert 0 <= found["padding_share"] < 1
    assert {"student forward", "teacher forward", "generator forward", "backward", "data"} <= set(
        found["phases_student"]
    )
    phases = sum(found["phases_student"].values())
    assert phases == pytest.approx(found["seconds_student_step"], rel=1e-6)
    # As much work as needed, padding and attention's second look apart.
    assert 0.8 < found["operations_ratio"] < 1.6
    assert found["phases_student"]["optimiser"] > 0
    assert found["phases_adversary"]["optimiser"] > 0
    # Of the clean and the perturbed row, the teacher's answer to the first is known.
    assert found["teacher_cache_hits"] == 0.5


def test_a_cheaper_strategy_is_measured_over_its_whole_period() -> None:
    models = make_models()
    found = profile(
        StrategySpec.parse("mate-kd[reuse=2,share=0.5]"),
        models,
        rows(64),
        Recipe(batch_size=8, recompute=True),
        max_length=24,
        student_steps=3,
        adversary_steps=1,
        reference_steps=1,
    )
    assert found["student_updates_timed"] == 4
    # Of six batches read (four clean, one perturbed twice), the teacher was run on one.
    assert found["teacher_cache_hits"] == pytest.approx(5 / 6)
    # Every encoder layer is run forward once more.
    assert 1.1 < found["operations_ratio"] < 2
    assert found["speedup_over_reference"] > 0
    assert not any("forward" in vars(module) for module in models.teacher.modules())


def test_departures_from_the_paper_and_from_the_reference_are_said() -> None:
    plain = Settings("x")
    assert departures(plain, MateKD()) == {"algorithm": [], "numbers": [], "none": []}
    recipe = Recipe(accumulate=2, recompute=True, compile=True, precision="bf16", batch_tokens=500)
    settings = Settings("x", recipe=recipe, teacher=Teacher(precision="bf16"), generator=Generator(layers=2))
    said = {
        kind: [name.split(":")[0] for name in names]
        for kind, names in departures(settings, MateKD(reuse=4, share=0.5)).items()
    }
    assert said == {
        "algorithm": ["reuse=4", "share=0.5", "generator.layers=2", "recipe.batch_tokens=500"],
        "numbers": ["recipe.precision=bf16", "teacher.precision=bf16", "recipe.compile"],
        "none": ["recipe.accumulate=2", "recipe.recompute"],
    }


def test_batches_for_timing_are_spread_over_the_sizes_of_an_epoch() -> None:
    lengths = np.arange(1, 101)
    epoch = [np.array([i]) for i in np.random.default_rng(1).permutation(100)]
    assert sorted(int(lengths[rows][0]) for rows in _spread(epoch, lengths, 4)) == [13, 38, 63, 88]
    assert [int(lengths[rows][0]) for rows in _spread(epoch, lengths, 1)] == [51]
    # Fewer batches than asked for: some come twice.
    assert len(_spread(epoch[:2], lengths, 5)) == 5


def test_strategies_without_adversary_or_reference_are_profiled_too() -> None:
    models = make_models()
    found = profile(StrategySpec("freelb"), models, rows(40), Recipe(batch_size=8), max_length=24, student_steps=1)
    assert found["speedup_over_reference"] is None
    assert found["seconds_adversary_step"] is None
    assert found["cost_over_kd"] > 0
    json.dumps(found)


def test_the_verb_profiles_made_up_models_and_compares_two_profiles(tmp_path) -> None:
    shape = 'model_type = "bert"\nvocab_size = 60\nhidden_size = 16\nnum_hidden_layers = 1\n'
    shape += "num_attention_heads = 2\nintermediate_size = 16\nmax_position_embeddings = 32\n"
    preset = tmp_path / "small.toml"
    preset.write_text(
        "".join(f"[{role}]\n[{role}.shape]\n{shape}" for role in ("teacher", "student", "generator"))
        + "[data]\nmax_length = 16\n[recipe]\nbatch_size = 4\n"
    )
    arguments = ["profile", "--preset", str(preset), "--random-weights", "--length", "12", "--tasks", "rte"]
    arguments += ["--steps", "1", "--reference-steps", "1", "--results", str(tmp_path / "results")]
    done = CliRunner().invoke(main, [*arguments, "--format", "json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert row["padding_share"] == 0
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        file.write_text(done.stdout)
    compared = CliRunner().invoke(main, ["profile", "--compare", *map(str, files)])
    assert compared.exit_code == 0
    assert "seconds_student_step" in compared.stdout
    assert "x1.00" in compared.stdout
    text = CliRunner().invoke(main, arguments)
    assert "plain reference" in text.stdout
    assert "all exact" in text.stdout


def test_made_up_models_need_a_shape() -> None:
    done = CliRunner().invoke(main, ["profile", "--preset", "minilm", "--random-weights"])
    assert done.exit_code == 2
    assert "teacher.shape" in done.output
