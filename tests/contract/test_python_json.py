"""What only Python's decoder takes of JSON, such as vLLM's server has, reaches an upstream as it was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract import anthropic_like as native
from tests.contract.gateway import Gateway
from tests.contract.scripted import DONE, ScriptedUpstream, answer, event, stream
from tests.contract.test_lenient_requests import ANSWERS, STREAMS

CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"
MESSAGES = native.MESSAGES
CONFIG: dict[str, Any] = {"student": {"messages": "native"}, "teacher": {"messages": "translate"}}
# The prompt in the place of %s, which is a JSON string.
ASKED = {
    CHAT: '"messages":[{"role":"user","content":%s}]',
    COMPLETIONS: '"prompt":%s',
    RESPONSES: '"input":[{"role":"user","content":[{"type":"input_text","text":%s}]}]',
    MESSAGES: '"max_tokens":5,"messages":[{"role":"user","content":%s}]',
    EMBEDDINGS: '"input":[%s]',
}
HALVES = [r'"half \ud83d"', r'"half \ude00 of a pair"', r'"\ud83d\ud83d\ude00 \\ud83d"', r'"\ud83d' + "é" + r'\n"']
NUMBERS = ["NaN", "Infinity", "-Infinity", '{"minimum": -Infinity, "name": "NaN"}', "[1e999, NaN]"]


@pytest.fixture(params=[(path, streamed) for path in ASKED for streamed in (False, True)], ids=str)
def case(request: pytest.FixtureRequest, student: ScriptedUpstream) -> tuple[str, bool]:
    """An endpoint, streamed or not, which the student answers."""
    path, streamed = request.param
    if path == MESSAGES:
        student.default(*(native.message_stream() if streamed else answer(native.message())))
    elif streamed and path in STREAMS:
        student.default(*stream(STREAMS[path], event({"choices": []}) if path == RESPONSES else DONE))
    else:
        student.default(*answer(ANSWERS[path]))
    return path, streamed


def body(case: tuple[str, bool], prompt: str = '"hi"', more: str = "") -> str:
    path, streamed = case
    options = ',"stream":true,"stream_options":{"include_usage":true}' if streamed else ""
    return '{"model":"small",' + ASKED[path] % prompt + more + options + "}"


def sent(gateway: Gateway, student: ScriptedUpstream, case: tuple[str, bool], raw: bytes) -> bytes:
    """What the student got of a request, which has to be answered."""
    response = gateway.post(raw, path=case[0])
    assert response.status == 200, response.body
    return student.last.body


@pytest.mark.parametrize("value", NUMBERS)
def test_numbers_that_are_none_pass_as_sent(
    gateway: Gateway, student: ScriptedUpstream, case: tuple[str, bool], value: str
) -> None:
    raw = body(case, more=f',"min_p": {value} ,"x":{{"y":[{value}]}}').encode()
    assert sent(gateway, student, case, raw) == raw


@pytest.mark.parametrize("prompt", HALVES)
def test_halves_of_surrogate_pairs_pass_as_sent(
    gateway: Gateway, student: ScriptedUpstream, case: tuple[str, bool], prompt: str
) -> None:
    raw = body(case, prompt).encode()
    assert sent(gateway, student, case, raw) == raw


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_other_encodings_of_unicode_are_read(
    gateway: Gateway, student: ScriptedUpstream, case: tuple[str, bool], encoding: str
) -> None:
    text = body(case, '"漢字 é 🙂"')
    assert sent(gateway, student, case, text.encode(encoding)) == text.encode()


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_it_is_routed_and_edited_as_any_request(gateway: Gateway, teacher: ScriptedUpstream, path: str) -> None:
    """The teacher is asked under its name; of /v1/messages it gets a translation."""
    teacher.default(*answer(ANSWERS.get(path, ANSWERS[CHAT])))
    raw = '{"model":"auto@0",' + ASKED[path] % HALVES[0] + ',"temperature":NaN}'
    response = gateway.post(raw.encode(), path=path)
    assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == ("teacher", "difficult")
    if path != MESSAGES:
        assert teacher.last.body == raw.replace("auto@0", "big").encode()
        return
    found = json.loads(teacher.last.body)
    assert found["messages"] == [{"role": "user", "content": "half ?"}]
    assert b'"temperature":NaN' in teacher.last.body


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"auto","x":NaN,"messages":[{"role":"user","content":"hi"}],"x":1}',
        b'{"model":"auto","messages":[{"role":"user","content":"\\ud800"}],"messages":[]}',
        b'{"\\ud800":1,"messages":[{"role":"user","content":"hi"}]}',
        b'{"x":NaN,"messages":[{"role":"user","content":"hi"}]',
        b'{"x":NaN,"messages":[{"role":"user","content":"hi"}]}{}',
        b'{"x":nan,"messages":[{"role":"user","content":"hi"}]}',
        b"NaN",
        '{"messages":[{"role":"user","content":"hi"}'.encode("utf-16"),
        b"\xff\xfe{",
    ],
)
def test_what_pythons_decoder_does_not_take_either_is_refused(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream, raw: bytes
) -> None:
    response = gateway.post(raw)
    assert (response.status, response.error["code"] in ("invalid_json", "duplicate_key")) == (400, True)
    assert not student.received
    assert not teacher.received
