"""Paraphrases: an endpoint that is slow, silent, rude or over budget loses nothing paid for; models run here."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import torch
from chat_server import Chat
from families import END, PAD, VOCAB, tokenizer
from tiny import Notes
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from bench import Example
from bench.conformance import suite
from bench.data.tasks import GLUE
from bench.errors import BenchError, UsageError
from bench.rewriting.context import context_for
from bench.rewriting.engine import rewrite_all
from bench.spec import StrategySpec, lacking

pytest.importorskip("httpx", reason="needs httpx: pip install 'distil-augment-bench[llm]'")
pytest.importorskip("tenacity", reason="needs tenacity: pip install 'distil-augment-bench[llm]'")

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
ROWS = [Example(n, (f"text {word}",), 0) for n, word in enumerate(WORDS)]
KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def chat():
    server = Chat()
    yield server
    server.close()


class Ask:
    """Commands given one after the other: each reads the rewrites anew, and the answers from where they are kept."""

    def __init__(self, url, folder):
        self.url, self.folder, self.notes = url, folder, []

    def __call__(self, rows=ROWS, task="sst2", **options):
        options = {"url": self.url, "model": "m", "wait": 0, "at_once": 1, **options}
        strategy = StrategySpec.parse(f"llm:paraphrase[{','.join(f'{k}={v}' for k, v in options.items())}]").create()
        context, notes = context_for(strategy, GLUE[task], lambda role: ("", ""), rows=rows), Notes()
        try:
            return rewrite_all(strategy, rows, context, cache=self.folder, observer=notes).forms
        finally:
            self.notes = notes.notes

    @property
    def kept(self):
        (path,) = (self.folder / "answers").iterdir()
        return [json.loads(line) for line in path.read_text().split("\n") if line]


@pytest.fixture
def ask(chat, tmp_path):
    return Ask(chat.url, tmp_path / "cache")


def told(rows=ROWS):
    return [[(f"in other words {row.texts[0]}",)] for row in rows]


def test_every_text_is_asked_for_once_and_for_all(ask, chat):
    assert ask(at_once=4) == told()
    assert len(chat.asked) == len(ROWS)
    assert {(q["model"], q["temperature"], q["max_tokens"], q["path"]) for q in chat.asked} == {
        ("m", 1.0, 256, "/v1/chat/completions")
    }
    assert ask.notes == ["llm:paraphrase: 12 of 12 texts answered; 480 tokens so far"]
    assert ask() == told()
    # Other limits, other workers: what was answered holds. Another temperature is another question.
    assert ask(timeout=5, tries=1) == told()
    assert len(chat.asked) == len(ROWS)
    ask(temperature=0.5)
    assert len(chat.asked) == 2 * len(ROWS)


def test_copies_are_questions_with_seeds_of_their_own(ask, chat):
    ask(ROWS[:2], copies=2, seed=7)
    assert sorted(q["seed"] for q in chat.asked) == [7, 7, 8, 8]


def test_of_a_pair_the_texts_that_may_change_are_asked_for(ask, chat):
    pairs = [Example(0, ("first", "second"), 0)]
    assert ask(pairs, "rte", side="second") == [[("first", "in other words second")]]
    assert len(chat.asked) == 1


def test_a_prompt_of_ones_own_is_part_of_what_is_known(ask, chat, tmp_path):
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Say it politely:\n{text}")
    ask(ROWS[:1], prompt=prompt)
    assert chat.asked[0]["messages"][0]["content"] == "Say it politely:\ntext one"
    prompt.write_text("Say it rudely:\n{text}")
    ask(ROWS[:1], prompt=prompt)
    assert len(chat.asked) == 2
    prompt.write_text("Say it.")
    with pytest.raises(UsageError, match=r"has no \{text\}"):
        ask(ROWS[:1], prompt=prompt)


@pytest.mark.parametrize(
    "rude",
    [
        (500, "oops"),
        (200, "<html>no JSON</html>"),
        (200, "[]"),
        (200, '{"choices": []}'),
        (200, '{"choices": [{"message": {"content": 3}}]}'),
        (200, "x" * (1 << 21)),
        (200, "[" * 100_000),
        lambda handler: handler.reply(200, "{}", Content_Encoding="gzip"),
        lambda handler: handler.reply(429, "slow down", Retry_After="0"),
        lambda handler: handler.connection.shutdown(socket.SHUT_RDWR),
    ],
    ids=["500", "html", "list", "empty list", "number", "endless", "nested", "not gzip", "429", "hangs up"],
)
def test_a_rude_answer_is_asked_for_again(ask, chat, rude):
    chat.rude = {0: rude, 3: rude, 4: rude}
    assert ask() == told()
    assert len(chat.asked) == len(ROWS) + 3


def test_one_that_never_answers_is_given_up_and_the_next_command_asks_again(ask, chat):
    chat.always = (503, "busy")
    with pytest.raises(BenchError, match="could not rewrite 12 of 12 rows"):
        ask(tries=2)
    assert len(chat.asked) == 20
    assert "stopped: 10 questions in a row got no answer" in ask.notes[0]
    assert "10 without an answer, the last: status 503: busy" in ask.notes[0]
    chat.always = None
    assert ask() == told()


def test_a_slow_one_is_not_waited_for(ask, chat):
    def silent(handler):
        chat.released.wait()

    def drips(before, piece):
        def endlessly(handler):
            with contextlib.suppress(OSError):
                handler.wfile.write(before)
                while not chat.released.wait(0.02):
                    handler.wfile.write(piece)

        return endlessly

    status = b"HTTP/1.0 200 OK\r\n"
    compressed = gzip.compress(b"")[:10]
    chat.rude = {
        0: silent,
        2: drips(status + b"\r\n", b" "),
        4: drips(status, b"X-More: 1\r\n"),
        5: drips(status + b"Content-Encoding: gzip\r\n\r\n" + compressed, b"\0\0\0\xff\xff"),
    }
    start = time.monotonic()
    assert ask(ROWS[:3], timeout=0.3) == told(ROWS[:3])
    assert len(chat.asked) == 7
    assert time.monotonic() - start < 30
    assert sum(line["prompt_tokens"] for line in ask.kept) == 90


@pytest.mark.parametrize(
    "silent",
    ["", "   ", lambda handler: handler.answer(None), lambda handler: handler.answer("no", "content_filter")],
    ids=["empty", "blank", "null", "refused"],
)
def test_an_empty_answer_is_paid_for_and_not_asked_for_again_at_once(ask, chat, silent):
    chat.rude = {0: silent}
    assert ask() == [[ROWS[0].texts], *told()[1:]]
    assert len(chat.asked) == len(ROWS)
    assert ask.kept[0]["text"] is None
    assert "11 of 12 texts answered; 480 tokens so far; 1 without an answer, the last: it was empty" in ask.notes[0]
    assert ask() == told()


def test_an_answer_longer_than_it_may_be_is_paid_for_and_is_none(ask, chat):
    chat.rude = {0: "long " * 100_000, 1: "x" * 16 * 20}
    made = ask(ROWS[:3], answer_tokens=20)
    assert made == [[ROWS[0].texts], [("x" * 16 * 20,)], *told()[2:3]]
    assert [line["prompt_tokens"] for line in ask.kept] == [30, 30, 30]
    assert "1 without an answer, the last: it was empty, refused or too long" in ask.notes[0]


def test_what_it_does_not_take_is_a_text_s_own_failure(ask, chat):
    chat.rude = {5: (400, "too long")}
    assert ask()[5] == [ROWS[5].texts]
    assert len(chat.asked) == len(ROWS)
    assert "status 400: too long" in ask.notes[0]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_model_or_address_ends_it_at_once_and_the_key_is_not_said(ask, chat, status):
    chat.always = (status, f"not you, {KEY}")
    with pytest.raises(BenchError, match=f"status {status}: not you, …; see the options url, model and key"):
        ask()
    assert len(chat.asked) == 1


@pytest.mark.parametrize("wrong", ["sk-secret\nX-Other: 1", "sk-secret\r", "sk-sécret", "\ufeffsk-secret"])
def test_a_key_that_no_header_takes_is_refused_before_the_first_question(ask, chat, monkeypatch, wrong):
    monkeypatch.setenv("OPENAI_API_KEY", f"{wrong}1")
    with pytest.raises(UsageError, match="environment variable OPENAI_API_KEY") as refused:
        ask()
    assert "sk-" not in str(refused.value)
    assert chat.asked == []


def test_a_key_is_sent_without_the_space_around_it(ask, chat, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\r\n")
    ask(ROWS[:1])
    assert chat.keys == {f"Bearer {KEY}"}


def test_the_key_goes_to_the_endpoint_and_nowhere_else(ask, chat, monkeypatch):
    chat.rude = {0: (500, f"I was given {KEY}"), 1: (400, KEY)}
    ask()
    assert chat.keys == {f"Bearer {KEY}"}
    files = [path for path in ask.folder.rglob("*") if path.is_file()]
    assert files
    assert not any(KEY.encode() in path.read_bytes() for path in files)
    assert not any(KEY in note for note in ask.notes)
    monkeypatch.delenv("OPENAI_API_KEY")
    ask(seed=1)
    assert None in chat.keys


def test_a_budget_of_tokens_is_never_passed_and_what_was_got_is_used(ask, chat):
    # Each answer takes 40 tokens of the 196 to 200 that it may, so the last are left unasked.
    made = ask(max_tokens=480, answer_tokens=10)
    spent = sum(line["prompt_tokens"] + line["completion_tokens"] for line in ask.kept)
    assert spent <= 480
    assert made == [*told()[: len(chat.asked)], *([row.texts] for row in ROWS[len(chat.asked) :])]
    assert 6 <= len(chat.asked) < 12
    assert "stopped: max_tokens=480 leaves no room for another" in ask.notes[0]
    before = len(chat.asked)
    ask(max_tokens=480, answer_tokens=10)
    assert len(chat.asked) == before
    assert ask(max_tokens=5000, answer_tokens=10) == told()
    assert len(chat.asked) == len(ROWS)


def test_what_got_no_answer_may_have_been_paid_for_and_keeps_its_room(ask, chat):
    def silent(handler):
        chat.released.wait()

    # Of 480 tokens two silent questions may have taken 200 each: there is no room for a third.
    chat.rude = {0: silent, 1: silent}
    with pytest.raises(BenchError, match="could not rewrite 12 of 12 rows"):
        ask(max_tokens=480, answer_tokens=10, timeout=0.3, tries=1)
    assert len(chat.asked) == 2
    assert "stopped: max_tokens=480 leaves no room for another" in ask.notes[0]


def test_a_budget_of_money(ask, chat):
    prices = {"input_price": 1000, "output_price": 5000, "answer_tokens": 10}
    made = ask(max_cost=0.9, **prices)
    # 30 tokens asked and 10 answered: 0.08 each.
    assert f"{0.08 * len(chat.asked):.4g} of money so far; stopped: max_cost=0.9 leaves no room" in ask.notes[0]
    assert 6 <= len(chat.asked) <= 11
    assert sum(form[0] != row.texts for form, row in zip(made, ROWS, strict=True)) == len(chat.asked)


def test_more_than_half_without_an_answer_is_no_result_but_what_was_paid_for_is_kept(ask, chat):
    with pytest.raises(BenchError, match="could not rewrite .* of 12 rows; .* what was answered is kept"):
        ask(max_tokens=300, answer_tokens=10)
    paid = len(ask.kept)
    assert 0 < paid == len(chat.asked)
    assert ask(answer_tokens=10) == told()
    assert len(chat.asked) == len(ROWS)


def test_many_at_once_stay_within_the_budget(ask):
    with pytest.raises(BenchError, match="could not rewrite"):
        ask(max_tokens=300, answer_tokens=10, at_once=8)
    assert sum(line["prompt_tokens"] + line["completion_tokens"] for line in ask.kept) <= 300


@pytest.mark.parametrize(
    "usage",
    [
        "{}",
        "null",
        "7",
        "[1]",
        *(
            f'{{"prompt_tokens": {n}, "completion_tokens": {n}}}'
            for n in ("null", "-5", "1.5", "true", '"9"', "[]", "NaN", "1e999", "9" * 30)
        ),
    ],
)
def test_what_an_endpoint_does_not_count_is_taken_at_its_most(ask, chat, usage):
    message = '{"content": "in other words text one"}'
    chat.always = (200, f'{{"choices": [{{"message": {message}}}], "usage": {usage}}}')
    assert ask(ROWS[:1]) == told(ROWS[:1])
    assert ask.kept[0]["completion_tokens"] == 256
    assert len("text one") <= ask.kept[0]["prompt_tokens"] <= 300
    assert len(chat.asked) == 1


def test_a_count_with_instructions_of_the_endpoint_s_own_holds(ask, chat):
    chat.usage = {"prompt_tokens": 900, "completion_tokens": 0}
    ask(ROWS[:1])
    assert (ask.kept[0]["prompt_tokens"], ask.kept[0]["completion_tokens"]) == (900, 0)


def test_a_command_that_is_killed_loses_no_answer(ask, chat, tmp_path):
    arrived = threading.Event()

    def stuck(handler):
        arrived.set()
        chat.released.wait()

    chat.rude = {3: stuck}
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path; import test_paraphrase as t\n"
        "t.Ask(sys.argv[3], Path(sys.argv[4]))()\n"
    )
    folders = [os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))]
    process = subprocess.Popen([sys.executable, "-c", code, *folders, chat.url, str(ask.folder)])
    arrived.wait()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(ask.kept) == 3
    # A line that the kill cut off is asked for again, and spoils no other.
    (path,) = (ask.folder / "answers").iterdir()
    path.write_text(path.read_text()[:-5])
    assert ask() == told()
    assert len(chat.asked) == 4 + 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("max_tokens=5", "an endpoint's: give its url"),
        ("url=ftp://host", "url is an endpoint's address, https://HOST/v1 say, not 'ftp://host'"),
        ("url=https://me:secret@host/v1", "a key does not belong in the url, which is recorded"),
        ("url=http://host,max_cost=1", "max_cost needs prices"),
        ("url=http://host,max_cost=0,input_price=1", "max_cost is the money to spend in all"),
        ("refresh=1", "refresh"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        StrategySpec.parse(f"llm:paraphrase[{options}]")


def test_quotation_marks_around_an_answer_go_and_lines_become_one(ask, chat):
    chat.rude = {0: '"A new\n text."', 1: "“Another.”", 2: '"Some" and "more"'}
    rows = [*ROWS[:2], Example(2, ('"Quoted"',), 0)]
    assert ask(rows) == [[("A new text.",)], [("Another.",)], [('"Some" and "more"',)]]


@pytest.fixture(scope="module", params=["causal", "encoder-decoder"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    ids = {"vocab_size": VOCAB, "pad_token_id": PAD, "eos_token_id": END}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if request.param == "causal":
            tiny = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=64, bos_token_id=END, **ids))
        else:
            shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
            tiny = T5ForConditionalGeneration(T5Config(**shape, decoder_start_token_id=PAD, **ids))
    tiny.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def test_a_model_run_here_answers_each_text_by_itself(model, tmp_path):
    rows = [Example(n, (f"w{n + 4} w5",), 0) for n in range(4)]
    ask = Ask(None, tmp_path)

    def here(rows, **options):
        spec = ",".join(f"{k}={v}" for k, v in {"model": model, "answer_tokens": 6, **options}.items())
        strategy = StrategySpec.parse(f"llm:paraphrase[{spec}]").create()
        context = context_for(strategy, GLUE["sst2"], lambda role: ("", ""), rows=rows)
        return strategy.rewrite(rows, [None] * len(rows), context)

    made = here(rows)
    assert [*here(rows[2:]), *here(rows[:2])] == [*made[2:], *made[:2]]
    assert made != here(rows, seed=1)
    assert len({form for own in here(rows[:1], copies=4) for form in own}) > 1
    assert ask.notes == []


@pytest.mark.usefixtures("on_pairs")
@pytest.mark.parametrize("model", ["causal"], indirect=True)
def test_it_passes_every_check(model):
    findings = list(suite.examine(StrategySpec.parse(f"llm:paraphrase[model={model},answer_tokens=6]")))
    assert {one.check: one.detail for one in findings if one.outcome == "failed"} == {}


def test_a_model_that_is_not_here_is_named_with_the_command_that_gets_it():
    assert "hf download no-such/model" in lacking(StrategySpec.parse("llm:paraphrase[model=no-such/model]").create())
