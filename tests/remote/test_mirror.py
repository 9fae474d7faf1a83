"""The mirror of an object store: what is sent and brought, what is never read, and whose turn it is."""

from __future__ import annotations

import json
import os
import pickle
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from made_records import run
from object_store import machine

import bench
from bench.cli import main
from bench.errors import BenchError, UsageError
from bench.experiment.cell_process import pickled
from bench.experiment.launch import launch
from bench.experiment.progress import Progress
from bench.experiment.ray_cluster import _Host
from bench.files import CHECKSUMS, is_whole, remove, whole_file, whole_folder, write_json
from bench.locks import Lock, missing
from bench.observer import Silent
from bench.remote import leases, mirror
from bench.remote.leases import Lease, Lost
from bench.remote.mirror import bring, folder_of, opened, reduced, shown
from bench.remote.store import Store, StoreError
from bench.reporting.clean import free, freeable
from bench.reporting.records import read_record, scan, set_aside_record

URL = "memory://results"
RUN = "runs/mini/rte/none/seed-0-abc"


class Noted(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def store() -> Store:
    store = Store(URL)
    store.delete(store.find(""))
    return store


def written(path: Path, text: str) -> Path:
    with whole_file(path) as part:
        part.write_text(text)
    return path


def folder(path: Path) -> Path:
    with whole_folder(path) as part:
        (part / "weights").write_text("0123456789")
        (part / "config").write_text("{}")
    return path


@pytest.mark.parametrize(
    "url",
    [
        "s3://KEY:SECRET@bucket/results",
        "s3://SECRET@bucket/results",
        "s3://KEY:SEC/RET@bucket/results",
        "abfs://SECRET@SECRET@account/results",
        "gs://bucket/results?token=SECRET",
        "simplecache::s3://SECRET:x@bucket",
        "s3://",
        "file:///tmp/results",
        "https://host/results",
    ],
)
def test_a_url_with_what_is_secret_or_that_is_no_object_store_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        opened(url)
    assert "SEC" not in str(refused.value)


def test_a_url_is_known_however_its_protocol_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, tmp_path / "one")
    assert folder_of("MEMORY://results/") == opened(URL)
    for wrong in ("memory:/results", "memory:results", "S3:/bench/x"):
        protocol, _, rest = wrong.partition(":")
        typed = f"type {protocol.lower()}://{rest.lstrip('/')}, or, for a folder of that name, ./{wrong}"
        with pytest.raises(UsageError, match=typed):
            folder_of(wrong)
        assert typed in CliRunner().invoke(main, ["compare", "--results", wrong]).stderr
    assert folder_of("./s3:/bench") == Path("s3:/bench")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BENCH_MIRROR", "~nobody-here/x"),
        ("BENCH_LEASE_SECONDS", "abc"),
        ("WORLD_SIZE", "abc"),
        ("WORLD_SIZE", ""),
        ("RANK", "-1"),
    ],
)
def test_a_variable_that_makes_no_sense_is_said_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, name: str, value: str
) -> None:
    machine(monkeypatch, tmp_path / "one")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(main, ["run", "--quick", "--strategy", "none", "--results", URL, "--jobs", "2"])
    assert ended.exit_code == 2
    assert f"Error: {name}='{value}'" in ended.stderr
    assert not store.find("")


def test_a_bucket_that_is_not_there_is_said_before_any_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, object_store: object
) -> None:
    machine(monkeypatch, tmp_path / "one")
    with pytest.raises(StoreError, match="make the bucket"):
        launch([object()], opened("s3://nobucket/x"), Progress(), launcher=lambda *_: pytest.fail("begun"))  # type: ignore[list-item]
    there = mirror.of(opened("s3://bench/x"))
    assert there is not None
    there.try_out()
    assert there.store.find("") == {}


def test_what_one_machine_commits_another_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, tmp_path / "one")
    one = opened(URL)
    record = written(one / RUN / "record.json", "one")
    teacher = folder(one / "cache/teachers/rte")
    folder(one / "cache/encoded/rte")  # each machine makes it for itself
    folder(one / RUN / "student")
    assert shown(record) == f"{URL}/{RUN}/record.json"

    machine(monkeypatch, tmp_path / "two")
    two = opened(URL)
    assert two != one
    bring(two)
    assert (two / RUN / "record.json").read_text() == "one"
    assert not (two / RUN / "student").exists()  # large, and not asked for
    assert is_whole(two / RUN / "student", Silent())
    assert (two / RUN / "student" / "weights").read_text() == "0123456789"
    with missing(two / "cache/teachers/rte", Silent(), "it") as to_make:
        assert not to_make
    assert (two / "cache/teachers/rte" / CHECKSUMS).read_text() == (teacher / CHECKSUMS).read_text()
    assert not is_whole(two / "cache/encoded/rte", Silent())
    remove(two / RUN / "student")
    assert not [name for name in Store(URL).find(RUN) if "student" in name]


def test_a_path_of_a_mirror_is_sent_to_another_machine_as_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, tmp_path / "one")
    sent = pickled([opened(URL) / RUN, tmp_path])
    assert str(tmp_path / "one").encode() not in sent
    machine(monkeypatch, tmp_path / "two")
    assert pickle.loads(sent) == [opened(URL) / RUN, tmp_path]


def test_bringing_asks_for_what_is_new_alone_and_follows_deletions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    machine(monkeypatch, tmp_path / "one")
    one = opened(URL)
    for seed in range(3):
        written(one / f"runs/mini/rte/none/seed-{seed}-a/record.json", f"{seed}")
    written(one / "runs/mini/rte/none/seed-9-a/checkpoint/budget.json", "")
    machine(monkeypatch, tmp_path / "two")
    two, asked = opened(URL), []
    fetch = Store.fetch
    monkeypatch.setattr(Store, "fetch", lambda self, name, path: (asked.append(name), fetch(self, name, path)))
    bring(two)
    assert len(asked) == 3
    bring(two)
    assert len(asked) == 3
    store.write("runs/mini/rte/none/seed-1-a/record.json", b"7")  # as long as it was
    store.delete(["runs/mini/rte/none/seed-2-a/record.json"])
    store.write("runs/../../escaped", b"")
    (two / "runs/mini/rte/none/seed-4-a").mkdir()
    (two / "runs/mini/rte/none/seed-4-a/record.json").write_text("made while the store was away")
    bring(two)
    assert len(asked) == 4
    kept = {path.parent.name: path.read_text() for path in two.rglob("record.json")}
    assert kept == {"seed-0-a": "0", "seed-1-a": "7", "seed-4-a": "made while the store was away"}
    assert store.read("runs/mini/rte/none/seed-4-a/record.json").startswith(b"made")
    assert not list(tmp_path.rglob("escaped"))


def test_objects_that_can_be_no_files_here_are_named_and_hide_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, object_store: object
) -> None:
    url, long = "s3://bench/odd", "a" * 300
    store = Store(url)
    odd = [RUN, "runs/mini/rte", "runs/mini/sst2", f"{RUN}/{long}", f"{RUN}/predictions"]
    odd += [f"runs/mini/rte/{long}/seed-0-abc/record.json"]
    for name in (*odd, f"{RUN}/predictions/dev"):
        store.write(name, b"")
    store.write(f"{RUN}/record.json", json.dumps(run()).encode())
    machine(monkeypatch, tmp_path / "one")
    one = opened(url)
    for _ in range(2):
        records, left = scan(one)
        assert [record.folder for record in records] == [RUN]
        assert sorted(shown(path) for path, _ in left) == sorted(f"{url}/{name}" for name in odd)
    assert {path for path, _ in bring(one / RUN)} == {one / RUN / "predictions", one / RUN / long}
    assert [path for path, _ in bring(one / "runs/mini/sst2")] == [one / "runs/mini/sst2"]
    assert not list(tmp_path.rglob("*.part"))


def test_a_store_that_is_empty_all_at_once_deletes_nothing_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    machine(monkeypatch, tmp_path / "one")
    record = written(opened(URL) / RUN / "record.json", "one")
    store.delete(store.find(""))  # or another store, by a setting that was forgotten
    with pytest.raises(StoreError, match=f"{URL} is empty, and was not when"):
        bring(opened(URL))
    assert record.exists()


def test_a_record_that_is_damaged_here_alone_is_brought_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    whole = json.dumps(run()).encode()
    machine(monkeypatch, tmp_path / "one")
    record = opened(URL) / RUN / "record.json"
    for read in (lambda: scan(opened(URL))[0][0].folder, lambda: (read_record(record.parent) or {})["id"] and RUN):
        store.write(f"{RUN}/record.json", whole)
        bring(opened(URL))
        record.write_bytes(whole[:100])
        assert read() == RUN
        assert record.read_bytes() == whole
    assert store.read(f"{RUN}/record.json") == whole


def test_who_only_reads_changes_nothing_on_the_store_and_who_makes_way_leaves_a_copy_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    newer = json.dumps(run() | {"schema": 2}).encode()
    store.write(f"{RUN}/record.json", newer)
    store.write("runs/mini/rte/none/seed-1-abc/record.json", b"{")
    before = store.find("")
    machine(monkeypatch, tmp_path / "one")
    with monkeypatch.context() as only_reads:
        only_reads.setattr(Store, "delete", lambda *_: pytest.fail("a reader deletes"))
        read = CliRunner().invoke(main, ["compare", "--results", URL])
    assert read.exit_code == 1
    assert f"Warning: left out, {URL}/{RUN}/record.json: made by a newer version" in read.stderr
    assert f"Warning: corrupt record {URL}/runs/mini/rte/none/seed-1-abc/record.json: " in read.stderr
    assert f"no finished runs in '{URL}'" in read.stderr
    assert store.find("") == before
    set_aside_record(opened(URL), opened(URL) / RUN / "record.json")
    assert f"{RUN}/record.json" not in store.find("")
    (aside,) = store.find("aside")
    assert store.read(aside) == newer


def test_clean_frees_what_is_on_the_store_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    machine(monkeypatch, tmp_path / "one")
    one = opened(URL)
    folder(one / RUN / "student")
    folder(one / RUN / "checkpoint/states/1")
    folder(one / "cache/teachers/rte")
    write_json(one / RUN / "record.json", run())
    machine(monkeypatch, tmp_path / "two")
    two = opened(URL)
    found = {item.kind: item for item in freeable(two)}
    assert {item.path for item in found.values()} == {
        two / RUN / "student",
        two / RUN / "checkpoint",
        two / "cache/teachers",
    }
    assert found["students"].size == sum(file.stat().st_size for file in (one / RUN / "student").iterdir())
    for kind in ("students", "checkpoints"):
        free(found[kind])
    assert {name.partition("/")[0] for name in store.find("")} == {"cache", "runs"}
    assert [*store.find(RUN)] == [f"{RUN}/record.json"]


def test_a_machine_of_a_cluster_needs_the_url_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, tmp_path / "one")
    marker = reduced(written(opened(URL) / "seen/it", ""))
    machine(monkeypatch, tmp_path / "two")
    assert _Host(b"").check(bench.__version__, marker, []) == socket.gethostname()
    remove(opened(URL) / "seen/it")
    machine(monkeypatch, tmp_path / "three")
    with pytest.raises(BenchError, match="does not see the results folder"):
        _Host(b"").check(bench.__version__, marker, [])


@pytest.mark.parametrize("torn", ["no checksums", "cut", "missing file"])
def test_a_folder_that_was_sent_in_part_is_never_read(
    torn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    machine(monkeypatch, tmp_path / "one")
    folder(opened(URL) / "cache/teachers/rte")
    name = {"no checksums": CHECKSUMS, "cut": "weights", "missing file": "config"}[torn]
    if torn == "cut":
        store.write(f"cache/teachers/rte/{name}", b"01234")
    else:
        store.delete([f"cache/teachers/rte/{name}"])
    machine(monkeypatch, tmp_path / "two")
    two, noted = opened(URL) / "cache/teachers/rte", Noted()
    assert not is_whole(two, noted)
    assert not two.exists()
    assert noted.notes == (
        []
        if torn == "no checksums"
        else [f"damaged on the store, and to be made anew: {URL}/cache/teachers/rte ({name})"]
    )
    with missing(two, Silent(), "it") as to_make:
        assert to_make
        folder(two)
    machine(monkeypatch, tmp_path / "three")
    assert is_whole(opened(URL) / "cache/teachers/rte", Silent())


def test_what_is_damaged_here_is_brought_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, tmp_path / "one")
    made, noted = folder(opened(URL) / "cache/teachers/rte"), Noted()
    (made / "weights").write_text("0123x56789")
    assert is_whole(made, noted)
    assert (made / "weights").read_text() == "0123456789"
    assert "brought anew" in noted.notes[0]


class _Unrenewed(set[Lease]):
    """Leases that the thread of another test, if one is there, never sees."""

    def add(self, lease: Lease) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that leases see pass; nobody renews one meanwhile."""
    now = [1000.0]
    monkeypatch.setattr(leases, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep))
    monkeypatch.setattr(leases, "_renew", lambda: None)
    monkeypatch.setattr(leases, "_renewing", [])
    monkeypatch.setattr(leases, "_held", _Unrenewed())
    return now


def test_a_lease_is_had_by_one_and_taken_over_after_silence_alone(store: Store, clock: list[float]) -> None:
    one, two = Lease(store, RUN, "one"), Lease(store, RUN, "two")
    assert one.take(ours_is_dead=False)
    assert not two.take(ours_is_dead=True)
    assert two.holder.startswith(f"process {os.getpid()} on ")
    for _ in range(5):  # three minutes, in which the owner is heard of
        clock[0] += 60
        one.renew()
        assert not two.take(ours_is_dead=True)
    clock[0] += 89
    assert not two.take(ours_is_dead=True)
    clock[0] += 2
    assert two.take(ours_is_dead=True)
    with pytest.raises(Lost, match=f"has taken over {RUN}, having heard nothing of this one for 90 s"):
        one.check()
    one.renew()  # one that was only slow
    one.release()
    two.check()
    assert not Lease(store, RUN, "three").take(ours_is_dead=False)
    two.release()
    assert one.take(ours_is_dead=False)
    one.check()
    assert len(store.find("leases")) == 1
    assert not Lease(store, RUN + "/evaluations/ax.json", "two")._numbers()


def test_of_many_that_want_a_lease_at_once_one_gets_it(object_store: object) -> None:
    store = Store("s3://bench/many")
    for turn in range(3):
        wanting = [Lease(store, "cell", str(number)) for number in range(8)]
        got, start = [], threading.Barrier(len(wanting))

        def take(lease: Lease, start: threading.Barrier = start, got: list[Lease] = got) -> None:
            start.wait()
            if lease.take(ours_is_dead=False):
                got.append(lease)

        threads = [threading.Thread(target=take, args=(lease,)) for lease in wanting]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1, turn
        got[0].release()


@pytest.mark.parametrize(
    ("content", "after"),
    [
        (b"", 90),
        (b"\xff{", 90),
        (b"[1]", 90),
        (b"{}", 90),
        (b"[" * 100_000, 90),
        (b'{"silence": "abc", "beat": NaN}', 90),
        (b'{"silence": NaN}', 90),
        (b'{"silence": -1, "pid": 1, "host": "\\u001b[31m", "beat": []}', 1),
        (b'{"silence": 1e9, "beat": 0}', 86400),
    ],
)
def test_a_lease_that_cannot_be_read_is_taken_over_after_silence_as_well(
    store: Store, clock: list[float], content: bytes, after: float
) -> None:
    store.write("leases/cell/3", content)
    store.write("leases/cell/007", b"")  # no number of a lease
    lease = Lease(store, "cell", "one")
    assert not lease.take(ours_is_dead=True)
    assert lease.holder.isprintable()
    clock[0] += after - 0.5
    assert not lease.take(ours_is_dead=True)
    clock[0] += 1
    assert lease.take(ours_is_dead=True)
    lease.check()
    lease.release()


def test_no_machines_clock_counts(store: Store, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 4e9)  # a machine in 2096
    one, two = Lease(store, RUN, "one"), Lease(store, RUN, "two")
    assert one.take(ours_is_dead=False)
    monkeypatch.setattr(time, "time", lambda: 1.0)  # and one in 1970
    assert not two.take(ours_is_dead=False)
    clock[0] += 80
    assert not two.take(ours_is_dead=False)


def test_a_lease_of_a_process_of_this_machine_that_died_is_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float], store: Store
) -> None:
    machine(monkeypatch, tmp_path / "one")
    run = opened(URL) / RUN
    dead = mirror.of(run).lease(run)
    assert dead.take(ours_is_dead=False)
    lock = Lock(run)
    assert lock.take(wait=False)
    machine(monkeypatch, tmp_path / "two")
    other = Lock(opened(URL) / RUN)
    assert not other.take(wait=False)
    assert other.owner().startswith("process ")
    lock.release()
    assert other.take(wait=False)
    other.release()


def test_who_has_lost_its_lease_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float], store: Store
) -> None:
    machine(monkeypatch, tmp_path / "one")
    run = opened(URL) / RUN
    lock = Lock(run)
    assert lock.take(wait=False)
    write_json(run / "spec.json", {})
    other = Lease(store, RUN, "two")
    assert not other.take(ours_is_dead=False)
    clock[0] += 91
    assert other.take(ours_is_dead=False)
    with pytest.raises(Lost):
        write_json(run / "record.json", {})
    with pytest.raises(Lost):
        folder(run / "student")
    assert sorted(path.name for path in run.glob("*")) == ["spec.json"]
    assert [*store.find(RUN)] == [f"{RUN}/spec.json"]
    lock.release()
    other.check()


def test_a_store_that_is_not_known_to_create_once_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(URL)
    store.url = "sftp://host/results"
    with pytest.raises(UsageError, match="not known to refuse a second create.*known to: s3, "):
        store.create("leases/x/1", b"")
