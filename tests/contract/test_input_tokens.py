"""POST /v1/responses/input_tokens: counted by the upstream that would answer, else by its tokenizer, else estimated;
and the other paths of OpenAI's and Anthropic's APIs that the gateway does not have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.contract.anthropic_like import error_of
from tests.contract.client import Response, ask, eventually
from tests.contract.fallback_net import net
from tests.contract.gateway import Gateway, running
from tests.contract.scripted import ScriptedUpstream, answer, error_answer
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object

RESPONSES, COUNT = "/v1/responses", "/v1/responses/input_tokens"
HEADER = "x-breakeven-token-count"
COUNTED = {"object": "response.input_tokens", "input_tokens": 11}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}
ASKED = [{"role": "user", "content": "hi"}]
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}


def count(gateway: Gateway, headers: dict[str, str] | None = None, path: str = COUNT, **fields: Any) -> Response:
    return gateway.post({"model": "auto", "input": ASKED, **fields}, headers, path)


@pytest.mark.parametrize(
    "path", [COUNT, "/responses/input_tokens", "/v1/responses/input_tokens/", "/openai/v1/responses/input_tokens"]
)
@pytest.mark.parametrize("model", ["auto@1", "student", "auto@0", "teacher"])
def test_the_upstream_that_would_answer_is_asked(gateway: Gateway, model: str, path: str) -> None:
    to = gateway.student if model in ("auto@1", "student") else gateway.teacher
    to.script(*answer(COUNTED))
    response = count(gateway, path=path, model=model, tools=[TOOL], instructions="Be brief.")
    assert (response.status, response.json, response.headers[HEADER]) == (200, COUNTED, "upstream")
    assert response.headers["x-breakeven-route"] == to.model.replace("small", "student").replace("big", "teacher")
    assert to.last.path == COUNT
    assert to.last.json == {"model": to.model, "input": ASKED, "tools": [TOOL], "instructions": "Be brief."}
    assert len(gateway.student.received) + len(gateway.teacher.received) == 1


def test_openais_sdk_reads_it(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*answer(COUNTED))
    with openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="x", max_retries=0) as client:
        assert client.responses.input_tokens.count(model="auto", input="hi").input_tokens == 11


def test_it_costs_nothing_and_is_in_log_and_metrics(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*answer(COUNTED))
    record = gateway.record(count(gateway))
    assert (record["endpoint"], record["outcome"], record["attempts"]) == ("input_tokens", "ok", [])
    assert gateway.metric("requests_total", endpoint="input_tokens", outcome="ok") >= 1
    assert gateway.rows("select count(*) from requests where endpoint = 'input_tokens'") == [(0,)]


@pytest.mark.parametrize("status", [404, 405, 429, 500, 501])
def test_an_upstream_that_does_not_count_has_its_tokenizer_asked(vllm: Gateway, status: int) -> None:
    vllm.student.script(*error_answer(status))
    vllm.student.tokenizer = lambda body: answer({"count": 21})
    response = count(vllm, instructions="Be brief.", tools=[TOOL])
    assert (response.json["input_tokens"], response.headers[HEADER]) == (21, "tokenizer")
    asked = vllm.student.tokenized[-1].json
    assert asked["messages"] == [{"role": "system", "content": "Be brief."}, *ASKED]
    assert asked["tools"][0]["function"]["name"] == "f"


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose student is known to be a vLLM."""
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        student.owner = "vllm"
        gateway = Gateway(tmp_path_factory.mktemp("vllm"), student, teacher)
        try:
            gateway.start()
            student.tokenizer = lambda body: answer({"count": 1})
            student.default(*error_answer(404))
            eventually(lambda: count(gateway).headers[HEADER] == "tokenizer", 30)
            yield gateway
        finally:
            gateway.stop()


@pytest.mark.parametrize(
    "steps", [answer({"tokens": 3}), answer({"input_tokens": "3"}), answer(b"<html>"), answer(b""), error_answer(503)]
)
def test_what_is_no_count_is_estimated(gateway: Gateway, teacher: ScriptedUpstream, steps: Any) -> None:
    teacher.script(*steps)
    response = count(gateway, model="teacher", input="word " * 100)
    assert (response.status, response.headers[HEADER]) == (200, "estimated")
    assert 50 < response.json["input_tokens"] < 400


def test_what_is_wrong_with_the_request_is_said(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    teacher.script(*error_answer(400, "wrong"))
    response = count(gateway, model="teacher")
    assert (response.status, response.error["message"]) == (400, "wrong")
    assert count(gateway, input=3).status == 400
    assert count(gateway, model="nobody").error["code"] == "model_not_found"
    for method in ("GET", "DELETE", "PUT"):
        refused = ask(gateway.port, COUNT, method=method)
        assert (refused.status, refused.headers["allow"], refused.error["code"]) == (405, "POST", "method_not_allowed")
    assert len(teacher.received) == 1


def test_what_another_model_thought_is_left_out_where_it_is_refused(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    teacher = gateway.teacher
    teacher.script(*error_answer(400, "encrypted content could not be verified"))
    teacher.script(*answer(COUNTED))
    assert count(gateway, model="teacher", input=[*ASKED, THOUGHT, *ASKED]).json == COUNTED
    assert [len(request.json["input"]) for request in teacher.received] == [3, 2]
    student.script(*answer(COUNTED))
    assert count(gateway, model="student", input=[*ASKED, THOUGHT, *ASKED]).json == COUNTED
    assert student.last.json["input"] == ASKED * 2


@pytest.mark.parametrize("keeper", ["student", "teacher"])
def test_what_is_stored_is_counted_where_it_is(gateway: Gateway, keeper: str) -> None:
    to = gateway.student if keeper == "student" else gateway.teacher
    made = response_object(id=f"resp_{keeper}", usage=RESPONSE_USAGE)
    to.script(*answer(made))
    assert gateway.post({"model": keeper, "input": "hi"}, path=RESPONSES).status == 200
    to.script(*answer(COUNTED))
    response = count(gateway, previous_response_id=f"resp_{keeper}")
    assert (response.json, response.headers[HEADER], to.last.path) == (COUNTED, "upstream", COUNT)
    to.script(*error_answer(405))
    refused = count(gateway, previous_response_id=f"resp_{keeper}")
    assert (refused.status, refused.error["code"]) == (404, "stored_not_counted")
    to.script(*error_answer(503, "later"))
    assert count(gateway, previous_response_id=f"resp_{keeper}").status == 503


@pytest.mark.parametrize("fields", [{"previous_response_id": "resp_x"}, {"conversation": "conv_x"}])
def test_stored_state_of_an_unknown_maker_is_never_estimated(gateway: Gateway, fields: dict[str, Any]) -> None:
    gateway.student.default(*error_answer(404))
    gateway.teacher.default(*error_answer(404))
    refused = count(gateway, **fields)
    assert (refused.status, refused.error["code"]) == (404, "stored_not_counted")
    gateway.teacher.default(*answer(COUNTED))
    assert count(gateway, **fields).json == COUNTED


def test_a_refusal_of_what_is_stored_elsewhere_is_not_the_end(gateway: Gateway) -> None:
    """OpenAI's API refuses a response that it does not have with 400; the other upstream may have made it."""
    for refusing, having in ((gateway.teacher, gateway.student), (gateway.student, gateway.teacher)):
        refusing.default(*error_answer(400, "Previous response with id 'resp_x' not found."))
        having.default(*answer(COUNTED))
        assert count(gateway, previous_response_id="resp_x").json == COUNTED
        having.default(*error_answer(404))
        refused = count(gateway, previous_response_id="resp_x")
        assert (refused.status, refused.error["message"]) == (400, "Previous response with id 'resp_x' not found.")


def key(name: str, **rules: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(f"secret-{name}".encode()).hexdigest(), **rules}


def test_rules_of_keys_hold(tmp_path: Path) -> None:
    keys = [key("a"), key("b"), key("poor", teacher=False), key("spent", monthly_budget_usd=0.000001)]
    named = {one["name"]: {"authorization": f"Bearer secret-{one['name']}"} for one in keys}
    with running(tmp_path, {"auth": {"keys": keys}}) as gateway:
        gateway.teacher.script(*answer(response_object(id="resp_a", usage=RESPONSE_USAGE)))
        gateway.post({"model": "teacher", "input": "hi"}, named["a"], RESPONSES)
        gateway.teacher.default(*answer(COUNTED))
        assert count(gateway, named["a"], previous_response_id="resp_a").json == COUNTED
        refused = count(gateway, named["b"], previous_response_id="resp_a")
        assert (refused.status, refused.error["code"]) == (404, "previous_response_not_found")
        assert count(gateway, named["poor"], model="teacher").error["code"] == "teacher_not_allowed"
        assert count(gateway, {}).status == 401
        # A budget is nothing to what is free.
        assert count(gateway, named["spent"], model="teacher", input="word " * 9000).json == COUNTED


KEPT_BY_PROVIDERS = [
    ("GET", "/v1/chat/completions/chatcmpl-1"), ("DELETE", "/v1/chat/completions/chatcmpl-1"),
    ("POST", "/v1/chat/completions/chatcmpl-1"), ("GET", "/v1/chat/completions/chatcmpl-1/messages"),
    ("POST", "/v1/conversations"), ("GET", "/v1/conversations/conv_1"), ("POST", "/v1/conversations/conv_1/items"),
    ("POST", "/v1/files"), ("GET", "/v1/files"), ("GET", "/v1/files/file_1/content"), ("POST", "/v1/batches"),
    ("POST", "/v1/moderations"), ("POST", "/v1/audio/speech"), ("POST", "/v1/images/edits"),
    ("POST", "/v1/realtime/sessions"), ("GET", "/v1/vector_stores"), ("POST", "/v1/threads/runs"),
    ("POST", "/v1/fine_tuning/jobs"), ("POST", "/v1/responses/resp_1/other"), ("POST", "/v1/rerank"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), KEPT_BY_PROVIDERS)
def test_a_path_that_is_not_passed_on_says_so(gateway: Gateway, method: str, path: str) -> None:
    response = ask(gateway.port, path, {} if method == "POST" else None, method=method)
    assert (response.status, response.error["code"]) == (404, "not_found")
    assert "`models`" in response.error["message"]
    assert gateway.student.received == gateway.teacher.received == []


@pytest.mark.parametrize("path", ["/v1/messages/batches", "/v1/messages/batches/msgbatch_1", "/v1/messages/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_of_anthropics_that_is_not_passed_on_says_so_in_its_shape(
    gateway: Gateway, method: str, path: str
) -> None:
    response = ask(gateway.port, path, {} if method == "POST" else None, method=method)
    assert response.status == 404
    assert "not: ask it directly" in error_of(response)


def test_chat_completions_are_not_listed(gateway: Gateway) -> None:
    response = gateway.get("/v1/chat/completions?limit=2")
    assert (response.status, response.headers["allow"], response.error["code"]) == (405, "POST", "method_not_allowed")


@pytest.mark.parametrize("path", [COUNT, "/v1/messages/count_tokens"])
def test_the_next_provider_counts_where_the_first_one_cannot(tmp_path: Path, path: str) -> None:
    changes = {"teacher": {"messages": "native"}}
    asked = {"model": "teacher", "input": "hi", "messages": [{"role": "user", "content": "hi"}]}
    with net(tmp_path, changes, messages="native") as found:
        for status in (429, 500, 503, 404):
            found.clear()
            found.teacher.script(*error_answer(status))
            found.eu.script(*answer(COUNTED))
            response = found.gateway.post(asked, path=path)
            assert (response.status, response.json["input_tokens"], response.headers[HEADER]) == (200, 11, "upstream")
            assert found.counts() == (0, 1, 1, 0)
            assert found.eu.last.json["model"] == "big-eu"
        found.clear()
        found.teacher.script(*error_answer(503))
        alone = found.gateway.post(asked, {"x-breakeven-fallback": "off"}, path)
        assert (alone.status, alone.headers[HEADER], found.counts()) == (200, "estimated", (0, 1, 0, 0))
        found.clear()
        found.teacher.script(*error_answer(400, "wrong"))
        assert found.gateway.post(asked, path=path).status == 400
        assert found.counts() == (0, 1, 0, 0)
