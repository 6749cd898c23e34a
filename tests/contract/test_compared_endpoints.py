"""Everything that is routed is compared: each endpoint, streamed or not, in both directions, texts, calls and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Response
from tests.contract.compared import (
    CALLS,
    CHAT,
    ENDPOINTS,
    OTHER_CALLS,
    QUESTION,
    REORDERED,
    RESPONSES,
    WITH_TOOLS,
    Api,
    rows,
)
from tests.contract.gateway import Gateway, merged, running
from tests.contract.scripted import answer, completion, usage_chunk

ROAD = {"road": {"sample": 1.0, "scorer": "exact"}}
OBSERVE = merged(ROAD, {"routing": {"threshold": None}})
DELIVERY = {"stream", "stream_options", "background"}


def ask(gateway: Gateway, api: Api, **fields: Any) -> Response:
    response = gateway.post({"model": "auto", **api.body, **fields}, path=api.path)
    assert response.status == 200, response.body
    return response


def scripts(gateway: Gateway, api: Api, student: Any, teacher: Any, *, streams: str) -> None:
    """What both upstreams answer, each given as (text, calls); `streams`: the one that streams, or neither."""
    theirs = api.asked or api
    gateway.student.default(*theirs.steps(*student, streams=streams == "student"))
    gateway.teacher.default(*api.steps(*teacher, streams=streams == "teacher"))


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", ENDPOINTS)
def test_what_the_teacher_answers_is_put_to_the_student(tmp_path: Path, name: str, streams: bool) -> None:
    api = ENDPOINTS[name]
    with running(tmp_path, merged(OBSERVE, api.config)) as gateway:
        scripts(gateway, api, (" paris.\n", ()), ("Paris", ()), streams="teacher" if streams else "")
        response = ask(gateway, api, stream=streams, store=True)
        (row,) = rows(gateway, 1)
        assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == ("teacher", "observe")
        assert (row["direction"], row["weight"], row["student_score"]) == ("teacher_answered", 1.0, 1.0)
        # The client did not ask for the usage.
        events = [part for part in api.streamed("Paris", ()) if part != usage_chunk()]
        sent = b"".join(events) if streams else json.dumps(api.whole("Paris", ())).encode()
        assert response.body == sent, "the client saw a difference"
        assert len(gateway.teacher.received) == len(gateway.student.received) == 1
        asked = gateway.student.last
        assert asked.path == (api.asked or api).path
        assert asked.json["model"] == "small"
        assert QUESTION in json.dumps(asked.json)
        assert not DELIVERY & set(asked.json)
        # Left out it would mean that the answer is stored.
        assert asked.json.get("store") is (False if api is RESPONSES else None)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", ENDPOINTS)
def test_what_the_student_answers_is_put_to_the_teacher(tmp_path: Path, name: str, streams: bool) -> None:
    api = ENDPOINTS[name]
    with running(tmp_path, merged(ROAD, api.config)) as gateway:
        scripts(gateway, api, ("Lyon", ()), ("Paris", ()), streams="student" if streams else "")
        response = ask(gateway, api, stream=streams)
        (row,) = rows(gateway, 1)
        assert response.headers["x-breakeven-route"] == "student"
        assert (row["direction"], row["weight"], row["student_score"]) == ("student_answered", 1.0, 0.0)
        assert (row["student_version"], row["teacher_version"]) == ("small", "big")
        assert len(gateway.teacher.received) == len(gateway.student.received) == 1
        asked = gateway.teacher.last
        assert (asked.path, asked.json["model"]) == (api.path, "big")
        assert not DELIVERY & set(asked.json)
        assert ("anthropic-version" in asked.headers) == (api.path == "/v1/messages")


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", WITH_TOOLS)
def test_calls_are_compared_by_name_and_arguments(tmp_path: Path, name: str, streams: bool) -> None:
    api = WITH_TOOLS[name]
    judged = {"road": {"sample": 1.0, "scorer": "judge"}, "routing": {"threshold": None}}
    with running(tmp_path, merged(judged, api.config)) as gateway:
        cases = [(REORDERED, 1.0), (OTHER_CALLS, 0.5), (CALLS[:1], 2 / 3), ((), 0.0)]
        for count, (calls, score) in enumerate(cases, 1):
            text = "" if calls else "I do not know."
            scripts(gateway, api, (text, calls), ("Let me see.", CALLS), streams="teacher" if streams else "")
            ask(gateway, api, stream=streams)
            row = rows(gateway, count)[-1]
            assert (row["student_score"], row["teacher_score"]) == (pytest.approx(score), 1.0), calls
        assert len(gateway.teacher.received) == len(cases), "calls need no judge"


@pytest.mark.parametrize(
    ("api", "fields"),
    [
        (CHAT, {"response_format": {"type": "json_object"}}),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}),
        (ENDPOINTS["messages"], {"output_config": {"format": {"type": "json_schema", "schema": {}}}}),
    ],
)
def test_answers_in_json_are_compared_as_json(tmp_path: Path, api: Api, fields: dict[str, Any]) -> None:
    with running(tmp_path, merged(OBSERVE, api.config)) as gateway:
        scripts(gateway, api, ('{"b": [1, 2], "a": true}', ()), ('{"a":true,"b":[1,2]}', ()), streams="")
        ask(gateway, api, **fields)
        assert rows(gateway, 1)[-1]["student_score"] == 1.0
        ask(gateway, api)
        assert rows(gateway, 2)[-1]["student_score"] == 0.0, "as texts they differ"


def test_a_judge_reads_the_conversation_with_its_calls_and_images_but_no_reasoning(tmp_path: Path) -> None:
    changes = {"road": {"sample": 1.0}, "routing": {"threshold": None}, "student": {"modalities": ["text", "image"]}}
    with running(tmp_path, changes) as gateway:
        verdict = json.dumps({"reason": "r", "score_a": 5, "score_b": 5, "winner": "tie"})
        gateway.teacher.on("[answer A", *answer(completion(verdict)))
        gateway.teacher.default(*CHAT.steps("Paris", streams=False))
        gateway.student.default(*answer(completion("<think>Is it Lyon?</think>\n\nLyon")))
        called = {"id": "c", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        messages = [
            {"role": "user", "content": "find it"},
            {"role": "assistant", "content": None, "tool_calls": [called], "reasoning_content": "secret thought"},
            {"role": "tool", "tool_call_id": "c", "content": "found it"},
            {"role": "user", "content": [{"type": "text", "text": "what is that?"}, picture]},
        ]
        gateway.post({"model": "auto", "messages": messages})
        assert rows(gateway, 1)[0]["student_score"] == 0.5
        judged = gateway.teacher.received[1].json["messages"][1]["content"]
        for part in ('[call: find {"q": "x"}]', "found it", "what is that?\n[image]", "\nLyon\n", "\nParis\n"):
            assert part in judged
        for part in ("secret thought", "thinking about it", "Is it Lyon", "base64"):
            assert part not in judged
