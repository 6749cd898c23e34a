"""Rows with tools, results of tools, response formats and reasoning: what is asked, kept and trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from breakeven.models.data.prompts import fault_of, key_of
from breakeven.models.data.rows import Example, read
from breakeven.models.errors import BadRows
from tests.unit.models.support.generating import prompts, rows, run
from tests.unit.models.support.teacher import completion, serve

TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
FORM = {"type": "json_object"}


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}


TURNS = [
    {"role": "user", "content": "Where is 5?"},
    {"role": "assistant", "content": None, "tool_calls": [call("find", '{"n": 5}')], "reasoning_content": "look"},
    {"role": "tool", "content": "at home", "tool_call_id": "c1"},
]
ANSWER = {"role": "assistant", "content": "<think>\nnow I know\n</think>\n\nAt home."}


def only(path: Path, row: dict[str, Any]) -> Example:
    path.write_text(json.dumps(row) + "\n")
    return read([path])[0]


def test_a_row_with_tools_keeps_all_of_it(tmp_path: Path) -> None:
    one = only(tmp_path / "r.jsonl", {"messages": [*TURNS, ANSWER], "tools": [TOOL], "response_format": FORM})
    assert one.answer == "At home."
    assert one.asked() == {"tools": [TOOL], "response_format": FORM}
    assert one.prompt == [
        {"role": "user", "content": "Where is 5?"},
        {"role": "assistant", "content": None, "tool_calls": [call("find", '{"n": 5}')]},
        {"role": "tool", "content": "at home", "tool_call_id": "c1"},
    ]
    turns = one.turns()
    assert turns[1]["tool_calls"][0]["function"]["arguments"] == {"n": 5}, "as vLLM passes them to the template"
    assert [turn.get("reasoning_content") for turn in turns] == [None, "look", None, "now I know"]
    assert [turn["content"] for turn in turns] == ["Where is 5?", "", "at home", "At home."]


def test_an_answer_may_be_a_call_of_a_tool(tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": None, "tool_calls": [call("find", {"n": 5})]}
    one = only(tmp_path / "r.jsonl", {"messages": [TURNS[0], answer]})
    assert (one.answer, [c["function"]["name"] for c in one.calls()]) == ("", ["find"])


def test_weights_are_those_of_the_row_and_of_its_messages(tmp_path: Path) -> None:
    turns = [
        TURNS[0],
        {"role": "assistant", "content": "a", "weight": 0},
        TURNS[0],
        {"role": "assistant", "content": "b"},
    ]
    assert only(tmp_path / "r.jsonl", {"messages": turns, "weight": 2}).weights() == [0, 0, 0, 2]
    assert only(tmp_path / "r.jsonl", {"prompt": "q", "answer": "a"}).weights() == [0, 1]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": [TURNS[0]], "tools": {"a": 1}}, "tools: must be a list"),
        ({"messages": [TURNS[0]], "response_format": "json"}, "response_format: must be an object"),
        ({"messages": [TURNS[0]], "weight": -1}, "weight: must be a number"),
        ({"messages": [TURNS[0]], "weight": "high"}, "weight: must be a number"),
        ({"messages": [{**TURNS[0], "weight": float("nan")}]}, "weight must be a number"),
        ({"messages": [TURNS[0], {"role": "assistant", "content": None}, TURNS[0]]}, "content must be a text"),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}]}, "tool_calls must be"),
        ({"messages": TURNS[:2]}, "the last must be the user's"),
        ({"prompt": "q", "weight": float("inf")}, "weight: must be a number"),
    ],
)
def test_bad_fields_are_named(row: dict[str, Any], said: str) -> None:
    assert said in (fault_of(row) or "")


def test_a_bad_call_in_the_answer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"messages": [TURNS[0], {"role": "assistant", "content": None, "tool_calls": [{}]}]}))
    with pytest.raises(BadRows, match="tool_calls must be a list of objects with a function"):
        read([path])


def test_tools_are_part_of_what_makes_two_prompts_the_same() -> None:
    plain = [{"role": "user", "content": "q"}]
    assert key_of(plain) == key_of(plain, {})
    assert key_of(plain) != key_of(plain, {"tools": [TOOL]})
    assert key_of(TURNS) != key_of([TURNS[0], {**TURNS[1], "tool_calls": [call("other", "{}")]}, TURNS[2]])


def test_generate_asks_with_tools_and_keeps_calls_and_reasoning(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 0), tmp_path / "data"
    asked = {"messages": TURNS, "tools": [TOOL], "response_format": FORM, "tool_choice": "auto"}
    file.write_text(json.dumps({"prompt": "plain"}) + "\n" + json.dumps(asked) + "\n")

    def script(body: dict[str, Any]) -> Any:
        made = completion(None if "tools" in body else "fine", "tool_calls" if "tools" in body else "stop")
        message = made["choices"][0]["message"]
        message["reasoning_content"] = "I think"
        if "tools" in body:
            message["tool_calls"] = [call("find", '{"n": 6}')]
        return JSONResponse(made)

    with serve(script) as teacher:
        done = run(teacher, file, out, "--eval-share", "0")
        assert done.returncode == 0, done.stderr
        sent = next(body for body in teacher.bodies if "tools" in body)
    assert (sent["tools"], sent["response_format"], sent["tool_choice"]) == ([TOOL], FORM, "auto")
    assert "reasoning_content" not in json.dumps(sent["messages"]), "some APIs refuse it"
    plain, called = rows(out / "train.jsonl")
    assert plain["messages"][-1] == {"role": "assistant", "content": "fine", "reasoning_content": "I think"}
    assert called["messages"][-1]["tool_calls"] == [call("find", '{"n": 6}')]
    assert called["tools"] == [TOOL]
    assert [one.calls() != [] for one in read([out / "train.jsonl"])] == [False, True]
