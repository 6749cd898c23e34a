"""Reading the text of answers from captured bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.gateway.wire.chat_text import AnswerCapture, flattened, whole_text
from tests.contract.scripted import DONE, completion, delta, event, usage_chunk


def tapped(data: bytes, size: int = 1 << 20) -> str | None:
    capture = AnswerCapture()
    for start in range(0, len(data), size):
        capture.feed(data[start : start + size])
    return capture.text()


STREAM = delta("", role="assistant") + delta("Grü") + delta("ße ") + delta("🙂", finish="stop") + usage_chunk() + DONE


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_is_read_with_any_segmentation(size: int) -> None:
    assert tapped(STREAM, size) == "Grüße 🙂"


def test_a_json_answer_is_read() -> None:
    assert tapped(json.dumps(completion("hi")).encode()) == whole_text(json.dumps(completion("hi")).encode()) == "hi"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"choices": []}',
        json.dumps({"choices": [{"message": {"content": None, "tool_calls": [{"id": "1"}]}}]}).encode(),
        json.dumps({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}).encode(),
        event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]}) + DONE,
        delta("a") + delta("b", index=1) + DONE,
        DONE,
    ],
)
def test_answers_without_a_single_text_give_none(data: bytes) -> None:
    assert tapped(data) is None


def test_an_answer_above_the_limit_is_discarded() -> None:
    capture = AnswerCapture()
    for _ in range(300):
        capture.feed(b"x" * 1000)
    assert capture.text() is None
    capture.restart()
    capture.feed(json.dumps(completion("short")).encode())
    assert capture.text() == "short"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_do_not_raise(data: bytes) -> None:
    text = tapped(data)
    assert text is None or isinstance(text, str)


def test_flattened_messages_have_role_and_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, "b"]
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": parts}, {"content": None}, 7]
    assert flattened(messages) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a\nb"},
        {"role": "user", "content": ""},
    ]
