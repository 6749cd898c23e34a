"""What one of the teacher's providers stores or encrypts stays with it; the others never get it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.fallback_net import Net, net
from tests.contract.gateway import chat
from tests.contract.scripted import answer, completion, error_answer
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object

SESSION = {"x-breakeven-conversation": "one"}
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
SAID = {"type": "message", "role": "assistant", "content": "yes"}
ASKED = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def response(id: str = "resp_1") -> dict[str, Any]:
    return {"id": id, "object": "response", "status": "completed", "output": []}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with net(tmp_path_factory.mktemp("gateway"), {"routing": {"sticky": True}}) as one:
        yield one


@pytest.fixture
def providers(shared: Net) -> Net:
    return shared.clear()


@pytest.mark.parametrize("model", ["auto@0", "teacher"])
def test_a_stored_response_stays_with_its_provider(providers: Net, model: str) -> None:
    providers.teacher.script(*error_answer(503))
    providers.eu.script(*answer(response("resp_eu")))
    assert providers.respond().status == 200
    providers.eu.script(*error_answer(503, "later"))
    found = providers.respond(model=model, previous_response_id="resp_eu")
    assert (found.status, found.error["message"]) == (503, "later")
    assert found.headers["x-breakeven-provider"] == "eu"
    assert providers.counts() == (0, 1, 2, 0)


def test_a_stored_response_of_the_first_one_stays_there(providers: Net) -> None:
    providers.teacher.script(*answer(response("resp_first")))
    assert providers.respond().status == 200
    providers.teacher.script(*error_answer(503))
    assert providers.respond(previous_response_id="resp_first").status == 503
    assert providers.counts() == (0, 2, 0, 0)


@pytest.mark.parametrize("model", ["auto@0", "teacher"])
def test_an_unknown_stored_response_is_looked_for_at_all_of_them(providers: Net, model: str) -> None:
    for upstream in (providers.teacher, providers.eu):
        upstream.default(*error_answer(404, "no such response"))
    providers.us.script(*answer(response("resp_2")))
    found = providers.respond(model=model, previous_response_id="resp_elsewhere")
    assert found.headers["x-breakeven-provider"] == "us"


def test_what_one_encrypted_is_not_sent_to_another(providers: Net) -> None:
    providers.teacher.script(*answer(response()))
    first = {"model": "auto@0", "input": [ASKED]}
    assert providers.gateway.post(first, SESSION, "/v1/responses").status == 200
    later = {"model": "auto@0", "input": [ASKED, SEALED, SAID, ASKED]}
    providers.teacher.script(*error_answer(503))
    providers.eu.script(*answer(response()))
    found = providers.gateway.post(later, SESSION, "/v1/responses")
    assert found.headers["x-breakeven-provider"] == "eu"
    assert providers.teacher.last.json["input"] == later["input"]
    assert providers.eu.last.json["input"] == [ASKED, SAID, ASKED]


def test_what_is_of_an_unknown_maker_is_tried_and_then_stripped(providers: Net) -> None:
    later = {"model": "teacher", "input": [ASKED, SEALED, SAID, ASKED]}
    providers.teacher.default(*error_answer(503))
    providers.eu.script(*error_answer(400, "cannot be decrypted"))
    providers.eu.script(*answer(response()))
    found = providers.gateway.post(later, path="/v1/responses")
    assert found.headers["x-breakeven-provider"] == "eu"
    assert [one.json["input"] for one in providers.eu.received] == [later["input"], [ASKED, SAID, ASKED]]


def test_the_result_of_a_call_goes_first_to_the_one_that_made_it(providers: Net) -> None:
    headers = {"x-breakeven-conversation": "calls"}
    messages = [{"role": "user", "content": "what is it?"}]
    providers.teacher.script(*error_answer(503))
    asked = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    made = completion(choices=[{"index": 0, "message": asked, "finish_reason": "tool_calls"}])
    providers.eu.script(*answer(made))
    body = {"model": "auto@0", "tools": [TOOL]}
    assert providers.gateway.post({**body, "messages": messages}, headers).headers["x-breakeven-provider"] == "eu"
    messages += [asked, {"role": "tool", "tool_call_id": "c1", "content": "42"}]
    found = providers.gateway.post({**body, "messages": messages}, headers)
    assert found.headers["x-breakeven-provider"] == "eu"
    assert providers.counts() == (0, 1, 2, 0)
    providers.eu.script(*error_answer(503))
    # Any of them can read it, so that the first one answers where that provider fails.
    found = providers.gateway.post({**body, "messages": messages}, headers)
    assert "x-breakeven-provider" not in found.headers
    assert found.status == 200


def test_an_open_circuit_is_passed_over_and_closes_again(tmp_path: Path) -> None:
    breaker = {"consecutive_failures": 2, "failure_rate": 1.0, "window_requests": 100, "pause_seconds": 1.0}
    with net(tmp_path, {"teacher": {"breaker": breaker}}, breaker=breaker) as one:
        one.teacher.default(*error_answer(503))
        for _ in range(2):
            assert one.post().headers["x-breakeven-provider"] == "eu"
        assert one.gateway.metric("circuit_open", upstream="teacher") == 1
        assert one.post().headers["x-breakeven-attempts"] == "1"
        assert len(one.teacher.received) == 2
        assert one.gateway.get("/readyz").json["teacher"] == "down"
        one.eu.default(*error_answer(503))
        for _ in range(2):
            assert one.post().headers["x-breakeven-provider"] == "us"
        assert one.post().headers["x-breakeven-attempts"] == "1"
        assert one.gateway.metrics()['breakeven_circuit_open{upstream="teacher:eu"}'] == 1
        assert "the circuit of the teacher:eu opened" in one.gateway.log.read_text()
        one.teacher.default()
        one.us.default(*error_answer(503))
        # After its pause the first one is tried again.
        eventually(lambda: "x-breakeven-provider" not in (found := one.post()).headers and found.status == 200)
        assert one.gateway.metrics()['breakeven_circuit_open{upstream="teacher"}'] == 0


def test_where_all_circuits_are_open_the_error_says_when_to_try_again(tmp_path: Path) -> None:
    breaker = {"consecutive_failures": 1, "failure_rate": 1.0, "window_requests": 100, "pause_seconds": 30.0}
    with net(tmp_path, {"teacher": {"breaker": breaker}}, breaker=breaker) as one:
        gateway = one.gateway
        gateway.config["teacher"]["fallbacks"][1]["breaker"] = {**breaker, "pause_seconds": 5.0}
        gateway.stop()
        gateway.start()
        for upstream in (one.teacher, one.eu, one.us):
            upstream.default(*error_answer(503))
        assert one.post().status == 503
        found = one.post()
        assert (found.status, found.error["code"]) == (503, "upstream_unavailable")
        assert 1 <= int(found.headers["retry-after"]) <= 5
        # The student stands in where it may.
        assert one.post(chat(model="auto@0")).headers["x-breakeven-reason"] == "unavailable"
        assert len(one.teacher.received) == 1


def test_what_a_provider_made_in_the_background_is_accounted_although_the_config_has_it_no_more(
    tmp_path: Path,
) -> None:
    with net(tmp_path) as own:
        begun = []
        for name in ("resp_old", "resp_asked"):
            own.teacher.script(*error_answer(503))
            own.eu.script(*answer({**response_object(), "id": name, "status": "queued", "usage": None}))
            begun.append(own.respond(background=True))
            assert begun[-1].headers["x-breakeven-provider"] == "eu"
        own.gateway.stop()
        (file,) = tmp_path.glob("*/responses.sqlite")
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE responses SET at = at - 86500 WHERE id = 'resp_old'")
        own.gateway.config["teacher"]["fallbacks"] = []
        own.gateway.start()
        own.teacher.default(*answer({**response_object(usage=RESPONSE_USAGE), "id": "resp_asked"}))
        assert own.gateway.get("/v1/responses/resp_asked").status == 200
        query = (
            "SELECT prompt_tokens, output_tokens, cost_output, usage_missing FROM attempts JOIN requests "
            "ON requests.id = attempts.request WHERE attempts.provider = 'eu' AND request_id = '{}'"
        )
        old, asked = (query.format(one.headers["x-breakeven-request-id"]) for one in begun)
        assert eventually(lambda: own.gateway.rows(old), 30) == [(0, 0, 0, 1)]
        # No price of it is known any more.
        assert own.gateway.rows(asked) == [(12, 5, 0, 0)]
        assert "the config does not have teacher:eu any more" in own.gateway.log.read_text()
