"""What an object store costs, in requests and seconds: reading records, and sending a checkpoint while work goes on.

    python tests/benchmarks/object_store_speed.py 1000

The store is moto's, on this machine, in a process of its own: its time is in all figures.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_records import run
from object_store import BUCKET, SETTINGS

_STATE_MB = 500


def _serve(port: multiprocessing.connection.Connection) -> None:
    from object_store import ObjectStore

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        port.send(ObjectStore().port)
        time.sleep(3600)


def _counted(what: str, act: Callable[[], object]) -> None:
    """Print how long ``act`` takes, and how often the store is asked."""
    import aiobotocore.endpoint

    send, asked = aiobotocore.endpoint.AioEndpoint._send_request, [0]

    def count(self: object, *given: object) -> object:
        asked[0] += 1
        return send(self, *given)

    aiobotocore.endpoint.AioEndpoint._send_request = count
    start = time.perf_counter()
    act()
    print(f"{what:<46} {time.perf_counter() - start:6.2f} s  {asked[0]:6,} requests", flush=True)
    aiobotocore.endpoint.AioEndpoint._send_request = send


def _machine(folder: Path) -> Path:
    from bench.remote import mirror

    os.environ["BENCH_MIRROR"] = str(folder)
    mirror._opened.clear()
    return mirror.opened(f"s3://{BUCKET}/speed")


def main(count: int) -> None:
    """Print the figures with so many records."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    server.start()
    os.environ.update(SETTINGS, AWS_ENDPOINT_URL=f"http://127.0.0.1:{here.recv()}")
    import boto3

    import bench
    from bench.remote.mirror import bring, of
    from bench.reporting.records import run_folder

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    with tempfile.TemporaryDirectory() as temporary:
        one = _machine(Path(temporary, "one"))
        for seed in range(count):
            record = run(strategy=("none", "mlm")[seed % 2], seed=seed // 2)
            folder = run_folder(one, "mini", "rte", record["strategy"], record["seed"], record["id"])
            folder.mkdir(parents=True)
            (folder / "record.json").write_text(json.dumps(record))
        _counted(f"{count:,} records made offline are sent", lambda: bring(one))
        two = _machine(Path(temporary, "two"))
        _counted(f"{count:,} records, read on a machine that has none", lambda: bench.results(two))
        _counted("the same again", lambda: bench.results(two))
        _checkpoints(two, of)


def _checkpoints(results: Path, of: Callable[[Path], object]) -> None:
    import torch

    from bench.distill.checkpoint import Checkpoints
    from bench.files import is_whole
    from bench.observer import Silent

    state = {"model": torch.zeros(_STATE_MB * 250_000)}
    for what, home in (
        ("local", results.parent / "states"),
        ("sent", results / "runs/p/t/s/seed-0-a/checkpoint/states"),
    ):
        start = time.perf_counter()
        Checkpoints(home, Silent()).save(state)
        print(f"{f'a checkpoint of {_STATE_MB} MB, {what}: training waits':<46} {time.perf_counter() - start:6.2f} s")
    start = time.perf_counter()
    mirror = of(results)
    mirror.flush()
    print(f"{'until it is on the store':<46} {time.perf_counter() - start:6.2f} s")
    there = _machine(results.parent.parent / "three") / "runs/p/t/s/seed-0-a/checkpoint/states/1"
    _counted("brought and checked elsewhere", lambda: is_whole(there, Silent()))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
