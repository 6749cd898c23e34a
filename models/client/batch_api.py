"""The batch API of OpenAI and those who copy it: a file of requests up, a batch of it, files of answers down.

https://platform.openai.com/docs/api-reference/batch, with the paths /files and /batches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from breakeven.models.client.chat import Call, CallFailed, Chat, Failure, Reply, read_reply

# Statuses after which nothing changes.
ENDS = ("completed", "failed", "expired", "cancelled")
_ENDPOINT = "/v1/chat/completions"
_PAGE = 100


class State(NamedTuple):
    """How a batch is getting on. `said` are the API's words where it failed; `files` hold answers and errors."""

    status: str
    done: int
    total: int
    files: tuple[str, ...]
    said: str


class BatchApi:
    """The calls of the API, each sent once. All raise CallFailed."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def line(self, call: Call) -> bytes:
        """A call as a line of the file."""
        row = {"custom_id": row_id(call.key), "method": "POST", "url": _ENDPOINT, "body": self._chat.body(call)}
        return json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"

    async def upload(self, lines: Sequence[bytes]) -> str:
        """The id of a file of these lines. One that nobody makes a batch of costs nothing."""
        files = {"file": ("breakeven.jsonl", b"".join(lines), "application/jsonl")}
        response = await self._chat.request("POST", "/files", data={"purpose": "batch"}, files=files)
        return _id(_body(response))

    async def create(self, file: str) -> str:
        """The id of a new batch of an uploaded file."""
        body = {"input_file_id": file, "endpoint": _ENDPOINT, "completion_window": "24h"}
        response = await self._chat.request("POST", "/batches", json=body, headers={"idempotency-key": file})
        return _id(_body(response))

    async def find(self, file: str) -> str | None:
        """The id of the batch that was made of this file, if there is one."""
        after: dict[str, str] = {}
        while True:
            page = _body(await self._chat.request("GET", "/batches", params={"limit": str(_PAGE), **after}))
            listed = [one for one in page.get("data") or [] if isinstance(one, dict)]
            for one in listed:
                if one.get("input_file_id") == file:
                    return _id(one)
            if not (page.get("has_more") and listed):
                return None
            after = {"after": _id(listed[-1])}

    async def state(self, name: str) -> State:
        """How a batch is getting on."""
        body = _body(await self._chat.request("GET", f"/batches/{name}"))
        counts = body.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        files = tuple(str(body[field]) for field in ("output_file_id", "error_file_id") if body.get(field))
        errors = body.get("errors")
        listed = errors.get("data") if isinstance(errors, dict) else None
        first = listed[0] if isinstance(listed, list) and listed else None
        said, _ = self._chat.said({"error": first})
        done = _count(counts.get("completed")) + _count(counts.get("failed"))
        return State(str(body.get("status")), done, _count(counts.get("total")), files, said)

    async def rows(self, file: str) -> Iterator[tuple[str, Reply | CallFailed]]:
        """The row ids and outcomes in a file of answers or errors; lines that say nothing are left out."""
        response = await self._chat.request("GET", f"/files/{file}/content")
        return self._outcomes(response.content)

    def _outcomes(self, data: bytes) -> Iterator[tuple[str, Reply | CallFailed]]:
        for line in data.split(b"\n"):
            try:
                row = json.loads(line)
                yield row["custom_id"], self._outcome(row)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue

    def _outcome(self, row: dict[str, Any]) -> Reply | CallFailed:
        response = row.get("response") or {}
        status, body = response.get("status_code"), response.get("body")
        if status == 200:
            try:
                return read_reply(body, 0.0)
            except CallFailed as error:
                return error
        if isinstance(status, int):
            return self._chat.failure(status, body, {})
        said, code = self._chat.said({"error": row.get("error")})
        # A batch that ran out of time, or was cancelled, has not begun with this row.
        return CallFailed(Failure.SERVER, f"row of a batch: {code or 'no answer'}{f': {said}' if said else ''}")


def row_id(key: str) -> str:
    """A name for a row of a batch: short, as some APIs want it."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _body(response: Any) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CallFailed(Failure.NONSENSE, "the batch API answered 200 with something else than a JSON object")
    return body


def _id(body: dict[str, Any]) -> str:
    name = body.get("id")
    # It becomes part of paths.
    if not isinstance(name, str) or not name or set(name) & set("/?#\\ ") or ".." in name:
        raise CallFailed(Failure.NONSENSE, "the batch API answered without a usable id")
    return name


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
