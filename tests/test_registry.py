from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

from bench import registry
from bench.errors import UsageError
from bench.registry import load, register, targets
from bench.spec import StrategySpec, expanded, listing, missing, parse_list, split_list
from bench.strategy import Strategy
from strategies.mate_kd.strategy import MateKD


@dataclass
class Many(Strategy):
    """Options of every kind."""

    words: tuple[str, ...] = ("a",)
    sizes: tuple[int, ...] = ()
    name: str | None = "x"
    share: float = 0.1
    loud: bool = False
    inner: str = "none"


@pytest.fixture
def registered(monkeypatch):
    targets()
    monkeypatch.setattr(registry, "_registered", {**registry._registered, "many": Many})


@pytest.fixture
def own_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        textwrap.dedent("""
        from __future__ import annotations
        from dataclasses import dataclass
        from bench import Strategy

        @dataclass
        class Mine(Strategy):
            \"\"\"Mine.\"\"\"
            times: int = 2

        class NotADataclass(Strategy):
            pass

        something = 3
        """)
    )
    return path


@pytest.mark.parametrize("file", ["a+b.py", "a(1).py", "a,b.py", "a[1].py"])
def test_a_path_that_cannot_be_written_says_so(file, tmp_path):
    (tmp_path / file).write_text("")
    with pytest.raises(UsageError, match=r"FILE.py:Class.*without \+ , \( \) \[ \] in the file's path"):
        StrategySpec.parse(f"{tmp_path / file}:X".partition(",")[0])


def test_a_file_says_which_strategies_it_has(own_file):
    with pytest.raises(UsageError, match=rf"names a file without a class; write {own_file}:\w+"):
        load(str(own_file))
    with pytest.raises(UsageError, match=rf"has no class 'Mien'; write .*{own_file}:\w+"):
        load(f"{own_file}:Mien")
    own_file.with_name("empty.py").write_text("")
    with pytest.raises(UsageError, match=r"it defines no bench\.Strategy"):
        load(str(own_file.with_name("empty.py")))


@pytest.mark.parametrize("call", ["sys.exit(3)", "sys.exit(0)", "raise KeyError(1)"])
def test_a_file_that_ends_the_program_is_an_error(call, tmp_path):
    (tmp_path / "ends.py").write_text(f"import sys; {call}")
    with pytest.raises(UsageError, match=r"ends\.py cannot be imported: (SystemExit|KeyError): \d"):
        load(f"{tmp_path / 'ends.py'}:X")
    # A worker process would stumble over it, whatever strategy it is for.
    assert (tmp_path / "ends.py").resolve() not in registry.imported_files()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("needs = ('techer',)", r"needs is a tuple of 'student', 'teacher', 'generator', not \('techer',\)"),
        ("needs = 'teacher'", "needs is a tuple of .*, not 'teacher'"),
        ("words: bytes = b'a'", r"odd\.py:Odd\.words is b'a', which no record can hold"),
        ("words: frozenset = frozenset()", r"words is frozenset\(\), which no record can hold"),
    ],
)
def test_what_no_strategy_can_have_is_refused_at_once(line, words, tmp_path):
    lines = ["from dataclasses import dataclass", "from bench import Strategy", "@dataclass", "class Odd(Strategy):"]
    (tmp_path / "odd.py").write_text("\n".join([*lines, f"    {line}", ""]))
    with pytest.raises(UsageError, match=words):
        StrategySpec.parse(f"{tmp_path / 'odd.py'}:Odd")


def test_very_long_names_are_only_wrong_names(tmp_path):
    for text in ("n" * 300, f"./{'n' * 300}.py:X", f"aeda[{'n' * 300}=1]", f"aeda[ratio={'n' * 300}]"):
        with pytest.raises(UsageError) as caught:
            StrategySpec.parse(text)
        assert "n...n" in str(caught.value) or "no such strategy file" in str(caught.value)


def test_a_registered_name_loads_its_class():
    assert load("mate-kd") is MateKD
    assert {"none", "finetune", "mate-kd"} <= set(targets())


def test_an_unknown_strategy_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown strategy 'mate-dk'; did you mean 'mate-kd'\? .*bench list"):
        StrategySpec.parse("mate-dk")


def test_an_unknown_option_names_the_nearest_and_a_bad_value_the_option():
    with pytest.raises(UsageError, match=r"unknown option of mate-kd: 'roh'; did you mean 'rho'\?"):
        StrategySpec.parse("mate-kd[roh=0.4]")
    with pytest.raises(UsageError, match=r"mate-kd\.rho takes a number, not 'big'"):
        StrategySpec.parse("mate-kd[rho=big]")
    with pytest.raises(UsageError, match=r"write options as name=value, not '0\.4'"):
        StrategySpec.parse("mate-kd[0.4]")
    with pytest.raises(UsageError, match="above 0 and at most 1, not 4"):
        StrategySpec.parse("mate-kd[rho=4]")
    with pytest.raises(UsageError, match=r"'  ' is no strategy: write name, name\[option=value\]"):
        StrategySpec.parse("  ")


@pytest.mark.parametrize(
    ("typed", "spelling", "options"),
    [
        ("mate-kd", "mate-kd", {}),
        ("mate-kd[]", "mate-kd", {}),
        ("mate-kd[rho=0.3]", "mate-kd", {}),  # the default
        ("mate-kd[tau=2,rho=.4]", "mate-kd[rho=0.4,tau=2.0]", {"rho": 0.4, "tau": 2.0}),
        (" mate-kd[ rho = 0.40 ] ", "mate-kd[rho=0.4]", {"rho": 0.4}),
        ("many[words=(b,c)]", "many[words=(b,c)]", {"words": ("b", "c")}),
        ("many[sizes=[1,2],loud=true]", "many[loud=True,sizes=(1,2)]", {"sizes": (1, 2), "loud": True}),
        ("many[name=none]", "many[name=None]", {"name": None}),
        ("many[share=1e-3]", "many[share=0.001]", {"share": 0.001}),
        ("many[inner=mate-kd[rho=0.4,tau=2]]", "many[inner=mate-kd[rho=0.4,tau=2]]", None),
    ],
)
@pytest.mark.usefixtures("registered")
def test_a_spelling_is_canonical_and_reads_back_as_the_same_spec(typed, spelling, options):
    spec = StrategySpec.parse(typed)
    assert StrategySpec.parse(str(spec)) == spec
    if options is None:
        assert dict(spec.options) == {"inner": "mate-kd[rho=0.4,tau=2]"}
    else:
        assert dict(spec.options) == options
        assert vars(spec.create()) == {**vars(load(spec.name)()), **options}
    assert str(spec) == spelling


@pytest.mark.parametrize(
    ("typed", "spelling", "effective"),
    [
        ("best-of-k( aeda )", "best-of-k(aeda)", {"k": 1, "aeda.copies": 1}),
        ("best-of-k(aeda[copies=2])[k=2]", "best-of-k(aeda[copies=2])[k=2]", {"k": 2, "aeda.copies": 2}),
        ("aeda + mate-kd[rho=.4]", "aeda+mate-kd[rho=0.4]", {"aeda.side": "both", "mate-kd.rho": 0.4}),
        ("best-of-k(aeda)[pool=4]+none", "best-of-k(aeda)[pool=4]+none", {"best-of-k.pool": 4}),
    ],
)
def test_strategies_around_strategies(typed, spelling, effective):
    spec = StrategySpec.parse(typed)
    assert str(spec) == spelling
    assert StrategySpec.parse(spelling) == spec
    assert effective.items() <= spec.effective().items()


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("best-of-k", r"write best-of-k\(STRATEGY\), for example best-of-k\(eda\)"),
        ("aeda(none)", "aeda wraps no strategy"),
        ("best-of-k(mate-kd)", r"best-of-k\(mate-kd\): best-of-k selects among rewritten texts"),
        ("best-of-k(aeda)[k=3]", "k <= candidates <= pool, not k=3, candidates=2"),
        ("mate-kd+mate-kd", "at most one part may train an adversary"),
        ("aeda+mate-dk", "did you mean 'mate-kd'"),
        ("eda[strenght=0.3]", "unknown option of eda: 'strenght'; did you mean 'strength'?"),
        ("best-of-k(aeda,none)", r"best-of-k goes around one strategy \(of several, write best-of-k\(a\+b\)\)"),
        ("best-of-k(" * 3000 + "aeda" + ")" * 3000, r"'best-of-k\(.*\)' has brackets more than 20 deep"),
        ("+", r"'\+' is no strategy: write name, .*, a\+b"),
        ("aeda[ratio=0.1, ratio=0.2]", "the option ratio is given twice"),
    ],
)
def test_strategies_around_strategies_that_make_no_sense(typed, complaint):
    with pytest.raises(UsageError, match=complaint):
        StrategySpec.parse(typed)


def test_lists_split_at_commas_outside_brackets():
    assert split_list("a, b[c=1,d=2] ,e(f,g),,") == ["a", "b[c=1,d=2]", "e(f,g)"]
    assert split_list("a[b=[1,2],c=(3,4)],d[e=f[g=1,h=2]]") == ["a[b=[1,2],c=(3,4)]", "d[e=f[g=1,h=2]]"]
    assert split_list("") == []


@pytest.mark.parametrize("text", ["a[b=1", "a]b[", "a[b=(1]),c)]]"])
def test_brackets_that_do_not_match_are_an_error(text):
    with pytest.raises(UsageError, match="brackets"):
        split_list(text)


def test_a_class_in_a_file(own_file):
    spec = StrategySpec.parse(f"{own_file}:Mine[times=5]")
    assert spec.create().times == 5
    assert str(spec) == f"{own_file}:Mine[times=5]"
    # One module, so that what the file defines is the same class everywhere.
    assert load(f"{own_file}:Mine") is load(f"{own_file}:Mine")


def test_what_can_be_wrong_with_a_file(own_file, tmp_path):
    with pytest.raises(UsageError, match="no such strategy file: .*nowhere.py"):
        load(f"{tmp_path}/nowhere.py:Mine")
    with pytest.raises(UsageError, match=r"mine\.py has no class 'Mien'"):
        load(f"{own_file}:Mien")
    for attribute in ("something", "NotADataclass"):
        with pytest.raises(UsageError, match="is not a dataclass derived from bench.Strategy"):
            load(f"{own_file}:{attribute}")
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module_here\n")
    for _ in range(2):
        with pytest.raises(UsageError, match="cannot be imported: ModuleNotFoundError"):
            load(f"{broken}:Mine")
    broken.write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(UsageError, match="cannot be imported: SystemExit: 0"):
        load(f"{broken}:Mine")


def test_two_strategies_of_one_name_are_an_error(monkeypatch):
    targets()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    register("none", "strategies.none:PlainDistillation")
    with pytest.raises(ValueError, match=r"two strategies are called 'none'.*strategies\.none.*elsewhere"):
        register("none", "elsewhere:None")
    with pytest.raises(ValueError, match="two strategies are called 'mate-kd'"):
        register("mate-kd")(Many)


def install(folder, package, *entries):
    (folder / f"{package}.py").write_text(
        "from dataclasses import dataclass\nfrom bench import Strategy\n\n"
        "@dataclass\nclass Shout(Strategy):\n    '''From another package.'''\n    times: int = 2\n"
    )
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in entries)
    (info / "entry_points.txt").write_text(f"[bench.strategies]\n{lines}")


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    registry._installed.cache_clear()
    yield tmp_path
    registry._installed.cache_clear()


def test_an_installed_package_s_entry_point_is_a_strategy(site):
    install(site, "shouting_plugin", ("shout", "shouting_plugin:Shout"), ("broken", "shouting_plugin:Whisper"))
    assert targets()["shout"] == "shouting_plugin:Shout"
    assert str(StrategySpec.parse("shout[times=3]")) == "shout[times=3]"
    with pytest.raises(UsageError, match=r"strategy broken \(shouting_plugin:Whisper\) cannot be loaded"):
        load("broken")


def test_two_packages_of_one_strategy_are_an_error(site):
    install(site, "first_plugin", ("same", "first_plugin:Shout"))
    install(site, "second_plugin", ("same", "second_plugin:Shout"))
    with pytest.raises(UsageError, match=r"two installed packages register a strategy 'same'.*uninstall one"):
        targets()


def test_a_package_cannot_take_a_name_of_this_suite(site):
    install(site, "taking_plugin", ("mate-kd", "taking_plugin:Shout"))
    with pytest.raises(UsageError, match="an installed package registers 'mate-kd', which this suite already has"):
        targets()


@pytest.mark.parametrize(
    "program",
    [
        "from bench.registry import targets; assert 'mate-kd' in targets()",
        "from bench.cli import main; main(['--help'], standalone_mode=False)",
        "from bench.cli import main; main(['run', '--help'], standalone_mode=False)",
        "from bench.cli import main; main(['list', 'strategies'], standalone_mode=False)",
    ],
)
def test_names_and_help_import_nothing_heavy(program):
    heavy = ("torch", "transformers", "datasets", "pandas", "evaluate", "sklearn", "scipy", "numpy", "fsspec")
    report = f"import sys, json; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", f"{program}\n{report}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_listing_shows_options_with_type_and_default():
    (row,) = [row for row in listing() if row["name"] == "mate-kd"]
    assert row["needs"] == ["generator", "teacher"]
    assert row["options"]["rho"]["type"] == "float"
    assert row["options"]["rho"]["default"] == 0.3
    assert row["about"].startswith("Masked adversarial text")
    assert row["missing"] == []


def test_what_was_checked_is_said_by_the_class_itself_and_of_one_made_of_several_by_all(own_file):
    assert "plain implementation" in StrategySpec.parse("mate-kd").verified()
    # The wrapper's own algorithm, and that of what it goes around.
    both = StrategySpec.parse("best-of-k(eda)").verified()
    assert [part.partition(":")[0] for part in both.split("; ") if ":" in part] == ["best-of-k", "eda"]
    assert StrategySpec.parse("eda+token-cutoff").verified() is None
    own_file.write_text(
        own_file.read_text() + "\n@dataclass\nclass Faster(load('mate-kd')):\n    '''Not what was checked.'''\n"
        "@dataclass\nclass Wrong(Strategy):\n    verified = True\n"
    )
    own_file.write_text(f"from bench.registry import load\n{own_file.read_text().replace('from __future__', '# ')}")
    assert StrategySpec.parse(f"{own_file}:Faster").verified() is None
    with pytest.raises(UsageError, match="verified is None or a sentence that says how, not True"):
        load(f"{own_file}:Wrong")


def test_one_word_or_pattern_stands_for_several_strategies():
    every = expanded(["all"])
    assert {"none", "eda", "nlpaug:keyboard"} <= {*every}
    assert not {"best-of-k", "+", "file:PATH"} & {*every}
    ready = expanded(["ready"])
    assert ready == [name for name in every if not missing(StrategySpec.parse(name).create())]
    assert len(ready) < len(every)
    assert expanded(["m*kd[alpha=0.2]", "none", "mate*"]) == [
        "mate-kd[alpha=0.2]",
        "mixkd[alpha=0.2]",
        "none",
        "mate-kd",
    ]
    # What has brackets and no star before them is no pattern, whatever stands inside.
    assert expanded(["flips(textattack:*)", "file:a/*.tsv(x)"]) == ["flips(textattack:*)", "file:a/*.tsv(x)"]
    assert [str(spec) for spec in parse_list("mate*[rho=0.4],none", {})] == ["mate-kd[rho=0.4]", "none"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("nlpag:*", "'nlpag:*' matches no strategy; did you mean 'nlpaug:*'? (see: bench list strategies)"),
        ("mat-k*", "'mat-k*' matches no strategy; did you mean 'mate-kd'?"),
        ("all[side=first]", "'all[side=first]': options are given to names and patterns"),
        ("best*", "'best*' matches only what goes around other strategies: write best-of-k(eda)"),
    ],
)
def test_a_pattern_of_nothing_names_what_is_near_and_no_wall(pattern, words):
    with pytest.raises(UsageError) as caught:
        expanded([pattern])
    assert words in str(caught.value)
    assert str(caught.value).count(",") < 5


def test_ready_says_so_where_nothing_is(monkeypatch):
    monkeypatch.setattr("bench.spec.missing", lambda strategy: ["something"])
    assert expanded(["mate*"]) == ["mate-kd"]
    with pytest.raises(UsageError, match=r"'mate\*' matches nothing that is ready: none of 1 finds all it needs"):
        expanded(["mate*"], ready=True)
