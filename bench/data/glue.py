"""GLUE from a local folder: the official tab-separated files, or what ``datasets.save_to_disk`` wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.data.source import TaskData
from bench.data.tables import Table, read_bytes, read_text, read_tsv, to_examples
from bench.data.tasks import GLUE, Task
from bench.errors import UsageError, unknown
from bench.toml import read_entries

_SPLITS = {"train": ("train",), "dev": ("dev",), "test": ("test",)}


@dataclass(frozen=True)
class _Layout:
    """How GLUE's own files hold a task: folder names, text and label columns, file names of each split."""

    folders: tuple[str, ...]
    texts: tuple[str, ...]
    label: str = "label"
    files: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _SPLITS)
    headerless: tuple[str, ...] = ()


_LAYOUTS = {
    name: _Layout(**entry) for name, entry in read_entries(Path(__file__).with_name("glue_folders.toml")).items()
}

# MRPC as Microsoft gives it: one train file, out of which GLUE's list of id pairs takes the dev set.
_MSR_TRAIN, _MSR_TEST = ("msr_paraphrase_train.txt",), ("msr_paraphrase_test.txt",)
_MSR_DEV_IDS = ("dev_ids.tsv", "mrpc_dev_ids.tsv")


class FolderSource:
    """A folder with one folder per task, named as GLUE does (SST-2) or by the task's name (sst2).

    A test split's examples have label None whatever the files hold, so that no test label can be used.
    """

    name = "folder"
    tasks: Mapping[str, Task] = GLUE

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UsageError(f"no such data folder: {self.folder}")
        self._fingerprints: dict[str, str] = {}

    def load(self, task: str) -> TaskData:
        """Return every split of ``task`` found in the folder; errors name the file and line."""
        folder, spec = self._task_folder(task), self.tasks[task]
        if _is_saved(folder):
            from bench.data.glue_hub import dataset_examples, read_saved

            splits = dataset_examples(read_saved(folder), spec, str(folder))
        else:
            layout = _LAYOUTS[task]
            splits = {
                split: to_examples(
                    table, spec, layout.texts, layout.label, "none" if split.startswith("test") else "required"
                )
                for split, table in self._tables(folder, spec).items()
            }
        return TaskData(spec, splits, self.name, self.fingerprint(task))

    def fingerprint(self, task: str) -> str:
        """Return the hash of the task's files, decompressed, so that ``.tsv`` and ``.tsv.gz`` agree."""
        if task not in self._fingerprints:
            folder = self._task_folder(task)
            if _is_saved(folder):
                files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("data-*.arrow"))}
            else:
                files = self._files(folder, self.tasks[task])
            digest = hashlib.sha256()
            for part, path in files.items():
                content = hashlib.sha256(read_bytes(path)).hexdigest()
                digest.update(f"{part} {content}\n".encode())
            self._fingerprints[task] = digest.hexdigest()[:16]
        return self._fingerprints[task]

    def count(self, task: str) -> dict[str, int]:
        """Return the number of rows of every split found."""
        folder, spec = self._task_folder(task), self.tasks[task]
        if _is_saved(folder):
            from bench.data.glue_hub import canonical_splits, read_saved

            splits = canonical_splits(read_saved(folder), spec, str(folder))
            return {split: len(rows) for split, rows in splits.items()}
        return {split: table.size for split, table in self._tables(folder, spec).items()}

    def _task_folder(self, task: str) -> Path:
        if task not in self.tasks:
            raise unknown("task", task, self.tasks)
        official = _LAYOUTS[task].folders
        names = dict.fromkeys((*official, task, *(name.lower() for name in official)))
        for name in names:
            if (self.folder / name).is_dir():
                return self.folder / name
        raise UsageError(f"no folder for {task} in {self.folder}: looked for {', '.join(names)}")

    def _files(self, folder: Path, task: Task) -> dict[str, Path]:
        """Return the files that are there, by split (and "dev_ids" for Microsoft's MRPC)."""
        files: dict[str, Path] = {}
        for split, stems in _LAYOUTS[task.name].files.items():
            names = tuple(stem + suffix for stem in stems for suffix in (".tsv", ".tsv.gz"))
            path = _first(folder, names)
            if path is not None:
                files[split] = path
            elif split in task.required_splits:
                if task.name == "mrpc" and _first(folder, _MSR_TRAIN):
                    return _msr_files(folder)
                raise UsageError(f"no {split} file for {task.name} in {folder}: looked for {', '.join(names)}")
        return files

    def _tables(self, folder: Path, task: Task) -> dict[str, Table]:
        files = self._files(folder, task)
        if "dev_ids" in files:
            return _msr_tables(files)
        headerless = _LAYOUTS[task.name].headerless
        return {split: read_tsv(path, headerless) for split, path in files.items()}


def _is_saved(folder: Path) -> bool:
    return (folder / "dataset_dict.json").is_file()


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _msr_files(folder: Path) -> dict[str, Path]:
    train, test, dev_ids = (_first(folder, names) for names in (_MSR_TRAIN, _MSR_TEST, _MSR_DEV_IDS))
    if train is None or dev_ids is None:
        raise UsageError(
            f"{folder} holds {_MSR_TRAIN[0]} but not GLUE's list of dev rows: looked for {', '.join(_MSR_DEV_IDS)}"
        )
    files = {"train": train, "dev_ids": dev_ids}
    return files if test is None else {**files, "test": test}


def _msr_tables(files: Mapping[str, Path]) -> dict[str, Table]:
    lines = read_text(files["dev_ids"]).split("\n")
    dev_ids = {tuple(line.strip().split("\t")) for line in lines if line.strip()}
    whole = read_tsv(files["train"])
    first, second = whole.index("#1 ID"), whole.index("#2 ID")
    parts: dict[str, list[tuple[int, Sequence[str]]]] = {"train": [], "dev": []}
    for number, cells in whole.rows:
        part = "dev" if (cells[first], cells[second]) in dev_ids else "train"
        parts[part].append((number, cells))
    tables = {split: Table(whole.source, whole.columns, len(rows), rows) for split, rows in parts.items()}
    return tables if "test" not in files else {**tables, "test": read_tsv(files["test"])}
