"""An S3 on this machine, and machines that each have a mirror of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

SETTINGS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",  # a server that is stopped is noticed at once
}
BUCKET = "bench"


class ObjectStore:
    """moto's server on a free port of this machine, and a bucket; what is in it outlives the server."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        from moto.moto_server.threaded_moto_server import ThreadedMotoServer

        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        self._server.stop()

    @property
    def environment(self) -> dict[str, str]:
        return {**SETTINGS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}


@pytest.fixture(scope="session")
def _server() -> Iterator[ObjectStore]:
    pytest.importorskip("s3fs", reason="s3fs, of the extra remote, is not installed")
    pytest.importorskip("moto.moto_server", reason="moto[server], of the extra test, is not installed")
    # One for all tests: libraries remember where the first one was.
    store = ObjectStore()
    yield store
    store.stop()


@pytest.fixture
def object_store(_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The server, with the environment by which libraries find it."""
    for name, value in _server.environment.items():
        monkeypatch.setenv(name, value)
    import boto3

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    return _server


def machine(patch: pytest.MonkeyPatch, folder: Path) -> Path:
    """From here on this process is a machine whose mirrors are in ``folder``."""
    from bench.remote import mirror

    patch.setenv("BENCH_MIRROR", str(folder))
    patch.setattr(mirror, "_opened", {})
    return folder
