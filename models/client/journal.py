"""The journal of paid calls: written before and after each call, so that after a crash a rerun pays for nothing twice.

Lines of JSON: {"event": "sent", "key", "worst"}, then {"event": "reply", "key", "cost", "possible", …} or
{"event": "failed", "key", "kind", "possible"}. A `sent` without an end is a call that a crash cut off: the API may have
charged for it, and its worst case counts as possibly paid.

A batch is {"event": "batch", "file", "worst": {key: picodollars}} once its file is uploaded and before it is created,
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
    """A batch in progress. `file`: the id of its upload; `id`: None until its creation was confirmed; `worst`: for each
    row without an outcome the most that it can cost, in picodollars, by key.
    """

    file: str
    id: str | None
    worst: dict[str, int]


class Journal:
    """All calls of a dataset so far, in a file. Use it as a context manager; only one process can have it open.

    `replies` by key; `spent` and `possible` in picodollars; `lost`, the number of calls that a crash cut off;
    `batches` in progress, by the id of their upload. Opening raises DistillError where another process has the file
    open or a line is damaged; all methods raise it where the file cannot be written.
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
        """Record that a call is about to be sent; `worst` is the most that it can cost, in picodollars."""
        self._append({"event": "sent", "key": key, "worst": worst})

    def replied(self, key: str, reply: Reply, *, cost: int, possible: int, sync: bool = True) -> None:
        """Record a reply with its cost (picodollars); with `sync` it is on disk when this returns."""
        record = reply._asdict() | {"usage": msgspec.structs.astuple(reply.usage)}
        self._append({"event": "reply", "key": key, "cost": cost, "possible": possible, **record})
        if sync:
            os.fsync(self._file)
        self.replies[key] = reply
        self.spent += cost
        self._close(key, possible)

    def failed(self, key: str, kind: str, *, possible: int) -> None:
        """Record that a call failed and may have cost `possible` picodollars; a later run sends it again."""
        self._append({"event": "failed", "key": key, "kind": kind, "possible": possible})
        self._close(key, possible)

    def uploaded(self, file: str, worst: dict[str, int]) -> Batch:
        """Record that a batch is about to be created from an upload; `worst` is the worst case of each row, by key."""
        self._append({"event": "batch", "file": file, "worst": worst})
        os.fsync(self._file)
        self.batches[file] = Batch(file, None, dict(worst))
        return self.batches[file]

    def begun(self, batch: Batch, name: str) -> None:
        """Record the id of a created batch."""
        self._append({"event": "batch-id", "file": batch.file, "id": name})
        os.fsync(self._file)
        batch.id = name

    def ended(self, batch: Batch, *, possible: int = 0) -> None:
        """Record that a batch ended or was never created; `possible`: picodollars for rows without outcome."""
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
                f"{self.path}: cannot be written: {error.strerror}; free disk space, then run the "
                "same command again to continue"
            ) from None

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DistillError(f"{self.path}: another run has it open; wait until that has ended") from None

    def _read(self) -> None:
        with open(self._file, "rb", closefd=False) as lines:
            data = lines.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # A crash cut off the last line.
            os.ftruncate(self._file, whole)
        in_flight: dict[str, int] = {}
        for number, line in enumerate(data[:whole].split(b"\n")[:-1], 1):
            try:
                self._replay(json.loads(line), in_flight)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise DistillError(
                    f"{self.path}: line {number} is damaged; fix or delete that line (its content was paid for)"
                ) from None
        self.lost += len(in_flight)
        self.possible += sum(in_flight.values())

    def _replay(self, record: dict[str, Any], in_flight: dict[str, int]) -> None:
        if record["event"].startswith("batch"):
            self._replay_batch(record)
            return
        event, key = record["event"], record["key"]
        if event == "sent":
            if key in in_flight:
                self.lost += 1
                self.possible += in_flight[key]
            in_flight[key] = int(record["worst"])
            return
        in_flight.pop(key, None)
        self._close(key, int(record["possible"]))
        if event == "reply":
            self.spent += int(record["cost"])
            # Journals of earlier versions lack the fields that have a default.
            values = {name: record[name] for name in Reply._fields if name in record}
            self.replies[key] = Reply(**values | {"usage": Usage(*record["usage"])})

    def _replay_batch(self, record: dict[str, Any]) -> None:
        event, file = record["event"], record["file"]
        if event == "batch":
            self.batches[file] = Batch(file, None, {str(key): int(worst) for key, worst in record["worst"].items()})
        elif event == "batch-id":
            self.batches[file].id = str(record["id"])
        else:
            self.possible += int(record["possible"])
            del self.batches[file]
