from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass

import numpy as np
import pytest
from rewriting_rows import CONTEXT, OBEDIENT, calls, gone, rows, sentences

from bench.data.tasks import Task
from bench.errors import BenchError, UsageError
from bench.rewriter import Context, Rewriter
from bench.rewriting import workers
from bench.rewriting.engine import rewrite_all


def test_workers_have_a_fixed_environment_and_this_process_keeps_its_own(create, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    before = dict(os.environ), random.getstate(), np.random.get_state()
    (form,) = rewrite_all(create("Seeds"), rows("a"), CONTEXT).forms[0]
    command = "print('0 1 false', *{'a', 'b', 'c', 'd'})"
    fixed = subprocess.check_output([sys.executable, "-c", command], env={**os.environ, "PYTHONHASHSEED": "0"})
    assert form[0] == fixed.decode().strip()
    assert (dict(os.environ), random.getstate()) == before[:2]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[2], strict=True))


def test_a_busy_machine_changes_no_row(create):
    """Each row needs 0.2 s of CPU time and may take 0.5 s; beside the load, a clock says more than 0.5 s."""
    examples = rows(*(f"work {i} a b c d e f" for i in range(4)))
    quiet = rewrite_all(create("Library"), examples, CONTEXT, workers=1, row_seconds=0.5)
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * (os.cpu_count() or 1))]
    try:
        busy = rewrite_all(create("Library"), examples, CONTEXT, workers=2, row_seconds=0.5)
    finally:
        for process in load:
            process.kill()
            process.wait()
    assert quiet.failed == busy.failed == {}
    assert quiet.forms == busy.forms


def test_a_row_without_end_is_stopped_by_its_cpu_time_and_tried_again_by_the_next_call(create, tmp_path):
    log, examples = tmp_path / "log", rows("a b c d", "spin for ever", "b c d e", "c d e f")
    first = rewrite_all(create(f"Library[log={log}]"), examples, CONTEXT, cache=tmp_path, workers=1, row_seconds=0.5)
    assert list(first.failed) == [1]
    assert first.failed[1].startswith("ran out of ")
    assert first.failed[1].endswith(" s of CPU time")
    assert first.forms[1] == [examples[1].texts]
    log.unlink()
    again = rewrite_all(create(f"Library[log={log}]"), examples, CONTEXT, cache=tmp_path, workers=1, row_seconds=0.5)
    # One that ends tells how long loading takes: the first one found, of files that a slow machine writes several of.
    called = calls(log)[0]
    assert called.pop("spin for ever") == 1
    assert list(called.values()) == [1]
    assert again.cached == 3
    assert (again.forms, list(again.failed)) == (first.forms, [1])


def test_a_row_that_only_waits_is_noticed_by_the_clock_and_tried_again_too(create, tmp_path):
    # The first row loads, so that the second has 20 times 0.2 s and nothing on top.
    log, examples = tmp_path / "log", rows("a b c d", "hang", "e f g h")
    for _ in range(2):
        done = rewrite_all(create(f"Library[log={log}]"), examples, CONTEXT, workers=1, row_seconds=0.2)
        assert done.failed == {1: "hung: no answer in 4 s"}
    assert calls(log)[0]["hang"] == 2
    assert all(gone(pid) for pid in calls(log)[1])


def test_neither_starting_nor_loading_counts_against_a_row_or_as_its_work(create, tmp_path):
    import pyarrow.parquet as pq

    # 0.4 s of CPU time to start, 0.4 s more in the first call.
    done = rewrite_all(create("Loads"), sentences(10), CONTEXT, workers=1, row_seconds=0.2, cache=tmp_path)
    assert done.failed == {}
    assert sum(pq.read_table(part)["seconds"].null_count for part in tmp_path.glob("rewrites/*/*.parquet")) == 1


def test_a_worker_that_cannot_start_is_one_error(create):
    reason = r"cannot start in a worker process: LookupError: no corpora/stopwords \(obedient\.py:\d+\)$"
    with pytest.raises(BenchError, match=reason):
        rewrite_all(create("Loads[how=raise]"), sentences(5), CONTEXT)
    with pytest.raises(BenchError, match=r"cannot start in a worker process: .* died \(exit code 5\)"):
        rewrite_all(create("Loads[how=exit]"), sentences(5), CONTEXT)


def test_a_worker_that_never_gets_ready_is_an_error(create, monkeypatch):
    monkeypatch.setattr(workers, "START_SECONDS", 0.4)
    with pytest.raises(BenchError, match=r"cannot start in a worker process: ran out of 0\.4 s of CPU time"):
        rewrite_all(create("Loads[how=spin]"), sentences(5), CONTEXT, workers=1)


@pytest.mark.parametrize("name", ["Plain", "Library"])
def test_what_a_strategy_says_to_the_person_stops_the_work(create, name):
    with pytest.raises(UsageError, match="^install the thing$"):
        rewrite_all(create(name), rows("a", "usage", "b"), CONTEXT, workers=1)


def test_no_worker_outlives_a_parent_that_is_killed(create, tmp_path):
    log = tmp_path / "log"
    spec = f"{OBEDIENT}:Library[log={log},gate={tmp_path / 'never'}]"
    # A main script without the usual guard: workers do not run it again.
    code = """
    import sys
    from bench.rewriting.engine import rewrite_all
    from bench.data.tasks import GLUE, Example
    from bench.spec import StrategySpec
    from bench.rewriter import Context
    examples = [Example(i, (f"wait {i}",)) for i in range(9)]
    rewrite_all(StrategySpec.parse(sys.argv[1]).create(), examples, Context(GLUE["sst2"]), workers=2)
    """
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    parent = subprocess.Popen([sys.executable, script, spec], env={**os.environ, "TMPDIR": str(temporary)})
    while not (log.exists() and len(calls(log)[1]) == 2):
        assert parent.poll() is None
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all(gone(pid) for pid in calls(log)[1])
    assert list(temporary.iterdir()) == []


@dataclass
class Here(Rewriter):
    """Upper case, made by no strategy's name."""

    libraries = ("pytest",)
    mark: str = "!"

    def rewrite(self, examples, rngs, context):
        return [[tuple(text.upper() + self.mark for text in example.texts)] for example in examples]


def test_a_strategy_without_a_spec_is_sent_as_an_object():
    # The defaults of a task of one's own are mappings that cannot be pickled.
    task = Task("own", "Own", ("text",), ("a", "b"), ("accuracy",), {})
    assert rewrite_all(Here("?"), rows("a"), Context(task)).forms == [[("A?",)]]


def test_a_class_that_cannot_be_sent_is_an_error_that_says_what_to_do(monkeypatch):
    @dataclass
    class Local(Here):
        """Defined in a function."""

    with pytest.raises(BenchError, match=r"Local cannot be sent to a worker process .* ./file\.py:Class"):
        rewrite_all(Local(), rows("a"), CONTEXT)
    monkeypatch.setattr(Local, "__module__", "__main__")
    with pytest.raises(BenchError, match=r"\(its class is in the main script, .*\); put the class in a file"):
        rewrite_all(Local(), rows("a"), CONTEXT)


def test_workers_kept_in_a_pool_go_from_job_to_job_and_end_with_it(create, tmp_path):
    """Loading the library is what costs; a process that has it works for the next rewriter, whichever that is."""
    log = tmp_path / "log"
    with workers.Pool() as pool:
        first = rewrite_all(create("Seeds"), rows("a", "b"), CONTEXT, workers=1, pool=pool)
        (kept,) = pool._idle
        second = rewrite_all(create(f"Library[log={log}]"), rows("a b c d"), CONTEXT, workers=1, pool=pool)
        assert pool._idle == [kept]
        third = rewrite_all(create("Seeds"), rows("a", "b"), CONTEXT, workers=1, pool=pool)
        assert (first.forms, second.failed) == (third.forms, {})
        # One that died meanwhile is replaced.
        os.kill(kept._process.pid, signal.SIGKILL)
        kept._process.wait()
        assert rewrite_all(create("Seeds"), rows("a"), CONTEXT, workers=1, pool=pool).forms == first.forms[:1]
        (other,) = pool._idle
        assert other is not kept
    assert not other.is_alive()
