"""Rows in the formats that people have: each becomes a conversation of ours, or a line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakeven.models.data import prompts, rows
from breakeven.models.data.formats import ours, surrogate, unknown, without_answer
from breakeven.models.errors import BadRows

USER = {"role": "user", "content": "Where is my parcel?"}
ANSWER = {"role": "assistant", "content": "On its way."}
SYSTEM = {"role": "system", "content": "Be brief."}
CHAT = [SYSTEM, USER, ANSWER]
PLAIN = [USER, ANSWER]
ASKED, SAID = USER["content"], ANSWER["content"]

FORMATS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "ours": ({"prompt": ASKED, "answer": SAID}, PLAIN),
    "ours with a system message": ({"system": SYSTEM["content"], "prompt": ASKED, "answer": SAID}, CHAT),
    "OpenAI chat": ({"messages": CHAT}, CHAT),
    "OpenAI content parts": ({"messages": [{**USER, "content": [{"type": "text", "text": ASKED}]}, ANSWER]}, PLAIN),
    "OpenAI prompt and completion": ({"prompt": ASKED, "completion": SAID}, PLAIN),
    "OpenAI preference": (
        {
            "input": {"messages": [SYSTEM, USER], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [ANSWER],
            "non_preferred_output": [{"role": "assistant", "content": "No."}],
        },
        CHAT,
    ),
    "OpenAI batch": (
        {"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": CHAT}},
        CHAT,
    ),
    "ShareGPT": (
        {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": ASKED},
                {"from": "gpt", "value": SAID},
            ]
        },
        CHAT,
    ),
    "ShareGPT with a system field": (
        {"system": "Be brief.", "conversation": [{"from": "user", "value": ASKED}, {"from": "chatgpt", "value": SAID}]},
        CHAT,
    ),
    "ShareGPT with roles": ({"conversations": CHAT}, CHAT),
    "ShareGPT as columns": (
        {"conversations": {"from": ["human", "gpt"], "value": [ASKED, SAID]}},
        PLAIN,
    ),
    "ShareGPT as JSON in a text": ({"conversations": json.dumps([{"from": "human", "value": ASKED}, ANSWER])}, PLAIN),
    "Alpaca": (
        {"instruction": "Where is", "input": "my parcel?", "output": SAID},
        [{"role": "user", "content": "Where is\n\nmy parcel?"}, ANSWER],
    ),
    "Alpaca without input": ({"instruction": ASKED, "input": "", "output": SAID}, PLAIN),
    "Alpaca with history": (
        {"instruction": ASKED, "output": SAID, "system": "Be brief.", "history": [["Hi", "Hello."]]},
        [SYSTEM, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, USER, ANSWER],
    ),
    "Dolly": ({"instruction": ASKED, "context": "", "response": SAID, "category": "qa"}, PLAIN),
    "trl conversational": ({"prompt": [SYSTEM, USER], "completion": [ANSWER]}, CHAT),
    "trl preference": ({"prompt": ASKED, "chosen": SAID, "rejected": "No."}, PLAIN),
    "trl preference as conversations": ({"prompt": ASKED, "chosen": PLAIN, "rejected": [USER]}, PLAIN),
    "question and answer": ({"question": ASKED, "answer": SAID}, PLAIN),
    "query and response": ({"query": ASKED, "response": SAID}, PLAIN),
    "input and output": ({"input": ASKED, "output": SAID}, PLAIN),
    "null columns": ({"messages": CHAT, "prompt": None, "conversations": None}, CHAT),
}


def write(path: Path, *made: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_read_for_training_and_for_asking(tmp_path: Path, name: str) -> None:
    row, expected = FORMATS[name]
    path = write(tmp_path / "data.jsonl", {**row, "category": "post"})
    (example,) = rows.read([path])
    assert [*example.prompt, {"role": "assistant", "content": example.answer}] == expected
    assert example.category == "post"
    found = prompts.read([path])
    assert [one.messages for one in found.prompts] == [expected[:-1]]
    assert found.prompts[0].carried == {"category": "post"}
    assert found.answers == 1


@pytest.mark.parametrize("name", ["question", "query", "input", "prompt", "instruction"])
def test_a_question_without_an_answer_can_be_asked(tmp_path: Path, name: str) -> None:
    found = prompts.read([write(tmp_path / "data.jsonl", {name: ASKED})])
    assert [one.messages for one in found.prompts] == [[USER]]
    assert found.answers == 0


def test_a_reinforcement_row_brings_its_reference_and_a_batch_row_its_id(tmp_path: Path) -> None:
    rft = {"messages": [USER], "reference_answer": {"state": "sent"}}
    batch = {"custom_id": "request-7", "body": {"messages": [{**USER, "content": "Another?"}]}}
    found = prompts.read([write(tmp_path / "data.jsonl", rft, batch)])
    assert found.prompts[0].carried == {"reference": '{"state": "sent"}'}
    assert found.prompts[1].id == "request-7"


def test_tools_keep_their_calls_and_results() -> None:
    made = ours(
        {
            "conversations": [
                {"from": "human", "value": ASKED},
                {"from": "function_call", "value": '{"name": "track", "arguments": {"id": 7}}'},
                {"from": "observation", "value": "sent"},
                {"from": "gpt", "value": SAID},
            ],
            "tools": '[{"name": "track", "parameters": {"type": "object"}}]',
        }
    )
    call = made["messages"][1]["tool_calls"][0]
    assert call["function"] == {"name": "track", "arguments": '{"id": 7}'}
    assert made["messages"][2] == {"role": "tool", "content": "sent", "tool_call_id": call["id"]}
    assert made["tools"] == [{"type": "function", "function": {"name": "track", "parameters": {"type": "object"}}}]
    openai = {"messages": [USER, {"role": "assistant", "tool_calls": [call]}], "tools": made["tools"]}
    kept = ours(openai)
    assert kept["messages"][1] == {"role": "assistant", "content": None, "tool_calls": [call]}
    assert kept["tools"] == made["tools"]


def test_what_has_no_known_format_is_named_with_its_keys_and_never_with_its_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", {"text": "secret words", "lang": "en", "a key with spaces": 1})
    with pytest.raises(
        BadRows, match=r"data\.jsonl: row 1: unknown format with the keys text, lang;.*ShareGPT"
    ) as said:
        prompts.read([path])
    assert "secret" not in str(said.value)
    assert "spaces" not in str(said.value)


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ({"prompt": "Hi \ud83d"}, "prompt"),
        ({"messages": [USER, {**ANSWER, "content": "\udc00"}]}, r"messages\[1\]\.content"),
        ({"prompt": "Hi", "category": "\ud800"}, "category"),
    ],
)
def test_half_of_a_character_is_refused_with_its_place(tmp_path: Path, row: dict[str, Any], where: str) -> None:
    path = write(tmp_path / "data.jsonl", row, {"prompt": "A whole \U0001f600 is fine"})
    with pytest.raises(BadRows, match=rf"line 1: {where}: holds half of a character .*mend or remove it"):
        prompts.read([path])
    assert [one.text() for one in prompts.read([path], skip_bad=True).prompts] == ["A whole \U0001f600 is fine"]


NAMES = [
    "messages",
    "conversations",
    "instruction",
    "prompt",
    "completion",
    "chosen",
    "history",
    "input",
    "body",
    "tools",
]
NAMES += [
    "role",
    "from",
    "content",
    "value",
    "tool_calls",
    "output",
    "preferred_output",
    "system",
    "answer",
    "question",
]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.sampled_from(["user", "gpt", "tool", "function_call", "[1]", "{}"])
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5))
def test_no_row_is_a_traceback(row: dict[str, Any]) -> None:
    made = ours(row)
    assert surrogate(made) is None
    fault = unknown(made) or prompts.fault_of(without_answer(made)[0])
    assert fault is None or isinstance(fault, str)
