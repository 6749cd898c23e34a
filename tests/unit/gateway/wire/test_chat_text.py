"""The texts of answers out of the bytes that went by, whatever they were."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.gateway.wire.chat_text import Tap, flattened, whole_text
from tests.contract.scripted import DONE, completion, delta, event, usage_chunk


def tapped(data: bytes, size: int = 1 << 20) -> str | None:
    tap = Tap()
    for start in range(0, len(data), size):
        tap.feed(data[start : start + size])
    return tap.text()


STREAM = delta("", role="assistant") + delta("Grü") + delta("ße ") + delta("🙂", finish="stop") + usage_chunk() + DONE


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_in_any_segments(size: int) -> None:
    assert tapped(STREAM, size) == "Grüße 🙂"


def test_a_whole_answer() -> None:
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
def test_what_is_no_single_text_is_not_compared(data: bytes) -> None:
    assert tapped(data) is None


def test_a_long_answer_is_not_compared_and_not_kept() -> None:
    tap = Tap()
    for _ in range(300):
        tap.feed(b"x" * 1000)
    assert tap.text() is None
    tap.restart()
    tap.feed(json.dumps(completion("short")).encode())
    assert tap.text() == "short"


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    text = tapped(data)
    assert text is None or isinstance(text, str)


def test_conversations_as_plain_texts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, "b"]
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": parts}, {"content": None}, 7]
    assert flattened(messages) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a\nb"},
        {"role": "user", "content": ""},
    ]
