"""A scripted batch API over HTTP, with files and batches in memory."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.unit.models.support.teacher import Script, Teacher, completion, error, serve


@contextlib.contextmanager
def serve_batches(script: Script, looks: int = 1) -> Iterator[Batches]:
    """Run a scripted teacher with a batch API; `looks` as in `Batches`."""
    made: list[Batches] = []

    def routes(teacher: Teacher) -> list[Route]:
        made.append(Batches(teacher, looks))
        return made[0].routes()

    with serve(script, more=routes):
        yield made[0]


class Batches:
    """The batch endpoints. A batch ends after `looks` status requests; with more than `row_limit` rows it expires.

    `at` is called with the name of each step (an endpoint before it acts, with a `!` after it has); a response that it
    returns is sent instead. Steps in `holding` never respond. The teacher's `answered` counts the answered rows.
    """

    def __init__(self, teacher: Teacher, looks: int = 1) -> None:
        self.teacher = teacher
        self.looks = looks
        self.at: Callable[[str], Response | None] = lambda step: None
        self.holding: set[str] = set()
        self.row_limit = 10**9
        self.steps: Counter[str] = Counter()
        self.files: dict[str, bytes] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.page = 2
        self._numbers = itertools.count(1)

    def routes(self) -> list[Route]:
        return [
            Route("/v1/files", self.upload, methods=["POST"]),
            Route("/v1/files/{name}/content", self.content),
            Route("/v1/batches", self.create, methods=["POST"]),
            Route("/v1/batches", self.listing),
            Route("/v1/batches/{name}", self.look),
        ]

    async def upload(self, request: Request) -> Response:
        head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
        form = email.message_from_bytes(head + await request.body(), policy=email.policy.HTTP)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        assert parts["purpose"].get_content().strip() == "batch"
        data = parts["file"].get_payload(decode=True)
        return await self._step("upload", lambda: self._store(data))

    def _store(self, data: bytes) -> dict[str, Any]:
        name = f"file-{next(self._numbers)}"
        self.files[name] = data
        return {"id": name, "object": "file", "purpose": "batch"}

    async def create(self, request: Request) -> Response:
        body = json.loads(await request.body())
        assert body["endpoint"] == "/v1/chat/completions"
        assert body["completion_window"] == "24h"
        return await self._step("create", lambda: self._make(body["input_file_id"]))

    def _make(self, file: str) -> dict[str, Any]:
        rows = [json.loads(line) for line in self.files[file].splitlines()]
        assert len({row["custom_id"] for row in rows}) == len(rows)
        name = f"batch_{next(self._numbers)}"
        self.made[name] = {"id": name, "input_file_id": file, "status": "in_progress", "looks": 0}
        self.made[name]["request_counts"] = {"total": len(rows), "completed": 0, "failed": 0}
        return self.made[name]

    async def listing(self, request: Request) -> Response:
        listed = list(reversed(self.made.values()))
        names = [one["id"] for one in listed]
        start = names.index(request.query_params["after"]) + 1 if "after" in request.query_params else 0
        page = listed[start : start + self.page]
        more = start + self.page < len(listed)
        return await self._step("list", lambda: {"object": "list", "data": page, "has_more": more})

    async def look(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.made:
            return error(404, "no such batch")
        return await self._step("look", lambda: self._age(self.made[name]))

    def _age(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["looks"] += 1
        if batch["status"] == "in_progress" and batch["looks"] > self.looks:
            self._end(batch)
        return batch

    def _end(self, batch: dict[str, Any]) -> None:
        rows = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        good, bad = [], []
        for number, row in enumerate(rows):
            shown: dict[str, Any] = {"custom_id": row["custom_id"], "response": None, "error": None}
            if number >= self.row_limit:
                bad.append(shown | {"error": {"code": "batch_expired", "message": "did not get to it"}})
                continue
            made = self.teacher.script(row["body"])
            self.teacher.bodies.append(row["body"])
            if isinstance(made, Response) and made.status_code != 200:
                body = json.loads(bytes(made.body))
                bad.append(shown | {"response": {"status_code": made.status_code, "body": body}})
                continue
            self.teacher.answered[row["body"]["messages"][-1]["content"]] += 1
            body = json.loads(bytes(made.body)) if isinstance(made, Response) else completion(made)
            good.append(shown | {"response": {"status_code": 200, "body": body}})
        batch["status"] = "expired" if len(rows) > self.row_limit else "completed"
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}
        for field, lines in (("output_file_id", good[::-1]), ("error_file_id", bad)):
            data = "".join(json.dumps(line) + "\n" for line in lines).encode()
            batch[field] = self._store(data)["id"] if lines else None

    async def content(self, request: Request) -> Response:
        return await self._step("content", lambda: self.files[request.path_params["name"]])

    async def _step(self, step: str, work: Callable[[], Any]) -> Response:
        """Call `at` before the step and, as `step!`, after it and before its response is sent."""
        self.steps[step] += 1
        instead = self.at(step)
        if step in self.holding:
            await asyncio.sleep(3600)
        if instead is not None:
            return instead
        made = work()
        instead = self.at(f"{step}!")
        if f"{step}!" in self.holding:
            await asyncio.sleep(3600)
        if instead is not None:
            return instead
        return PlainTextResponse(made) if isinstance(made, bytes) else JSONResponse(made)
