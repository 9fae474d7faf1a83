"""What the benchmarks of rewriting share: their sentences, and one side of a comparison in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

if TYPE_CHECKING:
    from bench.data.tasks import Example, Task


def sentences(folder: Path, rows: int) -> tuple[Task, list[Example]]:
    """Return SST-2 and its first ``rows`` different training sentences."""
    from bench.data.sources import open_source

    data = open_source("folder", folder).load("sst2")
    return data.task, list({example.texts: example for example in data.splits["train"]}.values())[:rows]


def in_a_fresh_process(script: str, *arguments: str, texts: Any) -> dict[str, Any]:
    """Return what ``script``, given ``texts`` as JSON on its standard input, prints as JSON on its last line."""
    done = subprocess.run(
        [sys.executable, script, *arguments],
        input=json.dumps(texts),
        env=os.environ | {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
