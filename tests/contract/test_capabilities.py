"""What a route can do: requests that the student would answer 200 and ignore go to the teacher, and no others do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, running
from tests.contract.scripted import ScriptedUpstream, answer, completion, error_answer, stream
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object, typed

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
EASY = "auto@1"
PNG = "data:image/png;base64,AAAA"
FUNCTION = {"type": "function", "name": "f", "parameters": {}}
CHAT_FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {}}}


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(text: str = "hello") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def output(text: str = "hello") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}


def sent(gateway: Gateway, path: str, fields: dict[str, Any], streamed: bool = False) -> tuple[str, str]:
    """Route and reason of a request with these fields; both upstreams answer whatever they get."""
    if path == RESPONSES:
        value = response_object(usage=RESPONSE_USAGE)
        events = (typed("response.created", response=value), typed("response.completed", response=value))
        for upstream in (gateway.student, gateway.teacher):
            upstream.default(*(stream(*events) if streamed else answer(value)))
    name = "messages" if path == CHAT else "input"
    body = {"model": EASY, name: [user(f"hi {time.time_ns()}")], "stream": streamed, **fields}
    response = gateway.post(body, path=path)
    assert response.status == 200, response.body
    return response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]


HOSTED = (
    "web_search", "web_search_preview", "web_search_2025_08_26", "web_search_preview_2025_03_11", "file_search",
    "code_interpreter", "image_generation", "mcp", "computer_use_preview", "computer_use", "computer",
    "a_tool_of_next_year",
)  # fmt: skip
BEYOND: list[tuple[str, dict[str, Any], str]] = [
    *((RESPONSES, {"tools": [FUNCTION, {"type": kind}]}, "tools") for kind in HOSTED),
    (RESPONSES, {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, "tools"),
    (CHAT, {"tools": [CHAT_FUNCTION, {"type": "web_search"}]}, "tools"),
    # Gemini's, xAI's, OpenRouter's and Qwen's ways to ask for a search.
    *((CHAT, {"tools": [CHAT_FUNCTION, {name: {}}]}, "tools") for name in ("google_search", "codeExecution")),
    (CHAT, {"web_search_options": {}}, "tools"),
    (CHAT, {"search_parameters": {"mode": "auto"}}, "tools"),
    (CHAT, {"plugins": [{"id": "web"}]}, "tools"),
    (CHAT, {"enable_search": True}, "tools"),
    # Azure's way to have the customer's own data searched.
    (CHAT, {"data_sources": [{"type": "azure_search", "parameters": {}}]}, "tools"),
    (CHAT, {"dataSources": [{"type": "AzureCognitiveSearch", "parameters": {}}]}, "tools"),
    (CHAT, {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, "modality"),
    (CHAT, {"modalities": ["text", "audio"]}, "modality"),
    (CHAT, {"audio": {"voice": "alloy", "format": "wav"}}, "modality"),
    (CHAT, {"modalities": ["image", "text"]}, "modality"),
    (RESPONSES, {"conversation": "conv_1"}, "sticky"),
    (RESPONSES, {"conversation": {"id": "conv_1"}}, "sticky"),
    (RESPONSES, {"prompt": {"id": "pmpt_1"}}, "sticky"),
    (CHAT, {"messages": [user("a"), {"role": "assistant", "audio": {"id": "audio_1"}}, user("b")]}, "sticky"),
    (CHAT, {"messages": [user([{"type": "video_url", "video_url": {"url": "x"}}])]}, "modality"),
    (CHAT, {"messages": [user([{"type": "video", "video": "x"}])]}, "modality"),
    (CHAT, {"messages": [user([{"type": "image_embeds", "image_embeds": "x"}])]}, "modality"),
    # A vLLM takes parts without a type for what is in them.
    *(
        (CHAT, {"messages": [user([{"text": "look"}, part])]}, "modality")
        for part in (
            {"image_url": PNG},
            {"image_url": {"url": PNG}, "type": None},
            {"audio_url": {"url": "x"}},
            {"video_url": {"url": "x"}},
            {"input_audio": {"data": "x", "format": "wav"}},
        )
    ),
    # As OpenRouter gives, and takes back, the images of an answer.
    (CHAT, {"messages": [user("a"), {**said(), "images": [{"type": "image_url"}]}, user("b")]}, "modality"),
    (RESPONSES, {"input": [user([{"type": "input_image", "image_url": PNG}])]}, "modality"),
    # Images in the results of tools are images.
    (
        CHAT,
        {
            "messages": [
                user("look"),
                {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]},
                {"role": "tool", "tool_call_id": "1", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
            ]
        },
        "modality",
    ),
    (
        RESPONSES,
        {
            "input": [
                user("look"),
                {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                {
                    "type": "function_call_output",
                    "call_id": "1",
                    "output": [{"type": "input_text", "text": "here"}, {"type": "input_image", "image_url": PNG}],
                },
            ]
        },
        "modality",
    ),
    (
        RESPONSES,
        {
            "input": [
                user("look"),
                {"type": "computer_call", "call_id": "1", "action": {"type": "screenshot"}},
                {
                    "type": "computer_call_output",
                    "call_id": "1",
                    "output": {"type": "computer_screenshot", "image_url": PNG},
                },
            ]
        },
        "modality",
    ),
    (
        CHAT,
        {
            "messages": [
                user(
                    [
                        {
                            "type": "tool_result",
                            "tool_use_id": "1",
                            "content": [{"type": "image", "source": {"type": "url", "url": "x"}}],
                        }
                    ]
                )
            ]
        },
        "modality",
    ),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("path", "fields", "reason"), BEYOND, ids=lambda one: str(one)[:60])
def test_what_the_student_would_ignore_goes_to_the_teacher(
    gateway: Gateway, path: str, fields: dict[str, Any], reason: str, streamed: bool
) -> None:
    assert sent(gateway, path, fields, streamed) == ("teacher", reason)
    # As the client sent it.
    assert gateway.teacher.last.json.items() >= fields.items()
    assert not gateway.student.received


@pytest.mark.parametrize(("path", "fields", "reason"), BEYOND, ids=lambda one: str(one)[:60])
def test_what_the_student_would_ignore_does_not_fall_back_to_it(
    gateway: Gateway, path: str, fields: dict[str, Any], reason: str
) -> None:
    gateway.teacher.default(*error_answer(429, "slow down", retry_after="7"))
    name = "messages" if path == CHAT else "input"
    response = gateway.post({"model": EASY, name: [user("hi")], **fields}, path=path)
    assert (response.status, response.headers["retry-after"]) == (429, "7")
    assert response.headers["x-breakeven-reason"] == reason
    assert not gateway.student.received


THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "short"}],
    "content": [{"type": "reasoning_text", "text": "long"}],
}
CALL = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "1", "output": "42"}
WITHIN: list[tuple[str, dict[str, Any]]] = [
    (RESPONSES, {"input": [user("a"), THOUGHT, output(), user("b")]}),
    (RESPONSES, {"input": [user("a"), THOUGHT, CALL, RESULT, THOUGHT, output(), user("b")]}),
    (RESPONSES, {"tools": [FUNCTION]}),
    (RESPONSES, {"tools": []}),
    (RESPONSES, {"tools": [{"type": "shell", "environment": {"type": "local"}}]}),
    (RESPONSES, {"conversation": None, "prompt": None}),
    (RESPONSES, {"input": [user("a"), {"type": "web_search_call", "id": "ws_1", "status": "completed"}, user("b")]}),
    (CHAT, {"modalities": ["text"]}),
    (CHAT, {"modalities": None, "audio": None, "web_search_options": None}),
    (CHAT, {"tools": [CHAT_FUNCTION]}),
    (CHAT, {"tools": [{"type": None, "function": {"name": "f"}}]}),
    (CHAT, {"search_parameters": {"mode": "off"}, "plugins": [], "enable_search": False}),
    (CHAT, {"data_sources": []}),
    (CHAT, {"messages": [user([{"text": "hi"}]), {**said(), "images": []}, user("b")]}),
    (CHAT, {"functions": [{"name": "f", "parameters": {}}]}),
    (
        CHAT,
        {
            "messages": [
                user("a"),
                {
                    "role": "assistant",
                    "reasoning_content": "long",
                    "content": [
                        {"type": "thinking", "thinking": "long", "signature": "x"},
                        {"type": "redacted_thinking", "data": "x"},
                        {"type": "text", "text": "b"},
                        {"type": "tool_use", "id": "1", "name": "f", "input": {}},
                    ],
                },
                user([{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "42"}]}]),
                user("c"),
            ]
        },
    ),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("path", "fields"), WITHIN, ids=lambda one: str(one)[:60])
def test_what_the_student_can_do_stays_with_it(
    gateway: Gateway, path: str, fields: dict[str, Any], streamed: bool
) -> None:
    assert sent(gateway, path, fields, streamed) == ("student", "easy")


LEGACY: list[dict[str, Any]] = [
    {"functions": [{"name": "f", "parameters": {}}]},
    {"messages": [user("a"), {"role": "assistant", "content": None, "function_call": {"name": "f"}}, user("b")]},
    {"messages": [user("a"), {"role": "function", "name": "f", "content": "42"}]},
    {"tools": [CHAT_FUNCTION]},
]


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A student without tools."""
    with running(tmp_path_factory.mktemp("limited"), {"student": {"tools": False}}) as gateway:
        yield gateway


@pytest.mark.parametrize("fields", LEGACY, ids=lambda one: str(one)[:60])
def test_functions_count_as_tools(limited: Gateway, fields: dict[str, Any]) -> None:
    assert sent(limited, CHAT, fields) == ("teacher", "tools")


@pytest.fixture(scope="module")
def capable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A student that can do more than most."""
    more = {
        "modalities": ["text", "image", "video"],
        "output_modalities": ["text", "audio"],
        "tool_types": ["function", "mcp"],
    }
    with running(tmp_path_factory.mktemp("capable"), {"student": more}) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        (RESPONSES, {"tools": [{"type": "mcp"}]}, ("student", "easy")),
        (RESPONSES, {"tools": [{"type": "custom"}]}, ("teacher", "tools")),
        (CHAT, {"modalities": ["text", "audio"], "audio": {}}, ("student", "easy")),
        (CHAT, {"messages": [user([{"type": "video_url", "video_url": {"url": "x"}}])]}, ("student", "easy")),
        (RESPONSES, {"input": [user([{"type": "input_image", "image_url": PNG}])]}, ("student", "easy")),
        # A file by its id is where it was uploaded.
        (RESPONSES, {"input": [user([{"type": "input_image", "file_id": "file-1"}])]}, ("teacher", "sticky")),
    ],
    ids=lambda one: str(one)[:60],
)
def test_what_the_config_declares_counts(
    capable: Gateway, path: str, fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert sent(capable, path, fields) == expected


def test_what_the_students_server_says_limits_what_the_config_declares(tmp_path: Path) -> None:
    class Server(ScriptedUpstream):
        def _steps(self, request: Any) -> Any:
            if request.method == "GET":
                facts = {"max_model_len": 100, "input_modalities": ["text"]}
                return answer({"object": "list", "data": [{"id": self.model, "object": "model", **facts}]})
            return super()._steps(request)

    declared = {"student": {"context_window": 4000, "modalities": ["text", "image"]}}
    with Server("small") as student, ScriptedUpstream("big") as teacher:
        gateway = Gateway(tmp_path, student, teacher, declared)
        try:
            gateway.start()
            eventually(lambda: "student.context_window is 4000" in gateway.log.read_text())
            assert "student.modalities has image" in gateway.log.read_text()
            student.default(*answer(completion()))
            assert sent(gateway, CHAT, {"messages": [user("word " * 200)]}) == ("teacher", "context")
            image = [{"type": "image_url", "image_url": {"url": PNG}}]
            assert sent(gateway, CHAT, {"messages": [user(image)]}) == ("teacher", "modality")
            assert sent(gateway, CHAT, {"messages": [user("hi")]}) == ("student", "easy")
        finally:
            gateway.stop()
