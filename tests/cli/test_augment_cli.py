"""`bench augment` on the embedded tasks and on files, with strategies of its own that need no library."""

from __future__ import annotations

import csv
import json
import re

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from bench.cli.augment import augment
from bench.cli.before_and_after import marked
from bench.data.tables import read_table, write_table
from bench.errors import BenchError, UsageError

STRATEGIES = '''
import os
from dataclasses import dataclass
from bench import Attacked, Resource, Rewriter, Strategy, TextStrategy


@dataclass
class Shout(TextStrategy):
    """The last word in capitals; counts its calls in a file, and fails on a text with a number."""

    def rewrite_texts(self, texts, rngs, context):
        with open(os.environ["SHOUT_LOG"], "a") as log:
            log.writelines(text + "\\n" for text in texts)
        if any(character.isdigit() for text in texts for character in text):
            raise ValueError("a number")
        return [" ".join([*text.split(" ")[:-1], text.split(" ")[-1].upper() + "!" * self.copies]) for text in texts]


@dataclass
class Adversary(Strategy, Rewriter):
    """Fools its victim, which it asks twice, with odd words only."""

    def rewrite(self, examples, rngs, context):
        return [Attacked([tuple("odd" for _ in example.texts)], "success", 2) for example in examples]


@dataclass
class Noise(Strategy):
    """Perturbs embeddings."""


@dataclass
class Needy(TextStrategy):
    """Asks for what is not there."""

    asks: str = "student"

    def reads(self):
        return (self.asks,)

    def resources(self):
        return [Resource("a tower of ivory", lambda: False, "get ivory")] if self.asks == "ivory" else []
'''


@pytest.fixture
def strategies(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text(STRATEGIES)
    monkeypatch.setenv("SHOUT_LOG", str(tmp_path / "log"))
    return path


@pytest.fixture
def bench(strategies, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        # As the group does it, which is not this verb's business.
        try:
            return CliRunner().invoke(
                augment, [*map(str, arguments), "--results", str(tmp_path / "results")], catch_exceptions=False
            )
        except BenchError as error:
            return error

    return call


def asked(tmp_path):
    log = tmp_path / "log"
    return log.read_text().split("\n")[:-1] if log.exists() else []


# --- rows of a task


def test_changes_are_marked_by_words():
    assert marked("a b c", "a x y c d") == "a [-b-] {+x y+} c {+d+}"
    assert marked("a b", "a  b ") == "a  b  (only spaces differ)"


def test_on_a_terminal_changes_are_in_colour(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    red, green = click.style("b", fg="red", strikethrough=True), click.style("x", fg="green", bold=True)
    assert marked("a b", "a x") == f"a {red} {green}"


def test_rows_before_and_after_and_what_the_changes_amount_to(bench, strategies):
    done = bench("--strategy", f"{strategies}:Shout[copies=2,side=task]", "--task", "rte", "-n", 3)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith("rte, training row ")]
    assert len(heads) == 3
    for number in heads:
        assert "entailment" in lines[number]
        assert lines[number + 1].startswith("    sentence1  ")
        before, one, two = lines[number + 2 : number + 5]
        # Of a directed pair only the second text changes, and its last word at that.
        *words, last = before.removeprefix("    sentence2  ").split(" ")
        assert one == f" 1> sentence2  {' '.join(words)} [-{last}-] {{+{last.upper()}!!+}}"
        assert two == one.replace("1>", "2>")
    assert "3 rows, 6 rewrites" in lines
    assert any(line.split()[:2] == ["changed", "100.0%"] for line in lines)
    assert any(line.split()[:2] == ["duplicates", "100.0%"] for line in lines)


def test_attacks_are_counted(bench, strategies):
    done = bench("--strategy", f"{strategies}:Adversary", "--task", "cola", "-n", 3)
    assert done.stdout.endswith("  attacks: 3 success; the victim was asked about 6 texts\n")


def test_the_seed_chooses_the_rows(bench, strategies):
    def first(*arguments):
        done = bench("--strategy", f"{strategies}:Shout", "--task", "cola", "-n", 1, *arguments)
        return next(line for line in done.stdout.splitlines() if line.startswith("cola, "))

    assert first() == first("--seed", 0)
    assert first() != first("--seed", 1)


def test_what_the_generator_samples_is_shown_as_the_models_read_it(bench):
    tiny = {"tokens": 2000, "shape.hidden_size": 16, "shape.num_hidden_layers": 1, "shape.intermediate_size": 16}
    settings = [part for key, value in tiny.items() for part in ("--set", f"generator.{key}={value}")]
    done = bench("--strategy", "mate-kd[rho=1.0]", "--task", "rte", "-n", 1, *settings)
    assert done.exit_code == 0, done.output
    assert "before it learns against the student" in done.stdout
    # With all tokens refilled, every text is as long as it was but in other words.
    assert " -> sentence1  " in done.stdout
    assert " -> sentence2  " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "rte", "--strategy", "{mine}:Noise"], "these make text: "),
        (["--task", "rte", "--strategy", "freelb+none"], "freelb+none rewrites no text"),
        (["--task", "rte", "--strategy", "{mine}:Needy"], "victim=teacher"),
        (["--task", "rtee", "--strategy", "aeda"], "did you mean 'rte'?"),
        (["--task", "rte,cola", "--strategy", "aeda"], "unknown task 'rte,cola'"),
        (["--task", "*", "--strategy", "aeda"], "--task takes one task"),
        (["--task", "rte", "--strategy", "aedaa"], "did you mean 'aeda'?"),
        (["--strategy", "aeda"], "give one of both: a FILE to rewrite, or --task"),
        (["rows.tsv", "--task", "rte", "--strategy", "aeda"], "give one of both: a FILE to rewrite, or --task"),
        (["--task", "rte", "--strategy", "aeda", "--columns", "a"], "are of a FILE"),
        (["rows.tsv", "--strategy", "aeda"], "no such file: rows.tsv"),
        (["rows.txt", "--strategy", "aeda"], "rows.txt is no table"),
        (["rows.tsv", "--strategy", "aeda", "--output", "rows.xls"], "known endings are .parquet .tsv .csv .jsonl"),
        (["rows.tsv", "--strategy", "mlm"], "is not one that rewrites texts before training"),
        (["rows.tsv", "--strategy", "aeda+aeda[copies=2]"], "is not one that rewrites texts before training"),
    ],
)
def test_what_cannot_be_done_is_refused(bench, strategies, arguments, words):
    error = bench(*(argument.format(mine=strategies) for argument in arguments))
    assert isinstance(error, UsageError)
    assert words in str(error)


def test_what_is_missing_is_named_with_its_command(bench, strategies):
    error = bench("--strategy", f"{strategies}:Needy[asks=ivory]", "--task", "rte")
    assert "a tower of ivory is missing, get it with: get ivory" in str(error)
    assert not isinstance(error, UsageError)


def test_rows_of_a_task_of_one_s_own(bench, strategies, tmp_path):
    (tmp_path / "rows.tsv").write_text("text\tlabel\ngood film\tyes\ndull plot\tno\n")
    (tmp_path / "own.toml").write_text(
        'name = "own"\ntexts = ["text"]\nlabels = ["no", "yes"]\n[files]\ntrain = "rows.tsv"\ndev = "rows.tsv"\n'
    )
    done = bench("--strategy", f"{strategies}:Shout", "--task", "own.toml", "-n", 2)
    assert done.exit_code == 0, done.output
    assert "own, training row 0 (yes)\n    text  good film\n -> text  good [-film-] {+FILM!+}" in done.stdout
    assert "no such file: none.toml" in str(bench("--strategy", f"{strategies}:Shout", "--task", "none.toml"))


@pytest.mark.parametrize("error", ["ValueError", "TypeError"])
def test_an_option_that_a_strategy_of_one_s_own_refuses_is_a_wrong_request(bench, tmp_path, error):
    path = tmp_path / "fussy.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom bench import TextStrategy\n\n@dataclass\nclass Fussy(TextStrategy):\n"
        "    size: int = 1\n    def __post_init__(self):\n        if self.size < 1:\n"
        f"            raise {error}(f'size is {{self.size}}; 1 or more')\n"
    )
    refused = bench("--strategy", f"{path}:Fussy[size=0]", "--task", "rte")
    assert isinstance(refused, UsageError)
    assert str(refused).endswith("Fussy: size is 0; 1 or more")


# --- files

ODD = ['"Well," she said', "it's \"", "naïve café — 日本語 🙂", "a\x85b c", "", "   ", "one", "twice", "twice"]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.tsv"
    lines = [f"{number}\t{text}\tpositive" for number, text in zip("abcdefghi", ODD, strict=True)]
    path.write_text("\n".join(["id\tsentence\tlabel", *lines]) + "\n", encoding="utf-8")
    return path


def content(path, **how):
    table = read_table(path, **how)
    return [dict(zip(table.columns, cells, strict=True)) for _, cells in table.rows]


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl", ".parquet"])
def test_a_file_comes_back_with_its_rewritten_texts(bench, strategies, rows, tmp_path, ending):
    output = tmp_path / "new" / f"out{ending}"
    done = bench(rows, "--strategy", f"{strategies}:Shout", "--output", output)
    assert done.exit_code == 0, done.output
    found = content(output)
    assert [row["sentence"] for row in found] == ODD
    expected = [
        '"Well," she SAID!',
        "it's \"!",
        "naïve café — 日本語 🙂!",
        "a\x85b C!",
        "",
        "   ",
        "ONE!",
        "TWICE!",
        "TWICE!",
    ]
    assert [row["sentence_augmented"] for row in found] == expected
    assert [row["id"] for row in found] == list("abcdefghi")
    assert {row["augmentation_failed"] for row in found} == {None if ending in (".jsonl", ".parquet") else ""}
    assert list(found[0]) == ["id", "sentence", "label", "sentence_augmented", "augmentation_failed"]
    assert "9 rows of sentence in " in done.stdout
    assert "0 from the cache, 9 new" in done.stdout
    assert "77.8% of their 9 forms are changed, 0 rows failed" in done.stdout
    assert f"wrote {output}" in done.stdout


def test_copies_stand_below_each_other_and_failures_say_why(bench, strategies, tmp_path):
    path = tmp_path / "pairs.jsonl"
    pairs = [("good morning", "hello you", 1), ("room 101", "see here", 0), ("go on", "no way", 1)]
    path.write_text("".join(json.dumps({"premise": a, "hypothesis": b, "n": n}) + "\n" for a, b, n in pairs))
    done = bench(path, "--strategy", f"{strategies}:Shout[copies=2]")
    assert done.exit_code == 0, done.output
    found = content(tmp_path / "pairs.augmented.parquet")
    assert [(row["premise_augmented"], row["hypothesis_augmented"]) for row in found] == [
        *[("good MORNING!!", "hello YOU!!")] * 2,
        *[("room 101", "see here")] * 2,
        *[("go ON!!", "no WAY!!")] * 2,
    ]
    assert [row["augmented_form"] for row in found] == [1, 2] * 3
    why = [row["augmentation_failed"] for row in found]
    assert why[:2] == why[4:] == [None, None]
    assert why[2] == why[3]
    assert re.fullmatch(r"ValueError: a number \(\w+\.py:\d+\)", why[2])
    assert [row["n"] for row in found] == [1, 1, 0, 0, 1, 1]
    assert "66.7% of their 6 forms are changed, 1 rows failed\n  1 x ValueError: a number" in done.stdout


def test_the_rows_are_written_to_the_working_directory_and_not_beside_a_file_that_others_share(
    bench, strategies, rows, tmp_path, monkeypatch
):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    done = bench(rows, "--strategy", f"{strategies}:Shout")
    assert done.stdout.endswith("wrote rows.augmented.parquet\n")
    assert [path.name for path in tmp_path.rglob("*.augmented.parquet")] == ["rows.augmented.parquet"]
    assert (tmp_path / "mine" / "rows.augmented.parquet").is_file()


def test_what_was_rewritten_once_is_not_rewritten_again(bench, strategies, rows, tmp_path):
    assert bench(rows, "--strategy", f"{strategies}:Shout").exit_code == 0
    once = asked(tmp_path)
    assert sorted(once) == sorted({text for text in ODD if text.strip()})
    with rows.open("a") as file:
        file.write("j\tand more\tpositive\n")
    again = bench(rows, "--strategy", f"{strategies}:Shout", "--overwrite")
    assert again.exit_code == 0, again.output
    assert asked(tmp_path) == [*once, "and more"]
    assert "9 from the cache, 1 new" in again.stdout
    assert len(content(tmp_path / "rows.augmented.parquet")) == 10


def test_nothing_is_overwritten_unless_asked_for(bench, strategies, rows, tmp_path):
    shout = ("--strategy", f"{strategies}:Shout")
    output = tmp_path / "out.tsv"
    output.write_text("precious")
    refused = bench(rows, *shout, "--output", output)
    assert isinstance(refused, UsageError)
    assert "out.tsv is there already" in str(refused)
    assert "--overwrite" in str(refused)
    assert output.read_text() == "precious"
    assert asked(tmp_path) == []
    assert bench(rows, *shout, "--output", output, "--overwrite").exit_code == 0
    assert len(content(output)) == 9
    # Not even then its own source.
    assert isinstance(bench(rows, *shout, "--output", rows, "--overwrite"), UsageError)


def test_columns_are_found_by_name_then_by_length_or_given(bench, strategies, tmp_path):
    path = tmp_path / "rows.csv"
    shout = ("--strategy", f"{strategies}:Shout", "--overwrite")

    def columns(header, row, *arguments):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, row])
        done = bench(path, *shout, *arguments)
        if isinstance(done, BenchError):
            return done
        found = content(tmp_path / "rows.augmented.parquet")[0]
        return [name.removesuffix("_augmented") for name in found if name.endswith("_augmented")]

    assert columns(["Premise", "note", "hypothesis"], ["a", "one two three four five", "b"]) == [
        "Premise",
        "hypothesis",
    ]
    assert columns(["key", "note"], ["a", "one, two\nthree four"]) == ["note"]
    assert columns(["text", "note"], ["a", "b"], "--columns", "note , text") == ["note", "text"]
    wrong = columns(["text", "note"], ["a", "b"], "--columns", "txt")
    assert isinstance(wrong, UsageError)
    assert "unknown column 'txt'; did you mean 'text'?" in str(wrong)
    none = columns(["key", "note"], ["a", "b"])
    assert isinstance(none, UsageError)
    assert "--columns NAME,NAME (columns found: key, note)" in str(none)
    taken = columns(["text", "text_augmented"], ["a", "b"])
    assert "has a column 'text_augmented' already" in str(taken)


def test_parquet_keeps_its_types_and_its_empty_cells(bench, strategies, tmp_path):
    path, output = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    table = pa.table({"text": ["a b", None], "label": pa.array([1, 2], pa.int8()), "score": pa.array([0.5, None])})
    pq.write_table(table, path)
    assert bench(path, "--strategy", f"{strategies}:Shout", "--output", output).exit_code == 0
    found = pq.read_table(output)
    assert found.select(table.column_names).equals(table)
    assert found["text_augmented"].to_pylist() == ["a B!", None]
    assert found.schema.field("augmentation_failed").type == pa.string()
    number = bench(path, "--strategy", f"{strategies}:Shout", "--output", output, "--overwrite", "--columns", "label")
    assert "row 1: label is not a text but 1" in str(number)


def test_a_quoted_tsv_is_read_and_written_as_such(bench, strategies, tmp_path):
    path, output = tmp_path / "rows.tsv", tmp_path / "out.tsv"
    path.write_text('text\n"a ""b""\tc"\n')
    assert bench(path, "--strategy", f"{strategies}:Shout", "--output", output, "--quoting").exit_code == 0
    assert content(output, quoting=True)[0]["text_augmented"] == 'a "B"\tC!'
    # Without quoting there is no way to write a tab.
    refused = bench(path, "--strategy", f"{strategies}:Shout", "--output", tmp_path / "o.tsv")
    assert "2 columns, but 1 expected" in str(refused)
    with pytest.raises(BenchError, match="'text' of row 1 holds a tab or a line end"):
        write_table(tmp_path / "o.tsv", {"text": ["a\tb"]})
    assert not list(tmp_path.glob("*o.tsv*"))


def test_columns_of_mixed_kinds_are_no_parquet(tmp_path):
    mixed = {"n": [1, "one"]}
    with pytest.raises(BenchError, match="column 'n'.*jsonl"):
        write_table(tmp_path / "o.parquet", mixed)
    write_table(tmp_path / "o.jsonl", mixed)
    assert [row["n"] for row in content(tmp_path / "o.jsonl")] == [1, "one"]


def test_help_ends_with_examples():
    assert "Examples:\n    bench augment --strategy" in CliRunner().invoke(augment, ["--help"]).stdout
