from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest

from bench.data.beyond.answers import scored
from bench.data.beyond.reading import load_set, present
from bench.data.beyond.sets import EvaluationSet, Layout, chosen_sets, own_set, registry
from bench.data.tasks import GLUE
from bench.errors import BenchError, UsageError

NLI = ("entailment", "neutral", "contradiction")
PAIRS = [(name, task) for name, by_task in registry().items() for task in by_task]


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_every_known_set_fits_the_task_it_belongs_to(name, task):
    entry, glue = registry()[name][task], GLUE[task]
    assert len(entry.texts) == len(glue.texts)
    assert entry.is_regression == glue.is_regression
    result = entry.scored(glue.labels)
    assert len(result.of_answer) == len(glue.labels)
    assert entry.scoring_task(result).metrics == entry.metrics
    assert entry.citation
    assert entry.licence
    assert entry.url
    assert entry.files or entry.hub


def test_answers_that_stand_for_one_class_are_scored_as_one():
    entry = registry()["hans"]["mnli"]
    result = entry.scored(NLI)
    assert result.classes == ("entailment", "non-entailment")
    assert result.of_answer == (0, 1, 1)


def test_classes_that_one_answer_stands_for_are_scored_as_one():
    answers = {"not_entailment": ("neutral", "contradiction"), "entailment": "entailment"}
    result = scored(answers, NLI, ("not_entailment", "entailment"), "set")
    assert result.classes == ("neutral or contradiction", "entailment")
    assert result.of_answer == (0, 1)
    assert result.of_label == {"entailment": 1, "neutral": 0, "contradiction": 0}
    # a and b stand for x between them, b also for y: the three are one.
    chained = scored({"a": "x", "b": ("x", "y"), "c": "z"}, ("x", "y", "z"), ("a", "b", "c"), "set")
    assert chained.of_answer == (0, 0, 1)
    late = scored({"a": "x", "b": "y", "c": ("x", "y"), "d": "z"}, ("x", "y", "z"), ("a", "b", "c", "d"), "set")
    assert late.of_answer == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"a": "x"}, "the model's answer 'b' stands for no class"),
        ({"a": "x", "b": "x"}, "no answer of the model stands for the class 'y'"),
        ({"a": "x", "b": ("x", "y")}, "leave one class"),
        ({"a": "x", "b": "z"}, "unknown class of the set in set 'z'"),
        ({"a": "x", "q": "y"}, "unknown answer of the model in set 'q'"),
    ],
)
def test_labels_that_do_not_map_are_refused(answers, words):
    with pytest.raises(UsageError, match=words):
        scored(answers, ("x", "y"), ("a", "b"), "set")


def test_scores_and_classes_do_not_map():
    with pytest.raises(UsageError, match="the set has scores, the model answers with classes"):
        registry()["sick"]["stsb"].scored(("a", "b"))
    with pytest.raises(UsageError, match="the set has classes, the model answers with scores"):
        registry()["hans"]["mnli"].scored(())


def entry(layout, **changes):
    fields = {
        "name": "made",
        "title": "Made",
        "task": "rte",
        "texts": ("a", "b"),
        "metrics": ("accuracy",),
        "labels": {"y": "entailment", "n": "not_entailment"},
    }
    return EvaluationSet(**fields | changes, files=(layout,))


RTE = GLUE["rte"].labels


def test_each_format_gives_its_rows(tmp_path):
    def rows(layout, **changes):
        return [(row.id, row.texts, row.label) for row in load_set(entry(layout, **changes), RTE, [tmp_path]).examples]

    both = [(0, ('one "', "two"), 0), (1, ("three", "four"), 1)]
    (tmp_path / "set.tsv.gz").write_bytes(gzip.compress(b'a\tb\tlabel\tkind\none "\ttwo\ty\tk\nthree\tfour\tn\tq\n'))
    assert rows(Layout(("set.tsv",), "tsv")) == both
    assert rows(Layout(("none.tsv", "set.tsv"), "tsv", where={"kind": "q"})) == [(0, ("three", "four"), 1)]
    (tmp_path / "bare.tsv").write_text('one "\ttwo\ty\nthree\tfour\tn\n')
    assert rows(Layout(("bare.tsv",), "tsv", columns=("a", "b", "label"))) == both
    (tmp_path / "set.json").write_text(
        json.dumps(
            {"other": [], "mine": [{"a": 'one "', "b": "two", "label": "y"}, {"a": "three", "b": "four", "label": "n"}]}
        )
    )
    assert rows(Layout(("set.json",), "json"), key="mine") == both
    (tmp_path / "bytes.tsv").write_text("a\tb\tlabel\nb'it\\'s \\xc3\\xa9'\tb\"x\"\ty\n")
    assert rows(Layout(("bytes.tsv",), "tsv", byte_strings=True)) == [(0, ("it's é", "x"), 0)]
    (tmp_path / "lines.txt").write_text("y some text\nn more\n")
    assert rows(Layout(("lines.txt",), "lines"), texts=("a",)) == [(0, ("some text",), 0), (1, ("more",), 1)]
    for label, text in (("n", "bad"), ("y", "good"), ("y", "fine")):
        (tmp_path / "tree" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / label / f"{text}.txt").write_text(text)
    assert rows(Layout(("tree",), "folders"), texts=("a",)) == [(0, ("bad",), 1), (1, ("fine",), 0), (2, ("good",), 0)]
    for round in ("R1", "R2"):
        (tmp_path / round).mkdir()
        (tmp_path / round / "t.jsonl").write_text(json.dumps({"a": round, "b": "x", "label": "y"}) + "\n")
    assert rows(Layout(("R1/t.jsonl",), "jsonl", more=("R2/t.jsonl",))) == [(0, ("R1", "x"), 0), (1, ("R2", "x"), 0)]
    with pytest.raises(UsageError, match=r"not .*R3/t.jsonl, which goes on"):
        rows(Layout(("R1/t.jsonl",), "jsonl", more=("R3/t.jsonl",)))


def test_the_fingerprint_is_of_content_and_scoring(tmp_path):
    def fingerprint(name="set.tsv", most=None, **changes):
        return load_set(entry(Layout((name,), "tsv"), **changes), RTE, [tmp_path], most).fingerprint

    text = "a\tb\tlabel\n" + "".join(f"t{i}\tu\t{'yn'[i % 2]}\n" for i in range(20))
    (tmp_path / "set.tsv").write_text(text)
    (tmp_path / "same.tsv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "other.tsv").write_text(text.replace("t7", "t9"))
    assert fingerprint() == fingerprint("same.tsv")
    others = [
        fingerprint("other.tsv"),
        fingerprint(most=10),
        fingerprint(labels={"y": "not_entailment", "n": "entailment"}),
    ]
    others += [
        fingerprint(metrics=("f1",)),
        fingerprint(answers={"entailment": "not_entailment", "not_entailment": "entailment"}),
    ]
    assert len({fingerprint(), *others}) == 6
    few = load_set(entry(Layout(("set.tsv",), "tsv")), RTE, [tmp_path], 10)
    assert len(few.examples) == 10
    assert few.official == 20  # of the set as it is: the sample is said to be one


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"a\tb\tlabel\n", "has no rows"),
        (gzip.compress(b"a\tb\tlabel\nx\ty\ty\n" * 50, mtime=0)[:-20], "is damaged gzip data"),
        (b"a\tb\tlabel\nx\ty\n", ":2: 2 columns, but 3 expected"),
        (b"a\tb\tlabel\nx\ty\tmaybe\n", ":2: labels do not map: label 'maybe' is none of y, n"),
        (b"a\tlabel\nx\ty\n", "column 'b' is missing"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, words):
    (tmp_path / "set.tsv").write_bytes(content)
    with pytest.raises(BenchError, match=words) as told:
        load_set(entry(Layout(("set.tsv",), "tsv")), RTE, [tmp_path])
    assert "set.tsv" in str(told.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "not JSON, or cut off"), ("{}", "no rows of equal keys under 'mine'"), ('{"mine": []}', "no rows")],
)
def test_damaged_json_is_named(tmp_path, content, words):
    (tmp_path / "set.json").write_text(content)
    with pytest.raises(BenchError, match=words):
        load_set(entry(Layout(("set.json",), "json"), key="mine"), RTE, [tmp_path])


def test_a_folder_without_a_class_is_not_whole(tmp_path):
    whole = tmp_path / "aclImdb" / "test"
    (whole / "neg").mkdir(parents=True)
    (whole / "neg" / "0_1.txt").write_text("a dull film")
    with pytest.raises(BenchError, match="has no folder of the class positive: is it whole"):
        load_set(registry()["imdb"]["sst2"], ("negative", "positive"), [tmp_path])


@pytest.mark.parametrize("name", ["all", "attack-deepwordbug"])
def test_names_that_mean_something_else_are_refused(tmp_path, name):
    (tmp_path / "rows.tsv").write_text("text\tlabel\na\t0\nb\t1\n")
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "{name}"\ntasks = ["sst2"]\ntexts = ["text"]\nfile = "rows.tsv"\n')
    with pytest.raises(UsageError, match="all is every set"):
        own_set(path)


def test_a_set_that_is_not_there_says_where_to_get_it(tmp_path):
    with pytest.raises(UsageError, match=r"heuristics_evaluation_set.txt.*get it from https://.*--ood-dir DIR"):
        load_set(registry()["hans"]["rte"], RTE, [tmp_path])


def test_the_hub_s_rows_are_read_as_its_features_say(tmp_path, monkeypatch):
    from datasets import Dataset

    folder = tmp_path / "data"
    folder.mkdir()
    Dataset.from_dict({"text": ["good", "bad"], "label": [1, 0]}).to_parquet(folder / "test.parquet")
    made = EvaluationSet(
        "made",
        "Made",
        "sst2",
        ("text",),
        ("accuracy",),
        labels={"0": "negative", "1": "positive"},
        hub={"name": str(folder), "split": "test"},
    )
    data = load_set(made, GLUE["sst2"].labels, [])
    assert [(row.texts, row.label) for row in data.examples] == [(("good",), 1), (("bad",), 0)]
    gone = EvaluationSet(
        "made", "Made", "sst2", ("text",), ("accuracy",), hub={"name": str(tmp_path / "no"), "split": "test"}
    )
    with pytest.raises(BenchError, match="cannot get the set made from the hub"):
        load_set(gone, GLUE["sst2"].labels, [])


def own(tmp_path, **changes):
    (tmp_path / "rows.csv").write_text("a,b,label\none,two,1\nthree,four,0\n")
    keys = {"name": "mine", "tasks": ["rte"], "texts": ["a", "b"], "file": "rows.csv"} | changes
    path = tmp_path / "mine.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items() if value is not None))
    return path


def test_a_set_of_one_s_own_has_the_task_s_classes(tmp_path):
    sets = chosen_sets([str(own(tmp_path))])
    data = load_set(sets["mine"]["rte"], RTE, [])
    assert [row.label for row in data.examples] == [1, 0]
    assert data.source == str(tmp_path / "rows.csv")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "hans"}, "is taken"),
        ({"name": "dev"}, "is taken"),
        ({"name": "A b"}, "use lower-case"),
        ({"tasks": []}, "names no task"),
        ({"file": "none.csv"}, "no such file"),
        ({"file": "rows.txt"}, "known endings"),
        ({"metrics": ["pearson", "f1"]}, "those of classes or those of scores"),
        ({"metrics": ["rouge"]}, "those of classes or those of scores"),
        ({"texts": ["a", "b", "c"]}, "one or two are possible"),
        ({"labells": {}}, "unknown"),
        ({"file": None}, "file"),
    ],
)
def test_a_set_file_that_makes_no_sense_is_refused(tmp_path, changes, words):
    with pytest.raises(UsageError, match=words) as told:
        own_set(own(tmp_path, **changes))
    assert "mine.toml" in str(told.value)


def test_an_unknown_set_gets_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'hans'"):
        chosen_sets(["hanz"])


@pytest.mark.parametrize(
    ("name", "task", "labels"),
    [
        ("hans", "mnli", {0: 3750, 1: 3750}),
        ("paws", "qqp", {0: 486, 1: 191}),
        ("ax", "mnli", {0: 460, 1: 386, 2: 258}),
        ("imdb", "sst2", {0: 497, 1: 503}),
        ("advglue", "sst2", {0: 72, 1: 76}),
        ("advglue", "rte", {0: 35, 1: 46}),
        ("advglue-mm", "mnli", {0: 60, 1: 45, 2: 57}),
    ],
)
def test_real_sets_have_their_published_rows(ood_dir, name, task, labels):
    made = registry()[name][task]
    assert present(made, [ood_dir]) is not None
    data = load_set(made, GLUE[task].labels, [ood_dir])
    assert Counter(row.label for row in data.examples) == labels
    assert data.variant or len(data.examples) == made.rows
    if name == "hans":
        assert Counter(group for groups in data.groups for group in groups) == {
            f"heuristic: {kind}": 2500 for kind in ("lexical_overlap", "subsequence", "constituent")
        }
    if name == "paws":
        assert data.examples[0].texts[0].startswith("What were the major effects of the cambodia earthquake , and")
