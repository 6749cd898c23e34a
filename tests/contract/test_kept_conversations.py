"""What is kept of conversations by consent: the whole request, and the answer that was paid for."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.compared import CALLS, CHAT, ENDPOINTS, QUESTION, USER, Api
from tests.contract.gateway import Gateway, chat, merged, running
from tests.contract.scripted import answer, completion, delta, error_answer, stream
from tests.contract.test_escalation import RULE, TEACHER, UNSURE
from tests.contract.test_keys import as_key, key
from tests.support.processes import CHECKOUT

KEEP: dict[str, Any] = {"ledger": {"store_conversations": True}}
TO_TEACHER = merged(KEEP, {"routing": {"threshold": 0.0}})
# The scripted usage: 10 prompt tokens at 10 USD and 3 output tokens at 20 USD a million.
COST = 160_000_000


def kept(gateway: Gateway, count: int) -> list[tuple[Any, ...]]:
    """Kind, workload, key and document of what is kept, once there is so much."""

    def read() -> list[tuple[Any, ...]]:
        rows = gateway.rows("SELECT kind, workload, key, document FROM conversations ORDER BY at, kind")
        return [(*row[:3], json.loads(row[3])) for row in rows]

    return list(eventually(lambda: found if len(found := read()) >= count else None))


def ask(gateway: Gateway, api: Api, **fields: Any) -> None:
    response = gateway.post({"model": "auto", **api.body, **fields}, path=api.path)
    assert response.status == 200, response.body


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_whole_conversation_is_kept_with_the_answer_that_was_paid_for(
    tmp_path: Path, name: str, streams: bool
) -> None:
    api = ENDPOINTS[name]
    calls = () if name == "completions" else CALLS
    with running(tmp_path, merged(TO_TEACHER, api.config)) as gateway:
        gateway.teacher.default(*api.steps("Paris", calls, streams=streams))
        ask(gateway, api, stream=streams)
        ((kind, workload, who, document),) = kept(gateway, 1)
        costs = "cost_input + cost_cached_input + cost_cache_write + cost_output"
        ((prompt, output, cost),) = gateway.rows(f"SELECT prompt_tokens, output_tokens, {costs} FROM attempts")
    assert (kind, workload, who) == ("teacher", "default", "")
    assert document["messages"] == [{"role": "user", "content": QUESTION}]
    assert [one["function"]["name"] for one in document.get("tools", [])] == (["find"] if "tools" in api.body else [])
    message = document["answer"]
    assert (message["role"], message["content"]) == ("assistant", "Paris")
    made = [one["function"] for one in message.get("tool_calls", [])]
    assert [(one["name"], json.loads(one["arguments"])) for one in made] == [
        (one["name"], json.loads(one["arguments"])) for one in calls
    ]
    assert (document["model"], document["reason"], document["hold"]) == ("big", "difficult", None)
    assert document["usage"] == {"prompt_tokens": prompt, "output_tokens": output}
    assert document["cost"] == cost >= COST


def test_everything_that_the_model_was_given_is_kept(tmp_path: Path) -> None:
    given = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            *USER,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": CALLS[0]}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "Paris"},
        ],
        "tools": CHAT.body["tools"],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    }
    value = completion('{"city": "Paris"}')
    value["choices"][0]["message"]["reasoning_content"] = "It is asked for a city."
    with running(tmp_path, TO_TEACHER) as gateway:
        gateway.teacher.default(*answer(value))
        gateway.post({"model": "auto", **given, "temperature": 0.5})
        ((_, _, _, document),) = kept(gateway, 1)
    assert {name: document[name] for name in given} == given
    assert "temperature" not in document
    assert document["answer"]["reasoning_content"] == "It is asked for a city."
    assert document["finish"] == "stop"


def test_why_the_teacher_answered_is_kept(tmp_path: Path) -> None:
    config = merged(KEEP, {"routing": {"escalation": RULE}})
    with running(tmp_path, config) as gateway:
        gateway.student.script(*stream(*UNSURE))
        gateway.teacher.script(*stream(*TEACHER))
        gateway.post(chat("escalated", stream=True))
        gateway.student.script(*error_answer(503, "busy"))
        gateway.teacher.script(*answer(completion("instead")))
        gateway.post(chat("fallen back"))
        gateway.student.script(*answer(completion("the student's")))
        gateway.post(chat("easy"))
        found = kept(gateway, 3)
        gateway.write_config({"student": None, "routing": {"escalation": None, "threshold": None}})
        eventually(lambda: gateway.post(chat("alone")).headers["x-breakeven-reason"] == "no_student")
        alone = eventually(lambda: [one for one in kept(gateway, 4) if one[3]["reason"] == "no_student"])
    assert [(kind, document["reason"], document["answer"]["content"]) for kind, _, _, document in found] == [
        ("teacher", "escalated", "A better answer"),
        ("teacher", "fallback", "instead"),
        ("student", "easy", "the student's"),
    ]
    assert "cost" in found[0][3]
    assert found[2][3]["cost"] == 0
    assert (alone[0][0], alone[0][3]["messages"]) == ("teacher", [{"role": "user", "content": "alone"}])


def test_the_teachers_answer_of_a_comparison_is_kept_with_what_it_cost(tmp_path: Path) -> None:
    with running(tmp_path, merged(KEEP, {"road": {"sample": 1.0, "scorer": "exact"}})) as gateway:
        gateway.student.default(*CHAT.steps("paris", streams=False))
        gateway.teacher.default(*CHAT.steps("Paris", streams=False))
        gateway.post(chat(QUESTION, tools=CHAT.body["tools"]))
        found = {kind: document for kind, _, _, document in kept(gateway, 3)}
    assert set(found) == {"comparison", "student", "teacher"}
    assert found["teacher"]["answer"]["content"] == "Paris"
    assert (found["teacher"]["cost"], found["student"]["cost"]) == (COST, 0)
    assert found["teacher"]["tools"] == CHAT.body["tools"]
    assert found["teacher"]["reason"] == "easy"


def test_what_may_not_be_kept_is_not(tmp_path: Path) -> None:
    config = merged(TO_TEACHER, {"auth": {"keys": [key("open"), key("closed", store=False)]}})
    with running(tmp_path, config) as gateway:
        gateway.teacher.default(*answer(completion("Paris")))
        gateway.post(chat("closed"), as_key("closed"))
        gateway.post(chat("pinned", model="teacher"), as_key("open"))
        gateway.post(chat("several", n=2), as_key("open"))
        gateway.post(chat("x" * (1 << 18)), as_key("open"))
        gateway.post({"model": "auto", "input": "go on", "previous_response_id": "r"}, as_key("open"), "/v1/responses")
        gateway.teacher.script(*stream(delta("cut off")))
        gateway.post(chat("cut", stream=True), as_key("open"))
        gateway.teacher.script(*error_answer(400, "no"))
        gateway.post(chat("refused"), as_key("open"))
        gateway.post(chat("kept"), as_key("open"))
        found = kept(gateway, 1)
        gateway.stop()
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            rows = connection.execute("SELECT request FROM conversations").fetchall()
    assert [document["messages"][0]["content"] for _, _, _, document in found] == ["kept"]
    assert len(rows) == 1


HOOK = """
import re

def redact(text):
    if "trouble" in text:
        raise RuntimeError(text)
    return re.sub(r"[\\w.]+@[\\w.]+\\w", "<EMAIL>", text)
"""
MAIL = "ann.canary@example.com"


def test_texts_are_redacted_before_they_are_stored(tmp_path: Path) -> None:
    (tmp_path / "own_redaction.py").write_text(HOOK)
    config = merged(
        TO_TEACHER,
        {
            "ledger": {"store_prompts": True, "redact": "own_redaction:redact"},
            "road": {"sample": 1.0, "scorer": "exact"},
        },
    )
    environment = {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{tmp_path}"}
    tool = {"type": "function", "function": {"name": "send", "description": f"Sends to {MAIL}", "parameters": {}}}
    call = {"name": "send", "arguments": json.dumps({"to": MAIL, "n": 1})}
    with running(tmp_path, config, environment=environment) as gateway:
        gateway.teacher.default(*CHAT.steps(f"I wrote to {MAIL}.", (call,), streams=False))
        gateway.student.default(*CHAT.steps(f"Not {MAIL}", streams=False))
        gateway.post(chat(f"Write to {MAIL}", tools=[tool]))
        gateway.post(chat(f"trouble with {MAIL}"))
        found = {kind: document for kind, _, _, document in kept(gateway, 2)}
        prompts = eventually(lambda: gateway.rows("SELECT text FROM prompts"))
        eventually(lambda: b"were not stored: RuntimeError" in gateway.log.read_bytes())
        gateway.stop()
        holding = [path.name for path in tmp_path.rglob("*") if path.is_file() and MAIL.encode() in path.read_bytes()]
    assert holding == []
    assert prompts == [("Write to <EMAIL>",)]
    teacher = found["teacher"]
    assert teacher["messages"] == [{"role": "user", "content": "Write to <EMAIL>"}]
    assert teacher["answer"]["content"] == "I wrote to <EMAIL>."
    (made,) = teacher["answer"]["tool_calls"]
    assert (made["function"]["name"], json.loads(made["function"]["arguments"])) == ("send", {"to": "<EMAIL>", "n": 1})
    assert teacher["tools"][0]["function"] == {"name": "send", "description": "Sends to <EMAIL>", "parameters": {}}
    assert found["comparison"]["student"]["text"] == "Not <EMAIL>"


def test_a_redaction_that_cannot_be_loaded_stops_the_start(tmp_path: Path) -> None:
    config = merged(KEEP, {"ledger": {"redact": "no_such_module:redact"}})
    with (
        pytest.raises(AssertionError, match=r"ledger\.redact: cannot import no_such_module"),
        running(tmp_path, config),
    ):
        pass
