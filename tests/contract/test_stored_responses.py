"""Stored responses: each operation goes to the upstream that has the response, for the key that made it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Response
from tests.contract.client import ask as send
from tests.contract.gateway import Gateway, running
from tests.contract.scripted import (
    Close,
    Head,
    Received,
    ScriptedUpstream,
    Send,
    Sleep,
    Step,
    answer,
    error_answer,
    stream,
)
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object, typed
from tests.contract.test_keys import as_key, key

RESPONSES = "/v1/responses"
OPERATIONS = {
    "get": ("GET", ""),
    "stream": ("GET", "?stream=true&starting_after=4"),
    "delete": ("DELETE", ""),
    "cancel": ("POST", "/cancel"),
    "input_items": ("GET", "/input_items?after=a&limit=2&order=asc&include[]=b"),
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS)
_numbers = itertools.count()


def fresh() -> str:
    return f"resp_{next(_numbers)}"


def stored(name: str, **fields: Any) -> dict[str, Any]:
    return {**response_object(usage=RESPONSE_USAGE), "id": name, "status": "completed", **fields}


def answered(operation: str, name: str) -> list[Step]:
    """What the upstream that has the response answers."""
    if operation == "stream":
        return stream(
            typed("response.output_text.delta", delta="x"), typed("response.completed", response=stored(name))
        )
    if operation == "delete":
        return answer({"id": name, "object": "response.deleted", "deleted": True})
    if operation == "input_items":
        return answer({"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False})
    return answer(stored(name))


def ask(gateway: Gateway, operation: str, name: str, headers: dict[str, str] | None = None) -> Response:
    method, rest = OPERATIONS[operation]
    return send(gateway.port, f"{RESPONSES}/{name}{rest}", headers=headers, method=method)


def create(
    gateway: Gateway, upstream: ScriptedUpstream, name: str, headers: dict[str, str] | None = None, **fields: Any
) -> Response:
    upstream.script(*answer(stored(name)))
    model = "student" if upstream is gateway.student else "teacher"
    return gateway.post({"model": model, "input": "hi", **fields}, headers, RESPONSES)


def absent() -> list[Step]:
    return error_answer(404, "Response not found.")


def broken() -> list[Step]:
    return [Head(200, {"content-type": "text/event-stream"}), Close()]


def asked(upstream: ScriptedUpstream) -> list[Received]:
    return [one for one in upstream.received if one.path != RESPONSES]


@each_operation
@pytest.mark.parametrize("maker", ["student", "teacher"])
def test_a_known_response_is_asked_for_where_it_is(gateway: Gateway, operation: str, maker: str) -> None:
    upstream: ScriptedUpstream = getattr(gateway, maker)
    name = fresh()
    assert create(gateway, upstream, name).status == 200
    upstream.script(*answered(operation, name))
    response = ask(gateway, operation, name, {"x-request-id": "mine"})
    assert response.status == 200
    assert response.body == b"".join(step.data for step in answered(operation, name) if hasattr(step, "data"))
    assert response.headers["x-breakeven-route"] == maker
    assert (response.headers["x-breakeven-reason"], response.headers["x-breakeven-hold"]) == ("sticky", "stored")
    (received,) = asked(upstream)
    method, rest = OPERATIONS[operation]
    assert (received.method, received.path.replace("%5B%5D", "[]")) == (method, f"{RESPONSES}/{name}{rest}")
    assert (received.body, received.headers["x-request-id"]) == (b"", "mine")
    assert ("content-type" in received.headers) is False
    assert not (gateway.student if maker == "teacher" else gateway.teacher).received


@each_operation
def test_an_unknown_response_is_looked_for_at_the_teacher_first(gateway: Gateway, operation: str) -> None:
    name = fresh()
    gateway.teacher.script(*answered(operation, name))
    assert ask(gateway, operation, name).headers["x-breakeven-route"] == "teacher"
    assert not gateway.student.received


@each_operation
def test_what_the_teacher_does_not_have_is_looked_for_at_the_student_and_remembered(
    gateway: Gateway, operation: str
) -> None:
    name = fresh()
    gateway.teacher.script(*absent())
    gateway.student.script(*answered(operation, name))
    response = ask(gateway, operation, name)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "student")
    assert response.headers["x-breakeven-attempts"] == "2"
    gateway.student.script(*answered("get", name))
    gateway.teacher.script(*absent())
    assert ask(gateway, "get", name).status == 200
    # What was deleted is known nowhere any more.
    assert len(gateway.teacher.received) == (2 if operation == "delete" else 1)


@each_operation
def test_what_no_upstream_has_is_one_404(gateway: Gateway, operation: str) -> None:
    for upstream in (gateway.teacher, gateway.student):
        upstream.script(*absent())
    response = ask(gateway, operation, fresh())
    assert (response.status, response.error["code"]) == (404, "response_not_found")
    assert len(gateway.teacher.received) == len(gateway.student.received) == 1


@each_operation
def test_a_known_response_that_is_gone_is_the_upstreams_404(gateway: Gateway, operation: str) -> None:
    name = fresh()
    create(gateway, gateway.teacher, name)
    gateway.teacher.script(*absent())
    assert ask(gateway, operation, name).status == 404
    assert not gateway.student.received


@each_operation
@pytest.mark.parametrize(
    ("steps", "status", "cause"),
    [
        (error_answer(503), 503, "overloaded"),
        (error_answer(429, retry_after="7"), 429, "rate_limited"),
        (error_answer(401), 502, "key_refused"),
        ([Close()], 502, "closed"),
    ],
    ids=["503", "429", "401", "closed"],
)
def test_a_failure_of_the_upstream_that_has_it(
    gateway: Gateway, operation: str, steps: list[Step], status: int, cause: str
) -> None:
    name = fresh()
    create(gateway, gateway.student, name)
    gateway.student.default(*steps)
    response = ask(gateway, operation, name)
    assert response.status == status
    assert response.error
    assert gateway.record(response)["attempts"][-1]["cause"] == cause
    assert response.headers.get("retry-after") == ("7" if status == 429 else None)
    assert not gateway.teacher.received


@pytest.mark.parametrize(("operation", "cause"), [("get", "total_timeout"), ("stream", "first_event_timeout")])
def test_an_upstream_that_does_not_say_what_it_has(gateway: Gateway, operation: str, cause: str) -> None:
    name = fresh()
    create(gateway, gateway.student, name)
    gateway.student.script(Sleep(5))
    response = ask(gateway, operation, name)
    assert response.status == 504
    assert gateway.record(response)["attempts"][-1]["cause"] == cause


@each_operation
def test_an_unknown_response_may_be_at_an_upstream_that_fails(gateway: Gateway, operation: str) -> None:
    name = fresh()
    gateway.teacher.script(*error_answer(503))
    gateway.student.script(*answered(operation, name))
    assert ask(gateway, operation, name).headers["x-breakeven-route"] == "student"
    gateway.teacher.script(*error_answer(503))
    gateway.student.script(*absent())
    assert ask(gateway, operation, fresh()).status == 503


def test_a_resumed_stream_that_breaks_off_ends_in_an_error_event(gateway: Gateway) -> None:
    name = fresh()
    create(gateway, gateway.teacher, name)
    events = [Head(200, {"content-type": "text/event-stream"}), Send(typed("response.output_text.delta", delta="x"))]
    gateway.teacher.script(*events, Close())
    response = ask(gateway, "stream", name)
    assert response.status == 200
    assert b"event: error" in response.events[-1]
    assert gateway.record(response)["outcome"] == "truncated"


def test_nothing_is_billed_again(gateway: Gateway) -> None:
    name = fresh()
    made = create(gateway, gateway.teacher, name)
    before = gateway.metrics()
    for operation in ("get", "stream", "input_items", "cancel", "get", "delete"):
        gateway.teacher.script(*answered(operation, name))
        record = gateway.record(ask(gateway, operation, name))
        assert record["endpoint"] == "stored_responses"
        assert record["attempts"][0]["usage"]["complete"] is False
        assert "usage_missing" not in record["attempts"][0]
    after = gateway.metrics()
    for sample in after:
        if sample.startswith(
            ("breakeven_tokens", "breakeven_cost", "breakeven_usage_missing", "breakeven_request_sec")
        ):
            assert after[sample] == before[sample], sample
    assert gateway.metric("requests_total", endpoint="stored_responses", route="teacher") >= 6
    ids = made.headers["x-breakeven-request-id"]
    assert gateway.rows(f"SELECT count(*) FROM requests WHERE request_id = '{ids}'") == [(1,)]
    assert gateway.rows("SELECT count(*) FROM requests WHERE endpoint = 'stored_responses'") == [(0,)]


@pytest.mark.parametrize("spelling", ["{}", "/v1{}", "/v1{}/", "//v1{}", "/openai/v1{}", "/openai{}?api-version=1"])
def test_every_spelling_of_the_path(gateway: Gateway, spelling: str) -> None:
    name = fresh()
    gateway.teacher.script(*answered("get", name))
    assert gateway.get(spelling.format(f"/responses/{name}")).status == 200
    assert gateway.teacher.received[-1].path == f"{RESPONSES}/{name}"


@pytest.mark.parametrize("name", ["..", "%2e%2e", ".x", "a%2fb", "a%3fb", "a%20b", "a%0d%0ab", "x" * 600])
def test_what_is_no_id_is_not_asked_for(gateway: Gateway, name: str) -> None:
    assert send(gateway.port, f"{RESPONSES}/{name}", method="GET").status == 404
    assert not gateway.teacher.received + gateway.student.received


@pytest.mark.parametrize(("method", "rest", "allowed"), [
    ("PUT", "", "DELETE, GET"), ("POST", "", "DELETE, GET"), ("GET", "/cancel", "POST"),
    ("POST", "/input_items", "GET"),
])  # fmt: skip
def test_other_methods_of_stored_responses_are_405(gateway: Gateway, method: str, rest: str, allowed: str) -> None:
    response = send(gateway.port, f"{RESPONSES}/resp_1{rest}", method=method)
    assert (response.status, response.headers["allow"]) == (405, allowed)
    assert response.error["code"] == "method_not_allowed"


KEYS = [key("one"), key("two"), key("local", teacher=False), key("few", requests_per_minute=2)]


def test_a_key_gets_only_what_it_made_also_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, {"auth": {"keys": KEYS}, "server": {"drain_seconds": 0}}) as gateway:
        names = {operation: fresh() for operation in OPERATIONS}
        for name in names.values():
            assert create(gateway, gateway.teacher, name, as_key("one")).status == 200
        for _ in range(2):
            for operation, name in names.items():
                refused = ask(gateway, operation, name, as_key("two"))
                assert (refused.status, refused.error["code"]) == (404, "response_not_found")
                assert ask(gateway, operation, name).status == 401
            continued = gateway.post({"input": "?", "previous_response_id": name}, as_key("two"), RESPONSES)
            assert (continued.status, continued.error["code"]) == (404, "previous_response_not_found")
            assert not asked(gateway.teacher)
            gateway.stop()
            gateway.start()
        for operation, name in names.items():
            gateway.teacher.script(*answered(operation, name))
            assert ask(gateway, operation, name, as_key("one")).status == 200
            # Whose it is that the gateway did not see made is not known.
            count = len(gateway.teacher.received)
            assert ask(gateway, operation, fresh(), as_key("two")).status == 404
            assert len(gateway.teacher.received) == count


def test_rules_and_limits_of_keys(tmp_path: Path) -> None:
    with running(tmp_path, {"auth": {"keys": KEYS, "unknown_ids": "pass"}}) as gateway:
        name = fresh()
        gateway.student.script(*answered("get", name))
        assert ask(gateway, "get", name, as_key("local")).headers["x-breakeven-route"] == "student"
        gateway.student.script(*absent())
        assert ask(gateway, "get", fresh(), as_key("local")).status == 404
        assert not gateway.teacher.received
        gateway.teacher.default(*answered("get", name))
        statuses = [ask(gateway, "get", fresh(), as_key("few")).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        made = fresh()
        create(gateway, gateway.student, made, as_key("one"))
        count = len(gateway.student.received)
        for name, model in (("local", "auto"), ("two", "student"), ("two", "auto")):
            body = {"model": model, "input": "?", "previous_response_id": made}
            assert gateway.post(body, as_key(name), RESPONSES).error["code"] == "previous_response_not_found"
        assert len(gateway.student.received) == count


def test_several_workers_know_whose_a_response_is(tmp_path: Path) -> None:
    with running(tmp_path, {"auth": {"keys": KEYS}, "server": {"workers": 2}}) as gateway:
        name = fresh()
        create(gateway, gateway.student, name, as_key("one"))
        assert {ask(gateway, "get", name, as_key("two")).status for _ in range(20)} == {404}
        gateway.student.default(*answered("get", name))
        assert {ask(gateway, "get", name, as_key("one")).status for _ in range(20)} == {200}
        assert not gateway.teacher.received
