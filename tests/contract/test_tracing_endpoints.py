"""Traces of every endpoint, streamed or not, translated or not: their names, and content only on request."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.gateway import running
from tests.contract.scripted import End, Head, Send, answer
from tests.contract.test_tracing import FAST, Traced, spans_of
from tests.contract.test_unasked_events import ANSWERS, ASKED, CHAT, COMPLETIONS, EVENTS, MESSAGES, RESPONSES, spoken
from tests.support.collector import Collector, attributes_of

MODELS: dict[str, str | None] = {CHAT: "m", COMPLETIONS: "m", RESPONSES: "named", MESSAGES: "big"}
SAID = {CHAT: "né", COMPLETIONS: "né", RESPONSES: "né", MESSAGES: "hello"}
CANARY = "canary-7c1e"


@pytest.fixture(scope="module", params=[False, True], ids=["without content", "with content"])
def traced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with Collector() as collector:
        changes = {
            "tracing": {"otlp_endpoint": collector.url, "content": request.param},
            "student": {"messages": "native"},
            "teacher": {"messages": "translate"},
        }
        with running(tmp_path_factory.mktemp("traced"), changes, environment=FAST) as gateway:
            yield gateway, collector


def body(path: str, **more: Any) -> dict[str, Any]:
    """A request whose every text is the canary."""
    return {**json.loads(json.dumps(ASKED[path]).replace('"hi"', f'"{CANARY}"')), **more}


def named(path: str, *, stream_it: bool) -> bytes:
    """The answer in the API of `path`, with the name of a model in it wherever an API has one."""
    data = EVENTS[path] if stream_it else json.dumps(ANSWERS[path]).encode()
    if path == COMPLETIONS:
        data = data.replace(b'"text_completion",', b'"text_completion","model":"m",')
        data = data.replace(b'"text_completion", ', b'"text_completion", "model": "m", ')
    return data.replace(b'"id":"resp_1",', b'"id":"resp_1","model":"named",').replace(
        b'"id": "resp_1",', b'"id": "resp_1", "model": "named",'
    )


@pytest.mark.parametrize("path", ASKED)
def test_every_endpoint_has_its_names_and_content_only_on_request(traced: Traced, path: str) -> None:
    gateway, collector = traced
    wanted = gateway.config["tracing"]["content"]
    for by, stream_it in itertools.product(("student", "teacher"), (False, True)):
        upstream = gateway.student if by == "student" else gateway.teacher
        api = spoken(path, by)
        kind = "text/event-stream" if stream_it else "application/json"
        upstream.script(Head(200, {"content-type": kind}), Send(named(api, stream_it=stream_it)), End())
        response = gateway.post(body(path, model=by, stream=stream_it), path=path)
        assert response.status == 200
        request, (attempt,) = spans_of(collector, response, 1)
        operation = "text_completion" if path == COMPLETIONS else "chat"
        model = "small" if by == "student" else "big"
        assert (request.name, attempt.name) == (f"POST {path}", f"{operation} {model}")
        found = attributes_of(attempt)
        assert found["gen_ai.provider.name"] == ("anthropic" if api == MESSAGES else "openai")
        assert found["gen_ai.response.model"] == MODELS[api]
        assert found["gen_ai.usage.output_tokens"] in (3, 7)
        content = {name for name in found if name.endswith(".messages")}
        if wanted:
            assert CANARY in found["gen_ai.input.messages"]
            # The whole answer of this response has no text.
            if api != RESPONSES or stream_it:
                assert SAID[api] in found["gen_ai.output.messages"]
        else:
            assert not content
            assert CANARY.encode() not in request.SerializeToString() + attempt.SerializeToString()
            assert SAID[api].encode() not in attempt.SerializeToString()


REFUSED: list[tuple[str, Any, int]] = [
    (CHAT, b"canary-7c1e no JSON", 400),
    (CHAT, {"model": "auto", "messages": CANARY}, 400),
    (RESPONSES, {"input": [CANARY]}, 400),
    (MESSAGES, {"messages": [{"role": "user", "content": CANARY}], "model": "unknown"}, 404),
]


@pytest.mark.parametrize(("path", "asked", "status"), REFUSED)
def test_what_is_refused_is_a_span_without_content(traced: Traced, path: str, asked: Any, status: int) -> None:
    gateway, collector = traced
    response = gateway.post(asked, path=path)
    assert response.status == status
    request, attempts = spans_of(collector, response, 0)
    assert (request.name, attempts) == (f"POST {path}", [])
    found = attributes_of(request)
    assert (found["http.response.status_code"], found["breakeven.outcome"]) == (status, "rejected")
    assert CANARY.encode() not in request.SerializeToString()


@pytest.mark.parametrize("path", ["/v1/responses/input_tokens", "/v1/messages/count_tokens"])
def test_a_count_is_a_request_without_attempts(traced: Traced, path: str) -> None:
    gateway, collector = traced
    gateway.student.script(*answer({"input_tokens": 5}))
    asked = body(MESSAGES if "messages" in path else RESPONSES, model="student")
    response = gateway.post(asked, path=path)
    assert response.json["input_tokens"] == 5
    request, attempts = spans_of(collector, response, 0)
    assert (request.name, attempts) == (f"POST {path}", [])
    assert "gen_ai.operation.name" not in attributes_of(request)


def test_an_error_that_repeats_the_prompt_is_in_no_span(traced: Traced) -> None:
    gateway, collector = traced
    data = json.dumps({"error": {"message": f"cannot answer {CANARY}", "type": CANARY, "code": CANARY}}).encode()
    for path in ASKED:
        gateway.student.script(*answer(data, 422))
        response = gateway.post(body(path, model="student"), path=path)
        assert response.status == 422
        request, (attempt,) = spans_of(collector, response, 1)
        found = attributes_of(attempt)
        assert found.pop("error.type") == "bad_request"
        assert ("gen_ai.input.messages" in found) == gateway.config["tracing"]["content"]
        found.pop("gen_ai.input.messages", None)
        assert CANARY not in str(found) + str(attributes_of(request)) + str(attempt.events) + str(attempt.status)
