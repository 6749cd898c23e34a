"""Further models of the config: each kind of path, passed through byte for byte, accounted, and never routed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.further import MODEL_KEY, form, with_models
from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import (
    DONE,
    End,
    Head,
    ScriptedUpstream,
    Send,
    answer,
    completion,
    delta,
    event,
    stream,
    usage_chunk,
)

BINARY = random.Random(7).randbytes(200_000) + b"\0\r\n--\r\n\r\n------WebKitFormBoundary\r\n\0\xff\xfe"
VECTOR = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -1e-7]}], "model": "m"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, ScriptedUpstream]]:
    with with_models(tmp_path_factory.mktemp("further"), {"routing": {"aliases": {"ada": "embed"}}}) as found:
        yield found


@pytest.fixture
def gateway(both: tuple[Gateway, ScriptedUpstream]) -> Gateway:
    for upstream in (both[0].student, both[0].teacher, both[1]):
        upstream.clear()
    return both[0]


def test_their_paths_are_in_the_published_document(gateway: Gateway) -> None:
    document = gateway.get("/openapi.json").json
    for path in ("/rerank", "/score", "/audio/transcriptions", "/images/generations", "/classify"):
        operation = document["paths"][f"/v1{path}"]["post"]
        assert set(operation["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
        assert operation["security"] == [{"client_key": []}, {}]
    # These are described for all models.
    assert document["paths"]["/v1/embeddings"]["post"]["operationId"] == "embeddings"
    assert "hears" not in json.dumps(document)
    names = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


@pytest.fixture
def upstream(both: tuple[Gateway, ScriptedUpstream]) -> ScriptedUpstream:
    return both[1]


def paid(record: dict[str, Any]) -> tuple[int, int, int]:
    """Picodollars of a record's only attempt: for input, for output, and per request."""
    (attempt,) = record["attempts"]
    cost = attempt["cost"]
    return cost["input"], cost["output"], cost.get("tools", 0)


# Path, model, name at the upstream, the answer, and what it costs in picodollars.
JSON_PATHS = [
    (
        "/embeddings", "embed", "embed-v3", {"input": ["a", "b"], "dimensions": 5e1},
        {**VECTOR, "usage": {"prompt_tokens": 8, "total_tokens": 8}}, (160_000, 0, 0),
    ),
    (
        "/rerank", "ranks", "ranks", {"query": "q", "documents": ["a"], "top_n": 1},
        {"id": "r", "results": [{"index": 0, "relevance_score": 0.9}], "usage": {"total_tokens": 56}},
        (0, 0, 2_000_000_000),
    ),
    (
        "/rerank", "ranks", "ranks", {"query": "q", "documents": ["a"]},
        {"results": [], "meta": {"billed_units": {"search_units": 3.0}}}, (0, 0, 6_000_000_000),
    ),
    (
        "/score", "ranks", "ranks", {"text_1": "a", "text_2": ["b"]},
        {"data": [{"index": 0, "score": 1}], "usage": {"prompt_tokens": 7, "total_tokens": 7}}, (0, 0, 2_000_000_000),
    ),
    (
        "/images/generations", "draws", "draws", {"prompt": "a cat", "n": 1, "size": "1024x1024"},
        {"created": 1, "data": [{"b64_json": "iVBOR" * 50_000}]}, (0, 0, 40_000_000_000),
    ),
    ("/classify", "org/other-7b", "org/other-7b", {"inputs": "x"}, [{"label": "POSITIVE", "score": 0.99}], (0, 0, 0)),
    (
        "/chat/completions", "chats", "chat-xl", {"messages": [{"role": "user", "content": "hi"}]}, completion(),
        (30_000_000, 45_000_000, 0),
    ),
    (
        "/completions", "chats", "chat-xl", {"prompt": "hi"},
        {"object": "text_completion", "choices": [{"index": 0, "text": "y", "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}}, (6_000_000, 15_000_000, 0),
    ),
    (
        "/responses", "chats", "chat-xl", {"input": "hi"},
        {"id": "resp_1", "object": "response", "status": "completed", "output": [],
         "usage": {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}}, (6_000_000, 15_000_000, 0),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "name", "named", "fields", "value", "cost"), JSON_PATHS)
def test_a_json_path_is_passed_through_and_paid_for(
    gateway: Gateway, upstream: ScriptedUpstream, path: str, name: str, named: str, fields: Any, value: Any, cost: Any
) -> None:
    # Spaces, order and spellings of numbers are the client's.
    sent = b'{ "x":1.0, "model" :"%b", %b' % (name.encode(), json.dumps(fields).encode()[1:])
    upstream.script(*answer(json.dumps(value, indent=1).encode(), x_request_id="up-1"))
    response = gateway.post(sent, path=f"/v1{path}")
    assert (response.status, response.body) == (200, json.dumps(value, indent=1).encode())
    assert response.headers["content-type"] == "application/json"
    shown = {name.removeprefix("x-breakeven-"): text for name, text in response.headers.items() if "breakeven" in name}
    assert (shown["route"], shown["reason"], shown["attempts"]) == ("model", "pinned", "1")
    assert shown["upstream-request-id"] == "up-1"
    assert not {"threshold", "router", "score"} & set(shown)
    got = upstream.last
    assert (got.path, got.headers["authorization"]) == (f"/v1{path}", f"Bearer {MODEL_KEY}")
    assert got.headers["content-type"] == "application/json"
    assert got.json == {**json.loads(sent), "model": named}
    if named == name:
        assert got.body == sent
    else:
        assert b'"x":1.0' in got.body
    record = gateway.record(response)
    assert (record["route"], record["reason"], record["pinned"], record["baseline"]) == ("model", "pinned", True, 0)
    assert record["attempts"][0]["provider"] == name
    assert paid(record) == cost
    assert not gateway.student.received
    assert not gateway.teacher.received


def test_fields_that_hold_addresses_or_keys_are_left_out(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(*answer({"results": []}))
    body = {"model": "ranks", "query": "q", "documents": [], "api_base": "http://evil", "api_key": "k", "base_url": "u"}
    assert gateway.post(body, path="/v1/rerank").status == 200
    assert upstream.last.json == {"model": "ranks", "query": "q", "documents": []}
    upstream.script(*answer({"text": ""}))
    sent, headers = form(("model", b"hears"), ("api_base", b"http://evil"), ("file", BINARY))
    assert gateway.post(sent, headers, path="/v1/audio/transcriptions").status == 200
    expected, _ = form(("model", b"whisper-1"), ("file", BINARY))
    assert upstream.last.body == expected


@pytest.mark.parametrize("path", ["/audio/transcriptions", "/audio/translations"])
def test_a_form_is_passed_through_with_its_file_byte_for_byte(
    gateway: Gateway, upstream: ScriptedUpstream, path: str
) -> None:
    usage = {
        "type": "tokens", "input_tokens": 14, "output_tokens": 5, "total_tokens": 19,
        "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
    }  # fmt: skip
    upstream.script(*answer({"text": "hello", "usage": usage}))
    rest = (("timestamp_granularities[]", b"word"), ("timestamp_granularities[]", b"segment"), ("prompt", b""))
    sent, headers = form(("file", BINARY), ("model", b"hears"), *rest)
    response = gateway.post(sent, headers, path=f"/v1{path}")
    assert (response.status, response.json["text"]) == (200, "hello")
    assert upstream.last.headers["content-type"] == headers["content-type"]
    expected, _ = form(("file", BINARY), ("model", b"whisper-1"), *rest)
    assert upstream.last.body == expected
    record = gateway.record(response)
    assert (record["endpoint"], record["attempts"][0]["usage"]["audio_input"]) == ("audio", 10)
    assert paid(record) == (84_000_000, 50_000_000, 3_000_000_000)


def test_a_form_without_change_is_the_same_bytes(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(*answer({"created": 1, "data": []}))
    sent, headers = form(("model", b"draws"), ("image[]", BINARY), ("image[]", b"\r\n"), ("prompt", "ü".encode()))
    response = gateway.post(sent, headers, path="/v1/images/edits")
    assert (response.status, upstream.last.body == sent) == (200, True)
    assert paid(gateway.record(response)) == (0, 0, 40_000_000_000)


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"no form", "multipart/form-data; boundary=x", "invalid_form"),
        (b"--x\r\n", "multipart/form-data; boundary=x", "invalid_form"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", "invalid_form"),
        (b"", "multipart/form-data", "invalid_form"),
        (b'--x\r\nContent-Type: text/plain\r\n\r\na\r\n--x--\r\n', "multipart/form-data; boundary=x", "invalid_form"),
        (form(("model", b"hears"), ("model", b"other"), boundary="x")[0], "multipart/form-data; boundary=x",
         "duplicate_key"),
        (form(("file", b"a"), boundary="x")[0], "multipart/form-data; boundary=x", "model_not_found"),
        (b"{", "application/json", "invalid_json"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_form_is_refused(
    gateway: Gateway, upstream: ScriptedUpstream, body: bytes, kind: str, code: str
) -> None:
    response = gateway.post(body, {"content-type": kind}, path="/v1/audio/transcriptions")
    assert (response.json["error"]["code"], response.status // 100) == (code, 4)
    assert not upstream.received


def test_sound_is_passed_on_as_it_comes(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    parts = [BINARY[:1000], BINARY[1000:90_000], BINARY[90_000:]]
    upstream.script(Head(200, {"content-type": "audio/mpeg"}), *map(Send, parts), End())
    response = gateway.post(
        {"model": "speaks", "input": "hi", "voice": "a"}, {"accept": "*/*"}, path="/v1/audio/speech"
    )
    assert (response.status, response.headers["content-type"]) == (200, "audio/mpeg")
    assert response.body == BINARY
    record = gateway.record(response)
    assert (record["outcome"], record["attempts"][0].get("usage_missing", False)) == ("ok", False)


def test_text_is_passed_on_too(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    text = b"1\n00:00:00,000 --> 00:00:01,000\nhello\n"
    upstream.script(
        Head(200, {"content-type": "text/plain; charset=utf-8", "content-length": str(len(text))}), Send(text)
    )
    sent, headers = form(("model", b"hears"), ("response_format", b"srt"), ("file", BINARY))
    response = gateway.post(sent, headers, path="/v1/audio/transcriptions")
    assert (response.status, response.body) == (200, text)
    # It says no usage, and its tokens have a price: what they cost is not known.
    record = gateway.record(response)
    assert record["attempts"][0]["usage_missing"] is True
    assert paid(record) == (0, 0, 3_000_000_000)


def test_a_stream_of_a_form_is_passed_on_and_its_usage_read(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    events = [
        event({"type": "transcript.text.delta", "delta": "hel"}),
        event({"type": "transcript.text.done", "text": "hello", "usage": {"input_tokens": 4, "output_tokens": 2}}),
    ]
    upstream.script(*stream(*events))
    sent, headers = form(("model", b"hears"), ("stream", b"true"), ("file", BINARY))
    response = gateway.post(sent, headers, path="/v1/audio/transcriptions")
    assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
    assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert response.body == b"".join(events)
    assert paid(gateway.record(response)) == (24_000_000, 20_000_000, 3_000_000_000)


def test_a_chat_of_a_further_model_streams_and_is_paid_for(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(*stream(delta("he"), delta("llo", finish="stop"), usage_chunk(), DONE))
    response = gateway.post(chat(model="chats", stream=True))
    assert response.body == delta("he") + delta("llo", finish="stop") + DONE
    assert upstream.last.json["model"] == "chat-xl"
    record = gateway.record(response)
    assert (record["route"], record["stream"], paid(record)) == ("model", True, (30_000_000, 45_000_000, 0))


def test_a_thinking_chat_is_not_edited_when_it_is_refused(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(*answer({"error": {"message": "no"}}, 400))
    thoughts = {"role": "assistant", "content": "a", "reasoning_content": "b"}
    response = gateway.post({"model": "chats", "messages": [thoughts, {"role": "user", "content": "c"}]})
    assert (response.status, len(upstream.received)) == (400, 1)


def test_what_it_stores_holds_no_routed_conversation(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(*answer({"id": "resp_9", "object": "response", "status": "completed", "output": []}))
    assert gateway.post({"model": "chats", "input": "hi"}, path="/v1/responses").status == 200
    again = gateway.post({"model": "auto", "input": "hi", "previous_response_id": "resp_9"}, path="/v1/responses")
    assert again.headers["x-breakeven-route"] in ("student", "teacher")


@pytest.mark.parametrize(
    ("path", "model", "code", "said"),
    [
        ("/rerank", "embed", "path_not_supported", "it has /v1/embeddings."),
        ("/embeddings", "ranks", "path_not_supported", "it has /v1/rerank, /v1/score."),
        ("/chat/completions", "embed", "path_not_supported", "it has /v1/embeddings."),
        ("/rerank", "auto", "model_not_found", "Only further models have the path /v1/rerank"),
        ("/rerank", None, "model_not_found", "Only further models have the path /v1/rerank"),
        ("/rerank", "teacher", "model_not_found", "Only further models have the path /v1/rerank"),
        ("/rerank", "nobody", "model_not_found", "GET /v1/models"),
        ("/embeddings", "nobody", "model_not_found", "GET /v1/models"),
    ],
)
def test_a_name_that_the_path_does_not_have_is_404(
    gateway: Gateway, upstream: ScriptedUpstream, path: str, model: str | None, code: str, said: str
) -> None:
    named = {} if model is None else {"model": model}
    fields = {"messages": [{"role": "user", "content": "hi"}]} if path == "/chat/completions" else {"input": "x"}
    response = gateway.post({**named, **fields}, path=f"/v1{path}")
    assert (response.status, response.json["error"]["code"]) == (404, code)
    assert said in response.json["error"]["message"]
    assert not upstream.received


def test_a_path_that_nobody_has_is_404_and_another_method_405(gateway: Gateway) -> None:
    unknown = gateway.post({"model": "embed"}, path="/v1/pooling")
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "not_found")
    got = gateway.get("/v1/rerank")
    assert (got.status, got.headers["allow"], got.json["error"]["code"]) == (405, "POST", "method_not_allowed")


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank/", "//v1//rerank", "/openai/v1/rerank"])
def test_other_spellings_of_a_path(gateway: Gateway, upstream: ScriptedUpstream, path: str) -> None:
    upstream.script(*answer({"results": []}))
    assert gateway.post({"model": "ranks", "query": "q", "documents": []}, path=path).status == 200
    assert upstream.last.path == "/v1/rerank"


def test_azures_deployments(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.default(*answer({**VECTOR, "usage": {"prompt_tokens": 1, "total_tokens": 1}}))
    response = gateway.post({"input": "a"}, path="/openai/deployments/embed/embeddings?api-version=1")
    assert (response.status, upstream.last.json) == (200, {"input": "a", "model": "embed-v3"})
    sent, headers = form(("file", BINARY))
    path = "/openai/deployments/hears/audio/transcriptions?api-version=1"
    assert gateway.post(sent, headers, path=path).status == 200
    got = upstream.last
    assert got.path == "/v1/audio/transcriptions"
    assert b'name="model"\r\n\r\nwhisper-1\r\n' in got.body
    assert got.body.endswith(sent)


def test_an_alias_may_mean_a_further_model(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(*answer({**VECTOR, "usage": {"prompt_tokens": 1, "total_tokens": 1}}))
    response = gateway.post({"model": "ada", "input": "a"}, path="/v1/embeddings")
    assert upstream.last.json["model"] == "embed-v3"
    assert gateway.record(response)["attempts"][0]["provider"] == "embed"


def test_they_are_listed(gateway: Gateway) -> None:
    names = [one["id"] for one in gateway.get("/v1/models").json["data"]]
    assert names == [
        "auto", "student", "teacher", "small", "big", "embed", "ranks", "hears", "draws", "speaks", "chats",
        "org/other-7b", "ada",
    ]  # fmt: skip
    assert gateway.get("/v1/models/org/other-7b").json["id"] == "org/other-7b"


def test_a_decision_can_be_asked_for(gateway: Gateway) -> None:
    admin = {"authorization": "Bearer the-admin-key"}
    found = gateway.post(chat(model="chats"), admin, path="/admin/route")
    assert (found.status, found.json["route"], found.json["reason"]) == (200, "model", "pinned")


def test_the_configs_without_further_models_have_no_such_path(tmp_path: Path) -> None:
    with with_models(tmp_path, models=[]) as (gateway, _):
        assert gateway.post({"model": "a"}, path="/v1/rerank").json["error"]["code"] == "not_found"
