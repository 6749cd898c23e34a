"""Two workers, each asked by connections of its own: what one of them remembers holds nobody else at the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.contract.client import RawClient, Response, eventually
from tests.contract.further import key
from tests.contract.gateway import Gateway, running
from tests.contract.scripted import answer, error_answer
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object
from tests.contract.test_lifecycle import workers
from tests.contract.test_sessions import DIFFICULT, EASY, Turns, said, user, where

CONFIG: dict[str, Any] = {"routing": {"sticky": True, "threshold": 0.5}, "server": {"workers": 2}}
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
Pair = tuple[RawClient, RawClient]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("two"), CONFIG) as gateway:
        eventually(lambda: len(workers(gateway)) == 2, 60)
        yield gateway


@pytest.fixture
def gateway(two: Gateway) -> Gateway:
    two.student.clear()
    two.teacher.clear()
    return two


@pytest.fixture
def pair(gateway: Gateway) -> Iterator[Pair]:
    """A connection to each worker; keep-alive keeps it there."""
    one, other = workers(gateway)
    with connected(gateway, other) as first, connected(gateway, one) as second:
        yield first, second


def connected(gateway: Gateway, stopped: psutil.Process) -> RawClient:
    """A connection that was accepted while one worker was stopped, so that the other one has it."""
    stopped.suspend()
    try:
        client = RawClient(gateway.port, timeout=60)
        assert client.request("GET", "/healthz").response("GET").status == 200
    finally:
        stopped.resume()
    return client


def send(
    client: RawClient, turns: Turns | str, model: str = EASY, path: str = CHAT, headers: Any = None, **fields: Any
) -> Response:
    name = "messages" if path == CHAT else "input"
    body = json.dumps({"model": model, name: turns, **fields}).encode()
    return client.request("POST", path, body, headers).response()


def test_the_connections_are_to_different_workers(pair: Pair) -> None:
    named = {"x-breakeven-conversation": "one"}
    first, second = pair
    assert where(send(first, [user("a")], DIFFICULT, headers=named)) == ("teacher", "difficult")
    assert where(send(first, [user("b")], headers=named)) == ("teacher", "sticky")
    # Nobody but the first worker knows of it, and this turn does not say it.
    assert where(send(second, [user("b")], headers=named)) == ("student", "easy")


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_a_cache_key_of_two_users_holds_neither_of_them_at_any_worker(gateway: Gateway, pair: Pair, path: str) -> None:
    if path == RESPONSES:
        for upstream in (gateway.student, gateway.teacher):
            upstream.default(*answer(response_object(usage=RESPONSE_USAGE)))
    first, second = pair
    key = f"app{path}"
    mine = [user(f"a difficult task {path}")]
    assert where(send(first, mine, DIFFICULT, path, prompt_cache_key=key)) == ("teacher", "difficult")
    theirs = [user(f"hi {path}")]
    assert where(send(second, theirs, EASY, path, prompt_cache_key=key)) == ("student", "easy")
    theirs += [said(), user("thanks")]
    for client in (first, second):
        assert where(send(client, theirs, EASY, path, prompt_cache_key=key)) == ("student", "easy")
    # What was said still holds the first one, at the worker that saw it.
    assert where(send(first, [*mine, said(), user("and?")], EASY, path, prompt_cache_key=key)) == ("teacher", "sticky")


LIGHT = "What is the capital of France, please tell me in one word?"
HEAVY = (
    "Prove that every continuous function on a compact interval is uniformly continuous, then implement a lock-free "
    "queue in Rust with hazard pointers and analyse its memory ordering."
)


@pytest.mark.parametrize("named", [True, False], ids=["id", "messages"])
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_a_worker_that_saw_only_the_easy_turns_keeps_the_conversation_on_the_teacher(
    gateway: Gateway, pair: Pair, path: str, named: bool
) -> None:
    if path == RESPONSES:
        for upstream in (gateway.student, gateway.teacher):
            upstream.default(*answer(response_object(usage=RESPONSE_USAGE)))
    headers = {"x-breakeven-conversation": f"behind {path}"} if named else {}
    first, second = pair
    turns = [user("hi"), said(f"hello from {path}, {named}"), user(LIGHT)]
    for client in pair:
        assert where(send(client, turns, "auto", path, headers)) == ("student", "easy")
    turns += [said("Paris"), user(HEAVY)]
    assert where(send(first, turns, "auto", path, headers)) == ("teacher", "difficult")
    turns += [said("a long proof"), user(LIGHT)]
    for client in (second, first, second):
        response = send(client, turns, "auto", path, headers)
        assert where(response) == ("teacher", "sticky")
        assert response.headers["x-breakeven-hold"] == "difficult"


def test_an_outage_at_one_worker_holds_nobody_at_either(gateway: Gateway, pair: Pair) -> None:
    hi = user("Hi there")
    gateway.student.script(*error_answer(503))
    assert where(send(pair[0], [hi])) == ("teacher", "fallback")
    for number in range(10):
        for client in pair:
            assert where(send(client, [hi])) == ("student", "easy")
            assert where(send(client, [hi, said(), user(f"question {number}")])) == ("student", "easy")


@pytest.mark.parametrize("keeper", ["student", "teacher"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_stored_response_is_continued_at_the_other_worker(
    gateway: Gateway, pair: Pair, keeper: str, streamed: bool
) -> None:
    to, other = gateway.student, gateway.teacher
    if keeper == "teacher":
        to, other = other, to
    made = f"resp_{keeper}{streamed}"
    to.script(*answer(response_object(id=made, usage=RESPONSE_USAGE)))
    assert send(pair[0], "hi", keeper, RESPONSES).status == 200
    other.default(*error_answer(404, "Response not found"))
    to.default(*answer(response_object(id=f"{made}_next", usage=RESPONSE_USAGE)))
    away = DIFFICULT if keeper == "student" else EASY
    for client in pair:
        response = send(client, "more", away, RESPONSES, previous_response_id=made, stream=streamed)
        assert (response.status, response.headers["x-breakeven-route"]) == (200, keeper)
        assert to.last.json["previous_response_id"] == made
    for client in pair:
        count = len(gateway.teacher.received) + len(gateway.student.received)
        found = client.request("GET", f"{RESPONSES}/{made}").response("GET")
        assert (found.status, found.headers["x-breakeven-route"]) == (200, keeper)
        assert len(gateway.teacher.received) + len(gateway.student.received) - count <= 2


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = {**CONFIG, "auth": {"keys": [key("one"), key("two")]}}
    with running(tmp_path_factory.mktemp("keyed"), config) as gateway:
        eventually(lambda: len(workers(gateway)) == 2, 60)
        yield gateway


def test_a_stored_response_is_its_keys_at_either_worker(keyed: Gateway) -> None:
    one, two = ({"authorization": f"Bearer secret-{name}"} for name in ("one", "two"))
    keyed.teacher.script(*answer(response_object(id="resp_mine", usage=RESPONSE_USAGE)))
    keyed.teacher.default(*answer(response_object(id="resp_later", usage=RESPONSE_USAGE)))
    with connected(keyed, workers(keyed)[0]) as first, connected(keyed, workers(keyed)[1]) as second:
        assert send(first, "hi", "teacher", RESPONSES, one).status == 200
        for client in (second, first):
            refused = send(client, "more", "teacher", RESPONSES, two, previous_response_id="resp_mine")
            assert (refused.status, refused.error["code"]) == (404, "previous_response_not_found")
            assert client.request("GET", f"{RESPONSES}/resp_mine", headers=two).response("GET").status == 404
            counted = send(client, "x", "teacher", f"{RESPONSES}/input_tokens", two, previous_response_id="resp_mine")
            assert counted.status == 404
        assert len(keyed.teacher.received) == 1
        for client in (second, first):
            assert send(client, "x", EASY, RESPONSES, one, previous_response_id="resp_mine").status == 200
            assert client.request("GET", f"{RESPONSES}/resp_mine", headers=one).response("GET").status == 200
    assert keyed.student.received == []


def test_a_thought_of_the_teacher_is_not_sent_to_the_student_by_a_worker_that_did_not_see_it(
    gateway: Gateway, pair: Pair
) -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    for upstream in (gateway.student, gateway.teacher):
        upstream.default(*answer(response_object(usage=RESPONSE_USAGE)))
    turns = [user("what?")]
    send(pair[0], turns, "teacher", RESPONSES)
    turns += [thought, said(), user("and?")]
    for client in pair:
        assert send(client, turns, "student", RESPONSES).headers["x-breakeven-route"] == "student"
        assert thought not in gateway.student.last.json["input"]
        assert send(client, turns, "teacher", RESPONSES).headers["x-breakeven-route"] == "teacher"
        assert thought in gateway.teacher.last.json["input"]
