"""best-of-k(...) and a+b: what their views are, exactly."""

from __future__ import annotations

import dataclasses
import math
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tiny import CLASSES, SCORES, make_models, rows

from bench import Attacked, Batch, Context, Example, Strategy, TextStrategy, View
from bench.data.tasks import GLUE
from bench.errors import BenchError, UsageError
from bench.rewriting.engine import rewrite_all
from bench.spec import StrategySpec
from strategies.best_of_k import BestOfK
from strategies.composition import Composition


@dataclass
class Numbered(TextStrategy):
    """Every rewrite another number."""

    def rewrite_texts(self, texts, rngs, context):
        return [str(rng.getrandbits(40)) for rng in rngs]


@dataclass
class OneView(Strategy):
    """A view of its own, not of rewritten texts."""

    weight: float = 1.0

    def views(self, batch, models):
        yield View(batch.inputs, weight=self.weight)


def batch_with_rewrites(models, forms: int, rewriters, n: int = 6) -> Batch:
    """A batch with ``forms`` rewritten forms, dealt out to ``rewriters`` in turn."""
    clean = rows(n, models.task)
    which = np.arange(n)
    batch = Batch(which, clean.inputs(which), torch.from_numpy(clean.labels))
    views = []
    with torch.no_grad():
        batch.teacher_logits = models.logits("teacher", batch.inputs)
        for number in range(forms):
            inputs = rows(n, models.task, seed=50 + number).inputs(which)
            views.append(View(inputs, teacher_logits=models.logits("teacher", inputs)))
    batch.rewrites = [(one, views[number :: len(rewriters)]) for number, one in enumerate(rewriters)]
    return batch


def test_the_pool_is_independent_rewrites_of_each_row():
    (rewriter,) = BestOfK(Numbered(), pool=5).rewriters()
    examples = [Example(i, (text,)) for i, text in enumerate("abc")]

    def pools(order):
        rngs = [random.Random(i) for i in order]
        rewritten = rewriter.rewrite([examples[i] for i in order], rngs, Context(GLUE["sst2"]))
        return [row.forms for row in rewritten]

    together = pools([0, 1, 2])
    assert [len(set(pool)) for pool in together] == [5, 5, 5]
    assert len({form for pool in together for form in pool}) == 15
    assert pools([2])[0] == together[2]


@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=["classes", "scores"])
@pytest.mark.parametrize("k", [1, 2])
def test_the_k_most_divergent_of_the_candidates_are_the_views(task, k):
    models = make_models(task=task)
    strategy = BestOfK(Numbered(), k=k, pool=4, candidates=4)
    batch = batch_with_rewrites(models, 4, strategy.rewriters())
    pool = batch.rewrites[0][1]
    models.student.eval()
    with torch.no_grad():
        gains = []
        for view in pool:
            t, s = view.teacher_logits, models.logits("student", view.student)
            if task.is_regression:
                gains.append((t - s).square()[:, 0])
            else:
                gains.append((t.softmax(1) * (t.log_softmax(1) - s.log_softmax(1))).sum(1))
    best = torch.stack(gains).topk(k, dim=0).indices  # [k, B]
    models.student.train()
    views = list(strategy.views(batch, models))
    assert models.student.training
    assert len(views) == k
    for number, view in enumerate(views):
        for row in range(6):
            source = pool[best[number, row]].student
            length = int(source["attention_mask"][row].sum())
            assert torch.equal(view.student["input_ids"][row][:length], source["input_ids"][row][:length])
            assert int(view.student["attention_mask"][row].sum()) == length
            assert torch.equal(view.teacher_logits[row], pool[best[number, row]].teacher_logits[row])
        assert not view.teacher_logits.requires_grad


def plain_score(score, teacher, student, temperature):
    """The score of one text, from lists of logits."""

    def softmax(logits, temperature=1.0):
        powers = [math.exp(logit / temperature) for logit in logits]
        return [power / sum(powers) for power in powers]

    if score == "kl":
        pairs = zip(softmax(teacher, temperature), softmax(student, temperature), strict=True)
        return sum(t * math.log(t / s) for t, s in pairs) * temperature**2
    sure, unsure = softmax(teacher), softmax(student)
    if score == "student-loss":
        return -math.log(unsure[teacher.index(max(teacher))])
    return max(sure) * sum(-p * math.log(p) for p in unsure)


@pytest.mark.parametrize(
    ("score", "temperature"),
    [("kl", 1.0), ("kl", 4.0), ("teacher-sure-student-unsure", 1.0), ("student-loss", 1.0)],
)
def test_what_is_chosen_by_is_what_the_score_says(score, temperature):
    models = make_models()
    models.recipe = dataclasses.replace(models.recipe, temperature=temperature)
    strategy = BestOfK(Numbered(), pool=6, candidates=6, score=score)
    batch = batch_with_rewrites(models, 6, strategy.rewriters(), n=12)
    pool = batch.rewrites[0][1]
    models.student.eval()
    with torch.no_grad():
        students = [models.logits("student", view.student).tolist() for view in pool]
    teachers = [view.teacher_logits.tolist() for view in pool]

    def best(score, temperature):
        scores = [
            [plain_score(score, t, s, temperature) for t, s in zip(*both, strict=True)]
            for both in zip(teachers, students, strict=True)
        ]
        return [max(range(6), key=lambda form: scores[form][row]) for row in range(12)]

    (view,) = strategy.views(batch, models)
    chosen = best(score, temperature)
    for row, form in enumerate(chosen):
        assert torch.equal(view.teacher_logits[row], pool[form].teacher_logits[row])
    assert (score, temperature) == ("kl", 1.0) or chosen != best("kl", 1.0)


def test_scores_of_classes_are_none_of_a_regression_s():
    assert "needs classes" in BestOfK(Numbered(), score="student-loss").supports(SCORES)
    assert BestOfK(Numbered(), score="student-loss").supports(CLASSES) is None
    assert BestOfK(Numbered()).supports(SCORES) is None


def test_candidates_are_drawn_without_repetition_and_the_student_is_asked_only_about_them():
    models = make_models()
    one_of_two = BestOfK(Numbered(), k=1, pool=4, candidates=2)
    batch = batch_with_rewrites(models, 4, one_of_two.rewriters())
    before = models.cost.forwards["student"]
    list(one_of_two.views(batch, models))
    assert models.cost.forwards["student"] - before == 2 * 6
    two_of_two = BestOfK(Numbered(), k=2, pool=4, candidates=2)
    both = list(two_of_two.views(batch_with_rewrites(models, 4, two_of_two.rewriters()), models))
    for row in range(6):
        one, other = (view.student["input_ids"][row] for view in both)
        width = min(len(one), len(other))
        assert not torch.equal(one[:width], other[:width])


def test_a_pool_takes_all_copies_of_what_it_wraps_and_counts_its_attacks():
    @dataclass
    class Attacks(TextStrategy):
        """An attack on every row, in two copies, that succeeds on one call in three."""

        calls: int = 0

        def rewrite(self, examples, rngs, context):
            self.calls += 1
            outcome = "success" if self.calls == 2 else "failure"
            return [Attacked([("one",), ("two",)], outcome, queries=10) for _ in examples]

    inner = Attacks(copies=2)
    (rewriter,) = BestOfK(inner, pool=5).rewriters()
    rows = [Example(i, (text,)) for i, text in enumerate("ab")]
    pools = rewriter.rewrite(rows, [random.Random(i) for i in range(2)], Context(GLUE["sst2"]))
    assert rewriter.forms == 6
    assert [(len(pool.forms), pool.outcome, pool.queries) for pool in pools] == [(6, "success", 30)] * 2


def test_a_pool_is_made_once_unless_it_is_asked_for_anew_or_attacks_the_student():
    class Attacks(Numbered):
        def reads(self):
            return ("student",)

    pools = (
        BestOfK(Numbered()),
        BestOfK(Numbered(), refresh=3),
        BestOfK(Attacks(refresh=2)),
        BestOfK(Attacks(), refresh=0),
    )
    assert [strategy.rewriters()[0].refresh for strategy in pools] == [0, 3, 2, 0]


def test_a_pool_around_a_rewriter_without_a_form_ends():
    class Nothing(Numbered):
        def rewrite(self, examples, rngs, context):
            return [[] for _ in examples]

    (rewriter,) = BestOfK(Nothing()).rewriters()
    with pytest.raises(BenchError, match=r"made \[\] of example 0; every row needs a list of forms"):
        rewrite_all(rewriter, [Example(0, ("a",))], Context(GLUE["sst2"]))


def test_best_of_k_needs_a_strategy_that_makes_texts():
    with pytest.raises(UsageError, match="selects among rewritten texts"):
        StrategySpec.parse("best-of-k(none)")
    with pytest.raises(UsageError, match="selects among rewritten texts"):
        StrategySpec.parse("best-of-k(best-of-k(aeda))")


def test_a_composition_gives_each_part_its_own_rewrites_and_an_equal_share():
    first, second, third = Numbered(), Numbered(), OneView(weight=3.0)
    strategy = Composition((first, BestOfK(second, k=2, pool=2, candidates=2), third))
    models = make_models()
    rewriters = strategy.rewriters()
    assert rewriters == (first, *strategy.parts[1].rewriters())
    batch = batch_with_rewrites(models, 3, rewriters)
    batch.rewrites = [(rewriters[0], batch.rewrites[0][1][:1]), (rewriters[1], batch.rewrites[1][1] * 2)]
    views = list(strategy.views(batch, models))
    assert [view.weight for view in views] == pytest.approx([1 / 3, 1 / 6, 1 / 6, 1 / 3])
    assert views[0].student is batch.rewrites[0][1][0].student
    assert views[3].student is batch.inputs


@pytest.mark.parametrize("text", ["freelb[steps=2]+none", "none+aeda", "freelb[steps=2]+mate-kd[share=0.5]"])
def test_a_part_without_a_view_leaves_its_share_to_the_others(text):
    strategy, models = StrategySpec.parse(text).create(), make_models()
    models.student.train()
    strategy.setup(models)
    batch = batch_with_rewrites(models, 1, strategy.rewriters() or [None])
    weights = []
    for view in strategy.views(batch, models):
        weights.append(view.weight)
        models.logits("student", view.student).square().mean().backward()
    assert sum(weights) == pytest.approx(1)


def test_a_composition_trains_its_adversary_and_keeps_every_part_s_state():
    strategy = StrategySpec.parse("aeda+mate-kd[generator_steps=1,student_steps=2]").create()
    models = make_models()
    strategy.setup(models)
    assert set(strategy.needs) == {"teacher", "generator"}
    batch = batch_with_rewrites(models, 1, strategy.rewriters())
    before = [p.clone() for p in models.generator.parameters()]
    strategy.fit_adversary(batch, models)
    assert any(not torch.equal(a, b) for a, b in zip(before, models.generator.parameters(), strict=True))
    assert [view.weight for view in strategy.views(batch, models)] == [0.5, 0.5]
    again = StrategySpec.parse("aeda+mate-kd[generator_steps=1,student_steps=2]").create()
    again.setup(models)
    again.load_state_dict(strategy.state_dict())
    state = again.parts[1].optimizer.state_dict()["state"]
    assert state
    assert float(state[0]["step"]) == 1.0


def test_a_composition_with_an_ascent_waits_for_its_views_and_the_weights_sum_to_one():
    strategy = StrategySpec.parse("freelb[steps=2]+aeda").create()
    models = make_models()
    batch = batch_with_rewrites(models, 1, strategy.rewriters())
    views = []
    for view in strategy.views(batch, models):
        views.append((view.weight, view.wait))
        models.logits("student", view.student).square().mean().backward()
    assert views == [(0.5, False), (0.25, True), (0.25, True)]
