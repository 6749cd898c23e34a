"""The journal of paid calls: appended to before and after each, so that a kill and a rerun pay nothing twice.

Lines of JSON: {"event": "sent", "key", "worst"}, then {"event": "reply", "key", "cost", "possible", …} or
{"event": "failed", "key", "kind", "possible"}. A `sent` without an end is a call that a kill cut off: the
API may have counted it, and its worst case is taken as possibly paid.

A batch is {"event": "batch", "file", "worst": {key: picodollars}} once its file is uploaded and before it is made,
{"event": "batch-id", "file", "id"} once it is, replies and failures of its rows, and {"event": "batch-end", "file"}.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from breakeven.gateway.accounting.usage import Usage
from breakeven.models.client.chat import Reply
from breakeven.models.errors import DistillError


@dataclass
class Batch:
    """A batch under way. `file` is its upload, `id` None while it is not known whether the batch was made;
    `worst` has the picodollars at most of each row that has no outcome yet."""

    file: str
    id: str | None
    worst: dict[str, int]


class Journal:
    """What was asked and answered so far. To be used as a context; one process at a time has it open.

    `replies` are by key; `spent`, `possible` are sums in picodollars, `lost` counts calls cut off by a kill;
    `batches` are those under way, by their upload.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replies: dict[str, Reply] = {}
        self.spent = 0
        self.possible = 0
        self.lost = 0
        self.batches: dict[str, Batch] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._lock()
            self._read()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def sent(self, key: str, worst: int) -> None:
        """A call goes out now."""
        self._append({"event": "sent", "key": key, "worst": worst})

    def replied(self, key: str, reply: Reply, *, cost: int, possible: int, sync: bool = True) -> None:
        """Its reply came; with `sync` on disk when this returns."""
        record = reply._asdict() | {"usage": msgspec.structs.astuple(reply.usage)}
        self._append({"event": "reply", "key": key, "cost": cost, "possible": possible, **record})
        if sync:
            os.fsync(self._file)
        self.replies[key] = reply
        self.spent += cost
        self._close(key, possible)

    def failed(self, key: str, kind: str, *, possible: int) -> None:
        """It failed; a later run asks again."""
        self._append({"event": "failed", "key": key, "kind": kind, "possible": possible})
        self._close(key, possible)

    def uploaded(self, file: str, worst: dict[str, int]) -> Batch:
        """A batch is made of this upload now."""
        self._append({"event": "batch", "file": file, "worst": worst})
        os.fsync(self._file)
        self.batches[file] = Batch(file, None, dict(worst))
        return self.batches[file]

    def begun(self, batch: Batch, name: str) -> None:
        """The batch was made."""
        self._append({"event": "batch-id", "file": batch.file, "id": name})
        os.fsync(self._file)
        batch.id = name

    def ended(self, batch: Batch, *, possible: int = 0) -> None:
        """It is over, or was never made; what its rows cost is on disk. `possible` is for rows without outcome."""
        os.fsync(self._file)
        self._append({"event": "batch-end", "file": batch.file, "possible": possible})
        self.possible += possible
        del self.batches[batch.file]

    def _close(self, key: str, possible: int) -> None:
        self.possible += possible
        for batch in self.batches.values():
            batch.worst.pop(key, None)

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            raise DistillError(
                f"{self.path}: cannot be written: {error.strerror}; make room, then the same command goes on"
            ) from None

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DistillError(f"{self.path}: another run writes to it; wait for its end") from None

    def _read(self) -> None:
        with open(self._file, "rb", closefd=False) as lines:
            data = lines.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # A kill cut off the last line.
            os.ftruncate(self._file, whole)
        under_way: dict[str, int] = {}
        for number, line in enumerate(data[:whole].split(b"\n")[:-1], 1):
            try:
                self._take(json.loads(line), under_way)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise DistillError(
                    f"{self.path}: line {number} is damaged; mend or delete that line (what it holds was paid for)"
                ) from None
        self.lost += len(under_way)
        self.possible += sum(under_way.values())

    def _take(self, record: dict[str, Any], under_way: dict[str, int]) -> None:
        if record["event"].startswith("batch"):
            self._take_batch(record)
            return
        event, key = record["event"], record["key"]
        if event == "sent":
            if key in under_way:
                self.lost += 1
                self.possible += under_way[key]
            under_way[key] = int(record["worst"])
            return
        under_way.pop(key, None)
        self._close(key, int(record["possible"]))
        if event == "reply":
            self.spent += int(record["cost"])
            values = {name: record[name] for name in Reply._fields}
            self.replies[key] = Reply(**values | {"usage": Usage(*record["usage"])})

    def _take_batch(self, record: dict[str, Any]) -> None:
        event, file = record["event"], record["file"]
        if event == "batch":
            self.batches[file] = Batch(file, None, {str(key): int(worst) for key, worst in record["worst"].items()})
        elif event == "batch-id":
            self.batches[file].id = str(record["id"])
        else:
            self.possible += int(record["possible"])
            del self.batches[file]
