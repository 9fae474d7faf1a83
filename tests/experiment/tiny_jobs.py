"""Cells that train in seconds, one of which waits in the middle until it is let go on."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

from bench.data.glue import FolderSource
from bench.experiment.grid import make_grid
from bench.experiment.launch import CellJob
from bench.experiment.parts import Parts
from bench.experiment.presets import load_settings
from bench.experiment.progress import Progress
from bench.spec import StrategySpec

TINY = (
    "data.max_length=24",
    "teacher.epochs=1",
    "teacher.force=true",
    "recipe.epochs=1",
    "recipe.checkpoint_seconds=0",
    "generator.tokens=2000",
    "generator.shape.num_hidden_layers=1",
)
WAITS = """
    import time
    from dataclasses import dataclass
    from pathlib import Path
    from bench import Strategy

    @dataclass
    class Waits(Strategy):
        updates = 0

        def views(self, batch, models):
            with Path(LOG).open("a") as log:
                log.write(f"{self.updates} ")
            while self.updates == 3 and not Path(GO).exists():
                time.sleep(0.05)
            self.updates += 1
            return iter(())

        def state_dict(self):
            return {"updates": self.updates}

        def load_state_dict(self, state):
            self.updates = state["updates"]
"""
MATE_KD = "mate-kd[generator_lr=0.01,generator_steps=1,student_steps=1]"


def glue(folder: Path) -> Path:
    """A folder with two tasks of GLUE and few rows of few words."""
    for task, labels, train in (("RTE", ("entailment", "not_entailment"), 192), ("WNLI", ("0", "1"), 160)):
        (folder / task).mkdir(parents=True)
        for split, n in (("train", train), ("dev", 40)):
            rows = [f"{i}\ta{i % 7} b{i % 5} {split}\ta{i % 3} c{i % 4}\t{labels[i % 2]}\n" for i in range(n)]
            (folder / task / f"{split}.tsv").write_text("index\tsentence1\tsentence2\tlabel\n" + "".join(rows))
    return folder


def jobs(
    results: Path,
    *strategies: str,
    tasks: tuple[str, ...] = ("wnli",),
    data: Path | None = None,
    keep: bool = True,
) -> list[CellJob]:
    source = FolderSource(glue(results / "glue") if data is None else data)
    settings = replace(load_settings("mini", TINY), data=replace(load_settings("mini", TINY).data, source="folder"))
    parts = Parts(settings, source, results, Progress())
    specs = [StrategySpec.parse(strategy) for strategy in strategies]
    cells = make_grid(settings, source, [source.tasks[task] for task in tasks], specs, [0])
    return [CellJob(cell, parts, keep) for cell in cells]


def waiting_strategy(folder: Path) -> tuple[str, Path, Path]:
    """A strategy that waits in its fourth of five updates until a file is there, the file, and a log of its updates."""
    file, go, log = (folder / name for name in ("waits.py", "go", "log"))
    file.write_text(textwrap.dedent(WAITS).replace("GO", repr(str(go))).replace("LOG", repr(str(log))))
    return f"{file}:Waits", go, log
