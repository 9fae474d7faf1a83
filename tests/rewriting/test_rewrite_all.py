from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bench.data.tasks import GLUE, Example, Task
from bench.errors import BenchError, UsageError
from bench.rewriting import engine as rewriting
from bench.rewriting import workers
from bench.rewriting.engine import identity, rewrite_all
from bench.spec import StrategySpec
from bench.strategy import Context, Strategy

STRATEGIES = '''
"""Strategies that do to their rows what a row's text says."""

import multiprocessing, os, random, time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import Attacked, Strategy
from bench.errors import UsageError


@dataclass
class Plain(Strategy):
    """Shuffle the words; runs where the engine likes. ``log`` is told of every row and by whom it is made."""

    log: str = ""
    slow: float = 0.0
    refresh = "once"

    def rewrite(self, examples, rngs, context):
        return [self.row(example, rng) for example, rng in zip(examples, rngs)]

    def row(self, example, rng):
        word = example.texts[0].split()[0]
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()} {example.texts[0]}\\n")
        time.sleep(self.slow)
        if word == "crash":
            print("the very last word", flush=True)
            os._exit(3)
        if word == "hang":
            time.sleep(60)
        if word == "raise":
            raise ValueError("two\\nlines")
        if word == "interrupt":
            raise KeyboardInterrupt
        if word == "usage":
            raise UsageError("install the thing")
        if word == "surrogate":
            return [("\\ud800",)]
        if word == "attacked":
            return Attacked([example.texts], "success" if example.label else "failure", 7)
        shapes = {"string": "ab", "strings": ["ab"], "texts": [("a", "b")], "numbers": [(1,)], "none": []}
        if word in shapes or word == "two":
            return shapes.get(word, [("a",)] * 2)
        shuffled = []
        for text in example.texts:
            words = text.split()
            rng.shuffle(words)
            shuffled.append(" ".join(words))
        return [tuple(shuffled)]


@dataclass
class Library(Plain):
    """Shuffle the words in a worker process."""

    libraries = ("pytest",)


@dataclass
class Seeds(Library):
    """Show the environment, and use this process's own random state."""

    def row(self, example, rng):
        random.seed(rng.random()), np.random.seed(1)
        names = ("PYTHONHASHSEED", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM")
        return [(" ".join([*(os.environ[name] for name in names), *{"a", "b", "c", "d"}]),)]


@dataclass
class Short(Library):
    """Lose a row."""

    def rewrite(self, examples, rngs, context):
        return super().rewrite(examples, rngs, context)[1:]


@dataclass
class Loads(Library):
    """Take its time to start in a worker, or do not start at all; take time again in the first call."""

    how: str = "sleep"

    def __post_init__(self):
        self.loaded = False
        if multiprocessing.parent_process() is not None:
            if self.how == "raise":
                raise LookupError("no corpora/stopwords")
            if self.how == "exit":
                os._exit(5)
            time.sleep(0.3)

    def row(self, example, rng):
        if not self.loaded:
            time.sleep(0.8)
            self.loaded = True
        return super().row(example, rng)
'''
TASK = GLUE["sst2"]
CONTEXT = Context(TASK)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """From the name and options of a strategy of the file above to the strategy."""
    path = tmp_path_factory.mktemp("strategies") / "own.py"
    path.write_text(STRATEGIES)
    return lambda name: StrategySpec.parse(f"{path}:{name}").create()


@dataclass
class Watch:
    """An observer that keeps what it is told, and interrupts once ``stop`` rows are done."""

    stop: float = float("inf")

    def __post_init__(self):
        self.done, self.notes = [], []

    def update(self, phase, done, total):
        assert phase == "rewrite"
        self.done.append((done, total))
        if done >= self.stop:
            raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)


def rows(*texts, start=0):
    return [Example(start + i, (text,), 1) for i, text in enumerate(texts)]


def sentences(count):
    return rows(*(f"sentence number {i} has these eight words" for i in range(count)))


def calls(log):
    """How often each text was rewritten, and the processes that did it."""
    lines = [line.split(" ", 1) for line in Path(log).read_text().splitlines()]
    return Counter(text for _, text in lines), {int(pid) for pid, _ in lines}


def gone(pid, within=5.0):
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            # A zombie still has a process id.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_neither_workers_nor_order_nor_company_change_a_row(made):
    examples = sentences(60)
    one = rewrite_all(made("Library"), examples, CONTEXT, workers=1).forms
    assert rewrite_all(made("Library"), examples, CONTEXT, workers=3).forms == one
    assert rewrite_all(made("Library"), examples[::-1], CONTEXT, workers=2).forms == one[::-1]
    assert rewrite_all(made("Plain"), examples, CONTEXT).forms == one
    others = [replace(example, id=example.id + 100) for example in examples[7:9]]
    assert rewrite_all(made("Plain"), others, CONTEXT).forms == one[7:9]
    assert [sorted(form[0].split()) for (form,) in one] == [sorted(e.texts[0].split()) for e in examples]
    assert sum(form == e.texts for (form,), e in zip(one, examples, strict=True)) < 3


def test_seed_and_edition_make_other_rewrites(made):
    examples = sentences(20)
    forms = [
        rewrite_all(made("Plain"), examples, CONTEXT, seed=seed, edition=edition).forms
        for seed, edition in ((0, 0), (1, 0), (0, 1), (1, 1))
    ]
    assert all(a != b for i, a in enumerate(forms) for b in forms[:i])


def test_a_text_that_occurs_twice_is_rewritten_once_whatever_its_id(made, tmp_path):
    log = tmp_path / "log"
    done = rewrite_all(made(f"Plain[log={log}]"), rows("a b c d e", "x", "a b c d e"), CONTEXT)
    assert done.forms[0] == done.forms[2]
    assert done.forms[0] is not done.forms[2]
    assert calls(log)[0] == {"a b c d e": 1, "x": 1}


def test_attacks_are_told_apart_by_label_and_counted(made):
    examples = [Example(0, ("attacked one",), 1), Example(1, ("attacked one",), 0), Example(2, ("attacked one",), 1)]
    done = rewrite_all(made("Plain"), examples, CONTEXT)
    assert done.outcomes == {"success": 2, "failure": 1}
    assert done.queries == 14  # the third row is the first again
    assert done.forms == [[("attacked one",)]] * 3


def test_many_rows_without_a_library_go_to_workers_too(made, tmp_path, monkeypatch):
    monkeypatch.setattr(rewriting, "_FEW_ROWS", 10)
    log = tmp_path / "log"
    rewrite_all(made(f"Plain[log={log}]"), sentences(9), CONTEXT, workers=2)
    assert calls(log)[1] == {os.getpid()}
    log.unlink()
    rewrite_all(made(f"Plain[log={log}]"), sentences(10), CONTEXT, workers=2)
    assert os.getpid() not in calls(log)[1]
    log.unlink()
    rewrite_all(made(f"Plain[log={log}]"), sentences(10), CONTEXT, workers=1)
    assert calls(log)[1] == {os.getpid()}


def test_workers_have_a_fixed_environment_and_this_process_keeps_its_own(made, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    before = dict(os.environ), random.getstate(), np.random.get_state()
    (form,) = rewrite_all(made("Seeds"), rows("a"), CONTEXT).forms[0]
    command = "print('0 1 false', *{'a', 'b', 'c', 'd'})"
    fixed = subprocess.check_output([sys.executable, "-c", command], env={**os.environ, "PYTHONHASHSEED": "0"})
    assert form[0] == fixed.decode().strip()
    assert (dict(os.environ), random.getstate()) == before[:2]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[2], strict=True))


def test_what_is_cached_is_not_made_again(made, tmp_path):
    log, examples = tmp_path / "log", [*sentences(30), *rows("attacked a b", start=30)]
    strategy = made(f"Library[log={log}]")
    first = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, workers=1)
    log.unlink()
    again = rewrite_all(strategy, examples[::-1], CONTEXT, cache=tmp_path)
    assert not log.exists()
    assert again.forms == first.forms[::-1]
    assert (first.cached, again.cached) == (0, 31)
    assert (again.outcomes, again.queries, again.work_seconds) == ({"success": 1}, 7, first.work_seconds)
    more = rewrite_all(strategy, [*examples, *rows("new a b")], CONTEXT, cache=tmp_path, workers=1)
    assert calls(log)[0] == {"new a b": 1}
    assert more.cached == 31
    assert rewrite_all(strategy, [*examples, *rows("new a b")], CONTEXT, cache=tmp_path).forms == more.forms
    rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, seed=1, workers=1)
    assert calls(log)[0].total() == 32


def test_reading_500_cached_rows_is_quick(made, tmp_path):
    examples = sentences(500)
    rewrite_all(made("Plain"), examples, CONTEXT, cache=tmp_path)
    assert min(rewrite_all(made("Plain"), examples, CONTEXT, cache=tmp_path).seconds for _ in range(5)) < 0.05


@pytest.mark.parametrize("name", ["Plain", "Library"])
def test_interrupted_work_goes_on_where_it_stopped(made, tmp_path, name):
    log, examples = tmp_path / "log", sentences(60)
    strategy = made(f"{name}[log={log},slow=0.02]")
    with pytest.raises(KeyboardInterrupt):
        rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, workers=2, observer=Watch(stop=15))
    assert multiprocessing.active_children() == []
    before, pids = calls(log)
    assert 15 <= before.total() < 60
    assert all(gone(pid) for pid in pids - {os.getpid()})
    watch = Watch()
    done = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, workers=2, observer=watch)
    assert done.cached >= 15
    assert calls(log)[0].total() == before.total() + 60 - done.cached
    assert watch.done[-1] == (60, 60)
    assert watch.done[0][0] > done.cached
    assert done.forms == rewrite_all(made("Plain"), examples, CONTEXT).forms


def test_an_interrupt_inside_a_row_passes_and_saves(made, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        rewrite_all(made("Plain"), [*sentences(1), *rows("interrupt")], CONTEXT, cache=tmp_path)
    assert rewrite_all(made("Plain"), sentences(1), CONTEXT, cache=tmp_path).cached == 1


def test_rows_that_crash_hang_or_raise_stay_as_they_are(made, tmp_path):
    examples, log = sentences(40), tmp_path / "log"
    for row, text in {9: "raise me", 15: "crash me", 16: "crash me too", 30: "hang me", 35: "surrogate"}.items():
        examples[row] = replace(examples[row], texts=(text,))
    strategy, watch = made(f"Library[log={log}]"), Watch()
    done = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, workers=2, row_seconds=1.0, observer=watch)
    died = "the worker process died (exit code 3): the very last word"
    assert done.failed == {
        9: "ValueError: two lines",
        15: died,
        16: died,
        30: "took longer than 1 s",
        35: "its rewrite is no Unicode text (half a surrogate pair)",
    }
    assert all(done.forms[row] == [examples[row].texts] for row in done.failed)
    clean = sentences(40)
    good = [row for row in range(40) if row not in done.failed]
    assert [done.forms[row] for row in good] == [rewrite_all(made("Plain"), clean, CONTEXT).forms[row] for row in good]
    assert len(watch.notes) == 1
    assert "5 of 40 rows failed and stay as they are; the first is example 9: ValueError: two lines" in watch.notes[0]
    assert all(gone(pid) for pid in calls(log)[1])
    # What hangs is remembered too.
    log.unlink()
    again = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, workers=2)
    assert (again.forms, again.failed, again.cached) == (done.forms, done.failed, 40)
    assert not log.exists()


def test_a_failed_row_is_kept_as_often_as_others_are_rewritten(made):
    done = rewrite_all(made("Plain"), rows("raise", "two"), CONTEXT)
    assert done.forms == [[("raise",)] * 2, [("a",)] * 2]
    assert done.failed == {0: "ValueError: two lines"}


@pytest.mark.parametrize("name", ["Plain", "Library"])
def test_a_strategy_that_always_fails_is_an_error_and_leaves_nothing_behind(made, tmp_path, name):
    examples = rows(*(f"raise {i}" for i in range(200)))
    with pytest.raises(
        BenchError, match=r"failed on every row it was given \(50\); .* example 0: ValueError: two lines"
    ):
        rewrite_all(made(name), examples, CONTEXT, cache=tmp_path, workers=1)
    assert list(tmp_path.glob("augment/*/*.parquet")) == []
    with pytest.raises(BenchError, match=r"every row it was given \(2\)"):
        rewrite_all(made(name), examples[:2], CONTEXT, workers=1)


@pytest.mark.parametrize("word", ["string", "strings", "texts", "numbers", "none"])
def test_forms_of_the_wrong_shape_are_an_error_that_names_the_example(made, word):
    with pytest.raises(BenchError, match=r"Plain: rewrite\(\) made .* of example 3; .* a tuple of 1 text$"):
        rewrite_all(made("Plain"), [*sentences(3), *rows(word, start=3)], CONTEXT)


def test_another_number_of_forms_or_rows_is_an_error_too(made):
    with pytest.raises(BenchError, match=r"made 2 forms of example 3 and 1 of others; every row needs equally many"):
        rewrite_all(made("Library"), [*sentences(3), *rows("two", start=3)], CONTEXT, workers=1)
    with pytest.raises(BenchError, match=r"Short: rewrite\(\) returned 0 rows of 1, example 0 on"):
        rewrite_all(made("Short"), sentences(3), CONTEXT, workers=1)


@pytest.mark.parametrize("name", ["Plain", "Library"])
def test_what_a_strategy_says_to_the_person_stops_the_work(made, name):
    with pytest.raises(UsageError, match="^install the thing$"):
        rewrite_all(made(name), rows("a", "usage", "b"), CONTEXT, workers=1)


def test_a_worker_that_cannot_start_is_one_error(made):
    with pytest.raises(BenchError, match=r"cannot start in a worker process: LookupError: no corpora/stopwords$"):
        rewrite_all(made("Loads[how=raise]"), sentences(5), CONTEXT)
    with pytest.raises(BenchError, match=r"cannot start in a worker process: .* died \(exit code 5\)"):
        rewrite_all(made("Loads[how=exit]"), sentences(5), CONTEXT)
    assert multiprocessing.active_children() == []


def test_a_worker_that_never_gets_ready_is_an_error(made, monkeypatch):
    monkeypatch.setattr(workers, "START_SECONDS", 0.4)
    with pytest.raises(BenchError, match=r"cannot start in a worker process: took longer than 0\.4 s"):
        rewrite_all(made("Loads"), sentences(5), CONTEXT, workers=1)


def test_starting_and_loading_count_neither_against_a_row_nor_as_work(made):
    # 0.9 s to start (its spec is parsed, checked and made), and 0.8 s more in the first call.
    done = rewrite_all(made("Loads[slow=0.02]"), sentences(10), CONTEXT, workers=1, row_seconds=0.5)
    assert done.failed == {}
    assert 0.2 <= done.work_seconds < done.seconds - 1.6


def test_a_damaged_part_is_set_aside_and_made_again(made, tmp_path):
    examples = sentences(50)
    first = rewrite_all(made("Plain"), examples[:20], CONTEXT, cache=tmp_path)
    (old,) = tmp_path.glob("augment/*/*.parquet")
    both = rewrite_all(made("Plain"), examples, CONTEXT, cache=tmp_path)
    (new,) = set(tmp_path.glob("augment/*/*.parquet")) - {old}
    content = bytearray(new.read_bytes())
    content[60] ^= 255
    new.write_bytes(content)
    watch = Watch()
    repaired = rewrite_all(made("Plain"), examples, CONTEXT, cache=tmp_path, observer=watch)
    assert repaired.cached == 20
    assert first.forms == repaired.forms[:20]
    assert repaired.forms == both.forms
    assert len(watch.notes) == 1
    assert "damaged" in watch.notes[0]
    assert new.name in watch.notes[0]
    old.write_bytes(old.read_bytes()[:100])
    assert rewrite_all(made("Plain"), examples, CONTEXT, cache=tmp_path).cached == 30
    assert rewrite_all(made("Plain"), examples, CONTEXT, cache=tmp_path, observer=(quiet := Watch())).cached == 50
    assert quiet.notes == []


def test_parts_are_written_while_the_work_goes_on(made, tmp_path, monkeypatch):
    monkeypatch.setattr(rewriting, "_FLUSH_SECONDS", 0.0)
    seen = []

    class Looks(Watch):
        def update(self, phase, done, total):
            seen.append(len(list(tmp_path.glob("augment/*/*.parquet"))))

    rewrite_all(made("Plain[slow=0.05]"), sentences(10), CONTEXT, cache=tmp_path, observer=Looks(), row_seconds=0.1)
    assert seen[0] < seen[-1]
    assert rewrite_all(made("Plain[slow=0.05]"), sentences(10), CONTEXT, cache=tmp_path).cached == 10


def test_an_unwritable_cache_is_an_error(made, tmp_path):
    (tmp_path / "augment").write_text("in the way")
    with pytest.raises(BenchError, match="cannot write .*augment"):
        rewrite_all(made("Plain"), sentences(2), CONTEXT, cache=tmp_path)


def test_no_worker_outlives_a_parent_that_is_killed(made, tmp_path):
    log = tmp_path / "log"
    spec = made(f"Library[log={log},slow=30]").spec
    # A main script without the usual guard: workers do not run it again.
    code = """
    import sys
    from bench.rewriting.engine import rewrite_all
    from bench.data.tasks import GLUE, Example
    from bench.spec import StrategySpec
    from bench.strategy import Context
    examples = [Example(i, (f"text {i}",)) for i in range(9)]
    rewrite_all(StrategySpec.parse(sys.argv[1]).create(), examples, Context(GLUE["sst2"]), workers=2)
    """
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    parent = subprocess.Popen([sys.executable, script, spec], env={**os.environ, "TMPDIR": str(temporary)})
    end = time.monotonic() + 20
    while not (log.exists() and len(calls(log)[1]) == 2):
        assert time.monotonic() < end
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all(gone(pid) for pid in calls(log)[1])
    assert list(temporary.iterdir()) == []


@dataclass
class Here(Strategy):
    """Upper case, without a spec: sent to workers as an object."""

    libraries = ("pytest",)
    refresh = "once"
    mark: str = "!"

    def rewrite(self, examples, rngs, context):
        return [[tuple(text.upper() + self.mark for text in example.texts)] for example in examples]


def test_a_strategy_without_a_spec_is_sent_as_an_object():
    # The defaults of a task of one's own are mappings that cannot be pickled.
    task = Task("own", "Own", ("text",), ("a", "b"), ("accuracy",), {})
    assert rewrite_all(Here("?"), rows("a"), Context(task)).forms == [[("A?",)]]


def test_a_class_that_cannot_be_sent_is_an_error_that_says_what_to_do():
    @dataclass
    class Local(Here):
        """Defined in a function."""

    with pytest.raises(BenchError, match=r"Local cannot be sent to a worker process .* ./file\.py:Class"):
        rewrite_all(Local(), rows("a"), CONTEXT)


def test_no_rows_are_no_work():
    assert rewrite_all(Here(), [], CONTEXT).forms == []


def test_the_identity_holds_what_rewrites_depend_on(made, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(STRATEGIES)
    strategy = StrategySpec.parse(f"{path}:Library").create()
    base = identity(strategy, CONTEXT, 0, 0)
    assert base == identity(made("Library"), CONTEXT, 0, 0) | {"code": base["code"]}
    assert list(base["code"].values()) == ["mine.py"]
    assert base["libraries"] == {"pytest": pytest.__version__}
    assert base["strategy"] == {"name": "Library", "options": {"log": "", "slow": 0.0}}
    others = [
        identity(made("Library[slow=1]"), CONTEXT, 0, 0),
        identity(strategy, CONTEXT, 1, 0),
        identity(strategy, CONTEXT, 0, 1),
        identity(strategy, Context(GLUE["cola"]), 0, 0),
        identity(strategy, replace(CONTEXT, texts=[("a",)]), 0, 0),
        identity(strategy, replace(CONTEXT, models={"generator": "/a"}, digests={"generator": "x"}), 0, 0),
        identity(strategy, replace(CONTEXT, models={"generator": "/a"}, digests={"generator": "y"}), 0, 0),
    ]
    path.write_text(STRATEGIES + "\n")
    others.append(identity(strategy, CONTEXT, 0, 0))
    # What it imports from beside it counts too, however far.
    path.write_text(STRATEGIES + "\ndef later():\n    from words import WORDS\n")
    (tmp_path / "words.py").write_text("import nouns")
    for text in ("A = 1", "A = 2"):
        (tmp_path / "nouns.py").write_text(text)
        others.append(identity(strategy, CONTEXT, 0, 0))
    assert sorted(others[-1]["code"].values()) == ["mine.py", "nouns.py", "words.py"]
    assert all(a != b for i, a in enumerate([base, *others]) for b in [base, *others][:i])
    moved = replace(CONTEXT, models={"generator": "/b"}, digests={"generator": "x"})
    assert identity(made("Library"), moved, 0, 0) | {"code": base["code"]} == others[5] | {"code": base["code"]}


def test_the_identity_holds_what_is_wrapped():
    pytest.importorskip("strategies.eda")
    one, other, larger, same = (
        identity(StrategySpec.parse(f"best-of-k({inner})[{options}]").create(), CONTEXT, 0, 0)
        for inner, options in (("eda", ""), ("eda[copies=2]", ""), ("eda", "pool=9"), ("eda", "k=2,candidates=3"))
    )
    assert one == same
    assert one["strategy"] != other["strategy"]
    assert one["strategy"] != larger["strategy"]
    assert {"best_of_k.py", "eda.py", "rewriter.py", "wordnet.py"} <= set(one["code"].values())
