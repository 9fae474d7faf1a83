from __future__ import annotations

from dataclasses import replace

import pytest
from rewriting_rows import CONTEXT, OBEDIENT

from bench import __version__
from bench.data.tasks import GLUE
from bench.rewriter import Context
from bench.rewriting.identity import identity
from bench.spec import StrategySpec


def test_the_identity_holds_what_rewrites_depend_on(create, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OBEDIENT.read_text())
    strategy = StrategySpec.parse(f"{path}:Library").create()
    base = identity(strategy, CONTEXT, 0, 0)
    assert base == identity(create("Library"), CONTEXT, 0, 0) | {"code": base["code"]}
    assert set(base["code"].values()) == {"mine.py", "rewriter.py"}
    assert base["libraries"] == {"pytest": pytest.__version__}
    assert base["bench"] == __version__
    assert base["rewriter"] == {"class": "Library", "fields": {"log": "", "gate": ""}}
    others = [
        identity(create("Library[gate=x]"), CONTEXT, 0, 0),
        identity(strategy, CONTEXT, 1, 0),
        identity(strategy, CONTEXT, 0, 1),
        identity(strategy, Context(GLUE["cola"]), 0, 0),
        identity(strategy, replace(CONTEXT, texts=[("a",)]), 0, 0),
        identity(strategy, replace(CONTEXT, models={"generator": "/a"}, digests={"generator": "x"}), 0, 0),
        identity(strategy, replace(CONTEXT, models={"generator": "/a"}, digests={"generator": "y"}), 0, 0),
    ]
    path.write_text(OBEDIENT.read_text() + "\n")
    others.append(identity(strategy, CONTEXT, 0, 0))
    # What it imports from beside it counts too, however far.
    path.write_text(OBEDIENT.read_text() + "\ndef later():\n    from words import WORDS\n")
    (tmp_path / "words.py").write_text("import nouns")
    for text in ("A = 1", "A = 2"):
        (tmp_path / "nouns.py").write_text(text)
        others.append(identity(strategy, CONTEXT, 0, 0))
    assert sorted(others[-1]["code"].values()) == ["mine.py", "nouns.py", "rewriter.py", "words.py"]
    assert all(a != b for i, a in enumerate([base, *others]) for b in [base, *others][:i])
    moved = replace(CONTEXT, models={"generator": "/b"}, digests={"generator": "x"})
    assert identity(create("Library"), moved, 0, 0) | {"code": base["code"]} == others[5] | {"code": base["code"]}


def test_the_identity_holds_what_is_wrapped():
    pytest.importorskip("strategies.eda")
    one, other, larger, same = (
        identity(StrategySpec.parse(f"best-of-k({inner})[{options}]").create().rewriters()[0], CONTEXT, 0, 0)
        for inner, options in (("eda", ""), ("eda[copies=2]", ""), ("eda", "pool=9"), ("eda", "k=2,candidates=3"))
    )
    assert one == same
    assert one["rewriter"] != other["rewriter"]
    assert one["rewriter"] != larger["rewriter"]
    assert {"best_of_k.py", "eda.py", "text_strategy.py", "wordnet.py"} <= set(one["code"].values())
