"""`breakeven check --live`: each thing that an upstream may lack is said, with what to do, and the exit code is 1."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.gateway import STUDENT_KEY, TEACHER_KEY, Gateway, merged
from tests.contract.scripted import (
    ExpectDisconnect,
    Received,
    ScriptedUpstream,
    Step,
    answer,
    completion,
    error_answer,
)
from tests.support.tls import unused_port

SECRET_ANSWER = "the-answer-of-the-model"


class Upstreams:
    """Both upstreams, and the config that names them."""

    def __init__(self, folder: Path, student: ScriptedUpstream, teacher: ScriptedUpstream) -> None:
        self.student, self.teacher = student, teacher
        self._gateway = Gateway(folder, student, teacher)

    def check(self, changes: dict[str, Any] | None = None) -> tuple[int, list[str]]:
        """The exit code and the lines of the command."""
        path = self._gateway.path
        path.write_text(yaml.safe_dump(merged(self._gateway.config, changes or {})))
        command = [sys.executable, "-P", "-m", "breakeven.gateway.cli", "check", "--live", "--config", str(path)]
        environment = self._gateway.environment
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
        assert not ran.stderr, ran.stderr
        for secret in (STUDENT_KEY, TEACHER_KEY, SECRET_ANSWER):
            assert secret not in ran.stdout
        return ran.returncode, ran.stdout.splitlines()


@pytest.fixture
def upstreams(tmp_path: Path) -> Iterator[Upstreams]:
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        for one in (student, teacher):
            one.default(*answer(completion(SECRET_ANSWER)))
        yield Upstreams(tmp_path, student, teacher)


def listing(*names: str, **fields: Any) -> list[Step]:
    return answer({"object": "list", "data": [{"id": name, "object": "model", **fields} for name in names]})


def line(lines: list[str], pattern: str) -> str:
    """The one line that matches."""
    found = [one for one in lines if re.fullmatch(pattern, one)]
    assert len(found) == 1, "\n".join(lines)
    return found[0]


def test_all_is_well(upstreams: Upstreams) -> None:
    upstreams.student.models(*listing("small", "other", max_model_len=4096))
    code, lines = upstreams.check()
    assert code == 0
    expected = [
        r"ok    student: reached at http://127\.0\.0\.1:\d+/v1",
        r"ok    student: it accepts the key of T_STUDENT_KEY",
        r"ok    student: small answers, one token in \d+\.\d s",
        r"ok    student: it accepts tools",
        r"ok    student: context window: 4096 tokens",
        r"ok    teacher: reached at http://127\.0\.0\.1:\d+/v1",
        r"ok    teacher: it accepts the key of T_TEACHER_KEY",
        r"ok    teacher: big answers, one token in \d+\.\d s",
        r"ok    teacher: it accepts tools",
    ]
    assert len(lines) == len(expected)
    for pattern, one in zip(expected, lines, strict=True):
        assert re.fullmatch(pattern, one), one
    asked = [request.json for request in upstreams.student.received]
    assert [(one["model"], one["max_tokens"], "tools" in one) for one in asked] == [
        ("small", 1, False),
        ("small", 1, True),
    ]


def test_a_wrong_key(upstreams: Upstreams) -> None:
    refused = error_answer(401, f"Incorrect API key provided: {STUDENT_KEY}")
    upstreams.student.models(*refused)
    upstreams.student.default(*refused)
    code, lines = upstreams.check()
    assert code == 1
    line(lines, r"FAIL  student: it refuses the key \(status 401\); check the variable T_STUDENT_KEY, .*")
    assert not [one for one in lines if "Incorrect" in one]
    # The other one is checked all the same.
    line(lines, r"ok    teacher: big answers, .*")


def test_a_key_that_is_not_sent(upstreams: Upstreams) -> None:
    upstreams.teacher.default(*error_answer(401))
    code, lines = upstreams.check({"teacher": {"api_key_env": None}})
    assert code == 1
    line(lines, r"FAIL  teacher: it wants a key \(status 401\), and none is sent; set api_key_env to the name of .*")


def test_a_key_that_may_not_list_models_can_be_right(upstreams: Upstreams) -> None:
    upstreams.teacher.models(*error_answer(403, "missing scopes: api.model.read"))
    code, lines = upstreams.check()
    assert code == 0
    line(lines, r"ok    teacher: big answers, .*; it does not list its models")


@pytest.mark.parametrize(
    ("served", "said"),
    [
        (["smal", "else"], "it serves else, smal"),
        ([], "it serves none now"),
        ([f"model-{n}" for n in range(40)] + ["smalls"], "it serves 41 models, most alike smalls, .*"),
    ],
)
def test_a_wrong_model_name(upstreams: Upstreams, served: list[str], said: str) -> None:
    upstreams.student.models(*listing(*served))
    upstreams.student.default(*error_answer(404, "The model `small` does not exist."))
    code, lines = upstreams.check()
    assert code == 1
    line(lines, rf"FAIL  student: it does not serve small; correct model: {said}")
    assert len(upstreams.student.received) == 1


def test_a_wrong_path(upstreams: Upstreams) -> None:
    upstreams.student.default(*error_answer(404, "Not Found"))
    code, lines = upstreams.check()
    assert code == 1
    line(lines, r"FAIL  student: it lists small, and has no /chat/completions; check the path of base_url: http.*")


def test_a_model_under_a_name_that_is_not_listed(upstreams: Upstreams) -> None:
    upstreams.teacher.models(*listing("big-2026-11-01"))
    code, lines = upstreams.check()
    assert code == 0
    line(lines, r"ok    teacher: big answers, .*; it lists its models under other names")


def test_no_tools(upstreams: Upstreams) -> None:
    message = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    for one in (upstreams.student, upstreams.teacher):
        one.on('"tools"', *error_answer(400, message))
    code, lines = upstreams.check()
    assert code == 1
    line(
        lines,
        r"FAIL  student: it refuses tools; set student\.tools to false, or start vLLM .*It says: \"auto\" tool .*",
    )
    line(lines, r"note  teacher: it refuses tools; requests with tools will fail\. It says: .*")
    code, lines = upstreams.check({"student": {"tools": False}})
    assert code == 0
    line(lines, r"note  student: tools: off in the config, so not asked")


def test_nobody_there(upstreams: Upstreams) -> None:
    with unused_port() as port:
        code, lines = upstreams.check({"teacher": {"base_url": f"http://127.0.0.1:{port}/v1"}})
    assert code == 1
    where = rf"http://127\.0\.0\.1:{port}/v1"
    line(
        lines, rf"FAIL  teacher: not reached at {where}; refused: nothing listens at its address; start the server, .*"
    )


def test_a_name_without_an_address(upstreams: Upstreams) -> None:
    code, lines = upstreams.check({"teacher": {"base_url": "http://no-such-host.invalid/v1"}})
    assert code == 1
    line(
        lines, r"FAIL  teacher: not reached at http://no-such-host\.invalid/v1; dns: its host name cannot be resolved.*"
    )


def test_no_answer_in_time(upstreams: Upstreams) -> None:
    upstreams.student.default(ExpectDisconnect(5))
    code, lines = upstreams.check({"student": {"timeouts": {"total_seconds": 0.5}}})
    assert code == 1
    line(lines, r"FAIL  student: total_timeout: an answer took longer than timeouts\.total_seconds; .*")


def test_an_error_is_shown_without_the_key(upstreams: Upstreams) -> None:
    upstreams.student.default(*error_answer(500, f"out of memory for {STUDENT_KEY}"))
    code, lines = upstreams.check()
    assert code == 1
    line(lines, r"FAIL  student: server_error: .* It says: out of memory for \[removed\]")


def test_no_answer_at_all_in_a_success(upstreams: Upstreams) -> None:
    upstreams.student.default(*answer(b"<html>log in</html>"))
    code, lines = upstreams.check()
    assert code == 1
    line(lines, r"FAIL  student: invalid_answer: it answered with success, and the body is no answer; .*")


def test_no_usage(upstreams: Upstreams) -> None:
    upstreams.teacher.default(*answer(completion(usage=False)))
    code, lines = upstreams.check()
    assert code == 0
    line(lines, r"note  teacher: it reports no usage: tokens and cost will be estimated; .*")


def test_the_field_of_the_limit(upstreams: Upstreams) -> None:
    message = "Unsupported parameter: 'max_tokens' is not supported with this model."
    upstreams.teacher.on('"max_tokens"', *error_answer(400, message))
    code, lines = upstreams.check()
    assert code == 0
    line(lines, r"note  teacher: it refuses max_tokens; set teacher\.max_tokens_field to max_completion_tokens")
    code, lines = upstreams.check({"teacher": {"max_tokens_field": "max_completion_tokens"}})
    assert not [one for one in lines if "it refuses max_tokens" in one]


@pytest.mark.parametrize(
    ("reported", "given", "code", "said"),
    [
        (4096, 8192, 1, "FAIL  student: context window: 4096 tokens, and student.context_window is 8192; lower it"),
        (4096, 2048, 0, "ok    student: context window: 2048 tokens"),
        (None, 2048, 0, "note  student: context window: 2048 tokens by the config; the server does not say"),
        (None, None, 0, "note  student: context window: not known; set student.context_window, else long prompts fail"),
    ],
)
def test_the_context_window(
    upstreams: Upstreams, reported: int | None, given: int | None, code: int, said: str
) -> None:
    fields = {} if reported is None else {"max_model_len": reported}
    upstreams.student.models(*listing("small", **fields))
    found, lines = upstreams.check({"student": {"context_window": given}})
    assert (found, said in lines) == (code, True), lines


def test_an_invalid_config_is_2_and_nothing_is_asked(upstreams: Upstreams, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(json.dumps({"student": {}}))
    command = [sys.executable, "-P", "-m", "breakeven.gateway.cli", "check", "--live", "--config", str(path)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 2
    received: list[Received] = [*upstreams.student.received, *upstreams.teacher.received]
    assert not received
