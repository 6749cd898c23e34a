"""What chat completions cannot say: it goes to an upstream that speaks the Messages API, or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.anthropic_like import MESSAGES, asked, error_of, message
from tests.contract.gateway import Gateway
from tests.contract.scripted import ScriptedUpstream, answer

# The student speaks chat completions, since nothing says that it is a vLLM; the teacher speaks both.
CONFIG: dict[str, Any] = {
    "student": {"modalities": ["text", "image", "file"]},
    "teacher": {"messages": "native"},
}
TOOL = {"name": "read", "description": "Reads.", "input_schema": {"type": "object"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
STORED = {"type": "image", "source": {"type": "file", "file_id": "f"}}
ONLY_NATIVE: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": [PDF]}]}, "document"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
        "id",
    ),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "{"}]}, "last message"),
]


@pytest.mark.parametrize(("fields", "words"), ONLY_NATIVE)
def test_what_chat_completions_cannot_say_goes_to_the_upstream_that_can(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream, fields: dict[str, Any], words: str
) -> None:
    teacher.default(*answer(message()))
    response = gateway.post(asked(**fields), path=MESSAGES)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "teacher")
    assert teacher.last.json["messages"] == fields["messages"]
    refused = gateway.post(asked(model="student", **fields), path=MESSAGES)
    assert (refused.status, words in error_of(refused)) == (400, True)
    record = gateway.record(refused)
    assert (record["outcome"], record["attempts"]) == ("rejected", [])
    assert student.received == []


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [TOOL, {"type": "code_execution_20250825", "name": "code_execution"}]},
        {"tools": [{"type": "computer_20250124", "name": "computer", "display_width_px": 1, "display_height_px": 1}]},
        {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]},
        {"container": "container_1"},
    ],
)
def test_hosted_tools_go_to_the_teacher(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream, fields: dict[str, Any]
) -> None:
    teacher.default(*answer(message()))
    response = gateway.post(asked(**fields), path=MESSAGES)
    assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == ("teacher", "tools")
    assert gateway.post(asked(model="student", **fields), path=MESSAGES).status == 400
    assert student.received == []


def test_a_document_of_plain_text_is_text(gateway: Gateway, student: ScriptedUpstream) -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once."}}
    gateway.post(asked(model="student", messages=[{"role": "user", "content": [document]}]), path=MESSAGES)
    assert student.last.json["messages"] == [{"role": "user", "content": "Once."}]
    cited = {**document, "citations": {"enabled": True}}
    response = gateway.post(asked(model="student", messages=[{"role": "user", "content": [cited]}]), path=MESSAGES)
    assert response.status == 400


def test_tools_that_come_and_go_in_a_conversation(gateway: Gateway, student: ScriptedUpstream) -> None:
    later = {"name": "later", "input_schema": {"type": "object"}}
    changes = [
        {"type": "text", "text": "Note:"},
        {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": later}},
        {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "read"}},
    ]
    messages = [{"role": "user", "content": "hi"}, {"role": "system", "content": changes}]
    gateway.post(asked(model="student", tools=[TOOL], messages=messages), path=MESSAGES)
    sent = student.last.json
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["read", "later"]
    said = "Note:\n\nThe tool later is available.\n\nThe tool read is no longer available."
    assert sent["messages"][1] == {"role": "system", "content": said}


def test_what_is_no_valid_message_is_the_clients_fault(gateway: Gateway, student: ScriptedUpstream) -> None:
    for fields in ({"messages": [{"role": "user", "content": 3}]}, {"tools": "x"}, {"system": 3}):
        response = gateway.post(asked(model="student", **fields), path=MESSAGES)
        assert (response.status, next(iter(fields)) in error_of(response)) == (400, True)
    assert student.received == []
