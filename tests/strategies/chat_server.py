"""A server on the loopback address that answers as an OpenAI-shaped endpoint does, or misbehaves as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def said(prompt: str) -> str:
    """What the model of this server makes of a text: the text is the prompt's last line."""
    return f"in other words {prompt.splitlines()[-1]}"


class Chat(ThreadingHTTPServer):
    """Answers every question, but those numbered in ``rude`` as their entry says; ``asked`` are the questions so far.

    An entry is a status with a body, a text to answer with, or what to do with the request's handler.
    """

    daemon_threads = True

    def __init__(self, usage: dict[str, int] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.usage = {"prompt_tokens": 30, "completion_tokens": 10} if usage is None else usage
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.rude: dict[int, tuple[int, str] | str | Callable[[_Handler], None]] = {}
        self.always: tuple[int, str] | str | Callable[[_Handler], None] | None = None
        self.released = threading.Event()
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Chat

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.asked)
            self.server.asked.append({**question, "path": self.path})
            self.server.keys.add(self.headers["Authorization"])
        how = self.server.rude.get(number, self.server.always)
        if callable(how):
            how(self)
        elif isinstance(how, tuple):
            self.reply(*how)
        else:
            self.answer(said(question["messages"][0]["content"]) if how is None else how)

    def answer(self, text: str | None, reason: str = "stop") -> None:
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
        self.reply(200, json.dumps({"choices": [choice], "usage": self.server.usage}))

    def reply(self, status: int, body: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: Any) -> None:
        """Say nothing."""
