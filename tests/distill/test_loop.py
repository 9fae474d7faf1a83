from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import os
import signal
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from families import build, every_family
from tiny import CLASSES, SCORES, Notes, make_models, rows

from bench.cost import Cost
from bench.data.encode import BatchOrder
from bench.distill.checkpoint import Checkpoints
from bench.distill.feed import Feed
from bench.distill.loop import distil, learning_rate, total_updates
from bench.distill.shown import noted, texts_per_row
from bench.distill.view_quality import quality_of_views, text_views
from bench.errors import BenchError
from bench.evaluation.metrics import score
from bench.evaluation.predict import predict
from bench.evaluation.selection import SELECTIONS, selection
from bench.interrupts import Interrupted
from bench.models.inputs import accepted
from bench.models.load import content_hash
from bench.models.streams import stream_seed
from bench.rewriter import Rewriter
from bench.rewriting.training_sets import RewrittenSets, TrainingSet
from bench.settings import Recipe
from bench.strategy import Strategy, View
from strategies.finetune import Finetune
from strategies.freelb import FreeLB
from strategies.mate_kd.strategy import MateKD
from strategies.mixkd import MixKD
from strategies.none import PlainDistillation
from strategies.smart import Smart

RECIPE = Recipe(epochs=3, batch_size=8, lr=1e-3, warmup=0.2, weight_decay=0.01, checkpoint_seconds=math.inf)
SPLITS = {"train": rows(40), "dev": rows(30, seed=1), "test": rows(12, seed=2)}
SCORED = {name: rows(len(split), SCORES, seed=i) for i, (name, split) in enumerate(SPLITS.items())}


def train(
    models,
    strategy,
    recipe=RECIPE,
    *,
    rule="last",
    splits=SPLITS,
    observer=None,
    texts=None,
    teacher_logits=None,
    **options,
):
    if teacher_logits is None and "teacher" in strategy.needs:
        teacher_logits = predict(models.teacher, splits["train"], models.accelerator)
    feed = Feed(splits["train"], teacher_logits, rewriters=strategy.rewriters(), texts=texts, cost=models.cost)
    options = {"seed": 5, "observer": observer or Notes()} | options
    return distil(models, strategy, recipe, selection(rule), feed, splits, **options)


def mate_kd():
    return MateKD(generator_steps=2, student_steps=3, generator_lr=1e-2)


def cheaper_mate_kd():
    return MateKD(generator_steps=2, student_steps=3, generator_lr=1e-2, reuse=3, share=0.5)


def without_seconds(cost):
    return {key: value for key, value in cost.state_dict().items() if key not in ("seconds", "processor")}


def same_weights(first, second):
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


# --- schedule, weights, budget


def test_the_learning_rate_rises_to_its_peak_and_falls_to_almost_nothing():
    factors = [learning_rate(step, 100, 0.06) for step in range(100)]
    assert factors[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert factors[5:] == pytest.approx([(100 - step) / 95 for step in range(5, 100)])
    assert learning_rate(100, 100, 0.06) == 0
    flat = [learning_rate(step, 10, 0.0) for step in range(10)]
    assert all(0 < later < earlier <= 1 for earlier, later in itertools.pairwise(flat))
    assert 0 < learning_rate(0, 1, 0.06) <= 1


def test_the_budget_is_a_number_of_updates():
    assert total_updates(5, RECIPE) == 15
    assert total_updates(6, RECIPE) == 18
    assert total_updates(6, dataclasses.replace(RECIPE, epochs=0.5)) == 3
    assert total_updates(1, dataclasses.replace(RECIPE, epochs=0.1)) == 1


@pytest.mark.parametrize("strategy", [Finetune, PlainDistillation, mate_kd])
def test_every_strategy_makes_the_same_student_updates_on_the_same_batches(strategy):
    made = strategy()
    seen, original = [], type(made).views
    models = make_models()

    def watched(batch, models):
        seen.append(batch.rows.tolist())
        return original(made, batch, models)

    made.views = watched
    train(models, made)
    order = BatchOrder(SPLITS["train"].lengths, 8, seed=5)
    assert models.cost.student_updates == 15
    assert seen == [order[i].tolist() for i in range(15)]
    # The cycle is 2 and 3, and the run ends with its last student update.
    assert models.cost.adversary_updates == (10 if strategy is mate_kd else 0)
    views = 2 if strategy is mate_kd else 1
    assert models.cost.backwards["student"] == 3 * 40 * views
    assert models.cost.tokens == 3 * SPLITS["train"].lengths.sum()


def test_one_update_is_the_formula():
    models = make_models()
    student = copy.deepcopy(models.student)
    recipe = dataclasses.replace(RECIPE, epochs=0.2, temperature=2.0, weights=(1, 3, 0), clip=0.01)
    train(models, PlainDistillation(), recipe)

    batch = BatchOrder(SPLITS["train"].lengths, 8, seed=5)[0]
    inputs, labels = SPLITS["train"].inputs(batch), torch.from_numpy(SPLITS["train"].labels[batch])
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3 * learning_rate(0, 1, 0.2), weight_decay=0.01)
    logits, teacher = (model(**accepted(model, inputs)).logits for model in (student.train(), models.teacher))
    p, q = (teacher / 2).softmax(1), (logits / 2).softmax(1)
    divergence = 4 * (p * (p / q).log()).sum(1).mean()
    (F.cross_entropy(logits, labels) / 4 + 3 / 4 * divergence).backward()
    norm = torch.nn.utils.clip_grad_norm_(student.parameters(), 0.01)
    assert norm > 0.01
    optimizer.step()
    for name, value in student.state_dict().items():
        torch.testing.assert_close(models.student.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_distillation_learns():
    models, notes = make_models(), Notes()
    outcome = train(
        models, Finetune(), dataclasses.replace(RECIPE, epochs=24, lr=1e-2, evaluate_every=2), observer=notes
    )
    fitted = predict(models.student, SPLITS["train"], models.accelerator)
    assert score(CLASSES, fitted, SPLITS["train"].labels)["accuracy"] > 0.9
    assert [point["accuracy"] for point in outcome.curve] == notes.scores
    assert [point["step"] for point in outcome.curve] == list(range(10, 121, 10))
    assert notes.updates[-1][:3] == ("student", 120, 120)
    losses = [loss for *_, loss in notes.updates if loss is not None]
    assert losses[-1] < 0.5 * losses[0]


# --- resuming


class Cut(Exception):
    pass


def cut_at(strategy, turn):
    """The strategy, stopped by an exception when it is asked for its turn number ``turn``."""
    original = strategy.turn

    def counted(step):
        if step.student + step.adversary == turn:
            raise Cut
        return original(step)

    strategy.turn = counted
    return strategy


@pytest.mark.parametrize(
    ("strategy", "cuts"),
    # With 2 adversary and 3 student turns a cycle: turn 6 is the adversary's second of a cycle, turn 13 the
    # student's second.
    [(PlainDistillation, (4, 11)), (mate_kd, (6, 13)), (cheaper_mate_kd, (6, 13))],
    ids=["none", "mate-kd", "mate-kd-reused"],
)
@pytest.mark.parametrize("rule", ["last", "best-dev"])
def test_a_run_cut_off_twice_ends_bitwise_like_one_that_was_not(strategy, cuts, rule, tmp_path):
    recipe = dataclasses.replace(RECIPE, evaluate_every=0.4)
    straight = make_models(dropout=0.1)
    expected = train(straight, strategy(), recipe, rule=rule)

    # A checkpoint after every update; evaluations fall between them.
    often = dataclasses.replace(recipe, checkpoint_seconds=0.0)
    state = tmp_path / "states"
    for number, cut in enumerate(cuts):
        with pytest.raises(Cut):
            train(make_models(dropout=0.1), cut_at(strategy(), cut), often, rule=rule, checkpoints=state)
        assert Checkpoints(state, Notes()).load()["resumed"] == number
    resumed = make_models(dropout=0.1)
    outcome = train(resumed, strategy(), often, rule=rule, checkpoints=state)

    assert outcome.resumed == len(cuts)
    assert same_weights(resumed.student, straight.student)
    assert same_weights(resumed.generator, straight.generator)
    assert outcome.curve == expected.curve
    assert outcome.step == expected.step
    assert outcome.logits.keys() == expected.logits.keys() == {"dev", "test"}
    assert all(np.array_equal(outcome.logits[name], expected.logits[name]) for name in expected.logits)
    assert without_seconds(resumed.cost) == without_seconds(straight.cost)
    # Not because nothing was drawn: without dropout the student is another.
    plain = make_models(dropout=0.0)
    train(plain, strategy(), recipe, rule=rule)
    assert not same_weights(plain.student, straight.student)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("method", "counter"), [("fit_adversary", "adversary_updates"), ("views", "student_updates")])
def test_a_signal_waits_for_the_end_of_the_update_and_leaves_a_checkpoint_of_it(
    method, counter, number, tmp_path, monkeypatch
):
    strategy = mate_kd()
    original, calls = getattr(strategy, method), []

    def signalled(*arguments):
        calls.append(method)
        if len(calls) == 3:
            os.kill(os.getpid(), number)
        return original(*arguments)

    setattr(strategy, method, signalled)
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)  # heeded, also in the background
    states = tmp_path / "states"
    with pytest.raises(Interrupted) as interrupt:
        train(make_models(dropout=0.1), strategy, checkpoints=states)
    assert interrupt.value.number == number
    assert Checkpoints(states, Notes()).load()["cost"][counter] == len(calls) == 3
    resumed, straight = make_models(dropout=0.1), make_models(dropout=0.1)
    outcome, expected = train(resumed, mate_kd(), checkpoints=states), train(straight, mate_kd())
    assert outcome.resumed == 1
    assert same_weights(resumed.student, straight.student)
    assert same_weights(resumed.generator, straight.generator)
    assert outcome.curve == expected.curve
    assert without_seconds(resumed.cost) == without_seconds(straight.cost)


@pytest.mark.parametrize("spoiled", [1, 2])
def test_a_spoiled_checkpoint_is_set_aside_and_the_run_goes_on_from_the_one_before(spoiled, tmp_path):
    often = dataclasses.replace(RECIPE, checkpoint_seconds=0.0)
    states = tmp_path / "states"
    with pytest.raises(Cut):
        train(make_models(), cut_at(PlainDistillation(), 4), often, checkpoints=states)
    folders = sorted(states.iterdir())
    assert len(folders) == 2
    for folder in folders[-spoiled:]:
        (folder / "tensors.safetensors").write_bytes(b"")

    notes, models, straight = Notes(), make_models(), make_models()
    outcome = train(models, PlainDistillation(), RECIPE, observer=notes, checkpoints=states)
    assert sum("set aside" in note for note in notes.notes) == spoiled
    assert f"{folders[-1]}.corrupt-1" in notes.notes[0]
    assert outcome.resumed == 2 - spoiled
    train(straight, PlainDistillation())
    assert same_weights(models.student, straight.student)


def test_the_state_of_another_student_is_set_aside(tmp_path):
    often = dataclasses.replace(RECIPE, checkpoint_seconds=0.0)
    train(
        make_models(student=build("bert", "classifier", seed=2, layers=2, labels=3)),
        PlainDistillation(),
        often,
        checkpoints=tmp_path / "states",
    )
    notes = Notes()
    assert (
        train(make_models(), PlainDistillation(), RECIPE, observer=notes, checkpoints=tmp_path / "states").resumed == 0
    )
    assert ["another student" in note for note in notes.notes] == [True, True]


def test_a_checkpoint_that_cannot_be_written_ends_no_run(tmp_path):
    (tmp_path / "states").write_text("in the way")
    notes, models, straight = Notes(), make_models(), make_models()
    often = dataclasses.replace(RECIPE, checkpoint_seconds=0.0)
    train(models, PlainDistillation(), often, observer=notes, checkpoints=tmp_path / "states")
    (note,) = notes.notes
    assert "no checkpoint can be written; if this run is cut off, it starts over (cannot write" in note
    train(straight, PlainDistillation())
    assert same_weights(models.student, straight.student)


def test_the_same_seed_gives_the_same_student_and_the_global_random_state_is_left_alone():
    first, again, other = (make_models(dropout=0.1) for _ in range(3))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    train(first, mate_kd())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    train(again, mate_kd())
    train(other, mate_kd(), seed=6)
    assert same_weights(first.student, again.student)
    assert not same_weights(first.student, other.student)


# --- common random numbers


class Masks:
    """The dropout masks of a student: a hook on every dropout layer writes down where it put zeros, by forward."""

    def __init__(self, student):
        self.forwards = []
        student.register_forward_pre_hook(lambda *_: self.forwards.append([]))
        for layer in student.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.register_forward_hook(lambda layer, _, out: self.forwards[-1].append(out == 0))


def masks_of(strategy, recipe=RECIPE, **options):
    """The masks of the student's forwards in train mode by update: the clean rows' first, then the views'."""
    models = make_models(dropout=0.1)
    masks, forward, update = Masks(models.student), models.logits, {}

    def watched(role, inputs):
        logits = forward(role, inputs)
        if role == "student" and models.student.training:
            update.setdefault(models.cost.student_updates, []).append(masks.forwards[-1])
        return logits

    models.logits = watched
    train(models, strategy, recipe, **options)
    return list(update.values())


def equal_masks(first, second):
    return len(first) == len(second) > 0 and all(map(torch.equal, first, second))


@pytest.mark.parametrize(
    "strategy",
    [Finetune, mate_kd, lambda: FreeLB(steps=2), lambda: Smart(dropout="own"), lambda: MixKD()],
    ids=["finetune", "mate-kd", "freelb", "smart", "mixkd"],
)
def test_the_clean_rows_have_the_same_dropout_under_every_strategy(strategy):
    plain, other = masks_of(PlainDistillation()), masks_of(strategy())
    assert len(plain) == len(other) == 15
    for alone, beside in zip(plain, other, strict=True):
        assert len(alone) == 1
        assert equal_masks(alone[0], beside[0])
        # The view has masks of its own, though it may be of the same shape.
        assert not any(equal_masks(alone[0], view) for view in beside[1:])
    assert not equal_masks(plain[0][0], plain[1][0])
    assert not equal_masks(plain[0][0], masks_of(PlainDistillation(), seed=6)[0][0])


def test_micro_batches_have_dropout_of_their_own_and_share_it_over_strategies():
    recipe = dataclasses.replace(RECIPE, accumulate=2)
    plain, other = masks_of(PlainDistillation(), recipe), masks_of(mate_kd(), recipe)
    for alone, beside in zip(plain, other, strict=True):
        assert [equal_masks(*pair) for pair in zip(alone, beside[::2], strict=True)] == [True, True]
        assert not equal_masks(*alone)


def test_all_steps_of_an_ascent_have_one_dropout_mask():
    for clean, *steps in masks_of(FreeLB(steps=3)):
        assert len(steps) == 3
        assert equal_masks(steps[0], steps[1])
        assert equal_masks(steps[0], steps[2])
        assert not equal_masks(clean, steps[0])


def test_dropout_and_the_strategy_s_draws_are_streams_that_share_nothing():
    seeds = []

    @dataclass
    class Draws(PlainDistillation):
        def views(self, batch, models):
            seeds.append(torch.initial_seed())
            yield View(batch.inputs, teacher_logits=batch.teacher_logits)

        def turn(self, step):
            return "adversary" if step.adversary <= step.student else "student"

        def fit_adversary(self, batch, models):
            seeds.append(torch.initial_seed())
            return torch.tensor(0.0)

    models = make_models(dropout=0.1)
    models.student.register_forward_pre_hook(
        lambda student, _: seeds.append(torch.initial_seed()) if student.training else None
    )
    train(models, Draws())
    # Each of 15 student updates: the strategy's, the clean rows' and the view's; and the adversary's.
    assert len(seeds) == 4 * 15 + 1 - 1
    own = {stream_seed(seed, "strategy") for seed in range(20)}
    assert len(set(seeds) | own | set(range(20))) == len(seeds) + 20 + 20


# --- losses that are not finite


def test_a_loss_that_is_no_number_names_the_update_and_the_examples():
    poisoned = dataclasses.replace(SCORED["train"], labels=SCORED["train"].labels.copy())
    poisoned.labels[17] = math.nan
    order = BatchOrder(poisoned.lengths, 8, seed=5)
    (position,) = [i for i in range(5) if 17 in order[i]]
    with pytest.raises(BenchError) as caught:
        train(make_models(task=SCORES), Finetune(), splits={**SCORED, "train": poisoned})
    message = str(caught.value)
    assert message.startswith(f"the student's loss is nan at its update {position + 1}; ")
    ids = ", ".join(str(100 + row) for row in order[position])
    assert f"the batch holds examples {ids}. " in message
    assert "--set recipe.lr=0.0003" in message


def test_weights_that_are_no_numbers_are_noticed_before_anything_is_saved(tmp_path):
    models = make_models()
    with torch.no_grad():
        models.student.get_input_embeddings().weight[10] = math.nan
    often = dataclasses.replace(RECIPE, checkpoint_seconds=0.0)
    train_ids, train_rows = SPLITS["train"].ids, BatchOrder(SPLITS["train"].lengths, 8, seed=5)
    row_of = np.searchsorted(SPLITS["train"].offsets, np.flatnonzero(train_ids == 10), side="right") - 1
    first = min(i for i in range(5) if set(train_rows[i]) & set(row_of))
    with pytest.raises(BenchError, match=f"student's loss is nan at its update {first + 1};"):
        train(models, PlainDistillation(), often, checkpoints=tmp_path / "states")
    saved = Checkpoints(tmp_path / "states", Notes()).load()
    assert (0 if saved is None else saved["cost"]["student_updates"]) == first


@dataclass
class DivergingAdversary(Strategy):
    """An adversary whose third loss is infinite."""

    def turn(self, step):
        return "adversary" if step.adversary <= 2 * step.student else "student"

    def fit_adversary(self, batch, models):
        return torch.tensor(math.inf if models.cost.adversary_updates == 2 else 1.0)


def test_the_adversary_s_loss_is_watched_too():
    with pytest.raises(BenchError, match="the adversary's loss is inf at its update 3; "):
        train(make_models(), DivergingAdversary())


def test_an_adversary_that_never_lets_the_student_have_its_turn_is_stopped():
    @dataclass
    class Greedy(Strategy):
        def turn(self, step):
            return "adversary" if step.student == 3 else "student"

        def fit_adversary(self, batch, models):
            return torch.tensor(0.0)

    models = make_models()
    with pytest.raises(BenchError, match=r"Greedy.turn\(\) returned 'adversary' 1,001 times in a row, with 3 of the"):
        train(models, Greedy())
    assert models.cost.adversary_updates == 1000


# --- views


@dataclass
class Shifts(Strategy):
    """Two views of other lengths than the clean batch: the words shifted, and cut to the first six."""

    def views(self, batch, models):
        longer = {
            k: torch.cat([v, v[:, -1:] if k == "attention_mask" else v[:, :1]], 1) for k, v in batch.inputs.items()
        }
        shorter = {k: v[:, :6] for k, v in batch.inputs.items()}
        yield View(student=longer, teacher=longer, weight=0.75)
        yield View(student=shorter, weight=0.25)


@dataclass
class ShiftsOneByOne(Shifts):
    """The same, each view forward and backward by itself."""

    sequential = True


@dataclass
class ShiftsEmbedded(Shifts):
    """The same, as the student's word embeddings."""

    def views(self, batch, models):
        for view in super().views(batch, models):
            embedded = models.student.get_input_embeddings()(view.student["input_ids"])
            rest = {k: v for k, v in view.student.items() if k != "input_ids"}
            yield dataclasses.replace(view, student={**rest, "inputs_embeds": embedded})


@every_family
def test_one_forward_for_all_views_is_the_same_as_one_each(family):
    students = []
    for strategy in (Shifts(), ShiftsOneByOne(), ShiftsEmbedded()):
        models = make_models(family)
        models.student.double()
        models.teacher.double()
        train(models, strategy, dataclasses.replace(RECIPE, epochs=1))
        assert models.cost.forwards["student"] == 3 * 40
        assert models.cost.forwards["teacher"] == 40
        assert models.cost.backwards["student"] == 3 * 40
        students.append(models.student)
    clean = make_models(family)
    clean.student.double()
    train(clean, PlainDistillation(), dataclasses.replace(RECIPE, epochs=1))
    together, *others = (student.state_dict() for student in students)
    for other in others:
        for name, value in together.items():
            torch.testing.assert_close(other[name], value, rtol=1e-5, atol=1e-8)
    assert any(not torch.allclose(value, clean.student.state_dict()[name]) for name, value in together.items())


@dataclass
class Ascent(Strategy):
    """Two steps up the gradient of the student's loss in a shift of its embeddings, as FreeLB's views depend."""

    rate: float = 0.5

    def views(self, batch, models):
        self.gradients = getattr(self, "gradients", [])
        embedded = models.student.get_input_embeddings()(batch.inputs["input_ids"]).detach()
        rest = {k: v for k, v in batch.inputs.items() if k != "input_ids"}
        delta = torch.zeros_like(embedded)
        for _ in range(2):
            delta = delta.detach().requires_grad_()
            yield View(student={**rest, "inputs_embeds": embedded + delta}, weight=0.5, wait=True)
            self.gradients.append(delta.grad.clone())
            delta = delta + self.rate * delta.grad


def test_a_strategy_finds_the_gradient_of_the_view_that_was_waited_for():
    models, strategy = make_models(), Ascent()
    models.student.double()
    models.teacher.double()
    student = copy.deepcopy(models.student)
    train(models, strategy, dataclasses.replace(RECIPE, epochs=0.2, clip=1e9))

    batch = BatchOrder(SPLITS["train"].lengths, 8, seed=5)[0]
    inputs, labels = SPLITS["train"].inputs(batch), torch.from_numpy(SPLITS["train"].labels[batch])
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3 * learning_rate(0, 1, 0.2), weight_decay=0.01)
    with torch.no_grad():
        target = models.teacher(**accepted(models.teacher, inputs)).logits.log_softmax(1)

    def divergence(logits):
        return F.kl_div(logits.log_softmax(1), target, reduction="batchmean", log_target=True)

    student.train()
    logits = student(**accepted(student, inputs)).logits
    ((F.cross_entropy(logits, labels) + divergence(logits)) / 3).backward()
    embedded = student.get_input_embeddings()(inputs["input_ids"]).detach()
    rest = {k: v for k, v in inputs.items() if k != "input_ids"}
    delta = torch.zeros_like(embedded)
    for gradient in strategy.gradients:
        delta = delta.detach().requires_grad_()
        (divergence(student(**rest, inputs_embeds=embedded + delta).logits) / 6).backward()
        torch.testing.assert_close(gradient, delta.grad, rtol=1e-4, atol=1e-8)
        delta = delta + 0.5 * delta.grad
    assert len(strategy.gradients) == 2
    assert strategy.gradients[1].abs().max() > 1e-4
    optimizer.step()
    for name, value in student.state_dict().items():
        torch.testing.assert_close(models.student.state_dict()[name], value, rtol=1e-4, atol=1e-8)
    assert models.cost.backwards["student"] == 3 * len(batch)


@dataclass
class NeedsNobody(Strategy):
    """Asks the student to agree with a teacher that there is not."""

    needs = ()

    def views(self, batch, models):
        yield View(student=batch.inputs)


def test_a_view_without_anything_to_agree_with_is_an_error():
    with pytest.raises(ValueError, match="needs a strategy with 'teacher' in its needs"):
        train(make_models(), NeedsNobody())


@dataclass
class Rewrites(Strategy, Rewriter):
    """Trains on texts made elsewhere, anew every ``refresh`` epochs."""

    refresh: int = 0


@dataclass
class Texts:
    """Gives the same sets for every edition, and writes down what it was asked for."""

    sets: list
    asked: list = field(default_factory=list)

    def rewritten(self, rewriter, edition):
        self.asked.append(edition)
        return RewrittenSets(self.sets, seconds=2.0, queries=7)


@pytest.mark.parametrize(("refresh", "editions"), [(0, [0]), (1, [0, 1, 2]), (2, [0, 2])])
def test_rewritten_texts_are_asked_for_when_they_are_due_and_are_the_batch_s_own_rows(refresh, editions):
    seen = []

    @dataclass
    class Watching(Rewrites):
        def views(self, batch, models):
            seen.append(batch)
            yield from batch.rewritten_by(self)

    strategy, models = Watching(refresh), make_models()
    encoded = [rows(40, seed=8), rows(40, seed=9)]
    logits = [predict(models.teacher, one, models.accelerator) for one in encoded]
    texts = Texts([TrainingSet(*pair, 0.5) for pair in zip(encoded, logits, strict=True)])
    train(models, strategy, texts=texts)
    assert texts.asked == editions
    for batch in seen:
        views = batch.rewritten_by(strategy)
        assert len(views) == 2
        assert batch.rewritten_by(Watching(refresh)) == []
        for view, one, answers in zip(views, encoded, logits, strict=True):
            assert view.weight == 0.5
            assert torch.equal(view.student["input_ids"], one.inputs(batch.rows)["input_ids"])
            assert torch.equal(view.teacher_logits, torch.from_numpy(answers[batch.rows]))
    assert models.cost.seconds["rewrite_call"] >= 0
    assert models.cost.seconds["rewrite"] == 2.0 * len(editions)
    # The work of other processes is no part of the updates' own time.
    assert models.cost.seconds["student"] > 0
    assert models.cost.train_seconds > 2.0 * len(editions)
    assert models.cost.attack_queries == 7 * len(editions)


def test_a_signal_while_texts_are_rewritten_does_not_wait_for_them_and_loses_no_update(tmp_path, monkeypatch):
    class Slow(Texts):
        def rewritten(self, rewriter, edition):
            if edition == 1:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            return super().rewritten(rewriter, edition)

    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)
    sets = [TrainingSet(rows(40, seed=8), None)]
    began = time.monotonic()
    with pytest.raises(Interrupted):
        train(make_models(dropout=0.1), Rewrites(refresh=1), texts=Slow(sets), checkpoints=tmp_path)
    assert time.monotonic() - began < 30
    assert Checkpoints(tmp_path, Notes()).load()["cost"]["student_updates"] == 5  # an epoch
    resumed, straight = make_models(dropout=0.1), make_models(dropout=0.1)
    said = Notes()
    train(resumed, Rewrites(refresh=1), texts=Texts(sets), checkpoints=tmp_path, observer=said)
    train(straight, Rewrites(refresh=1), texts=Texts(sets))
    assert "student: goes on after update 5 of 15" in said.notes
    assert same_weights(resumed.student, straight.student)
    assert without_seconds(resumed.cost) == without_seconds(straight.cost)


def test_no_texts_are_rewritten_for_updates_without_views():
    # Annealing: of three epochs, the labels alone from the last quarter of the first on.
    recipe = dataclasses.replace(RECIPE, method="annealing", first_phase=0.25)
    strategy, models = Rewrites(refresh=1), make_models()
    texts = Texts([TrainingSet(rows(40, seed=8), None)])
    feed = Feed(SPLITS["train"], np.zeros((40, 3), np.float32), rewriters=(strategy,), texts=texts, cost=models.cost)
    distil(models, strategy, recipe, selection("last"), feed, SPLITS, seed=5, observer=Notes())
    quality_of_views(strategy, models, feed, recipe, SPLITS["dev"])
    assert texts.asked == [0]
    assert models.cost.attack_queries == 7


def test_the_spread_of_the_teachers_answers_is_of_views_that_it_reads():
    @dataclass
    class Shows(Strategy):
        """Shows the clean rows, and has the teacher read them or holds to what it says of the clean batch."""

        read: bool = False

        def views(self, batch, models):
            yield View(batch.inputs, teacher=batch.inputs if self.read else None)

    models = make_models()
    logits = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    feed = Feed(SPLITS["train"], logits, cost=models.cost)
    unread, read = (quality_of_views(Shows(n), models, feed, RECIPE, SPLITS["dev"]).quality for n in (False, True))
    assert unread["teacher_stddev"] is None
    assert read["teacher_stddev"] > 0
    # All else is of the texts, and the same.
    assert {**unread, "teacher_stddev": None, "texts_per_row": None}.keys() == read.keys()


def test_different_texts_are_counted_as_they_are_shown_also_over_a_resume(tmp_path):
    @dataclass
    class Counts(Strategy):
        """Shows a row as it is in the first epoch, then with another first word in each epoch, in two views."""

        def views(self, batch, models):
            epoch = models.cost.student_updates // 5
            for offset in (0, 10) if epoch else (0,):
                ids = batch.inputs["input_ids"].clone()
                if epoch:
                    ids[:, 1] = 5 + epoch + offset
                yield View({**batch.inputs, "input_ids": ids})
            yield View({"inputs_embeds": torch.zeros(1, 1, 1), "attention_mask": torch.ones(1, 1)}, weight=0.0)

    # Without training: what is counted is what passes by.
    models = make_models()
    feed = Feed(SPLITS["train"], None)
    order = BatchOrder(SPLITS["train"].lengths, 8, seed=5)
    for update in range(15):
        models.cost.student_updates = update
        batch = feed.batch(order[update])
        assert len(list(noted(Counts().views(batch, models), batch, models.cost))) == (2 if update < 5 else 3)
        if update == 7:
            again = Cost()
            again.load_state_dict(models.cost.state_dict())
            models.cost = again
    # Two views in two epochs; now and then the word is the row's own, which is no other text.
    first = SPLITS["train"].ids[SPLITS["train"].offsets[:-1] + 1]
    own = sum(int(word in (6, 7, 16, 17)) for word in first)
    assert texts_per_row(models.cost) == pytest.approx((4 * 40 - own) / 40)
    assert "shown" not in models.cost.summary()
    assert texts_per_row(Cost()) is None


def test_texts_are_judged_beside_views_of_embeddings():
    views = [View({"inputs_embeds": torch.zeros(1, 1, 1)}), View({"input_ids": torch.zeros(1, 1)})]
    assert text_views(iter(views)) == views[1:]
    waiting = dataclasses.replace(views[0], wait=True)
    assert text_views(iter([views[1], waiting, views[1]])) == views[1:]


def test_a_run_that_is_cut_off_is_charged_for_its_texts_once(tmp_path):
    class Stop(Notes):
        def evaluated(self, metric, value):
            raise KeyboardInterrupt

    recipe = dataclasses.replace(RECIPE, checkpoint_seconds=0.0, evaluate_every=1.4)
    texts = Texts([TrainingSet(rows(40, seed=8), None)])
    for strategy in (Rewrites(), Rewrites(refresh=1)):
        file = tmp_path / str(strategy.refresh)
        whole = make_models()
        train(whole, strategy, recipe, texts=texts)
        with pytest.raises(KeyboardInterrupt):
            train(make_models(), strategy, recipe, texts=texts, checkpoints=file, observer=Stop())
        resumed = make_models()
        assert train(resumed, strategy, recipe, texts=texts, checkpoints=file).resumed == 1
        assert without_seconds(resumed.cost) == without_seconds(whole.cost)
        assert resumed.cost.seconds["rewrite"] == whole.cost.seconds["rewrite"]


# --- choosing a student


class Keeps(Notes):
    """Keeps the student's weights at every evaluation."""

    def __init__(self, models):
        super().__init__()
        self.models, self.students = models, []

    def evaluated(self, metric, value):
        super().evaluated(metric, value)
        self.students.append(copy.deepcopy(self.models.student.state_dict()))


@pytest.mark.parametrize("rule", SELECTIONS)
def test_the_student_reported_is_the_one_the_rule_chooses(rule):
    models = make_models()
    notes = Keeps(models)
    recipe = dataclasses.replace(RECIPE, epochs=5, lr=1e-2, evaluate_every=0.4)
    outcome = train(models, Finetune(), recipe, rule=rule, observer=notes)
    chosen_by = {"last": slice(None), "split-dev": selection(rule).rows_to_choose(30), "best-dev": slice(None)}[rule]
    dev = SPLITS["dev"]
    values = []
    judge = make_models().student
    for weights in notes.students:
        judge.load_state_dict(weights)
        logits = predict(judge, dev, models.accelerator)
        values.append(score(CLASSES, logits[chosen_by], dev.labels[chosen_by])["accuracy"])
    assert notes.scores == values == [point["accuracy"] for point in outcome.curve]
    best = len(values) - 1 if rule == "last" else int(np.argmax(values))
    if rule != "last":
        assert values[best] > values[-1], "the last student must not be the best, or this test shows nothing"
    assert outcome.step == outcome.curve[best]["step"]
    judge.load_state_dict(notes.students[best])
    assert content_hash(models.student) == content_hash(judge)
    for name in ("dev", "test"):
        np.testing.assert_array_equal(outcome.logits[name], predict(judge, SPLITS[name], models.accelerator))


@pytest.mark.parametrize("rule", SELECTIONS)
def test_what_the_last_evaluation_predicted_is_not_predicted_again(rule, monkeypatch):
    read = []

    def noted(model, data, *rest, **more):
        read.append(data)
        return predict(model, data, *rest, **more)

    monkeypatch.setattr("bench.distill.loop.predict", noted)
    outcome = train(make_models(), Finetune(), dataclasses.replace(RECIPE, evaluate_every=0.4), rule=rule)
    again = outcome.step != outcome.curve[-1]["step"]
    assert sum(data is SPLITS["dev"] for data in read) == len(outcome.curve) + again
    assert sum(data is SPLITS["test"] for data in read) == 1
    assert again == (rule != "last"), "a rule that chooses must not choose the last, or this test shows nothing"


@dataclass
class Heavy(Shifts):
    """The same two views, whose weights do not sum to one."""

    def views(self, batch, models):
        for view in super().views(batch, models):
            yield dataclasses.replace(view, weight=8 * view.weight)


@dataclass
class HeavyOneByOne(Heavy):
    """The same, each waited for."""

    def views(self, batch, models):
        for view in super().views(batch, models):
            yield dataclasses.replace(view, wait=True)


def test_views_share_the_weight_there_is():
    shares = []
    for strategy in (Shifts(), Heavy()):
        models = make_models()
        train(models, strategy, dataclasses.replace(RECIPE, epochs=1))
        shares.append(models.student)
    assert same_weights(*shares)
    with pytest.raises(BenchError, match=r"HeavyOneByOne's views sum to 8; .* weight=1/n"):
        train(make_models(), HeavyOneByOne(), dataclasses.replace(RECIPE, epochs=1))


def test_a_checkpoint_of_another_kind_of_device_is_not_gone_on_from(tmp_path):
    file, notes = tmp_path / "states", Notes()
    train(make_models(), PlainDistillation(), dataclasses.replace(RECIPE, checkpoint_seconds=0.0), checkpoints=file)
    states = Checkpoints(file, Notes())
    states.save({**states.load(), "device": "cuda"})
    outcome = train(make_models(), PlainDistillation(), checkpoints=file, observer=notes)
    assert outcome.resumed == 0
    assert any("another kind of device" in note for note in notes.notes)


@dataclass
class FollowsTheStudent(Rewrites):
    """Rewrites that depend on the student's weights at the start of an epoch."""

    refresh: int = 1

    def reads(self):
        return ("student",)


def test_rewrites_made_with_an_earlier_student_are_resumed_not_made_again(tmp_path):
    def run(models, recipe, **more):
        class OfTheStudent:
            def rewritten(self, rewriter, edition):
                shift = int(abs(float(next(models.student.parameters()).detach().sum())) * 1e4) % 7
                return RewrittenSets([TrainingSet(rows(40, seed=shift), None)])

        train(models, FollowsTheStudent(), recipe, texts=OfTheStudent(), teacher_logits=logits, **more)

    recipe = dataclasses.replace(RECIPE, checkpoint_seconds=0.0)
    logits = np.zeros((40, 3), dtype=np.float32)
    whole = make_models()
    run(whole, recipe)

    class Stop(Notes):
        def evaluated(self, metric, value):
            raise KeyboardInterrupt

    file = tmp_path / "states"
    cut = make_models()
    often = dataclasses.replace(recipe, evaluate_every=1.4)
    with pytest.raises(KeyboardInterrupt):
        run(cut, often, checkpoints=file, observer=Stop())
    resumed = make_models()
    run(resumed, recipe, checkpoints=file)
    assert same_weights(whole.student, resumed.student)
