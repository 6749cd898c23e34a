"""Responses that a further model stores: continued with its name, and asked for by their id, by their own key."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.client import Response
from tests.contract.further import JSON, key, with_models
from tests.contract.gateway import Gateway
from tests.contract.scripted import ScriptedUpstream, answer, error_answer, stream
from tests.contract.test_endpoints import RESPONSE_USAGE, RESPONSES, response_object, typed

Fixture = tuple[Gateway, ScriptedUpstream]
STREAMED = pytest.mark.parametrize("streamed", [False, True])
_NUMBERS = itertools.count()


@pytest.fixture(scope="module", params=[True, False], ids=["keys", "no keys"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixture]:
    """Two workers, so that the one that is asked for a response is not always the one that relayed it."""
    changes: dict[str, Any] = {"server": {"workers": 2}}
    if request.param:
        changes["auth"] = {"keys": [key("a"), key("b")]}
    with with_models(tmp_path_factory.mktemp("stored"), changes) as pair:
        yield pair


@pytest.fixture
def pair(shared: Fixture) -> Fixture:
    gateway, upstream = shared
    for one in (gateway.student, gateway.teacher):
        one.clear()
        one.default(*error_answer(404, "no such response"))
    upstream.clear()
    return shared


def said(id: str, streamed: bool) -> list[Any]:
    value = {**response_object(usage=RESPONSE_USAGE), "id": id}
    events = (typed("response.created", response=value), typed("response.completed", response=value))
    return stream(*events) if streamed else answer(value)


def ask(gateway: Gateway, fields: dict[str, Any], caller: str = "a") -> Response:
    return gateway.post({"model": "chats", "input": "hi", **fields}, _headers(caller), path=RESPONSES)


def about(gateway: Gateway, method: str, path: str, caller: str = "a") -> Response:
    with gateway.connect() as client:
        return client.request(method, f"{RESPONSES}/{path}", None, _headers(caller)).response(method)


def _headers(caller: str) -> dict[str, str]:
    return {**JSON, "authorization": f"Bearer secret-{caller}"}


@STREAMED
def test_its_maker_continues_it_with_the_name_of_the_model(pair: Fixture, streamed: bool) -> None:
    gateway, upstream = pair
    id = f"resp_{next(_NUMBERS)}"
    upstream.default(*said(id, streamed))
    assert ask(gateway, {"stream": streamed}).status == 200
    for _ in range(4):
        response = ask(gateway, {"stream": streamed, "previous_response_id": id})
        assert (response.status, response.headers["x-breakeven-route"]) == (200, "model")
        assert upstream.last.json["previous_response_id"] == id
    # The student and the teacher do not have it.
    assert ask(gateway, {"model": "auto", "previous_response_id": id}).status == 404
    if "auth" in gateway.config:
        upstream.received = []
        assert ask(gateway, {"previous_response_id": id}, "b").status == 404
        assert not upstream.received


@STREAMED
def test_it_is_asked_for_where_it_is(pair: Fixture, streamed: bool) -> None:
    gateway, upstream = pair
    id = f"resp_{next(_NUMBERS)}"
    upstream.default(*said(id, streamed))
    assert ask(gateway, {"stream": streamed}).status == 200
    asked = [("GET", id), ("GET", f"{id}/input_items?limit=2"), ("POST", f"{id}/cancel"), ("DELETE", id)]
    if "auth" in gateway.config:
        upstream.received = []
        assert {about(gateway, *one, caller="b").status for one in asked} == {404}
        assert not upstream.received
    upstream.default(*answer({"id": id, "object": "response", "status": "completed"}))
    for method, path in asked:
        response = about(gateway, method, path)
        assert (response.status, response.headers["x-breakeven-route"]) == (200, "model")
        assert (upstream.last.method, upstream.last.path) == (method, f"{RESPONSES}/{path}")
        assert upstream.last.headers["authorization"] == "Bearer sk-model-canary-77aa"
    assert (gateway.student.received, gateway.teacher.received) == ([], [])
    upstream.default(*error_answer(404, "no such response"))
    assert about(gateway, "GET", id).status == 404


def test_what_it_failed_to_find_is_its_own_404(pair: Fixture) -> None:
    gateway, upstream = pair
    id = f"resp_{next(_NUMBERS)}"
    upstream.script(*said(id, streamed=False))
    assert ask(gateway, {}).status == 200
    upstream.default(*error_answer(503, "down"))
    assert about(gateway, "GET", id).status == 503


def test_it_is_paid_for_once(pair: Fixture) -> None:
    gateway, upstream = pair
    id = f"resp_{next(_NUMBERS)}"
    upstream.default(*said(id, streamed=False))
    gateway.record(ask(gateway, {"background": True}))
    spent = "SELECT count(*), sum(cost_output) FROM attempts WHERE upstream = 'model'"
    before = gateway.rows(spent)
    assert before[0][0] > 0
    for _ in range(2):
        gateway.record(about(gateway, "GET", id))
    assert gateway.rows(spent) == before
