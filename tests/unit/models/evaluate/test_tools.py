"""`breakeven distill evaluate` on rows with tools and response formats, and with a reasoning judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response

from tests.unit.models.evaluate.test_evaluate import report, run
from tests.unit.models.support.generating import rows
from tests.unit.models.support.reasoning import refusing
from tests.unit.models.support.teacher import completion, serve

TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


def call(arguments: str) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "find", "arguments": arguments}}


def file_of(folder: Path, *made: dict[str, Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": f"r{i}", **row}) + "\n" for i, row in enumerate(made)))
    return path


def asked(text: str, answer: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", **answer}], **fields}


def test_calls_are_compared_by_name_and_arguments_and_json_as_json(tmp_path: Path) -> None:
    right = {"content": None, "tool_calls": [call('{"n": 1, "q": "a"}')]}
    form = {"type": "json_object"}
    path = file_of(
        tmp_path,
        asked("same", right, tools=[TOOL]),
        asked("other", right, tools=[TOOL]),
        asked("text", right, tools=[TOOL]),
        asked("json", {"content": '{"a": 1, "b": 2}'}, response_format=form),
        asked("plain", {"content": "yes"}),
    )

    def student(body: dict[str, Any]) -> Response | str:
        text = body["messages"][-1]["content"]
        if text in ("same", "other"):
            assert body["tools"] == [TOOL]
            made = completion(None, "tool_calls")
            arguments = '{"q":"a","n":1}' if text == "same" else '{"q":"b","n":1}'
            made["choices"][0]["message"]["tool_calls"] = [call(arguments)]
            return JSONResponse(made)
        if text == "json":
            assert body["response_format"] == form
            return '{"b":2,"a":1}'
        return "yes"

    with serve(student) as teacher:
        done = run(teacher, path, tmp_path / "out", "--scorer", "exact")
    assert done.returncode == 0, done.stderr
    found = {row["id"]: row["student_score"] for row in rows(tmp_path / "out" / "outcomes.jsonl")}
    assert found == {"r0": 1.0, "r1": 0.0, "r2": 0.0, "r3": 1.0, "r4": 1.0}
    shown = {row["id"]: row["student_response"] for row in rows(tmp_path / "out" / "outcomes.jsonl")}
    assert '"find"' in shown["r1"]
    assert report(tmp_path / "out")["rows"] == 5


def test_all_three_roles_may_refuse_and_a_verdict_may_be_cut_off(tmp_path: Path) -> None:
    verdict = json.dumps({"reason": "r", "score_a": 5, "score_b": 5, "winner": "tie"})

    def script(body: dict[str, Any]) -> Response | str:
        text = str(body["messages"])
        if "[answer A" not in text:
            return "a student" if body["model"] == "small" else "a teacher"
        finish = "length" if "apples" in text and body["max_completion_tokens"] < 9000 else "stop"
        return JSONResponse(completion(verdict, finish, output=900))

    path = file_of(tmp_path, asked("apples", {"content": "x"}), asked("pears", {"content": "y"}))
    with serve(refusing(script)) as teacher:
        options = ["--scorer", "judge", "--judge-url", teacher.url, "--judge-model", "big", "--temperature", "0.5"]
        options += ["--teacher-url", teacher.url, "--teacher-model", "big"]
        done = run(teacher, path, tmp_path / "out", *options, "--judge-max-tokens", "800")
        assert done.returncode == 0, done.stderr
        assert "On 1 pairs the verdict was cut off by its limit of tokens" in done.stdout
        assert report(tmp_path / "out")["rows"] == 1
        alone = file_of(tmp_path / "out", asked("apples", {"content": "x"}))
        none = run(teacher, alone, tmp_path / "none", *options)
        assert none.returncode == 2
        assert "no row could be scored: the verdicts were cut off; give a higher --judge-max-tokens" in none.stderr
        again = run(teacher, path, tmp_path / "out", *options, "--judge-max-tokens", "9000")
        assert again.returncode == 0, again.stderr
        assert report(tmp_path / "out")["judge"]["cut_off"] == 0
        assert report(tmp_path / "out")["rows"] == 2
