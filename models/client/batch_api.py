"""The batch API of OpenAI and compatible APIs: upload a file of requests, create a batch, download files of answers.

https://platform.openai.com/docs/api-reference/batch, with the paths /files and /batches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from breakeven.gateway.wire.refusals import LIMITS, OMITTED
from breakeven.models.client.chat import Call, CallFailed, Chat, Failure, Reply, read_reply

# The final statuses of a batch.
FINAL = ("completed", "failed", "expired", "cancelled")
_ENDPOINT = "/v1/chat/completions"
_PAGE = 100


class State(NamedTuple):
    """The state of a batch: `done` of `total` rows, the ids of its result files, the API's `message` if it failed."""

    status: str
    done: int
    total: int
    files: tuple[str, ...]
    message: str


class BatchApi:
    """The endpoints of the batch API. Requests are not retried; all methods that send one raise CallFailed."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def line(self, call: Call) -> bytes:
        """A call as a line of the uploaded file."""
        row = {"custom_id": row_id(call.key), "method": "POST", "url": _ENDPOINT, "body": self._chat.body(call)}
        return json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"

    def learn(self, error: CallFailed) -> bool:
        """Take note of what the model refused in a row; whether the row is worth sending again without it."""
        return self._chat.learn(error, (*OMITTED, *LIMITS))

    async def upload(self, lines: Sequence[bytes]) -> str:
        """Upload a file with these lines and return its id. A file that no batch is created from costs nothing."""
        files = {"file": ("breakeven.jsonl", b"".join(lines), "application/jsonl")}
        response = await self._chat.request("POST", "/files", data={"purpose": "batch"}, files=files)
        return _id(_body(response))

    async def create(self, file: str) -> str:
        """Create a batch from the uploaded file with this id and return the batch's id."""
        body = {"input_file_id": file, "endpoint": _ENDPOINT, "completion_window": "24h"}
        response = await self._chat.request("POST", "/batches", json=body, headers={"idempotency-key": file})
        return _id(_body(response))

    async def find(self, file: str) -> str | None:
        """The id of the batch that was created from this file, or None."""
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
        """The current state of the batch with this id."""
        body = _body(await self._chat.request("GET", f"/batches/{name}"))
        counts = body.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        files = tuple(str(body[field]) for field in ("output_file_id", "error_file_id") if body.get(field))
        errors = body.get("errors")
        listed = errors.get("data") if isinstance(errors, dict) else None
        first = listed[0] if isinstance(listed, list) and listed else None
        message, _ = self._chat.error_message({"error": first})
        done = _count(counts.get("completed")) + _count(counts.get("failed"))
        return State(str(body.get("status")), done, _count(counts.get("total")), files, message)

    async def rows(self, file: str) -> Iterator[tuple[str, Reply | CallFailed]]:
        """The row ids and outcomes in a result file; lines that cannot be read are skipped."""
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
        message, code = self._chat.error_message({"error": row.get("error")})
        # An expired or cancelled batch never processed this row.
        return CallFailed(Failure.SERVER, f"row of a batch: {code or 'no answer'}{f': {message}' if message else ''}")


def row_id(key: str) -> str:
    """The id of a call's row in a batch, 32 hex digits: some APIs limit the length."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _body(response: Any) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CallFailed(Failure.INVALID, "the batch API answered 200, but not with a JSON object")
    return body


def _id(body: dict[str, Any]) -> str:
    name = body.get("id")
    # The id becomes part of URL paths.
    if not isinstance(name, str) or not name or set(name) & set("/?#\\ ") or ".." in name:
        raise CallFailed(Failure.INVALID, "the batch API answered without a usable id")
    return name


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
