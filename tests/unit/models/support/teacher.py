"""A scripted chat API on 127.0.0.1, in a thread, that counts its requests and answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

# Maps the body of a request to a response, or to the text of an answer.
Script = Callable[[dict[str, Any]], Response | str]


class Teacher:
    """The chat endpoint.

    `answered` counts paid answers by the last user message; `bodies` are those of all requests.
    """

    def __init__(self, script: Script, delay: float = 0.0) -> None:
        self.script = script
        self.delay = delay
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.most_at_once = 0
        self.url = ""
        self._now = 0

    async def chat(self, request: Request) -> Response:
        body = json.loads(await request.body())
        body["_key"] = request.headers.get("authorization")
        self.bodies.append(body)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await asyncio.sleep(self.delay)
            made = self.script(body)
        finally:
            self._now -= 1
        if isinstance(made, Response):
            return made
        self.answered[body["messages"][-1]["content"]] += 1
        return JSONResponse(completion(made))


def completion(text: str | None, finish: str = "stop", *, prompt: int = 10, output: int = 5, **more: Any) -> Any:
    """A body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "big", "choices": [choice], "usage": usage}


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Response:
    """An OpenAI-shaped error."""
    body = {"error": {"message": message, "type": "x", "param": None, "code": code}}
    return JSONResponse(body, status, headers={name.replace("_", "-"): value for name, value in headers.items()})


@contextlib.contextmanager
def serve(
    script: Script, delay: float = 0.0, more: Callable[[Teacher], list[Route]] = lambda _: []
) -> Iterator[Teacher]:
    """A running teacher; `url` is its base URL, `more` makes further routes."""
    teacher = Teacher(script, delay)
    app = Starlette(routes=[Route("/v1/chat/completions", teacher.chat, methods=["POST"]), *more(teacher)])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        teacher.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        try:
            yield teacher
        finally:
            server.should_exit = True
            thread.join(20)
