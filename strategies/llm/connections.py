"""Connections to an endpoint, each exchange over one with a time limit of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx


class Connections:
    """Connections that threads share; ``post`` ends within its time, whatever comes in.

    The limits of an HTTP library are for each piece that arrives, and an endpoint may send a byte now and then for
    hours. A task of an event loop is cut off wherever it waits: so there is such a loop, in a thread of its own.
    """

    def __enter__(self) -> Connections:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = httpx.AsyncClient(timeout=None)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def post(self, url: str, seconds: float, most: int, **request: Any) -> tuple[httpx.Response, bytes]:
        """Return what ``url`` answers, and its body, or the beginning of one longer than ``most`` bytes.

        ``request`` is as httpx takes it. Raises TimeoutError where connection and answer took more than ``seconds``,
        and what httpx raises.
        """
        exchange = asyncio.wait_for(self._exchange(url, most, request), seconds)
        try:
            return asyncio.run_coroutine_threadsafe(exchange, self._loop).result()
        except asyncio.TimeoutError as error:  # TimeoutError itself from Python 3.11 on
            raise TimeoutError from error

    async def _exchange(self, url: str, most: int, request: dict[str, Any]) -> tuple[httpx.Response, bytes]:
        body = b""
        async with self._client.stream("POST", url, **request) as response:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > most:
                    break
        return response, body
