"""Bytes through every reader and parser, led by what code they reach (atheris), from seeds that are valid.

    pip install atheris
    python tests/benchmarks/fuzz_bytes.py [inputs of each] [reader ...]

The readers, and what may become of an input, are those of tests/fuzzing.py: it is read or refused in words, within ten
seconds. Anything else ends a reader's inputs, and is printed with the one that did it. Each has a process of its own.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[n]) for n in (1, 2)]

MOST_BYTES = 1 << 14


class Seedless(Exception):
    """These bytes are no input of this reader."""


def argument(content: bytes) -> str:
    """Return bytes as an argument of a command has them."""
    return os.fsdecode(content)


def arguments(content: bytes) -> list[str]:
    """Return a list of arguments, one a line."""
    return [os.fsdecode(line) for line in content.split(b"\n")]


def two_files(content: bytes) -> tuple[bytes, bytes]:
    """Return the contents of two files, with a line of = between them."""
    first, _, second = content.partition(b"\n=\n")
    return first, second


def tree(content: bytes) -> dict[str, Any]:
    """Return the tree that bytes are the JSON of."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Seedless from error
    if not isinstance(found, dict):
        raise Seedless
    return found


def seeds() -> dict[str, tuple[Callable[[bytes], Any], list[bytes]]]:
    """Return for each reader what makes its inputs of bytes, and valid ones to begin with."""
    import fuzzing

    plain = fuzzing.HEAD[0] + fuzzing.RTE
    commas = plain.replace(b"\t", b",")
    lines = b'{"text": "a", "label": 1}\n' * 3
    specs = [b"none,mate-kd[rho=0.4]", b"eda+freelb,best-of-k(eda)[k=2],nlpaug:*"]
    nested = {"teacher": {"epochs": 3, "shape": {"layers": 2}}, "recipe": {"weights": [1, 1.5, 0]}}
    return {
        "strategies on the command line": (argument, specs),
        "one strategy with options": (argument, [b"mate-kd[rho=0.4]", b"best-of-k(eda[alpha=0.1])[k=2]"]),
        "lists with brackets": (argument, [b"a[b=1,c=(2,3)],d(e)"]),
        "launchers": (argument, [b"ray[cpus=2,gpus=0.5]", b"processes", b"slurm[cluster=local,minutes=9]"]),
        "--set": (arguments, [b"recipe.epochs=3\nteacher.shape.hidden_size=32", b"recipe.weights=1,1,0"]),
        "settings as a tree": (tree, [json.dumps(nested).encode()]),
        "preset files": (bytes, [fuzzing.PRESET]),
        "task files": (bytes, [fuzzing.TASK]),
        "GLUE's .tsv": (two_files, [fuzzing.RTE + b"=\n" + fuzzing.RTE]),
        "tables .tsv": (bytes, [plain]),
        "tables .csv": (bytes, [commas, b'text,label\n"a, ""b""\nc",x\n']),
        "tables .jsonl": (bytes, [lines]),
        "tables .tsv.gz": (bytes, [gzip.compress(plain, mtime=0)]),
        "tables .parquet": (bytes, [fuzzing.parquet_bytes()]),
        "records": (bytes, [fuzzing.record_bytes()]),
    }


def dictionary() -> str:
    """Return the pieces that readers know, which are put into inputs, as libFuzzer reads them."""
    import fuzzing as known

    texts = [*known.NAMES, *known.SECTIONS, *known.KEYS, *(mark for mark in known.MARKS if len(mark) < 20)]
    chunks = [*known.CELLS, *known.HEAD, *known.ODD, *known.LINES, *known.PARQUET, *known.RECORD, *known.TOML_BYTES]
    lines = [piece.hex(" ").split() for piece in dict.fromkeys([*map(str.encode, texts), *chunks])]
    return "".join('"' + "".join(f"\\x{byte}" for byte in line) + '"\n' for line in lines)


def fuzz(name: str, count: int, home: Path) -> None:
    """Put ``count`` inputs through one reader; what became of how many is written to a file. Ends the process."""
    import atheris

    with atheris.instrument_imports(include=["bench"]):
        import fuzzing

        target, (made, valid) = fuzzing.TARGETS[name], seeds()[name]
        for number, content in enumerate(valid):
            assert not fuzzing.is_refused(target, made(content)), content
            (home / "corpus" / str(number)).write_bytes(content)
        (home / "pieces").write_text(dictionary())
    ends, tally = [0, 0, 0], os.open(home / "tally", os.O_RDWR | os.O_CREAT)

    def one(content: bytes) -> None:
        try:
            ends[fuzzing.is_refused(target, made(content))] += 1
        except Seedless:
            ends[2] += 1
        os.pwrite(tally, json.dumps(ends).encode(), 0)

    limits = [f"-runs={count}", f"-max_len={MOST_BYTES}", f"-timeout={int(fuzzing.SECONDS)}", "-rss_limit_mb=8192"]
    given = ["-seed=1", f"-dict={home / 'pieces'}", f"-artifact_prefix={home}/found-", str(home / "corpus")]
    atheris.Setup(["fuzz", *limits, *given], one)
    atheris.Fuzz()


def main(count: int, names: list[str]) -> int:
    """Print a line for each reader; return how many ended with something that is no refusal."""
    print(f"{'reader':<32} {'inputs':>8} {'read':>8} {'refused':>8} {'seconds':>8}")
    found, whole = 0, 0
    for name in names or seeds():
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            (home / "corpus").mkdir()
            command = [sys.executable, __file__, "--one", name, str(count), folder]
            ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            read, refused, _ = json.loads((home / "tally").read_text()) if (home / "tally").exists() else (0, 0, 0)
            seconds = time.perf_counter() - began
            print(f"{name:<32} {read + refused:8,} {read:8,} {refused:8,} {seconds:8.0f}", flush=True)
            whole += read + refused
            if ended.returncode:
                found += 1
                print(ended.stdout.decode(errors="replace")[-3000:])
                for path in home.glob("found-*"):
                    print(f"{path.name}: {path.read_bytes()!r}", flush=True)
    print(f"{whole:,} inputs, {found} readers with a find")
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    sys.exit(min(1, main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, sys.argv[2:])))
