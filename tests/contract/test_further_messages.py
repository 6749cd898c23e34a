"""Further models with /messages or /responses: they get what is asked at these paths, and below them, as it came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.anthropic_like import (
    COUNT,
    MESSAGES,
    WHOLE_STREAM,
    asked,
    error_of,
    message,
    message_stream,
    refusal,
)
from tests.contract.further import model, with_models
from tests.contract.gateway import Gateway
from tests.contract.scripted import ScriptedUpstream, answer, completion
from tests.contract.test_endpoints import RESPONSES, response_object

Fixture = tuple[Gateway, ScriptedUpstream]
PRICES = {"input": 3, "output": 15}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixture]:
    with ScriptedUpstream("claude-x") as upstream:
        models = [
            model(upstream, "claude", model="claude-x", paths=["/messages"], usd_per_million=PRICES),
            model(upstream, "both", model="claude-y", paths=["/messages", "/chat/completions"]),
            model(upstream, "chat", paths=["/messages", "/chat/completions"], messages="translate"),
            model(upstream, "responds", paths=["/responses"]),
        ]
        with with_models(tmp_path_factory.mktemp("messages"), models=models) as (gateway, _):
            yield gateway, upstream


@pytest.fixture
def pair(shared: Fixture) -> Fixture:
    for one in (shared[0].student, shared[0].teacher, shared[1]):
        one.clear()
    return shared


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("name", "theirs"), [("claude", "claude-x"), ("both", "claude-y")])
def test_a_message_goes_to_its_own_path(pair: Fixture, name: str, theirs: str, streamed: bool) -> None:
    gateway, upstream = pair
    upstream.script(*(message_stream() if streamed else answer(message())))
    response = gateway.post(asked(model=name, stream=streamed), {"anthropic-beta": "x-1"}, MESSAGES)
    assert response.body == b"".join(WHOLE_STREAM) if streamed else response.json == message()
    assert (upstream.last.path, upstream.last.json["model"]) == (MESSAGES, theirs)
    assert (upstream.last.headers["anthropic-version"], upstream.last.headers["anthropic-beta"]) == (
        "2023-06-01",
        "x-1",
    )
    (attempt,) = gateway.record(response)["attempts"]
    assert (attempt["usage"]["output"], attempt["usage"]["complete"]) == (7, True)
    assert (attempt["cost"]["output"] > 0) is (name == "claude")


def test_it_is_translated_where_the_config_says_so(pair: Fixture) -> None:
    gateway, upstream = pair
    upstream.script(*answer(completion("hello")))
    response = gateway.post(asked(model="chat"), path=MESSAGES)
    assert response.json["content"] == [{"type": "text", "text": "hello"}]
    assert upstream.last.path == "/v1/chat/completions"


def test_its_refusals_are_its_own(pair: Fixture) -> None:
    gateway, upstream = pair
    upstream.script(*refusal(529, "Overloaded"))
    response = gateway.post(asked(model="claude"), path=MESSAGES)
    assert (response.status, error_of(response)) == (529, "Overloaded")


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("claude", COUNT, asked("hi")),
        ("responds", f"{RESPONSES}/input_tokens", {"input": "hi"}),
        ("responds", f"{RESPONSES}/compact", {"input": "hi"}),
    ],
)
def test_what_is_below_its_path_is_asked_there(pair: Fixture, name: str, path: str, body: dict[str, Any]) -> None:
    gateway, upstream = pair
    upstream.script(*answer({**response_object(), "input_tokens": 42}))
    response = gateway.post({**body, "model": name}, path=path)
    assert (response.status, response.json["input_tokens"]) == (200, 42)
    assert (response.headers["x-breakeven-route"], upstream.last.path) == ("model", path)
    assert gateway.student.received == gateway.teacher.received == []


@pytest.mark.parametrize(
    ("name", "path"),
    [("claude", RESPONSES), ("responds", COUNT), ("responds", MESSAGES), ("claude", "/v1/completions")],
)
def test_what_it_does_not_have_is_404(pair: Fixture, name: str, path: str) -> None:
    gateway, upstream = pair
    body = {**asked("hi"), "input": "hi", "prompt": "hi", "model": name}
    assert gateway.post(body, path=path).status == 404
    assert not upstream.received
