from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import registry
from bench.cli import main
from bench.cli.check import check, chosen
from bench.conformance import Skipped, registration, rewriting, suite, training
from bench.conformance.subject import Subject
from bench.errors import UsageError
from bench.rewriting.workers import Pool
from bench.skeletons import learned_shift
from bench.spec import StrategySpec, missing, wrapped

TEXTS, TRAINING = (Path(__file__).with_name(f"bad_{part}.py") for part in ("texts", "training"))

SHIFT = Path(learned_shift.__file__)


def bad(name):
    file = TEXTS if f"class {name}(" in TEXTS.read_text() else TRAINING
    return StrategySpec.parse(f"{file}:{name}")


def failures(spec, pool=None):
    return {finding.check: finding.detail for finding in suite.examine(spec, pool) if finding.outcome == "failed"}


@pytest.fixture(scope="module")
def pool():
    """Rewriting processes that go from strategy to strategy: those of this repository leave nothing behind."""
    with Pool() as kept:
        yield kept


OWN = [name for name in registry.targets() if wrapped(registry.load(name)) is None]


@pytest.mark.parametrize("name", [*OWN, "best-of-k(aeda)", "flips(aeda)", "aeda+mate-kd"])
def test_every_strategy_of_this_repository_passes_every_check(name, pool):
    spec = StrategySpec.parse(name)
    if lacking := missing(spec.create()):
        pytest.skip(f"needs {lacking[0].name}: {lacking[0].command}")
    assert failures(spec, pool) == {}


def test_a_strategy_that_rewrites_with_a_library_passes_every_check():
    if "nlpaug:keyboard" not in registry.names():
        pytest.skip("needs nlpaug")
    findings = {finding.check: finding for finding in suite.examine(StrategySpec.parse("nlpaug:keyboard"))}
    assert {name: f.detail for name, f in findings.items() if f.outcome == "failed"} == {}
    assert findings["workers"].outcome == findings["trains"].outcome == "passed"


@pytest.mark.parametrize("name", ["Shuffles", "Noise"])
def test_what_the_bad_ones_are_made_from_is_good(name):
    assert failures(bad(name)) == {}


@pytest.mark.parametrize(
    ("name", "breaks", "message"),
    [
        ("Undescribed", registration.described, "has no docstring"),
        ("RoundsItsOption", registration.options, "is read back as"),
        ("DividesByItsOption", registration.options, "ZeroDivisionError"),
        ("FollowsTheProcess", registration.elsewhere, "another process makes"),
        ("LacksSomething", registration.resources, "missing unobtainium: dig for unobtainium"),
        ("RefusesSilently", registration.tasks, "supports() returned ''"),
        ("OwnRandomness", rewriting.seeded, "another strategy object;"),
        ("Counts", rewriting.seeded, "a second call;"),
        ("OneGeneratorForAll", rewriting.rows_alone, "its row given alone"),
        ("MixesItsRows", rewriting.rows_alone, "its row given alone"),
        ("MoreOfLongTexts", rewriting.forms, "make as many of every row"),
        ("TextsWithoutTuple", rewriting.forms, "not a tuple of 1 texts"),
        ("FewerRows", rewriting.odd_texts, "(an empty text) cannot be rewritten: rewrite() returned 0 lists"),
        ("FirstWord", rewriting.odd_texts, "(an empty text) cannot be rewritten: IndexError: list index out of range"),
        ("LosesTheOnlyWord", rewriting.odd_texts, "nothing is left of row 105 (one word)"),
        ("SeedsEverybody", rewriting.rewriting_keeps_global_state, "global random state of random:"),
        ("OrderOfASet", rewriting.workers, "with two worker processes, in reverse."),
        ("Relabels", rewriting.rows_untouched, "changes an example it is given"),
        ("ForgetsTheSide", rewriting.rows_untouched, "text 1 of row 100"),
        ("Relearns", training.batch_untouched, "changes the batch's labels in place"),
        ("ErasesInPlace", training.batch_untouched, "changes the batch's input_ids in place"),
        ("TrainsTheTeacher", training.teacher_untouched, "setup() leaves the teacher open to gradients; put it back"),
        ("RewritesTheTeacher", training.teacher_untouched, "word_embeddings.weight; only the harness trains"),
        ("WakesTheTeacher", training.teacher_untouched, "leaves the teacher in train mode"),
        ("LeavesAGradient", training.student_untouched, "fit_adversary() leaves a gradient in the student's"),
        ("LeavesItFrozen", training.trains, "before that, fit_adversary() leaves the student frozen"),
        ("PutsItToSleep", training.student_untouched, "views() leaves the student in eval mode"),
        ("TrainsTheStudent", training.student_untouched, "views() changes the student's"),
        ("GlobalNoise", training.training_keeps_global_state, "views() changes the global random state of torch;"),
        ("Uncounted", training.counts_its_cost, "rows through the teacher, of which 0 are counted"),
        ("CountsEverywhere", training.repeats, "two runs from one seed differ in student."),
        ("TrustsTheMode", training.resumes, "set the models' train and eval mode yourself in fit_adversary()"),
        ("Forgets", training.resumes, "and resumed ends in another student."),
        ("SavesAnything", training.resumes, "cannot be resumed: nothing was saved; state_dict() may hold"),
        ("Hoards", training.bounded_memory, "more tensors are alive after 30 more updates"),
        ("RemembersRows", training.bounded_memory, "or a variable or cache of its module, grew by"),
        ("KeepsTheGraph", training.bounded_memory, "a loss with its graph"),
        ("HalfABatch", training.views, "need an attention_mask [4, L], but one of [2, "),
        ("OddTargets", training.views, "teacher_logits of shape (4, 1); make it (4, 2)"),
        ("Explodes", training.trains, "the student's loss is nan at its update 1;"),
        ("OneByOneTooHeavy", training.trains, "OneByOneTooHeavy's views sum to 2;"),
    ],
)
def test_a_bad_strategy_fails_the_check_of_the_rule_it_breaks(name, breaks, message, tmp_path):
    outcome, detail = suite._outcome(breaks, Subject(bad(name), tmp_path))
    assert outcome == "failed", detail
    assert message in detail


def test_an_adversary_that_descends_is_remarked_on(tmp_path):
    for place, name in enumerate(("Descends", "ShiftsBack")):
        remark = training.climbs(Subject(bad(name), tmp_path / f"down {place}"))
        assert "fast updates of its adversary bring the divergence of teacher and student from" in remark
    for place, name in enumerate(("mate-kd", f"{SHIFT}:LearnedShift")):
        assert training.climbs(Subject(StrategySpec.parse(name), tmp_path / f"up {place}")) is None
    with pytest.raises(Skipped, match="it trains no adversary"):
        training.climbs(Subject(StrategySpec.parse("none"), tmp_path / "none"))


def test_one_bad_text_fails_one_check_and_the_rest_go_on():
    assert list(failures(bad("FirstWord"))) == ["odd texts"]


def test_without_its_resources_nothing_else_is_checked():
    findings = list(suite.examine(bad("LacksSomething")))
    assert [finding.outcome for finding in findings].count("failed") == 1
    assert {f.detail for f in findings if f.outcome == "skipped"} == {
        "a strategy from a file is not listed",
        "it lacks what it needs",
    }
    assert findings[-1].detail == "it lacks what it needs"


def test_every_check_says_why_it_matters():
    assert len(set(suite.CHECKS.values())) == len(suite.CHECKS)
    assert all(len(demand) < 38 for demand in suite.CHECKS.values())
    done = CliRunner().invoke(check, ["--explain"])
    assert done.exit_code == 0
    blocks = re.split(r"\n(?=\S)", done.output)
    assert [block.partition("\n")[0] for block in blocks] == list(suite.CHECKS.values())
    assert all(len(" ".join(block.split())) > 80 for block in blocks)


def test_a_strategy_must_be_named():
    done = CliRunner().invoke(main, ["check"])
    assert (done.exit_code, "name a strategy to check" in done.output) == (2, True)


# --- the command


def test_the_command_prints_a_line_per_check_and_fails_with_the_strategy():
    done = CliRunner().invoke(check, [f"{TEXTS}:LacksSomething"])
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0] == f"{TEXTS}:LacksSomething"
    assert "  failed   has all it needs on this machine" in done.output
    assert sum(line.startswith(("  passed ", "  failed ", "  skipped ")) for line in lines) == len(suite.CHECKS)
    assert "  3 passed, 1 failed, 21 skipped in " in done.output


def test_the_command_s_json_holds_every_finding_of_every_strategy():
    done = CliRunner().invoke(check, ["token-cutoff", f"{TEXTS}:LacksSomething", "--format", "json"])
    assert done.exit_code == 1
    good, lacking = json.loads(done.output)
    assert good["strategy"] == "token-cutoff"
    assert {entry["outcome"] for entry in good["checks"]} == {"passed", "skipped"}
    assert len(good["checks"]) == len(lacking["checks"]) == len(suite.CHECKS)
    assert [entry["outcome"] for entry in lacking["checks"]].count("failed") == 1


def test_a_wrong_name_is_a_wrong_request():
    done = CliRunner().invoke(main, ["check", "mixdk"])
    assert done.exit_code == 2
    assert "did you mean 'mixkd'?" in done.output


def test_a_pattern_is_every_strategy_of_such_a_name_that_is_ready():
    assert [str(spec) for spec in chosen(["m*kd", "mixkd[alpha=0.2]", "none", "none"])] == [
        "mate-kd",
        "mixkd",
        "mixkd[alpha=0.2]",
        "none",
    ]
    assert not any(wrapped(registry.load(spec.name)) for spec in chosen(["*"]))
    with pytest.raises(UsageError, match=r"'nothing\*' matches no strategy; did you mean 'none'"):
        chosen(["nothing*"])
