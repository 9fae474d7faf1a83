"""MATE-KD against the plain reference: same models, same batches, same noise, in both phases."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from families import END, MASK, PAD, SPECIAL, START, VOCAB, build, every_family, tokenizer

from bench.cost import Cost
from bench.data.encode import Encoded, encode
from bench.data.tasks import GLUE, Example
from bench.distill.feed import Feed
from bench.distill.loop import distil, learning_rate
from bench.errors import UsageError
from bench.evaluation.selection import selection
from bench.models.masked_lm import gumbel
from bench.observer import Silent
from bench.settings import Recipe
from bench.spec import StrategySpec
from bench.strategy import Batch, Models, Step
from strategies.mate_kd.reference import PlainMateKD, pad_to
from strategies.mate_kd.strategy import MateKD

CLASSIFICATION = dataclasses.replace(GLUE["mnli"], name="tiny")
REGRESSION = dataclasses.replace(GLUE["stsb"], name="tiny-scores")


def texts(n: int, regression: bool, pairs: bool = True) -> Encoded:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        sides = [" ".join(f"w{w}" for w in rng.integers(4, MASK, rng.integers(2, 7))) for _ in range(1 + pairs)]
        rows.append(Example(i, tuple(sides), float(rng.uniform(0, 5)) if regression else int(rng.integers(3))))
    encoded = encode(rows, tokenizer(), 24, is_regression=regression)
    return dataclasses.replace(encoded, labels=encoded.labels.astype(np.float64)) if regression else encoded


def make_models(family: str, regression: bool) -> Models:
    task = REGRESSION if regression else CLASSIFICATION
    return Models(
        task=task,
        tokenizer=tokenizer(),
        student=build(family, "classifier", seed=2, labels=task.n_outputs),
        teacher=build(family, "classifier", seed=1, layers=2, labels=task.n_outputs).requires_grad_(False),
        generator=build(family, "masked_lm", seed=3),
        rng=torch.Generator().manual_seed(7),
        cost=Cost(),
        accelerator=Accelerator(cpu=True),
    )


def reference_of(models: Models, recipe: Recipe, strategy: MateKD, **optimizers: Any) -> PlainMateKD:
    teacher, student, generator = (copy.deepcopy(m) for m in (models.teacher, models.student, models.generator))
    return PlainMateKD(
        teacher,
        student,
        generator,
        special_ids=[START, PAD, END],
        mask_id=MASK,
        forbidden_ids=SPECIAL,
        rho=strategy.rho,
        tau=strategy.tau,
        objective=strategy.objective,
        regression=models.task.is_regression,
        clip=strategy.generator_clip,
        student_optimizer=torch.optim.AdamW(student.parameters(), lr=recipe.lr, weight_decay=0.0),
        temperature=recipe.temperature,
        generator_optimizer=optimizers.get("generator", torch.optim.AdamW)(
            generator.parameters(), lr=strategy.generator_lr, weight_decay=0.0
        ),
    )


def dense(batch: Batch, family: str) -> dict[str, torch.Tensor]:
    known = {k: v for k, v in batch.inputs.items() if not (family == "roberta" and k == "token_type_ids")}
    return {**known, "labels": batch.labels}


def noise_of_adversary(state: torch.Tensor, batch: Batch, rho: float) -> tuple[torch.Tensor, torch.Tensor]:
    """What the strategy drew from its generator in ``state``, laid out densely for the reference."""
    rng = torch.Generator()
    rng.set_state(state)
    ids = batch.inputs["input_ids"]
    uniform = torch.rand(ids.shape, generator=rng)
    masked = (uniform < rho) & (batch.inputs["attention_mask"] == 1)
    masked &= ~torch.isin(ids, torch.tensor([START, PAD, END]))
    at_masks = gumbel(torch.Size((int(masked.sum()), VOCAB)), rng, ids.device)
    noise = torch.zeros(*ids.shape, VOCAB)
    noise[masked] = at_masks
    return uniform, noise


def noise_of_view(state: torch.Tensor, batch: Batch, sampled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same masks, and Gumbel noise under which the reference draws the very words the strategy drew."""
    rng = torch.Generator()
    rng.set_state(state)
    uniform = torch.rand(batch.inputs["input_ids"].shape, generator=rng)
    noise = torch.zeros(*sampled.shape, VOCAB).scatter_(-1, sampled[..., None], 1e4)
    return uniform, noise


@dataclass
class Recorded(MateKD):
    """MATE-KD that remembers its batches, the state of its random generator and what it sampled."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.log: list[tuple[str, Batch, torch.Tensor, torch.Tensor | None]] = []

    def fit_adversary(self, batch: Batch, models: Models) -> Any:
        self.log.append(("adversary", batch, models.rng.get_state(), None))
        return super().fit_adversary(batch, models)

    def views(self, batch: Batch, models: Models) -> Any:
        state = models.rng.get_state()
        (view,) = super().views(batch, models)
        self.log.append(("student", batch, state, view.student["input_ids"]))
        yield view


def flat(parameters: Any) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@every_family
@pytest.mark.parametrize("objective", ["kl", "ce"])
@pytest.mark.parametrize("regression", [False, True], ids=["classes", "scores"])
def test_generator_gradient_equals_the_reference(family: str, objective: str, regression: bool) -> None:
    models = make_models(family, regression)
    models.recipe = Recipe(temperature=2.5)
    models.generator.eval()
    data = texts(6, regression)
    rows = np.arange(6)
    batch = Batch(rows, data.inputs(rows), torch.from_numpy(data.labels))
    strategy = MateKD(rho=0.5, tau=0.8, objective=objective, generator_lr=1.0, generator_clip=1e9)  # type: ignore[arg-type]
    strategy.setup(models)
    strategy.optimizer = torch.optim.SGD(models.generator.parameters(), lr=1.0)
    reference = reference_of(models, models.recipe, strategy, generator=torch.optim.SGD)
    state, before = models.rng.get_state(), flat(models.generator.parameters())

    loss = strategy.fit_adversary(batch, models)
    expected = reference.generator_step(dense(batch, family), *noise_of_adversary(state, batch, strategy.rho))

    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    step, wanted = (flat(m.parameters()) - before for m in (models.generator, reference.generator))
    assert wanted.norm() > 0
    assert relative(step, wanted) < 1e-5
    # Nothing leaked into the other two, and the student learns on.
    assert all(p.grad is None for m in (models.teacher, models.student) for p in m.parameters())
    assert all(p.requires_grad for p in models.student.parameters())


@every_family
@pytest.mark.parametrize("regression", [False, True], ids=["classes", "scores"])
def test_cycles_of_both_phases_equal_the_reference(family: str, regression: bool) -> None:
    """Two cycles of 2 generator and 3 student updates, through the real loop, padded to 40 in the reference."""
    models = make_models(family, regression)
    recipe = Recipe(epochs=2, batch_size=4, lr=1e-3, warmup=0.5, clip=0.5)
    strategy = Recorded(rho=0.5, generator_steps=2, student_steps=3, generator_lr=1e-3, generator_clip=0.5)
    train = texts(10, regression)
    reference = reference_of(models, recipe, strategy)
    start = {name: flat(getattr(models, name).parameters()) for name in ("student", "generator")}
    with torch.no_grad():
        logits = models.logits("teacher", train.inputs(np.arange(10))).numpy()

    distil(
        models,
        strategy,
        recipe,
        selection("last"),
        Feed(train, logits),
        {"dev": texts(5, regression)},
        seed=3,
        observer=Silent(),
    )

    assert [turn for turn, *_ in strategy.log] == ["adversary"] * 2 + ["student"] * 3 + ["adversary"] * 2 + [
        "student"
    ] * 3
    updates = 0
    for turn, batch, state, sampled in strategy.log:
        if turn == "adversary":
            reference.generator_step(dense(batch, family), *noise_of_adversary(state, batch, strategy.rho))
        else:
            for group in reference.student_optimizer.param_groups:
                group["lr"] = recipe.lr * learning_rate(updates, 6, recipe.warmup)
            uniform, noise = noise_of_view(state, batch, sampled)
            missing = 20 - uniform.shape[1]
            wide = pad_to(dense(batch, family), 20, PAD)
            uniform = torch.nn.functional.pad(uniform, (0, missing), value=1.0)
            noise = torch.nn.functional.pad(noise, (0, 0, 0, missing))
            reference.student_step(wide, uniform, noise)
            updates += 1
    for name in ("student", "generator"):
        moved, expected = (flat(getattr(side, name).parameters()) - start[name] for side in (models, reference))
        assert expected.norm() > 0
        assert relative(moved, expected) < 1e-5, name


def test_the_student_sees_the_clean_text_outside_the_masks_and_never_a_special_token() -> None:
    models = make_models("bert", False)
    data = texts(200, False, pairs=False)
    batch = Batch(np.arange(200), data.inputs(np.arange(200)), torch.from_numpy(data.labels))
    (view,) = MateKD(rho=0.3).views(batch, models)
    before, after = batch.inputs["input_ids"], view.student["input_ids"]
    special = torch.isin(before, torch.tensor([START, PAD, END]))
    assert torch.equal(before[special], after[special])
    assert not torch.isin(after[~special], torch.tensor([*SPECIAL])).any()
    # A sample may be the original token; with 45 words to choose from that is rare.
    share = (before != after)[~special].float().mean()
    assert 0.2 < share < 0.36
    assert view.teacher is view.student


def test_each_use_masks_anew_and_a_text_without_masks_stays_as_it_is() -> None:
    models = make_models("bert", False)
    data = texts(20, False)
    batch = Batch(np.arange(20), data.inputs(np.arange(20)), torch.from_numpy(data.labels))
    strategy = MateKD(rho=0.3)
    first, second = (next(iter(strategy.views(batch, models))).student["input_ids"] for _ in range(2))
    assert not torch.equal(first, second)
    (view,) = MateKD(rho=1e-9).views(batch, models)
    assert torch.equal(view.student["input_ids"], batch.inputs["input_ids"])
    strategy = MateKD(rho=1e-9)
    strategy.setup(models)
    assert torch.isfinite(strategy.fit_adversary(batch, models))


def test_ten_generator_steps_then_a_hundred_of_the_student() -> None:
    strategy, step, turns = MateKD(), Step(0, 0), []
    for _ in range(220):
        turns.append(strategy.turn(step))
        step = Step(step.student + (turns[-1] == "student"), step.adversary + (turns[-1] == "adversary"))
    assert turns == (["adversary"] * 10 + ["student"] * 100) * 2


def test_a_share_of_the_updates_has_a_perturbed_batch_and_each_serves_several() -> None:
    strategy = MateKD(share=0.4, reuse=2)
    perturbs = [strategy.perturbs(update) for update in range(20)]
    assert perturbs == [False, False, True, False, True] * 4
    assert [update for update in range(20) if strategy.renews(update)] == [2, 7, 12, 17]
    assert strategy.cost_model().period == 5
    assert all(MateKD().renews(update) for update in range(300))
    # A third is no binary number; of 3000 updates it is still 1000.
    assert sum(MateKD(share=1 / 3).perturbs(update) for update in range(3000)) == 1000
    assert MateKD().cost_model().departures == ()
    assert [said.split(":")[0] for said in strategy.cost_model().departures] == ["reuse=2", "share=0.4"]


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "scores"])
def test_a_reused_batch_comes_with_the_teacher_s_answers_to_it(regression: bool) -> None:
    models, data = make_models("bert", regression), texts(40, regression)
    models.student.train()
    strategy = MateKD(reuse=3, share=0.5)
    seen = []
    for update in range(12):
        rows = np.arange(update, update + 8)
        batch = Batch(rows, data.inputs(rows), torch.from_numpy(data.labels[rows]))
        models.cost.student_updates = update
        seen.append(list(strategy.views(batch, models)))
    assert [len(views) for views in seen] == [0, 1] * 6
    views = [view for (view,) in seen[1::2]]
    for first in (0, 3):
        for view in views[first : first + 3]:
            assert torch.equal(view.student["input_ids"], views[first].student["input_ids"])
            with torch.no_grad():
                answers = models.teacher(**view.student).logits
            torch.testing.assert_close(view.teacher_logits, answers)
    assert not torch.equal(views[0].student["input_ids"][:, :5], views[3].student["input_ids"][:, :5])
    # Two batches were made, and the teacher and the generator read each once.
    assert models.cost.forwards["generator"] == 16
    assert models.cost.forwards["teacher"] == 16
    # Who asks outside of training asks about these rows.
    models.training = False
    (view,) = strategy.views(batch, models)
    assert view.student["input_ids"].shape == batch.inputs["input_ids"].shape
    assert torch.equal(view.student["attention_mask"], batch.inputs["attention_mask"])


def test_what_is_reused_saves_its_making_and_every_row_still_trains() -> None:
    models, plain = make_models("bert", False), make_models("bert", False)
    train = texts(20, False)
    for made, options in ((plain, {}), (models, {"reuse": 2})):
        distil(
            made,
            MateKD(generator_steps=0, **options),
            Recipe(epochs=2, batch_size=5, lr=1e-3),
            selection("last"),
            Feed(train, np.zeros((20, 3), np.float32)),
            {"dev": texts(5, False)},
            seed=3,
            observer=Silent(),
        )
    assert plain.cost.forwards["teacher"] == plain.cost.forwards["generator"] == 40
    assert models.cost.forwards["teacher"] == models.cost.forwards["generator"] == 20
    assert models.cost.backwards == plain.cost.backwards
    assert models.cost.examples == 40


def test_the_generator_s_rate_is_the_paper_s_share_of_the_student_s_unless_given() -> None:
    models = make_models("bert", False)
    assert MateKD().resolved(Recipe(lr=2e-5)) == {"generator_lr": pytest.approx(5e-7)}
    assert MateKD(generator_lr=1e-4).resolved(Recipe()) == {"generator_lr": 1e-4}
    models.recipe = Recipe(lr=1e-3, weight_decay=0.5)
    strategy = MateKD()
    strategy.setup(models)
    (group,) = strategy.optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (pytest.approx(2.5e-5), 0.0)
    spec = StrategySpec.parse("aeda+mate-kd")
    assert spec.effective()["mate-kd.generator_lr"] is None
    assert spec.effective(models.recipe)["mate-kd.generator_lr"] == pytest.approx(2.5e-5)


def test_what_is_sampled_does_not_depend_on_the_relaxation_s_temperature() -> None:
    # As in the generator's own turns, where the sample is the arg-max of logits plus noise.
    data, drawn = texts(20, False), []
    for tau in (0.2, 5.0):
        batch = Batch(np.arange(20), data.inputs(np.arange(20)), torch.from_numpy(data.labels))
        (view,) = MateKD(tau=tau).views(batch, make_models("bert", False))
        drawn.append(view.student["input_ids"])
    assert torch.equal(*drawn)


def test_the_generator_step_raises_the_disagreement() -> None:
    models = make_models("bert", False)
    models.generator.eval()
    data = texts(30, False)
    batch = Batch(np.arange(30), data.inputs(np.arange(30)), torch.from_numpy(data.labels))
    strategy = MateKD(rho=0.5, generator_lr=1e-2)
    strategy.setup(models)
    losses = [float(strategy.fit_adversary(batch, models)) for _ in range(100)]
    assert np.mean(losses[-40:]) < np.mean(losses[:10])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rho": 0.0}, "rho"),
        ({"rho": 1.5}, "rho"),
        ({"tau": 0.0}, "tau"),
        ({"student_steps": 0}, "student_steps"),
        ({"reuse": 0}, "reuse"),
        ({"share": 0.0}, "share"),
        ({"share": 1.1}, "share"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        MateKD(**options)
