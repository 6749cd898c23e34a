"""What the router reads of a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.text import MAX_CHARACTERS, cut, read_chat, read_prompt

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["system", "user", "assistant", "tool"]) | JSON,
        "content": JSON,
        "tool_calls": JSON,
    },
)


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


@given(st.lists(MESSAGE, max_size=5) | JSON, JSON)
def test_any_json_as_messages_is_read_without_error(messages: object, tools: object) -> None:
    seen = read_chat(messages, tools)
    assert len(seen.text) <= MAX_CHARACTERS
    assert seen.tokens >= 0
    assert "text" in seen.modalities


@given(JSON)
def test_any_json_as_prompt_is_read_without_error(prompt: object) -> None:
    assert len(read_prompt(prompt).text) <= MAX_CHARACTERS


def test_a_system_prompt_does_not_change_the_text() -> None:
    question = user("Explain why the sky is blue to a child of seven years.")
    alone = read_chat([question])
    behind = read_chat([{"role": "system", "content": "You are a lawyer. " * 2000}, question])
    assert behind.text == alone.text
    assert behind.tokens > alone.tokens + 10_000


def test_the_text_is_the_last_user_message_and_a_short_one_is_joined_with_the_one_before() -> None:
    first, answer = user("Name the capital of France and its river."), {"role": "assistant", "content": "Paris, Seine"}
    longer = "Now write a proof that there are infinitely many primes."
    assert read_chat([first, answer, user(longer)]).text == longer
    assert read_chat([first, answer, user("And of Spain?")]).text == f"{first['content']}\nAnd of Spain?"


def test_text_parts_are_joined_and_media_are_modalities() -> None:
    parts = [
        {"type": "text", "text": "What is"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "text", "text": "this?"},
    ]
    seen = read_chat([user(parts)])
    assert seen.text == "What is\nthis?"
    assert seen.modalities == {"text", "image"}


@pytest.mark.parametrize(
    ("messages", "tools"),
    [
        ([user("hi")], [{"type": "function"}]),
        ([user("hi"), {"role": "assistant", "tool_calls": [{"id": "1"}]}], None),
        ([user("hi"), {"role": "tool", "content": "42"}], None),
    ],
)
def test_offered_and_called_tools_are_detected(messages: list[object], tools: object) -> None:
    assert read_chat(messages, tools).tools
    assert not read_chat([user("hi")]).tools


def test_a_long_text_is_cut_to_its_start_and_end() -> None:
    text = "A" * 60_000 + "B" * 60_000
    kept = cut(text)
    assert len(kept) == MAX_CHARACTERS
    assert kept.startswith("A" * 4000)
    assert kept.endswith("B" * 4000)
    assert cut("short") == "short"


def test_the_token_estimate_is_not_too_low_in_any_script() -> None:
    assert read_chat([user("word " * 1000)]).tokens >= 1000
    assert read_chat([user("\u4f60\u597d" * 500)]).tokens >= 1000
