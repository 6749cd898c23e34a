"""Every failure of an upstream names its cause: in the log, the ledger, /readyz, the admin API and a metric."""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.client import Response, eventually
from tests.contract.gateway import STUDENT_KEY, Gateway, chat, running
from tests.contract.scripted import (
    DONE,
    Close,
    End,
    ExpectDisconnect,
    Head,
    Raw,
    Reset,
    Send,
    Sleep,
    Step,
    answer,
    completion,
    delta,
    error_answer,
    event,
    stream,
    usage_chunk,
)
from tests.support.tls import full_backlog, server, unused_port

ADMIN = {"BREAKEVEN_ADMIN_KEY": "the-admin-key"}
SSE = {"content-type": "text/event-stream"}
FINISH = delta("", finish="stop")
QUICK = {"connect_seconds": 0.5, "first_event_seconds": 0.6, "idle_seconds": 0.5, "total_seconds": 1.2}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    changes = {"student": {"timeouts": QUICK}, "teacher": {"timeouts": QUICK}}
    with running(tmp_path_factory.mktemp("failures"), changes, environment=ADMIN) as gateway:
        yield gateway


@pytest.fixture
def failing(shared: Gateway) -> Gateway:
    shared.student.clear()
    shared.teacher.clear()
    return shared


def states(gateway: Gateway) -> dict[str, Any]:
    """The states of the upstreams by name, from the admin API."""
    found = gateway.get("/admin/upstreams", {"authorization": "Bearer the-admin-key"})
    assert found.status == 200, found.body
    return {one["upstream"]: one for one in found.json["upstreams"]}


def said(gateway: Gateway, logger: str) -> list[dict[str, Any]]:
    """The lines of one logger."""
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == logger]


def fails(gateway: Gateway, route: str, cause: str, *, streamed: bool, state: str = "failing") -> Response:
    """Send a request that fails for this cause, and check every place that names it."""
    counted = gateway.metric("upstream_failures_total", upstream=route, cause=cause)
    response = gateway.post(chat(model=route, stream=streamed))
    record = gateway.record(response)
    assert record["attempts"][-1]["cause"] == cause
    assert gateway.metric("upstream_failures_total", upstream=route, cause=cause) == counted + 1
    rows = gateway.rows(f"SELECT cause FROM attempts WHERE request = '{record['id']}' ORDER BY number DESC")
    assert rows[0] == (cause,)
    shown = None if state == "up" else cause
    ready = gateway.get("/readyz")
    assert (ready.status, ready.json[route], ready.json[f"{route}_cause"]) == (200, state, shown)
    found = states(gateway)[route]
    assert found["state"] == state
    assert (found["last_failure"] or {}).get("cause") == shown
    assert cause in [one["cause"] for one in found["failures"]]
    if shown is not None:
        assert found["last_failure"]["remedy"]
        prefix = f"a call to the {route} failed: {cause}: "
        assert [line["level"] for line in said(gateway, "breakeven.upstream") if line["message"].startswith(prefix)]
    return response


def certificate(authority: trustme.CA, name: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, **options).configure_cert(context)
    return context


@contextlib.contextmanager
def unreachable(how: str, authority: trustme.CA) -> Iterator[str]:
    """The base URL of a place that fails in this way, for whoever trusts the authority."""
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    places: dict[str, Any] = {
        "refused": unused_port,
        "connect_timeout": full_backlog,
        # It answers the handshake in plain HTTP.
        "tls": lambda: server(None),
        "tls_untrusted": lambda: server(certificate(trustme.CA(), "localhost")),
        "tls_wrong_name": lambda: server(certificate(authority, "another.example")),
        "tls_expired": lambda: server(certificate(authority, "localhost", not_after=past)),
        "trusted": lambda: server(certificate(authority, "localhost")),
    }
    if how == "dns":
        yield "http://no-such-host.invalid/v1"
        return
    with places[how]() as port:
        yield f"{'http' if how in ('refused', 'connect_timeout') else 'https'}://localhost:{port}/v1"


@contextlib.contextmanager
def running_at(folder: Path, how: str) -> Iterator[Gateway]:
    """A gateway both of whose upstreams fail in this way."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    with unreachable(how, authority) as url:
        section = {"base_url": url, "timeouts": QUICK}
        environment = {**ADMIN, "SSL_CERT_FILE": str(folder / "ca.pem")}
        with running(folder, {"student": section, "teacher": section}, environment=environment) as gateway:
            yield gateway


@pytest.mark.parametrize(
    "cause", ["refused", "dns", "connect_timeout", "tls", "tls_untrusted", "tls_wrong_name", "tls_expired"]
)
def test_an_upstream_that_cannot_be_reached(tmp_path: Path, cause: str) -> None:
    with running_at(tmp_path, cause) as gateway:
        assert gateway.get("/readyz").json["student"] == "unknown"
        for route in ("student", "teacher"):
            for streamed in (False, True):
                response = fails(gateway, route, cause, streamed=streamed)
                assert (response.status, response.error["code"]) == (502, "upstream_unreachable")
                assert "localhost" not in response.body.decode()
            at_start = [line["message"] for line in said(gateway, "breakeven.start")]
            assert [
                text for text in at_start if text.startswith(f"{route} at ") and f": not reached; {cause}: " in text
            ]


def test_a_certificate_of_an_authority_that_the_system_trusts(tmp_path: Path) -> None:
    with running_at(tmp_path, "trusted") as gateway:
        assert gateway.post(chat(model="teacher")).status == 200
        assert gateway.get("/readyz").json["teacher"] == "up"


HEAD = Head(200, SSE)
LIVELY: list[Step] = [step for _ in range(9) for step in (Send(delta()), Sleep(0.2))]
CUT = Head(200, {"content-type": "application/json", "content-length": "500"})
ERROR = {"error": {"message": "the engine died", "type": "x", "param": None, "code": None}}
IN_A_STREAM: list[tuple[str, list[Step]]] = [
    ("first_event_timeout", [ExpectDisconnect(3)]),
    ("first_event_timeout", [HEAD, ExpectDisconnect(3)]),
    ("first_event_timeout", [HEAD, Send(b": waiting\n\n"), ExpectDisconnect(3)]),
    ("idle_timeout", [HEAD, Send(delta()), ExpectDisconnect(3)]),
    ("total_timeout", [HEAD, *LIVELY, End()]),
    ("reset", [HEAD, Send(delta()), Sleep(0.1), Reset()]),
    ("closed", [HEAD, Send(delta()), Close()]),
    ("incomplete", [HEAD, Send(delta()), End()]),
    ("protocol", [HEAD, Send(delta()), Raw(b"no chunk\r\n"), Close()]),
    ("invalid_answer", [HEAD, End()]),
    ("error_event", [HEAD, Send(event(ERROR)), End()]),
    ("error_event", [HEAD, Send(delta()), Send(event(ERROR)), Send(DONE), End()]),
]
WHOLE: list[tuple[str, list[Step]]] = [
    ("total_timeout", [ExpectDisconnect(3)]),
    ("idle_timeout", [CUT, Raw(b"{"), ExpectDisconnect(3)]),
    ("closed", [CUT, Raw(b"{"), Close()]),
    ("reset", [CUT, Raw(b"{"), Sleep(0.1), Reset()]),
    ("invalid_answer", answer(b"<html>")),
    ("error_event", answer(ERROR)),
]
EITHER: list[tuple[str, list[Step]]] = [
    ("reset", [Reset()]),
    ("closed", [Close()]),
    ("protocol", [Raw(b"nonsense\r\n\r\n"), Close()]),
]
BROKEN = [(one, True) for one in IN_A_STREAM + EITHER] + [(one, False) for one in WHOLE + EITHER]


@pytest.mark.parametrize("route", ["student", "teacher"])
@pytest.mark.parametrize(("fault", "streamed"), BROKEN)
def test_an_answer_that_does_not_come_or_breaks_off(
    failing: Gateway, route: str, fault: tuple[str, list[Step]], streamed: bool
) -> None:
    cause, steps = fault
    upstream = failing.student if route == "student" else failing.teacher
    upstream.default(*steps)
    fails(failing, route, cause, streamed=streamed)
    upstream.default()
    assert failing.post(chat(model=route)).status == 200
    assert (failing.get("/readyz").json[route], states(failing)[route]["last_failure"]) == ("up", None)


STATUSES = [
    (401, "no", "key_refused", "failing"),
    (403, "no", "key_refused", "failing"),
    (402, "no credit", "quota_spent", "failing"),
    (404, "The model `small` does not exist.", "model_not_found", "failing"),
    (404, "There is no such response.", "not_found", "up"),
    (429, "slow down", "rate_limited", "limited"),
    (500, "no", "server_error", "failing"),
    (408, "no", "server_error", "failing"),
    (503, "no", "overloaded", "failing"),
    (529, "no", "overloaded", "failing"),
    (307, "no", "redirect", "failing"),
    (400, "temperature must be a number", "bad_request", "up"),
    (400, "This model's maximum context length is 2048 tokens", "context_overflow", "up"),
]


@pytest.mark.parametrize(("status", "message", "cause", "state"), STATUSES)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_status_that_is_no_success(
    failing: Gateway, status: int, message: str, cause: str, state: str, streamed: bool
) -> None:
    failing.student.default(*error_answer(status, message))
    if state == "limited":
        # It is up, and the cause is shown all the same.
        failing.post(chat(model="student", stream=streamed))
        ready = failing.get("/readyz").json
        assert (ready["student"], ready["student_cause"]) == ("up", cause)
        return
    fails(failing, "student", cause, streamed=streamed, state=state)


def test_a_spent_quota_by_its_code(failing: Gateway) -> None:
    fields = {"message": "You exceeded your current quota", "type": "insufficient_quota", "param": None}
    failing.teacher.default(*answer({"error": {**fields, "code": "insufficient_quota"}}, 429))
    fails(failing, "teacher", "quota_spent", streamed=False)


def test_after_a_fallback_both_attempts_are_recorded(failing: Gateway) -> None:
    failing.student.default(*error_answer(503, "no", **{"x-request-id": "of-student"}))
    failing.teacher.default(*answer(completion(), **{"request-id": "of-teacher"}))
    response = failing.post(chat())
    assert response.headers["x-breakeven-upstream-request-id"] == "of-teacher"
    record = failing.record(response)
    expected = [("overloaded", "of-student"), (None, "of-teacher")]
    assert [(one.get("cause"), one["upstream_request_id"]) for one in record["attempts"]] == expected
    query = f"SELECT cause, upstream_request_id FROM attempts WHERE request = '{record['id']}' ORDER BY number"
    assert failing.rows(query) == expected
    failure = states(failing)["student"]["last_failure"]
    assert (failure["status"], failure["upstream_request_id"]) == (503, "of-student")
    assert abs(failure["at"] / 1e6 - time.time()) < 30


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-request-id": "req_1"}, "req_1"),
        ({"request-id": "req_011C"}, "req_011C"),
        ({"apim-request-id": "5c6b-1"}, "5c6b-1"),
        ({"cf-ray": "8c1-FRA"}, "8c1-FRA"),
        ({"cf-ray": "8c1-FRA", "x-request-id": "req_1"}, "req_1"),
        ({"x-request-id": "two words", "cf-ray": "8c1-FRA"}, "8c1-FRA"),
        ({"x-request-id": "x" * 129}, None),
        ({"x-request-id": f"for-{STUDENT_KEY}"}, None),
        ({}, None),
    ],
)
def test_the_upstreams_own_request_id(
    failing: Gateway, headers: dict[str, str], expected: str | None, streamed: bool
) -> None:
    if streamed:
        _, *rest = stream(delta("a"), FINISH, usage_chunk(), DONE)
        failing.student.default(Head(200, {**SSE, **headers}), *rest)
    else:
        failing.student.default(*answer(completion(), **headers))
    response = failing.post(chat(model="student", stream=streamed))
    assert response.headers.get("x-breakeven-upstream-request-id") == expected
    record = failing.record(response)
    assert record["attempts"][0].get("upstream_request_id") == expected
    assert "cause" not in record["attempts"][0]
    assert failing.rows(f"SELECT upstream_request_id FROM attempts WHERE request = '{record['id']}'") == [(expected,)]


def test_an_error_has_the_upstreams_request_id_too(failing: Gateway) -> None:
    failing.student.default(*error_answer(500, "no", **{"x-request-id": "req_9"}))
    response = failing.post(chat(model="student"))
    assert (response.status, response.headers["x-breakeven-upstream-request-id"]) == (500, "req_9")


def test_the_circuit_logs_when_it_opens_and_closes(tmp_path: Path) -> None:
    breaker = {"consecutive_failures": 2, "pause_seconds": 0.3}
    with running(tmp_path, {"student": {"breaker": breaker}}, environment=ADMIN) as gateway:
        gateway.student.default(Close())
        for _ in range(3):
            gateway.post(chat(model="student"))
        found = said(gateway, "breakeven.upstream")
        assert [line["level"] for line in found] == ["warning", "error"], "the same failure is not logged twice"
        assert found[0]["message"].startswith("a call to the student failed: closed: the connection was closed before")
        opened = found[1]["message"]
        assert opened.startswith("the circuit of the student opened: no requests are sent to it, and one to try it ")
        assert "the last failure was closed: the connection was closed before the answer was complete" in opened
        down = states(gateway)["student"]
        assert (down["state"], down["last_failure"]["cause"]) == ("down", "closed")
        assert 0 <= down["retry_seconds"] <= 0.3
        gateway.student.default()
        time.sleep(0.4)
        assert gateway.post(chat(model="student")).status == 200
        closed = said(gateway, "breakeven.upstream")[-1]["message"]
        assert closed.startswith("the circuit of the student closed: it answers again, after ")


def test_a_connection_that_was_closed_while_idle_has_a_cause_and_is_no_failure(failing: Gateway) -> None:
    failing.student.default(*answer(completion()), Close())
    for _ in range(40):
        response = failing.post(chat(model="student"))
        assert response.status == 200
        if response.headers["x-breakeven-attempts"] == "2":
            assert failing.record(response)["attempts"][0]["cause"] == "stale_connection"
            break
    assert failing.get("/readyz").json["student"] == "up"


def test_a_client_that_goes_away_is_no_failure_of_the_upstream(failing: Gateway) -> None:
    failing.student.default(HEAD, Send(delta()), ExpectDisconnect(3))
    count, counted = len(failing.settled()), failing.metric("upstream_failures_total")
    with failing.connect() as client:
        client.request("POST", "/v1/chat/completions", json.dumps(chat(stream=True, model="student")).encode())
        client.head()
        client.socket.shutdown(socket.SHUT_RDWR)
    record = failing.next_record(count)
    assert (record["outcome"], record["attempts"][0].get("cause")) == ("client_cancelled", None)
    assert failing.metric("upstream_failures_total") == counted


def test_the_admin_api_needs_its_key(failing: Gateway) -> None:
    assert failing.get("/admin/upstreams").status == 401


def test_comparisons_have_causes_too(tmp_path: Path) -> None:
    with running(tmp_path, {"road": {"sample": 1.0}}, environment=ADMIN) as gateway:
        gateway.teacher.default(*error_answer(503))
        assert gateway.post(chat()).status == 200
        eventually(lambda: gateway.metric("upstream_failures_total", upstream="teacher", cause="overloaded") >= 1)
        assert states(gateway)["teacher"]["last_failure"]["cause"] == "overloaded"
