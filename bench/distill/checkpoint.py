"""The training state of an interrupted run: tensors in safetensors, the rest as JSON, so that nothing is unpickled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from bench.errors import BenchError
from bench.files import is_whole, remove, set_aside, whole_folder
from bench.observer import Observer
from bench.remote import mirror
from bench.remote.leases import Lost
from bench.remote.store import StoreError

FORMAT = 4
# What reading a file may raise that is whole, but of another version or of somebody's making.
_UNUSABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)


class Checkpoints:
    """The last two states of one training, in numbered folders under ``home``.

    A state is a dict of tensors, numbers, texts, None and lists, tuples and dicts of these.
    """

    def __init__(self, home: Path, observer: Observer) -> None:
        self.home, self.observer = home, observer
        self._has_failed = False

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state``; where that fails, say so once: the training itself needs no checkpoint."""
        numbers, there = self._numbers(), mirror.of(self.home)
        tensors: dict[str, torch.Tensor] = {}
        try:
            with whole_folder(self.home / str(max(numbers, default=0) + 1), later=True) as part:
                rest = {"format": FORMAT, "state": _without_tensors(state, tensors)}
                (part / "rest.json").write_text(json.dumps(rest))
                save_file(_apart(tensors), part / "tensors.safetensors")
        except Lost:
            raise
        except StoreError as error:
            self._fail(f"checkpoints are on this machine alone, where this run can go on ({error})")
        except (BenchError, SafetensorError, TypeError) as error:
            self._fail(f"no checkpoint can be written; if this run is cut off, it starts over ({error})")
            return
        for number in numbers[:-1]:
            folder = self.home / str(number)
            if there is None or there.sending != folder:
                shutil.rmtree(folder, ignore_errors=True)

    def _fail(self, how: str) -> None:
        if not self._has_failed:
            self.observer.note(how)
        self._has_failed = True

    def load(self, **weights: Mapping[str, torch.Tensor]) -> dict[str, Any] | None:
        """Return the last usable state, or None; an unusable one is set aside, with a note.

        Usable is one of this format whose entries named in ``weights`` have these tensors, by names and shapes.
        """
        there = mirror.of(self.home)
        for number in sorted(
            {*self._numbers(), *(there.numbers(self.home) if there is not None else ())}, reverse=True
        ):
            folder = self.home / str(number)
            if not is_whole(folder, self.observer):
                continue
            try:
                rest = json.loads((folder / "rest.json").read_bytes())
                if rest["format"] != FORMAT:
                    raise ValueError(f"format {rest['format']}, expected {FORMAT}")
                state = _with_tensors(rest["state"], load_file(folder / "tensors.safetensors"))
                for name, expected in weights.items():
                    if _shapes(state[name]) != _shapes(expected):
                        raise ValueError(f"another {name}")
            except (*_UNUSABLE, SafetensorError) as error:
                aside = set_aside(folder)
                self.observer.note(f"unusable checkpoint set aside as {aside} ({type(error).__name__}: {error})")
                continue
            return state
        return None

    def remove(self) -> None:
        """Delete all states: the training is done."""
        remove(self.home)

    def _numbers(self) -> list[int]:
        return sorted(int(path.name) for path in self.home.glob("*") if path.name.isdecimal())


def _shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return ``tensors``, no two in one memory as tied weights are: safetensors refuses that."""
    memories = set[int]()
    apart = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in memories else tensor
        memories.add(memory)
    return apart


def _without_tensors(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Return ``value`` as JSON can hold it; its tensors go to ``tensors``."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[key, _without_tensors(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_without_tensors(item, tensors) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a state may hold tensors, numbers, texts, lists, tuples and dicts, not {type(value).__name__}")


def _with_tensors(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _with_tensors(item, tensors) for key, item in content}
    items = [_with_tensors(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
