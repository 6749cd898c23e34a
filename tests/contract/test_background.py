"""Responses that are made in the background: where they go, and that their tokens are accounted once."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Response, eventually
from tests.contract.gateway import Gateway, running
from tests.contract.scripted import ExpectDisconnect, Head, ScriptedUpstream, Send, Step, answer, error_answer, stream
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object, typed
from tests.contract.test_stored_responses import RESPONSES, absent, answered, ask, fresh, stored

QUEUED = {"usage": None, "status": "queued"}
# Of RESPONSE_USAGE at the prices of the scripted teacher, picodollars.
TOKENS = (
    "SELECT prompt_tokens, output_tokens, cost_input + cost_cached_input + cost_output, usage_missing FROM attempts"
)


def begin(gateway: Gateway, name: str, model: str = "auto", **fields: Any) -> Response:
    upstream = gateway.student if model == "student" else gateway.teacher
    upstream.script(*answer({**response_object(), "id": name, **QUEUED}))
    return gateway.post({"model": model, "input": "hi", "background": True, **fields}, path=RESPONSES)


def accounted(gateway: Gateway, begun: Response) -> list[tuple[Any, ...]]:
    """Tokens, cost and usage_missing of the attempts of one request in the ledger."""
    name = begun.headers["x-breakeven-request-id"]
    return gateway.rows(f"{TOKENS} JOIN requests ON requests.id = attempts.request WHERE request_id = '{name}'")


USAGE = (RESPONSE_USAGE["input_tokens"], RESPONSE_USAGE["output_tokens"])


@pytest.mark.parametrize("value", [True, "true", 1])
def test_the_teacher_answers_in_the_background(gateway: Gateway, value: object) -> None:
    response = begin(gateway, fresh(), background=value)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "teacher")
    assert (response.headers["x-breakeven-reason"], response.headers["x-breakeven-hold"]) == ("sticky", "stored")
    gateway.teacher.script(*error_answer(503))
    failed = gateway.post({"input": "hi", "background": True}, path=RESPONSES)
    assert failed.status == 503
    assert not gateway.student.received


@pytest.mark.parametrize("value", [False, None, 0])
def test_what_is_not_asked_for_in_the_background_is_routed(
    gateway: Gateway, student: ScriptedUpstream, value: object
) -> None:
    student.script(*answer(stored(fresh())))
    response = gateway.post({"input": "hi", "background": value}, path=RESPONSES)
    assert response.headers["x-breakeven-reason"] == "easy"


def test_a_student_that_can_answers_in_the_background(tmp_path: Path) -> None:
    with running(tmp_path, {"student": {"background": True}}) as gateway:
        name = fresh()
        gateway.student.script(*answer({**response_object(), "id": name, **QUEUED}))
        response = gateway.post({"input": "hi", "background": True}, path=RESPONSES)
        assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == ("student", "easy")
        gateway.student.script(*answered("get", name))
        assert ask(gateway, "get", name).headers["x-breakeven-route"] == "student"
        assert accounted(gateway, response)[0][:2] == USAGE
        assert gateway.rows("SELECT baseline > 0 FROM requests") == [(1,)]


@pytest.mark.parametrize("operation", ["get", "stream", "cancel"])
def test_its_tokens_are_accounted_once_when_it_has_ended(gateway: Gateway, operation: str) -> None:
    name, missing = fresh(), gateway.metric("usage_missing_total")
    begun = begin(gateway, name)
    assert accounted(gateway, begun) == []
    for _ in range(2):
        gateway.teacher.script(*answer({**response_object(), "id": name, "status": "in_progress", "usage": None}))
        ask(gateway, "get", name)
        gateway.teacher.script(*answered("input_items", name))
        ask(gateway, "input_items", name)
    gateway.teacher.script(*absent())
    ask(gateway, "get", name)
    assert accounted(gateway, begun) == []
    for one in (operation, "get", "stream", "cancel"):
        gateway.teacher.script(*answered(one, name))
        assert ask(gateway, one, name).status == 200
        (row,) = accounted(gateway, begun)
        assert (row[:2], row[3]) == (USAGE, 0)
        assert row[2] > 0
    assert gateway.metric("usage_missing_total") == missing
    lines = [one for one in gateway.settled() if one["request_id"] == begun.headers["x-breakeven-request-id"]]
    assert [one["attempts"][0]["usage"]["complete"] for one in lines] == [False, True]


def test_an_answer_that_has_ended_at_once_is_accounted_at_once(gateway: Gateway) -> None:
    name = fresh()
    gateway.teacher.script(*answer(stored(name)))
    begun = gateway.post({"input": "hi", "background": True}, path=RESPONSES)
    assert accounted(gateway, begun)[0][:2] == USAGE
    gateway.teacher.script(*answered("get", name))
    ask(gateway, "get", name)
    assert len(accounted(gateway, begun)) == 1


def streamed(name: str, *more: Step) -> list[Step]:
    created = typed("response.created", response={**response_object(), "id": name, **QUEUED})
    head = Head(200, {"content-type": "text/event-stream"})
    return [head, Send(created + typed("response.output_text.delta", delta="x")), *more]


def test_a_stream_that_the_client_leaves_is_accounted_when_it_is_resumed(gateway: Gateway) -> None:
    name, missing = fresh(), gateway.metric("usage_missing_total")
    gateway.teacher.script(*streamed(name, ExpectDisconnect()))
    body = b'{"input": "hi", "background": true, "stream": true}'
    count = len(gateway.settled())
    with gateway.connect() as client:
        client.request("POST", RESPONSES, body)
        _, headers = client.head()
        next(client.segments(headers))
        client.reset()
    record = gateway.next_record(count)
    assert record["outcome"] == "client_cancelled"
    gateway.teacher.script(*answered("stream", name))
    assert ask(gateway, "stream", name).status == 200
    rows = gateway.rows(f"{TOKENS} WHERE request = '{record['id']}'")
    assert [row[:2] for row in rows] == [USAGE]
    assert gateway.metric("usage_missing_total") == missing


def test_a_stream_that_is_read_to_its_end_is_accounted_by_itself(gateway: Gateway) -> None:
    name = fresh()
    events = (typed("response.created", response={**stored(name), **QUEUED}), b"".join(
        step.data for step in answered("stream", name) if isinstance(step, Send)
    ))  # fmt: skip
    gateway.teacher.script(*stream(*events))
    begun = gateway.post({"input": "hi", "background": True, "stream": True}, path=RESPONSES)
    assert accounted(gateway, begun)[0][:2] == USAGE
    gateway.teacher.script(*answered("stream", name))
    ask(gateway, "stream", name)
    assert len(accounted(gateway, begun)) == 1


@pytest.mark.parametrize("how", ["deleted", "failed"])
def test_what_ends_without_usage_is_missing_and_estimated(gateway: Gateway, how: str) -> None:
    name, missing = fresh(), gateway.metric("usage_missing_total")
    begun = begin(gateway, name)
    gateway.teacher.script(
        *(answered("delete", name) if how == "deleted" else answer(stored(name, status="failed", usage=None)))
    )
    assert ask(gateway, "delete" if how == "deleted" else "get", name).status == 200
    (row,) = accounted(gateway, begun)
    assert (row[:2], row[3]) == ((0, 0), 1)
    assert gateway.metric("usage_missing_total") == missing + 1
    assert gateway.rows("SELECT estimated_prompt_tokens > 0 FROM attempts ORDER BY request DESC LIMIT 1") == [(1,)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_restart_and_other_workers_account_it_once_too(tmp_path: Path, workers: int) -> None:
    with running(tmp_path, {"server": {"workers": workers}}) as gateway:
        name = fresh()
        begun = begin(gateway, name)
        gateway.stop()
        gateway.start()
        gateway.teacher.default(*answered("get", name))
        for _ in range(8):
            assert ask(gateway, "get", name).status == 200
        assert [row[:2] for row in accounted(gateway, begun)] == [USAGE]
        assert not gateway.student.received


def test_what_nobody_asks_for_is_missing_after_a_day(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        begun, later = begin(gateway, fresh()), begin(gateway, fresh())
        gateway.stop()
        (file,) = tmp_path.glob("*/responses.sqlite")
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE responses SET at = at - 86500 WHERE id = (SELECT min(id) FROM responses)")
        gateway.start()
        assert eventually(lambda: [row[3] for row in accounted(gateway, begun)]) == [1]
        assert accounted(gateway, later) == []
        assert gateway.metric("usage_missing_total", upstream="teacher") == 1
