"""A gateway whose teacher has two further providers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.contract.client import Response
from tests.contract.gateway import NEVER_OPEN, TIMEOUTS, TRANSPORT, Gateway, chat
from tests.contract.scripted import ScriptedUpstream

ADMIN = {"authorization": "Bearer admin"}


class Net(NamedTuple):
    """The gateway, its student and first teacher, and the teacher's providers `eu` and `us`."""

    gateway: Gateway
    student: ScriptedUpstream
    teacher: ScriptedUpstream
    eu: ScriptedUpstream
    us: ScriptedUpstream

    def post(self, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Response:
        return self.gateway.post(body or chat(model="teacher"), headers)

    def respond(self, **fields: Any) -> Response:
        return self.gateway.post({"model": "teacher", "input": "hi", **fields}, path="/v1/responses")

    def counts(self) -> tuple[int, ...]:
        """How many requests the student, the teacher and its providers have got."""
        return tuple(len(one.received) for one in (self.student, self.teacher, self.eu, self.us))

    def clear(self) -> Net:
        for upstream in (self.student, self.teacher, self.eu, self.us):
            upstream.clear()
        return self


def provider(name: str, url: str, **more: Any) -> dict[str, Any]:
    """A provider at ten times the price of the first teacher."""
    return {
        "name": name, "base_url": url, "model": f"big-{name}", "api_key_env": "T_TEACHER_KEY", "timeouts": TIMEOUTS,
        "breaker": NEVER_OPEN, "usd_per_million": {"input": 100, "output": 200}, **TRANSPORT, **more,
    }  # fmt: skip


@contextlib.contextmanager
def net(folder: Path, changes: dict[str, Any] | None = None, **eu: Any) -> Iterator[Net]:
    """A running net; `eu` are further settings of that provider."""
    with contextlib.ExitStack() as stack:
        names = ("small", "big", "big-eu", "big-us")
        student, teacher, first, second = (stack.enter_context(ScriptedUpstream(name)) for name in names)
        gateway = Gateway(folder, student, teacher, changes, environment={"BREAKEVEN_ADMIN_KEY": "admin"})
        gateway.config["teacher"]["fallbacks"] = [provider("eu", first.url, **eu), provider("us", second.url)]
        stack.callback(gateway.stop)
        yield Net(gateway.start(), student, teacher, first, second)
