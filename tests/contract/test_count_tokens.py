"""Counting tokens as the upstream does, or estimating them; and which API an upstream is found to speak."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.anthropic_like import COUNT, MESSAGES, asked, error_of, message, refusal
from tests.contract.client import eventually
from tests.contract.gateway import Gateway
from tests.contract.scripted import ScriptedUpstream, answer, completion

CHAT = "/v1/chat/completions"
HEADER = "x-breakeven-token-count"
TOOL = {"name": "f", "input_schema": {"type": "object"}}


@contextlib.contextmanager
def before_a_vllm(folder: Path, status: int, changes: dict[str, Any] | None = None) -> Iterator[Gateway]:
    """A gateway whose student is a vLLM that answers `status` to an incomplete request for /v1/messages."""
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        student.owner, student.messages_status = "vllm", status
        gateway = Gateway(folder, student, teacher, changes)
        try:
            gateway.start()
            eventually(lambda: "small" in gateway.get("/admin/upstreams").body.decode() or student.gets)
            yield gateway
        finally:
            gateway.stop()


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with before_a_vllm(tmp_path_factory.mktemp("native"), 400) as gateway:
        gateway.student.default(*answer(message()))
        eventually(lambda: speaks_messages(gateway))
        yield gateway


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with before_a_vllm(tmp_path_factory.mktemp("older"), 404) as gateway:
        eventually(lambda: gateway.student.gets)
        yield gateway


def speaks_messages(gateway: Gateway) -> bool:
    """Whether the student gets requests of the Messages API as they came."""
    gateway.post(asked(model="student"), path=MESSAGES)
    return gateway.student.last.path == MESSAGES


def counted(gateway: Gateway, model: str = "student", **fields: Any) -> tuple[str, int]:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
    response = gateway.post(body, path=COUNT)
    assert response.status == 200, response.body
    assert set(response.json) == {"input_tokens"}
    return response.headers[HEADER], response.json["input_tokens"]


def test_a_vllm_that_has_it_is_asked_in_its_own_api(native: Gateway) -> None:
    assert speaks_messages(native)
    # Requests that the gateway made up are none of the clients'.
    assert all(record["endpoint"] == "messages" for record in native.settled())


def test_a_vllm_that_has_it_not_is_asked_in_chat_completions(older: Gateway) -> None:
    older.student.clear()
    assert not speaks_messages(older)
    assert older.student.last.path == CHAT


def test_translate_is_translate_whatever_the_server_has(tmp_path: Path) -> None:
    with before_a_vllm(tmp_path, 400, {"student": {"messages": "translate"}}) as gateway:
        assert not speaks_messages(gateway)


def test_an_upstream_that_counts_is_asked(native: Gateway) -> None:
    native.student.script(*answer({"input_tokens": 14, "context_management": {"original_input_tokens": 14}}))
    assert counted(native, tools=[TOOL], system="s") == ("upstream", 14)
    assert native.student.last.path == COUNT
    assert native.student.last.json["model"] == "small"
    native.student.script(*refusal(400, "wrong"))
    response = native.post({"model": "student", "messages": [{"role": "user", "content": 3}]}, path=COUNT)
    assert (response.status, error_of(response)) == (400, "wrong")


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_an_upstream_that_does_not_count_now_has_its_tokenizer_asked(native: Gateway, status: int) -> None:
    native.student.script(*refusal(status))
    native.student.tokenizer = lambda body: answer({"count": 21})
    assert counted(native) == ("tokenizer", 21)
    native.student.script(*refusal(status))
    native.student.tokenizer = None


def test_a_tokenizer_counts_the_prompt_as_it_is_translated(older: Gateway) -> None:
    older.student.clear()
    older.student.tokenizer = lambda body: answer({"count": 21})
    assert counted(older, tools=[TOOL], system="Be brief.") == ("tokenizer", 21)
    (request,) = older.student.tokenized
    assert request.json["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert request.json["tools"][0]["function"]["name"] == "f"
    assert older.student.received == []


def test_the_estimate_is_near_what_answers_showed(older: Gateway) -> None:
    teacher = older.teacher
    kind, before = counted(older, "teacher", system="word " * 3000)
    usage = {"prompt_tokens": before // 2, "completion_tokens": 1, "total_tokens": before // 2 + 1}
    teacher.script(*answer(completion(usage=usage)))
    older.post(asked(model="teacher", system="word " * 3000), path=MESSAGES)
    after = eventually(lambda: (found := counted(older, "teacher", system="word " * 3000)[1]) < before and found)
    assert kind == "estimated"
    assert after == pytest.approx(before / 2, rel=0.02)


def test_a_count_is_in_log_and_metrics_and_costs_nothing(older: Gateway) -> None:
    older.student.clear()
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
    response = older.post(body, path=COUNT)
    record = older.record(response)
    assert (record["endpoint"], record["outcome"], record["attempts"]) == ("count_tokens", "ok", [])
    assert older.metric("requests_total", endpoint="count_tokens", outcome="ok") >= 1
    assert older.rows("select count(*) from requests where endpoint = 'count_tokens'") == [(0,)]
    assert older.student.received == []


def test_refusals_have_the_shape_of_this_api(older: Gateway) -> None:
    for body, status in (({"model": "nobody", "messages": asked()["messages"]}, 404), ({"model": "auto"}, 400)):
        response = older.post(body, path=COUNT)
        assert response.status == status
        error_of(response)
    assert older.get(COUNT).status == 405
