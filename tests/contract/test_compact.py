"""POST /v1/responses/compact: the teacher's own summary of a conversation, paid for and kept where it can be read."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.contract.gateway import Gateway
from tests.contract.scripted import ScriptedUpstream, answer, error_answer
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object

RESPONSES, COMPACT = "/v1/responses", "/v1/responses/compact"
ITEM = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"}
ASKED = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


def key(name: str, **rules: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(f"secret-{name}".encode()).hexdigest(), **rules}


CONFIG: dict[str, Any] = {"auth": {"keys": [key("free"), key("student", teacher=False)]}}
FREE, STUDENT = {"authorization": "Bearer secret-free"}, {"authorization": "Bearer secret-student"}


@pytest.mark.parametrize("model", ["auto", "auto@1", "teacher", None])
@pytest.mark.parametrize(
    "path", [COMPACT, "/responses/compact", "/v1/responses/compact/", "/openai/v1/responses/compact"]
)
def test_the_teacher_compacts_and_is_paid(
    gateway: Gateway, teacher: ScriptedUpstream, path: str, model: str | None
) -> None:
    made = {"id": "resp_1", "object": "response.compaction", "output": [ITEM], "usage": RESPONSE_USAGE}
    teacher.script(*answer(made))
    body = {"input": ASKED, "instructions": "x", **({} if model is None else {"model": model})}
    response = gateway.post(body, FREE, path)
    assert (response.status, response.json) == (200, made)
    assert teacher.last.path == COMPACT
    assert teacher.last.json == {**body, "model": "big"}
    (attempt,) = gateway.record(response)["attempts"]
    assert (attempt["upstream"], attempt["usage"]["complete"]) == ("teacher", True)
    assert sum(attempt["cost"].values()) > 0


def test_what_it_made_goes_back_to_it(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    teacher.script(*answer(response_object(usage=RESPONSE_USAGE)))
    body = {"model": "auto@1", "input": [ITEM, {"role": "user", "content": "and?"}]}
    assert gateway.post(body, FREE, RESPONSES).headers["x-breakeven-route"] == "teacher"
    assert teacher.last.json["input"][0] == ITEM


def test_a_refusal_is_the_teachers(gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream) -> None:
    for status in (400, 404, 429, 503):
        teacher.script(*error_answer(status, "not so"))
        response = gateway.post({"input": ASKED}, FREE, COMPACT)
        assert (response.status, response.error["message"]) == (status, "not so")
    assert not student.received


def test_a_key_that_may_not_reach_the_teacher(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    response = gateway.post({"input": ASKED}, STUDENT, COMPACT)
    assert (response.status, response.error["code"]) == (403, "teacher_not_allowed")
    assert gateway.post({"input": ASKED}, {}, COMPACT).status == 401
    assert not teacher.received


def test_other_methods(gateway: Gateway) -> None:
    response = gateway.get(COMPACT, FREE)
    assert (response.status, response.headers["allow"]) == (405, "POST")
