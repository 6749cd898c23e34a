"""Circuit breaker, limits of concurrency, and the refusals that the gateway makes itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Response, eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import DONE, Close, End, Head, ScriptedUpstream, Send, Sleep, delta, error_answer

BREAKER = {"consecutive_failures": 3, "failure_rate": 1.0, "window_requests": 100, "pause_seconds": 0.6}
CONFIG = {
    "student": {"breaker": BREAKER, "max_concurrency": 2},
    "teacher": {"breaker": BREAKER, "max_concurrency": 2},
}
SSE = {"content-type": "text/event-stream"}
OFF = {"x-breakeven-fallback": "false"}


@pytest.fixture(autouse=True)
def _closed_circuits(gateway: Gateway) -> Iterator[None]:
    yield
    gateway.student.clear()
    gateway.teacher.clear()
    time.sleep(0.7)
    for model in ("student", "teacher"):
        assert eventually(lambda model=model: gateway.post(chat(model=model)).status == 200)
    assert gateway.metric("circuit_open") == 0


def fail(gateway: Gateway, upstream: ScriptedUpstream, times: int) -> None:
    upstream.default(Close())
    for _ in range(times):
        gateway.post(chat(model="student" if upstream is gateway.student else "teacher"))
    upstream.default()


def test_breaker_opens_after_failures_in_a_row_and_a_probe_closes_it(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    fail(gateway, student, 2)
    assert gateway.metric("circuit_open", upstream="student") == 0
    fail(gateway, student, 1)
    assert gateway.metric("circuit_open", upstream="student") == 1
    ready = gateway.get("/readyz")
    assert (ready.status, ready.json["student"], ready.json["student_cause"]) == (200, "down", "closed")
    student.clear()
    response = gateway.post(chat())
    assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == ("teacher", "unavailable")
    refused = gateway.post(chat(model="student"))
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert not student.received
    time.sleep(0.65)
    student.default(Sleep(0.3), Close())  # the probe; while it runs nothing else goes there
    with gateway.connect() as client:
        client.request("POST", "/v1/chat/completions", json.dumps(chat()).encode())
        student.wait_for(1)
        assert gateway.post(chat()).headers["x-breakeven-reason"] == "unavailable"
        assert client.response().headers["x-breakeven-reason"] == "fallback"
    assert gateway.post(chat()).headers["x-breakeven-reason"] == "unavailable"  # the probe failed
    student.default()
    time.sleep(0.65)
    assert gateway.post(chat()).headers["x-breakeven-route"] == "student"
    assert gateway.metric("circuit_open") == 0


def test_4xx_and_429_do_not_open_it(gateway: Gateway, student: ScriptedUpstream) -> None:
    for status in (400, 404, 429, 401, 408):
        student.script(*error_answer(status))
        gateway.post(chat(model="student"))
    assert gateway.metric("circuit_open") == 0


def test_both_open_is_503_with_retry_after_and_not_ready(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    fail(gateway, student, 3)
    fail(gateway, teacher, 3)
    response = gateway.post(chat())
    assert response.status == 503
    assert response.error["code"] == "upstream_unavailable"
    assert int(response.headers["retry-after"]) >= 1
    for name, value in (("route", "teacher"), ("reason", "unavailable"), ("attempts", "0")):
        assert response.headers[f"x-breakeven-{name}"] == value
    assert response.headers["x-breakeven-request-id"] == response.headers["x-request-id"]
    record = gateway.record(response)
    assert (record["route"], record["reason"], record["outcome"]) == ("teacher", "unavailable", "rejected")
    for route in ("student", "teacher"):
        pinned = gateway.post(chat(model=route))
        assert (pinned.status, pinned.headers["x-breakeven-route"]) == (503, route)
        assert pinned.headers["x-breakeven-reason"] == "pinned"
        assert route in pinned.error["message"]
    assert gateway.get("/readyz").status == 503
    assert gateway.get("/healthz").status == 200


class Holding:
    """Streams that hold their places until they are let go."""

    def __init__(self, gateway: Gateway, upstream: ScriptedUpstream, count: int, **fields: Any) -> None:
        steps = (Head(200, SSE), Send(delta()), Sleep(0.5), Send(delta("", finish="stop") + DONE), End())
        self.clients = []
        for _ in range(count):
            upstream.script(*steps)
            client = gateway.connect()
            self.clients.append(client)
            client.request("POST", "/v1/chat/completions", json.dumps(chat(stream=True, **fields)).encode())
            client.head()

    def close(self) -> None:
        for client in self.clients:
            assert b"".join(client.segments({"transfer-encoding": "chunked"})).endswith(DONE)
            client.socket.close()


def test_above_max_concurrency_the_student_overflows_to_the_teacher(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    holding = Holding(gateway, student, 2)
    assert gateway.metric("in_flight", upstream="student") == 2
    response = gateway.post(chat())
    assert (response.status, response.headers["x-breakeven-reason"]) == (200, "unavailable")
    holding.close()
    assert gateway.post(chat()).headers["x-breakeven-route"] == "student"


def test_above_max_concurrency_without_fallback_is_429_with_retry_after(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    holding = Holding(gateway, student, 2)
    for body, headers in ((chat(), OFF), (chat(model="student"), {})):
        response = gateway.post(body, headers)
        assert response.status == 429
        assert response.error["code"] == "rate_limit_exceeded"
        assert response.headers["retry-after"] == "1"
    holding.close()


def test_fallback_off_by_config(tmp_path: Path) -> None:
    with running(tmp_path, {"routing": {"fallback": False}, "student": {"max_concurrency": 1}}) as gateway:
        gateway.student.script(*error_answer(500))
        assert gateway.post(chat()).status == 500
        holding = Holding(gateway, gateway.student, 1)
        response: Response = gateway.post(chat())
        assert (response.status, response.headers["retry-after"]) == (429, "1")
        holding.close()
        assert not gateway.teacher.received
