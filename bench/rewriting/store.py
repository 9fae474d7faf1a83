"""Rewritten rows on disk, so that no row is rewritten twice; damaged files are set aside and their rows made again."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.tasks import Task
from bench.files import digest, set_aside, whole_file, write_json
from bench.observer import Observer
from bench.remote import mirror
from bench.rewriting.job import RowResult

if TYPE_CHECKING:
    import pyarrow as pa

_FLUSH_SECONDS = 5.0
_WORTH_COUNTING = 0.01
_COLUMNS = {"key": "string", "outcome": "string", "queries": "int64", "seconds": "double", "failed": "string"}


class Store:
    """Rewritten rows of ``task``, ``cache/rewrites/<identity>/*.parquet``: one line per form, under the row's key.

    Parts are whole, have names of their own, so that several processes may write at once, and carry the digest of
    their content.
    """

    def __init__(self, cache: Path, identity: dict[str, Any], task: Task, observer: Observer) -> None:
        self._folder = cache / "rewrites" / digest(identity)
        self._texts = [f"text_{side}" for side in range(len(task.texts))]
        self._observer = observer
        self._pending: list[tuple[str, RowResult]] = []
        self._started = self._flushed = time.monotonic()
        self._succeeded = False
        write_json(self._folder / "card.json", identity, anew=False)  # for people; nothing reads it

    def read(self, keys: Collection[str]) -> dict[str, RowResult]:
        """Return the stored results of the rows with ``keys``; a damaged part is set aside, with a note."""
        import pyarrow as pa

        mirror.bring(self._folder)
        results: dict[str, RowResult] = {}
        for part in sorted(self._folder.glob("*.parquet")):
            try:
                rows = self._rows(part)
            except (pa.ArrowException, OSError, ValueError) as error:
                reason = " ".join(str(error).split())
                self._observer.note(
                    f"damaged, set aside as {set_aside(part)} and to be made anew: {part} ({reason:.200})"
                )
                continue
            # Where two processes rewrote one row and only one succeeded, that counts.
            results |= {
                key: result
                for key, result in rows.items()
                if key in keys and (key not in results or result.failed is None)
            }
        self._succeeded = any(result.failed is None for result in results.values())
        return results

    def _rows(self, part: Path) -> dict[str, RowResult]:
        """Return the rows in ``part``; raises where it is not what ``flush`` wrote."""
        import pyarrow.parquet as pq

        table = pq.ParquetFile(part, page_checksum_verification=True).read()
        if not table.schema.equals(self._schema()):
            raise ValueError(f"it has columns {table.schema.names}, not {self._schema().names}, or of other types")
        columns = [column.to_pylist() for column in table.columns]
        if (table.schema.metadata or {}).get(b"digest", b"").decode() != digest(columns):
            raise ValueError("its content is not what was written")
        rows: dict[str, RowResult] = {}
        for key, outcome, queries, seconds, failed, *texts in zip(*columns, strict=True):
            result = rows.setdefault(key, RowResult([], outcome, queries, seconds, failed))
            if failed is None:
                result.forms.append(tuple(texts))
        return rows

    def add(self, key: str, result: RowResult) -> None:
        """Take a row; at most a twentieth of the time that all took is lost when the power fails."""
        if not result.final:
            return
        self._pending.append((key, result))
        self._succeeded |= result.failed is None
        now = time.monotonic()
        if now - self._flushed > max(_FLUSH_SECONDS, (now - self._started) / 20):
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet, but no failures of a strategy that has not succeeded once."""
        if not self._pending or not self._succeeded:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = [list(column) for column in zip(*self._lines(), strict=True)]
        schema = self._schema().with_metadata({"digest": digest(columns)})
        table = pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema)
        with whole_file(self._folder / f"{uuid.uuid4().hex}.parquet") as part:
            pq.write_table(table, part, compression="zstd", write_page_checksum=True)
        self._pending, self._flushed = [], time.monotonic()

    def _lines(self) -> Iterator[tuple[Any, ...]]:
        nothing: Any = (None,) * len(self._texts)
        for key, result in self._pending:
            for form in result.forms or [nothing]:
                yield (key, result.outcome, result.queries, result.seconds, result.failed, *form)

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema({**_COLUMNS, **dict.fromkeys(self._texts, "string")})


def preparing(cache: Path, identity: dict[str, Any], seconds: float) -> float:
    """Return the seconds that preparing a rewriter took, those of earlier calls and the ``seconds`` of this one.

    What is prepared serves every seed and edition, so ``identity`` must name neither.
    """
    path = cache / "preparations" / f"{digest(identity)}.json"
    mirror.fetch_file(path)
    try:
        earlier = float(json.loads(path.read_text())["seconds"])
    except (OSError, ValueError, KeyError, TypeError):  # nothing was prepared, or the file is damaged
        earlier = 0.0
    if seconds < _WORTH_COUNTING:
        return earlier
    write_json(path, {"seconds": earlier + seconds})
    return earlier + seconds
