"""The teacher's other providers: order, failures, capabilities, who is paid, and what is said of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.fallback_net import ADMIN, Net, net
from tests.contract.gateway import chat
from tests.contract.scripted import (
    DONE,
    Close,
    Head,
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
)

HANGS = (Sleep(3.0),)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with net(tmp_path_factory.mktemp("gateway")) as one:
        yield one


@pytest.fixture
def providers(shared: Net) -> Net:
    return shared.clear()


def test_the_first_one_answers_while_it_is_well(providers: Net) -> None:
    response = providers.post()
    assert response.status == 200
    assert "x-breakeven-provider" not in response.headers
    assert providers.counts() == (0, 1, 0, 0)
    assert "provider" not in providers.gateway.record(response)["attempts"][0]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(error_answer(429), id="429"),
        pytest.param(error_answer(500), id="500"),
        pytest.param(error_answer(503), id="503"),
        pytest.param(error_answer(529), id="529"),
        pytest.param((Reset(),), id="reset"),
        pytest.param((Close(),), id="closed"),
        pytest.param(HANGS, id="timeout"),
        pytest.param(answer(b"no JSON"), id="no-json"),
    ],
)
def test_a_failure_before_the_first_byte_goes_to_the_next(
    providers: Net, steps: tuple[Step, ...], streamed: bool
) -> None:
    providers.teacher.default(*steps)
    response = providers.post(chat(model="teacher", stream=streamed))
    assert response.status == 200
    assert response.headers["x-breakeven-route"] == "teacher"
    assert response.headers["x-breakeven-reason"] == "pinned"
    assert response.headers["x-breakeven-provider"] == "eu"
    assert providers.eu.last.json["model"] == "big-eu"
    record = providers.gateway.record(response)
    attempts = [(one["upstream"], one.get("provider", ""), one["outcome"]) for one in record["attempts"]]
    assert attempts[-2:] == [("teacher", "", "upstream_error"), ("teacher", "eu", "ok")]
    assert not providers.us.received
    assert not providers.student.received


def test_an_error_before_the_answer_of_a_stream_goes_to_the_next(providers: Net) -> None:
    providers.teacher.script(*stream(delta("", role="assistant"), event({"error": {"message": "overloaded"}}), DONE))
    response = providers.post(chat(model="teacher", stream=True))
    assert response.status == 200
    assert b"overloaded" not in response.body
    assert response.headers["x-breakeven-provider"] == "eu"


def test_nothing_is_asked_again_after_the_first_byte(providers: Net) -> None:
    providers.teacher.script(Head(200, {"content-type": "text/event-stream"}), Send(delta("half")), Sleep(0.1), Reset())
    response = providers.post(chat(model="teacher", stream=True))
    assert response.status == 200
    assert response.last_error["code"] == "upstream_disconnected"
    assert providers.counts() == (0, 1, 0, 0)


def test_they_are_asked_in_order(providers: Net) -> None:
    providers.teacher.script(*error_answer(500))
    providers.eu.script(*error_answer(503))
    response = providers.post()
    assert response.headers["x-breakeven-provider"] == "us"
    assert response.headers["x-breakeven-attempts"] == "3"
    assert providers.counts() == (0, 1, 1, 1)


def test_a_wrong_request_is_not_asked_again(providers: Net) -> None:
    providers.teacher.script(*error_answer(400, "bad"))
    response = providers.post()
    assert (response.status, response.error["message"]) == (400, "bad")
    assert providers.counts() == (0, 1, 0, 0)


def test_a_refused_key_of_a_later_one_is_passed_over(providers: Net) -> None:
    providers.teacher.script(*error_answer(503))
    providers.eu.script(*error_answer(401))
    assert providers.post().headers["x-breakeven-provider"] == "us"


@pytest.mark.parametrize(
    ("first", "second", "third", "status", "message"),
    [
        (error_answer(500, "one"), error_answer(503, "two"), error_answer(529, "three"), 500, "one"),
        (error_answer(500, "one"), error_answer(429, "two", retry_after="9"), error_answer(500, "three"), 429, "two"),
        (error_answer(429, "one", retry_after="9"), error_answer(500), error_answer(429, "3"), 429, "one"),
        ([Reset()], error_answer(503, "two"), error_answer(401), 503, "two"),
        (error_answer(503, "one"), error_answer(400, "two"), error_answer(500), 400, "two"),
        (error_answer(429, "one", retry_after="9"), error_answer(400), error_answer(500), 429, "one"),
        (error_answer(503, "one"), error_answer(404), error_answer(404), 503, "one"),
    ],
)
def test_of_several_failures_the_client_gets_the_one_that_says_most(
    providers: Net, first: list[Step], second: list[Step], third: list[Step], status: int, message: str
) -> None:
    for upstream, steps in zip(providers[2:], (first, second, third), strict=True):
        upstream.default(*steps)
    response = providers.post()
    assert (response.status, response.error["message"]) == (status, message)
    assert response.headers.get("retry-after") == ("9" if status == 429 else None)


def test_after_all_of_them_the_student_answers(providers: Net) -> None:
    for upstream in providers[2:]:
        upstream.script(*error_answer(503))
    response = providers.post(chat(model="auto@0"))
    assert response.status == 200
    assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == ("student", "fallback")
    assert "x-breakeven-provider" not in response.headers
    assert providers.counts() == (1, 1, 1, 1)


def test_after_all_of_them_a_pinned_request_fails(providers: Net) -> None:
    for upstream in providers[2:]:
        upstream.script(*error_answer(503))
    assert providers.post().status == 503
    assert providers.counts() == (0, 1, 1, 1)


def test_a_student_that_fails_falls_back_to_the_first_teacher_that_answers(providers: Net) -> None:
    providers.student.script(*error_answer(500))
    providers.teacher.script(*error_answer(500))
    response = providers.post(chat())
    assert response.headers["x-breakeven-reason"] == "fallback"
    assert response.headers["x-breakeven-provider"] == "eu"


def test_the_client_can_refuse_a_second_upstream(providers: Net) -> None:
    providers.teacher.script(*error_answer(503))
    assert providers.post(headers={"x-breakeven-fallback": "false"}).status == 503
    assert providers.counts() == (0, 1, 0, 0)


@pytest.mark.parametrize(
    ("path", "body", "good"),
    [
        ("/v1/chat/completions", chat(model="teacher"), completion()),
        ("/v1/completions", {"model": "teacher", "prompt": "hi"}, {"object": "text_completion", "choices": []}),
        ("/v1/responses", {"model": "teacher", "input": "hi"}, {"id": "r1", "object": "response", "output": []}),
        ("/v1/embeddings", {"model": "teacher", "input": "hi"}, {"object": "list", "data": []}),
    ],
)
def test_every_endpoint_has_them(providers: Net, path: str, body: dict[str, Any], good: dict[str, Any]) -> None:
    providers.teacher.script(*error_answer(503))
    providers.eu.script(*answer(good))
    response = providers.gateway.post(body, path=path)
    assert response.status == 200
    assert response.headers["x-breakeven-provider"] == "eu"
    assert providers.eu.last.path == path
    assert providers.eu.last.json["model"] == "big-eu"


def test_the_ledger_says_who_was_paid_and_at_which_price(providers: Net) -> None:
    providers.teacher.script(*error_answer(503))
    record = providers.gateway.record(providers.post(chat(model="auto@0")))
    first, second = record["attempts"]
    assert first["cost"]["input"] == 0
    # 10 prompt and 3 completion tokens at 100 and 200 USD per million, in picodollars.
    assert (second["cost"]["input"], second["cost"]["output"]) == (1_000_000_000, 600_000_000)
    # The baseline stays the bill of the first teacher: at 10 and 20 USD.
    assert record["baseline"] == 160_000_000
    query = f"select number, upstream, provider, cost_input from attempts where request = '{record['id']}'"
    assert sorted(providers.gateway.rows(query)) == [(1, "teacher", "", 0), (2, "teacher", "eu", 1_000_000_000)]
    hourly = "select provider, sum(cost_input) > 0 from hourly where provider != '' group by provider"
    assert ("eu", 1) in providers.gateway.rows(hourly)


def test_state_and_failures_are_exported_by_provider(providers: Net) -> None:
    gateway = providers.gateway
    before = gateway.metric("upstream_failures_total", upstream="teacher:eu", cause="server_error")
    attempts = gateway.metric("attempts_total", upstream="teacher", outcome="ok")
    providers.teacher.script(*error_answer(500))
    providers.eu.script(*error_answer(500))
    assert providers.post().status == 200
    assert gateway.metric("upstream_failures_total", upstream="teacher:eu", cause="server_error") == before + 1
    assert gateway.metric("attempts_total", upstream="teacher", outcome="ok") == attempts + 1
    found = gateway.metrics()
    for label in ("student", "teacher", "teacher:eu", "teacher:us"):
        assert found[f'breakeven_circuit_open{{upstream="{label}"}}'] == 0
        assert found[f'breakeven_in_flight{{upstream="{label}"}}'] == 0
    assert not any("big-eu" in name for name in found)


def test_operators_see_every_provider(providers: Net) -> None:
    providers.teacher.script(*error_answer(500))
    providers.eu.script(*error_answer(500))
    providers.post()
    ready = providers.gateway.get("/readyz").json
    assert ready["teacher_fallbacks"][0] == {"name": "eu", "state": "failing", "cause": "server_error"}
    assert ready["teacher_fallbacks"][1]["name"] == "us"
    states = providers.gateway.get("/admin/upstreams", ADMIN).json["upstreams"]
    assert [(one["upstream"], one["provider"], one["model"]) for one in states] == [
        ("student", "", "small"), ("teacher", "", "big"), ("teacher", "eu", "big-eu"), ("teacher", "us", "big-us"),
    ]  # fmt: skip
    assert states[2]["last_failure"]["cause"] == "server_error"


def test_the_start_report_has_every_provider(providers: Net) -> None:
    log = providers.gateway.log.read_text
    eventually(lambda: "teacher:us at " in log())
    assert f"teacher:eu at {providers.eu.url}: reached; it serves big-eu" in log()


def test_the_report_shows_spend_by_provider(providers: Net) -> None:
    providers.teacher.script(*error_answer(503))
    providers.post()
    report = providers.gateway.get("/admin/report", ADMIN).json
    names = {one["provider"]: one for one in report["by_provider"]}
    assert {"teacher", "eu"} <= set(names)
    assert float(names["eu"]["cost_usd"]) > 0


def test_an_upstream_that_refuses_connections_is_passed_over(tmp_path: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with net(tmp_path, {"teacher": {"base_url": f"http://127.0.0.1:{port}/v1"}}) as one:
        response = one.post()
        assert response.headers["x-breakeven-provider"] == "eu"
        cause = json.loads(one.gateway.get("/readyz").body)["teacher_cause"]
        assert cause == "refused"
