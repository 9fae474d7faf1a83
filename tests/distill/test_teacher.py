from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch
from families import build, every_family, tokenizer
from tiny import CLASSES, SCORES, Notes, make_models, rows

from bench.data.tasks import GLUE
from bench.distill.teacher import (
    TeacherTraining,
    TrainedTeacher,
    check_better_than_constant,
    fine_tune,
    load_finetuned,
    teacher_logits,
)
from bench.errors import BenchError, UsageError
from bench.evaluation.predict import predict
from bench.models.load import content_hash
from bench.settings import Recipe, Teacher

SPLITS = {"train": rows(40), "dev": rows(60, seed=1), "test": rows(8, seed=2)}
SETTINGS = Teacher(epochs=4, batch_size=8, lr=1e-2)
ACCELERATOR = make_models().accelerator


def start():
    return build("bert", "classifier", seed=1).float()


def tune(cache, notes, settings=SETTINGS, recipe=None, splits=SPLITS, model=None):
    recipe = recipe or Recipe()
    training = TeacherTraining(model or start(), tokenizer(), CLASSES, splits, settings, recipe, ACCELERATOR, cache)
    return fine_tune(training, notes)


def test_a_teacher_is_fine_tuned_once(tmp_path):
    notes = Notes()
    first = tune(tmp_path, notes)
    assert notes.notes == ["fine-tuning the teacher for tiny"]
    assert notes.updates[-1][:3] == ("teacher", 20, 20)
    assert first.card["hash"] == content_hash(first.model) != content_hash(start())
    assert first.card["metric"] == "accuracy"
    assert not first.model.training
    assert not any(parameter.requires_grad for parameter in first.model.parameters())
    logits = predict(first.model, SPLITS["dev"], ACCELERATOR)
    assert first.card["dev"] == pytest.approx(np.mean(logits.argmax(1) == SPLITS["dev"].labels))
    most = np.bincount(SPLITS["dev"].labels).argmax()
    assert first.card["constant"] == pytest.approx(np.mean(SPLITS["dev"].labels == most))

    quiet = Notes()
    again = tune(tmp_path, quiet)
    assert (quiet.notes, quiet.updates, quiet.scores) == ([], [], [])
    assert again.card == first.card
    assert content_hash(again.model) == first.card["hash"]
    assert not again.model.training
    assert not any(parameter.requires_grad for parameter in again.model.parameters())
    np.testing.assert_array_equal(predict(again.model, SPLITS["dev"], ACCELERATOR), logits)


def test_what_the_teacher_depends_on_makes_another_one(tmp_path):
    tune(tmp_path, Notes())
    other_rows = {**SPLITS, "train": rows(40, seed=9)}
    changes = (
        {"settings": dataclasses.replace(SETTINGS, lr=1e-3)},
        {"settings": dataclasses.replace(SETTINGS, epochs=1)},
        {"splits": other_rows},
        {"model": build("bert", "classifier", seed=4).float()},
        {"recipe": Recipe(clip=0.1)},
    )
    for change in changes:
        notes = Notes()
        tune(tmp_path, notes, **change)
        assert notes.notes, change
    # How often a run is saved, and how the student is trained, are no matter of the teacher's.
    for change in (
        {"recipe": Recipe(lr=9.0, epochs=77, checkpoint_seconds=1.0)},
        {"settings": dataclasses.replace(SETTINGS, force=True)},
    ):
        notes = Notes()
        tune(tmp_path, notes, **change)
        assert not notes.notes, change


def test_a_teacher_is_trained_even_where_students_learn_from_it_alone(tmp_path):
    assert tune(tmp_path, Notes(), recipe=Recipe(weights=(0, 1, 1))).card["dev"] >= 0


# --- a teacher of one's own


def save(model, folder, names=None):
    if names is not None:
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: i for i, name in enumerate(names)}
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def head(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == 3][-1]


def balanced(family="bert"):
    """A model that gives each of its three answers now and then, and splits on whose dev it is always right."""
    model, dev = build(family, "classifier", seed=1).float(), rows(60, seed=1)
    logits = predict(model, dev, ACCELERATOR)
    with torch.no_grad():
        head(model).bias -= torch.from_numpy(logits.mean(0))
    answers = predict(model, dev, ACCELERATOR).argmax(1)
    assert min(np.bincount(answers, minlength=3)) > 3
    return model, {"train": rows(40), "dev": dataclasses.replace(dev, labels=answers)}


def permuted(model, order):
    """The model with output i being what was output ``order[i]``."""
    last = head(model)
    with torch.no_grad():
        last.weight.copy_(last.weight[order])
        last.bias.copy_(last.bias[order])
    return model


def load(where, splits, task=CLASSES, notes=None, **settings):
    return load_finetuned(where, task, splits, Teacher(**settings), ACCELERATOR, notes or Notes())


ORDER = [2, 0, 1]


@every_family
def test_classes_named_in_another_order_are_put_into_the_task_s(family, tmp_path):
    model, splits = balanced(family)
    wanted = predict(model, splits["dev"], ACCELERATOR)
    names = [CLASSES.labels[i].upper() for i in ORDER]
    where = save(permuted(model, ORDER), tmp_path, names)
    assert not np.array_equal(predict(model, splits["dev"], ACCELERATOR), wanted)
    notes = Notes()
    teacher = load(where, splits, notes=notes)
    np.testing.assert_array_equal(predict(teacher.model, splits["dev"], ACCELERATOR), wanted)
    assert teacher.card["dev"] == 1.0
    assert teacher.card["hash"] == content_hash(teacher.model)
    assert [str(name).lower() for name in teacher.model.config.id2label.values()] == list(CLASSES.labels)
    (note,) = notes.notes
    assert "the teacher's classes come as contradiction, entailment, neutral" in note


def test_names_are_read_by_their_number_not_by_the_order_in_the_file(tmp_path):
    model, splits = balanced()
    where = save(model, tmp_path, CLASSES.labels)
    config = tmp_path / "config.json"
    text = config.read_text()
    zero, two = f'"0": "{CLASSES.labels[0]}"', f'"2": "{CLASSES.labels[2]}"'
    assert zero in text
    assert two in text
    config.write_text(text.replace(zero, "HERE").replace(two, zero).replace("HERE", two))
    notes = Notes()
    assert load(where, splits, notes=notes).card["dev"] == 1.0
    assert notes.notes == []


def test_nameless_classes_in_another_order_are_refused_with_what_to_type(tmp_path):
    model, splits = balanced()
    where = save(permuted(model, ORDER), tmp_path, ["LABEL_0", "LABEL_1", "LABEL_2"])
    with pytest.raises(UsageError) as caught:
        load(where, splits)
    labels = ",".join(CLASSES.labels[i] for i in ORDER)
    assert str(caught.value).endswith(f"--set teacher.labels={labels}")
    assert "100.0% if its classes come as contradiction, entailment, neutral" in str(caught.value)
    # Typed, it is believed.
    assert load(where, splits, labels=tuple(labels.split(","))).card["dev"] == 1.0


def test_nameless_classes_in_the_right_order_or_hard_to_tell_are_taken(tmp_path):
    model, splits = balanced()
    where = save(model, tmp_path, ["LABEL_0", "LABEL_1", "LABEL_2"])
    assert load(where, splits).card["dev"] == 1.0
    # Random labels fit no order clearly better.
    noisy = dataclasses.replace(splits["dev"], labels=np.arange(60) % 3)
    assert load(where, {**splits, "dev": noisy}).card["dev"] < 0.6


def test_many_classes_do_not_take_for_ever(tmp_path):
    task = dataclasses.replace(CLASSES, labels=tuple(f"class{i}" for i in range(12)))
    model = build("bert", "classifier", seed=1, labels=12).float()
    dev = rows(200, seed=1)
    answers = predict(model, dev, ACCELERATOR).argmax(1)
    splits = {"train": rows(40), "dev": dataclasses.replace(dev, labels=(answers + 1) % 12)}
    with pytest.raises(UsageError, match=r"gets 0\.0% .* but 100\.0% if"):
        load(save(model, tmp_path), splits, task)


def test_a_wrong_number_of_outputs_is_refused(tmp_path):
    where = save(build("bert", "classifier", seed=1, labels=2).float(), tmp_path)
    with pytest.raises(UsageError, match="has 2 outputs, tiny needs 3"):
        load(where, SPLITS)


def test_a_teacher_for_scores_has_one_output_and_no_order(tmp_path):
    where = save(build("bert", "classifier", seed=1, labels=1).float(), tmp_path)
    splits = {"train": rows(20, SCORES), "dev": rows(20, SCORES, seed=1)}
    teacher = load(where, splits, SCORES)
    assert teacher.card["metric"] == "pearson"
    assert teacher.card["constant"] == 0.0
    assert teacher.card["standard_error"] == pytest.approx(20**-0.5)


# --- worth learning from


def card(dev):
    figures = {"constant": 0.5, "standard_error": 0.05, "metric": "accuracy", "hash": "0"}
    return TrainedTeacher(start(), {"dev": dev, **figures})


def test_a_teacher_that_learned_nothing_is_refused_unless_one_insists():
    notes = Notes()
    check_better_than_constant(card(0.56), CLASSES, force=False, observer=notes)
    assert notes.notes == []
    for dev in (0.54, 0.5, 0.3):
        with pytest.raises(BenchError, match=rf"scores {dev:.3f} \(accuracy\) on dev, no better than.*--weak-teacher"):
            check_better_than_constant(card(dev), CLASSES, force=False, observer=notes)
    assert notes.notes == []
    check_better_than_constant(card(0.5), CLASSES, force=True, observer=notes)
    # Few models beat the majority on WNLI: there it is said and gone on.
    check_better_than_constant(card(0.4), GLUE["wnli"], force=False, observer=notes)
    assert [note.split(" scores")[0] for note in notes.notes] == ["the teacher for tiny", "the teacher for wnli"]


# --- logits


def test_logits_are_computed_once_per_teacher_and_text(tmp_path, monkeypatch):
    model = start().eval()
    teacher = TrainedTeacher(model, {"hash": content_hash(model)})
    calls, notes = [], Notes()

    def counted(*arguments, **options):
        calls.append(len(arguments[1]))
        time.sleep(0.02)
        return predict(*arguments, **options)

    monkeypatch.setattr("bench.distill.teacher.predict", counted)
    first, seconds = teacher_logits(teacher, SPLITS["train"], ACCELERATOR, tmp_path, notes)
    again, seconds_again = teacher_logits(teacher, SPLITS["train"], ACCELERATOR, tmp_path, notes)
    np.testing.assert_array_equal(again, first)
    assert seconds_again == seconds > 0.02  # what they took, though nothing was computed
    np.testing.assert_array_equal(first, predict(model, SPLITS["train"], ACCELERATOR))
    assert calls == [40]
    teacher_logits(teacher, SPLITS["dev"], ACCELERATOR, tmp_path, notes)
    other = build("bert", "classifier", seed=4).float().eval()
    second, _ = teacher_logits(
        TrainedTeacher(other, {"hash": content_hash(other)}), SPLITS["train"], ACCELERATOR, tmp_path, notes
    )
    assert calls == [40, 60, 40]
    assert not np.array_equal(first, second)
    assert first.shape == (40, 3)


def test_logits_from_the_cache_are_memory_mapped(tmp_path):
    model = start().eval()
    teacher = TrainedTeacher(model, {"hash": content_hash(model)})
    notes = Notes()
    for _ in range(2):
        assert isinstance(teacher_logits(teacher, SPLITS["dev"], ACCELERATOR, tmp_path, notes)[0], np.memmap)


def test_a_teacher_in_lower_precision_says_what_that_does_to_its_answers(tmp_path):
    exact = tune(tmp_path, Notes())
    before = predict(exact.model, SPLITS["dev"], ACCELERATOR)
    notes = Notes()
    lowered = tune(tmp_path, notes, dataclasses.replace(SETTINGS, precision="bf16"))
    assert {parameter.dtype for parameter in lowered.model.parameters()} == {torch.bfloat16}
    after = predict(lowered.model, SPLITS["dev"], ACCELERATOR)
    change = np.abs(after - before)
    assert 0 < change.max() < 0.1 * np.abs(before).max()
    (note,) = notes.notes
    assert note == (
        f"the teacher for tiny in bf16: its logits change by {np.sqrt((change**2).mean()):.2g} typically and "
        f"{change.max():.2g} at most; {(after.argmax(1) != before.argmax(1)).sum()} of 60 answers are others"
    )
    # Its logits are its own, and the teacher in full precision is what it was.
    assert lowered.card["hash"] != exact.card["hash"]
    assert lowered.card["precision"] == "bf16"
    again = tune(tmp_path, Notes())
    assert again.card == exact.card


def test_how_a_teacher_s_memory_is_saved_is_no_matter_of_the_teacher_s(tmp_path):
    notes = Notes()
    first = tune(tmp_path, notes, recipe=Recipe(recompute=True))
    assert tune(tmp_path, notes).card == first.card
    assert len(notes.notes) == 1


def test_a_checkpoint_without_a_trained_head_is_no_teacher(tmp_path):
    where = save(build("bert", "masked_lm", seed=1).float(), tmp_path / "mlm")
    with pytest.raises(UsageError, match=r"is not fine-tuned: it lacks .*classifier.*--set teacher.model="):
        load(where, SPLITS)


def test_labels_that_are_not_the_task_s_are_refused(tmp_path):
    model, splits = balanced()
    where = save(model, tmp_path / "named")
    with pytest.raises(UsageError, match=r"teacher.labels=yes,no,maybe are not the classes of tiny"):
        load(where, splits, labels=("yes", "no", "maybe"))


def test_fine_tuning_that_was_cut_off_goes_on(tmp_path):
    whole = tune(tmp_path / "whole", Notes())

    class Cut(Notes):
        def update(self, phase, done, total, loss=None):
            assert phase == "teacher"
            if done >= 10:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path / "cut", Cut(), recipe=Recipe(checkpoint_seconds=0.0))
    assert list((tmp_path / "cut" / "teachers").glob("*.states"))
    resumed = tune(tmp_path / "cut", Notes())
    assert not list((tmp_path / "cut" / "teachers").glob("*.states"))
    assert resumed.card["hash"] == whole.card["hash"]
