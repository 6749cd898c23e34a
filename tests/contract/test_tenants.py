"""Keys are kept apart: stored responses, their items and conversations; and what a key may ask for."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Response, ask, eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import Head, ScriptedUpstream, Send, Sleep, answer, stream
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object, typed
from tests.contract.test_keys import as_key, key

RESPONSES = "/v1/responses"
SSE = {"content-type": "text/event-stream"}
# What each test makes is its own.
NAMES = iter(f"{number:04d}" for number in range(10_000))
CONFIG = {
    "auth": {
        "keys": [
            key("one"), key("two"), key("short", max_output_tokens=50),
            key("local", teacher=False), key("auto", may_pin=False, may_override=False),
        ]
    }
}  # fmt: skip


def made(name: str, **fields: Any) -> dict[str, Any]:
    message = {"type": "message", "id": f"msg_{name}", "role": "assistant", "status": "completed"}
    message["content"] = [{"type": "output_text", "text": 'not an item: "id":"msg_faked"', "annotations": []}]
    output = [{"type": "reasoning", "id": f"rs_{name}", "summary": []}, message]
    fields = {"id": f"resp_{name}", "status": "completed", "output": output, **fields}
    return {**response_object(usage=RESPONSE_USAGE), **fields}


def create(gateway: Gateway, name: str, model: str = "teacher", **fields: Any) -> None:
    """A response of key `one`."""
    upstream = gateway.teacher if model == "teacher" else gateway.student
    if fields.get("stream"):
        upstream.script(*stream(typed("response.created", response=made(name, status="in_progress", output=[])),
                                typed("response.completed", response=made(name))))  # fmt: skip
    else:
        upstream.script(*answer(made(name)))
    assert gateway.post({"model": model, "input": "hi", **fields}, as_key("one"), RESPONSES).status == 200


def attempt(gateway: Gateway, name: str, body: dict[str, Any], model: str = "teacher") -> Response:
    body = {"model": model, "input": "and?", **body}
    return gateway.post(body, as_key(name), RESPONSES)


REFERENCES: dict[str, Any] = {
    "previous_response_not_found": lambda name: {"previous_response_id": f"resp_{name}"},
    "conversation_not_found": lambda name: {"conversation": f"conv_{name}"},
    "item_not_found": lambda name: {"input": [{"type": "item_reference", "id": f"msg_{name}"}]},
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["teacher", "student"])
@pytest.mark.parametrize("code", REFERENCES)
def test_what_one_key_made_another_cannot_continue(gateway: Gateway, code: str, model: str, streamed: bool) -> None:
    name = next(NAMES)
    fields = {"conversation": f"conv_{name}"} if code == "conversation_not_found" else {}
    create(gateway, name, model, stream=streamed, **fields)
    count = len(gateway.teacher.received) + len(gateway.student.received)
    for target in (model, "auto"):
        for stream_too in (False, True):
            body = {**REFERENCES[code](name), "stream": stream_too}
            refused = attempt(gateway, "two", body, target)
            assert (refused.status, refused.error["code"]) == (404, code)
            assert refused.error["param"]
    assert len(gateway.teacher.received) + len(gateway.student.received) == count
    upstream = gateway.teacher if model == "teacher" else gateway.student
    upstream.script(*answer(made(next(NAMES))))
    assert attempt(gateway, "one", REFERENCES[code](name), model).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"conversation": {"id": "conv_{}"}},
        {"input": [{"id": "msg_{}"}]},
        {"input": [{"type": "reasoning", "id": "rs_{}", "summary": []}]},
        {"input": [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "rs_{}"}]},
    ],
    ids=["object", "without type", "reasoning", "second"],
)
def test_other_ways_to_name_what_another_key_made(gateway: Gateway, body: dict[str, Any]) -> None:
    name = next(NAMES)
    create(gateway, name, conversation=f"conv_{name}")
    named = json.loads(json.dumps(body).replace("{}", name, 1).replace("_{}", f"_{name}"))
    count = len(gateway.teacher.received)
    assert attempt(gateway, "two", named).status == 404
    assert len(gateway.teacher.received) == count
    gateway.teacher.script(*answer(made(next(NAMES))))
    assert attempt(gateway, "one", named).status == 200


def test_an_unknown_id_is_refused_like_another_keys(gateway: Gateway) -> None:
    name = next(NAMES)
    create(gateway, name)
    theirs = attempt(gateway, "two", {"previous_response_id": f"resp_{name}"})
    nobodys = attempt(gateway, "two", {"previous_response_id": "resp_nobody"})
    assert (theirs.status, theirs.body) == (nobodys.status, nobodys.body)
    # Text that looks like an id is none.
    assert attempt(gateway, "one", {"input": [{"type": "item_reference", "id": "msg_faked"}]}).status == 404


def test_a_response_is_its_keys_as_soon_as_it_has_an_id(gateway: Gateway) -> None:
    name = next(NAMES)
    started = made(name, status="in_progress", output=[])
    text = typed("response.output_text.delta", delta="x")
    gateway.teacher.script(
        Head(200, SSE), Send(typed("response.created", response=started) + text), Sleep(2),
        Send(typed("response.completed", response=made(name))),
    )  # fmt: skip
    with gateway.connect() as client:
        body = {"model": "teacher", "input": "hi", "stream": True}
        client.request("POST", RESPONSES, json.dumps(body).encode(), as_key("one"))
        client.head()
        count = len(gateway.teacher.received)
        assert attempt(gateway, "two", {"previous_response_id": f"resp_{name}"}).status == 404
        cancel = f"{RESPONSES}/resp_{name}/cancel"
        assert ask(gateway.port, cancel, headers=as_key("two"), method="POST").status == 404
        assert len(gateway.teacher.received) == count
        gateway.teacher.script(*answer(made(name, status="cancelled")))
        assert ask(gateway.port, cancel, headers=as_key("one"), method="POST").status == 200


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, {**CONFIG, "server": {"workers": 2, "drain_seconds": 0}}) as gateway:
        yield gateway


def test_all_workers_know_and_a_restart_forgets_nothing(two_workers: Gateway) -> None:
    gateway, name = two_workers, next(NAMES)
    create(gateway, name, conversation=f"conv_{name}")
    gateway.teacher.default(*answer(made(next(NAMES))))
    for round in range(2):
        if round:
            gateway.stop()
            gateway.start()
        for code, body in REFERENCES.items():
            found = [attempt(gateway, "two", body(name)) for _ in range(6)]
            assert {(one.status, one.error["code"]) for one in found} == {(404, code)}
            assert {attempt(gateway, "one", body(name)).status for _ in range(6)} == {200}


def test_what_the_gateway_has_not_seen_passes_where_the_config_says_so(tmp_path: Path) -> None:
    auth = {"keys": [key("one"), key("two")], "unknown_ids": "pass"}
    with running(tmp_path, {"auth": auth}) as gateway:
        name = next(NAMES)
        create(gateway, name)
        gateway.teacher.default(*answer(made(next(NAMES))))
        for body in ({"previous_response_id": "resp_old"}, {"input": [{"type": "item_reference", "id": "msg_old"}]}):
            assert attempt(gateway, "two", body).status == 200
        assert attempt(gateway, "two", {"previous_response_id": f"resp_{name}"}).status == 404


def test_one_key_or_none_has_no_walls(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.teacher.default(*answer(made(next(NAMES))))
        for body in ({"previous_response_id": "resp_old"}, {"input": [{"type": "item_reference", "id": "msg_old"}]}):
            body = {"model": "teacher", "input": "hi", **body}
            assert gateway.post(body, None, RESPONSES).status == 200


LIMITED = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, "max_completion_tokens"),
    "older": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, "max_tokens"),
    "completions": ("/v1/completions", {"prompt": "hi"}, "max_tokens"),
    "responses": (RESPONSES, {"input": "hi"}, "max_output_tokens"),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}]}, "max_tokens"),
}


@pytest.mark.parametrize("case", LIMITED)
@pytest.mark.parametrize("model", ["student", "teacher", "auto"])
def test_a_key_may_ask_for_so_many_output_tokens(gateway: Gateway, case: str, model: str) -> None:
    path, body, field = LIMITED[case]
    body = {**body, "model": model}
    for asked in (51, 10**30, "51"):
        refused = gateway.post({**body, field: asked}, as_key("short"), path)
        assert refused.status == 403
        if path != "/v1/messages":  # whose errors have no code
            assert refused.error["code"] == "max_tokens_not_allowed"
        assert b"at most 50 output tokens" in refused.body
    assert not gateway.student.received + gateway.teacher.received
    sent = []
    for given in ({field: 50}, {field: 7}, {}) if path != "/v1/messages" else ({field: 50}, {field: 7}):
        assert gateway.post({**body, **given}, as_key("short"), path).status == 200
        upstream = gateway.teacher if model == "teacher" else gateway.student
        limits = {name: value for name, value in json.loads(upstream.received[-1].body).items() if "tokens" in name}
        sent.append(list(limits.values()))
    assert sent == [[50], [7], [50]][: len(sent)]
    # Nothing is changed for others.
    gateway.post({**body, field: 51}, as_key("one"), path)
    upstream = gateway.teacher if model == "teacher" else gateway.student
    assert json.loads(upstream.received[-1].body)[field] == 51


@pytest.mark.parametrize(("name", "model", "code"), [
    ("local", "teacher", "teacher_not_allowed"), ("local", "big", "teacher_not_allowed"),
    ("auto", "teacher", "pin_not_allowed"), ("auto", "student", "pin_not_allowed"),
    ("auto", "auto@0.2", "threshold_not_allowed"),
])  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", RESPONSES, "/v1/embeddings"])
def test_what_a_key_may_not_ask_for(gateway: Gateway, name: str, model: str, code: str, path: str) -> None:
    body = {**chat(model=model), "input": "hi", "prompt": "hi"}
    refused = gateway.post(body, as_key(name), path)
    assert (refused.status, refused.error["code"]) == (403, code)
    assert not gateway.student.received + gateway.teacher.received


@pytest.mark.parametrize("secret", ["", " ", "\n", "\r\n", "\t", "\0"])
def test_a_key_that_is_the_hash_of_nothing_is_refused(tmp_path: Path, secret: str) -> None:
    nobody = {"name": "nobody", "sha256": hashlib.sha256(secret.encode()).hexdigest()}
    said = pytest.raises(AssertionError, match=r"auth\.keys\[0\]\.sha256: .* empty key or of white space")
    with said, running(tmp_path, {"auth": {"keys": [nobody]}}):
        pass


def test_only_the_owner_can_read_what_the_gateway_writes(tmp_path: Path) -> None:
    config = {**CONFIG, "ledger": {"store_prompts": True, "store_conversations": True}}
    config["admin"] = {"key_env": "T_ADMIN"}
    before = os.umask(0o022)
    try:
        with running(tmp_path, config, environment={"T_ADMIN": "admin-canary"}) as gateway:
            gateway.post(chat(model="auto@0.5"), as_key("one"))
            create(gateway, next(NAMES))
            admin = {"authorization": "Bearer admin-canary"}
            assert ask(gateway.port, "/admin/policy", {"threshold": 0.4}, admin, "PUT").status == 200
            assert eventually(lambda: gateway.rows("SELECT count(*) FROM prompts") == [(1,)], 30)
            written = [path for path in tmp_path.rglob("*") if path.name not in ("breakeven.yaml", "gateway.log")]
            names = {path.name for path in written}
            assert {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-policy.json"} <= names
            assert {"responses.sqlite", "responses.sqlite-wal"} <= names
            assert any(name.endswith(".jsonl") for name in names)
            modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in written}
            assert set(modes.values()) == {"0o600", "0o700"}, modes
    finally:
        os.umask(before)


def test_a_ledger_with_prompts_that_others_may_read_is_said(tmp_path: Path) -> None:
    with running(tmp_path, {"ledger": {"store_prompts": True}}) as gateway:
        assert "others may read it" not in gateway.log.read_text()
        gateway.stop()
        (tmp_path / "ledger.db").chmod(0o644)
        gateway.start()
        assert "others may read it (mode 644)" in gateway.log.read_text()


def test_another_keys_upstream_gets_nothing(gateway: Gateway, student: ScriptedUpstream) -> None:
    """The student's ids are walled off as well, be the response asked for by its path."""
    name = next(NAMES)
    create(gateway, name, "student")
    student.clear()
    for method, below in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
        path = f"{RESPONSES}/resp_{name}{below}"
        refused = ask(gateway.port, path, headers=as_key("two"), method=method)
        assert (refused.status, refused.error["code"]) == (404, "response_not_found")
    assert not student.received
