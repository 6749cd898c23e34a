"""What was delivered without a usage is counted with the upstream's tokenizer, and no client waits for it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import (
    DONE,
    Close,
    ExpectDisconnect,
    Head,
    Reset,
    ScriptedUpstream,
    Send,
    Sleep,
    Step,
    answer,
    completion,
    delta,
    event,
    stream,
    usage_chunk,
)
from tests.support.processes import CHECKOUT

SSE = {"content-type": "text/event-stream"}
COLUMNS = "estimated_prompt_tokens, estimated_output_tokens, estimated_by, usage_missing, output_tokens"
PROMPT = 33
CONFIG = {"student": {"tokenizer": "vllm"}}


def counting(body: Any) -> Sequence[Step]:
    """A tokenizer with two tokens for each word of an answer, so that no estimate from events is taken for a count."""
    count = PROMPT if "messages" in body or body.get("add_special_tokens", True) else 2 * len(body["prompt"].split())
    return answer({"count": count, "max_model_len": 4096, "tokens": [1] * count, "token_strs": None})


def slow(seconds: float) -> Any:
    return lambda body: [Sleep(seconds), *counting(body)]


def attempt(gateway: Gateway, record: dict[str, Any]) -> tuple[Any, ...]:
    gateway.metrics()  # what was settled is stored
    (row,) = gateway.rows(f"SELECT {COLUMNS} FROM attempts WHERE request = '{record['id']}'")
    return row


def cut_by_upstream(gateway: Gateway, events: int = 300, model: str = "student", text: str = "word ") -> dict[str, Any]:
    upstream = gateway.student if model == "student" else gateway.teacher
    upstream.script(Head(200, SSE), Send(delta(text) * events), Reset())
    count = len(gateway.settled())
    response = gateway.post(chat("a canary question", model=model, stream=True))
    assert response.last_error["code"] == "upstream_disconnected"
    return gateway.next_record(count)


def test_a_client_that_hangs_up_at_event_390_of_400(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.tokenizer = counting
    student.script(Head(200, SSE), Send(delta("word ") * 390), ExpectDisconnect(5))
    count = len(gateway.settled())
    estimated = gateway.metric("estimated_tokens_total", upstream="student", kind="output")
    reported = gateway.metric("tokens_total", upstream="student", kind="output")
    with gateway.connect() as client:
        body = chat("a canary question", model="student", stream=True, temperature=0)
        client.request("POST", "/v1/chat/completions", json.dumps(body).encode())
        _, headers = client.head()
        got = b""
        for segment in client.segments(headers):
            got += segment
            if got.count(b"word") == 390:
                break
        client.reset()
    record = gateway.next_record(count)
    assert record["outcome"] == "client_cancelled"
    assert record["attempts"][0]["estimated"] == {"prompt": PROMPT, "output": 780, "counted": True}
    assert attempt(gateway, record) == (PROMPT, 780, "counted", 1, 0)
    text, prompt = student.tokenized
    assert text.json == {"model": "small", "prompt": "word " * 390, "add_special_tokens": False}
    assert prompt.json == {"model": "small", "messages": body["messages"]}
    assert gateway.metric("estimated_tokens_total", upstream="student", kind="output") == estimated + 780
    assert gateway.metric("tokens_total", upstream="student", kind="output") == reported
    assert "canary" not in gateway.log.read_text()


@pytest.mark.parametrize("end", [[Reset()], [Close()]], ids=["reset", "closed"])
def test_no_client_waits_for_the_count(gateway: Gateway, student: ScriptedUpstream, end: Sequence[Step]) -> None:
    student.tokenizer = slow(0.6)
    student.script(Head(200, SSE), Send(delta("word ") * 300), *end)
    count, start = len(gateway.settled()), time.monotonic()
    assert gateway.post(chat(model="student", stream=True)).last_error["code"] in {
        "upstream_disconnected",
        "stream_truncated",
    }
    assert time.monotonic() - start < 0.5
    record = gateway.next_record(count)
    # The request's own time ends with its last bytes.
    assert record["seconds"] < 0.5
    assert attempt(gateway, record) == (PROMPT, 600, "counted", 1, 0)


def test_reasoning_and_calls_of_tools_are_counted(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.tokenizer = counting
    call = {"index": 0, "function": {"name": "find ", "arguments": "it now "}}
    events = [
        delta("", role="assistant"),
        delta("", reasoning_content="one two "),
        delta("three "),
        delta("", tool_calls=[call]),
    ]
    student.script(Head(200, SSE), *(Send(one) for one in events), Close())
    count = len(gateway.settled())
    gateway.post(chat(model="student", stream=True, tools=[{"type": "function", "function": {"name": "find"}}]))
    assert attempt(gateway, gateway.next_record(count))[:3] == (PROMPT, 2 * 6, "counted")
    assert student.tokenized[0].json["prompt"] == "one two three find it now "
    assert student.tokenized[1].json["tools"] == [{"type": "function", "function": {"name": "find"}}]


def test_completions(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.tokenizer = counting
    one = event({"object": "text_completion", "choices": [{"index": 0, "text": "word ", "finish_reason": None}]})
    student.script(Head(200, SSE), Send(one * 50), Close())
    count = len(gateway.settled())
    gateway.post({"model": "student", "prompt": "say", "stream": True}, path="/v1/completions")
    assert attempt(gateway, gateway.next_record(count))[:3] == (PROMPT, 100, "counted")
    assert student.tokenized[1].json == {"model": "small", "prompt": "say"}


def test_responses(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.tokenizer = counting
    created = event({"type": "response.created", "response": {"id": "r1", "status": "in_progress"}})
    one = event({"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "delta": "word "})
    student.script(Head(200, SSE), Send(created + one * 50), Close())
    count = len(gateway.settled())
    gateway.post({"model": "student", "input": "say", "stream": True}, path="/v1/responses")
    _, output, by, *_ = attempt(gateway, gateway.next_record(count))
    assert (output, by) == (100, "counted")
    # How the server turns the input into a prompt is not known here.
    assert len(student.tokenized) == 1


def test_a_whole_answer_without_usage(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.tokenizer = counting
    student.script(*answer(completion("word " * 20, usage=False)))
    assert attempt(gateway, gateway.record(gateway.post(chat(model="student")))) == (PROMPT, 40, "counted", 1, 0)


def test_a_prompt_with_an_image_is_not_sent_to_be_counted(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.tokenizer = counting
    student.script(*answer(completion("word " * 20, usage=False)))
    body = chat(model="student")
    body["messages"][0]["content"] = [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    assert attempt(gateway, gateway.record(gateway.post(body)))[1:3] == (40, "counted")
    assert len(student.tokenized) == 1


def test_of_a_long_answer_the_first_part_is_counted_and_scaled(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.tokenizer = counting
    student.script(Head(200, SSE), *[Send(delta("word " + "x" * 1000))] * 800, Close())
    count = len(gateway.settled())
    gateway.post(chat(model="student", stream=True))
    record = gateway.next_record(count)
    _, output, by, *_ = attempt(gateway, record)
    assert by == "estimated"
    # Two tokens for each of 801 words: the end of one event and the start of the next are one.
    assert output == pytest.approx(2 * 801, rel=0.02)
    assert len(student.tokenized[0].body) < 1 << 19


def test_what_reports_its_usage_is_not_counted(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.tokenizer = counting
    student.script(*stream(delta("word "), delta("", finish="stop"), usage_chunk(), DONE))
    record = gateway.record(gateway.post(chat(model="student", stream=True)))
    assert attempt(gateway, record) == (0, 0, None, 0, 3)
    assert student.tokenized == []


def test_a_tokenizer_that_hangs_is_given_up_and_left_alone(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as gateway:
        gateway.student.tokenizer = slow(30)
        start = time.monotonic()
        record = cut_by_upstream(gateway)
        assert time.monotonic() - start < 3
        assert attempt(gateway, record)[1:3] == (300, "estimated")
        start = time.monotonic()
        cut_by_upstream(gateway)
        assert time.monotonic() - start < 1
        assert len(gateway.student.tokenized) == 1


def test_a_server_without_a_tokenizer_is_asked_once(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as gateway:
        assert attempt(gateway, cut_by_upstream(gateway))[1:3] == (300, "estimated")
        assert attempt(gateway, cut_by_upstream(gateway, 200))[1:3] == (200, "estimated")
        assert len(gateway.student.tokenized) == 1


@pytest.mark.parametrize(("owner", "by"), [("vllm", "counted"), ("someone", "estimated"), (None, "estimated")])
def test_by_default_only_a_vllm_is_asked(tmp_path: Path, owner: str | None, by: str) -> None:
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        student.owner, student.tokenizer = owner, counting
        gateway = Gateway(tmp_path, student, teacher)
        try:
            gateway.start()
            assert attempt(gateway, cut_by_upstream(gateway))[2] == by
            assert bool(student.tokenized) == (by == "counted")
        finally:
            gateway.stop()


def test_without_a_tokenizer_nothing_is_asked(tmp_path: Path) -> None:
    with running(tmp_path, {"student": {"tokenizer": None}}) as gateway:
        assert attempt(gateway, cut_by_upstream(gateway))[1:3] == (300, "estimated")
        assert gateway.student.tokenized == []


def test_where_events_hold_many_tokens_characters_are_what_tokens_are_estimated_from(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as gateway:
        usage = {"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110}
        finish = delta("", finish="stop")
        gateway.teacher.script(*stream(*[delta("word " * 20)] * 5, finish, usage_chunk(usage), DONE))
        assert gateway.post(chat(model="teacher", stream=True)).status == 200
        # 40 words of five characters, at five characters for each token; by events it would be 17.
        assert attempt(gateway, cut_by_upstream(gateway, 1, "teacher", "word " * 40))[1:3] == (40, "estimated")
        gateway.teacher.script(*answer(completion("word " * 30, usage=False)))
        assert attempt(gateway, gateway.record(gateway.post(chat(model="teacher"))))[1:3] == (30, "estimated")


def test_the_next_turn_of_a_conversation_does_not_wait_for_the_count(tmp_path: Path) -> None:
    with running(tmp_path, {"routing": {"sticky": True}, "teacher": {"tokenizer": "vllm"}}) as gateway:
        gateway.teacher.tokenizer = slow(0.6)
        gateway.teacher.script(*answer(completion("word " * 20, usage=False)))
        first = chat("a question")
        assert gateway.post({**first, "model": "auto@0"}).headers["x-breakeven-route"] == "teacher"
        answered = {"role": "assistant", "content": "word " * 20}
        turns = [*first["messages"], answered, {"role": "user", "content": "and?"}]
        # Its threshold alone would send it to the student.
        second = gateway.post({"model": "auto@1", "messages": turns})
        assert second.headers["x-breakeven-reason"] == "sticky"
        assert len(gateway.settled()) == 1


def test_a_shutdown_waits_for_the_count(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as gateway:
        gateway.student.tokenizer = slow(0.4)
        gateway.student.script(Head(200, SSE), Send(delta("word ") * 30), Close())
        gateway.post(chat(model="student", stream=True))
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            assert connection.execute(f"SELECT {COLUMNS} FROM attempts").fetchall() == [(PROMPT, 60, "counted", 1, 0)]


def test_a_vocabulary_on_this_machine(tmp_path: Path) -> None:
    vocabulary = Tokenizer(WordLevel({"[UNK]": 0, "word": 1}, unk_token="[UNK]"))
    vocabulary.pre_tokenizer = Whitespace()
    vocabulary.save(str(tmp_path / "tokenizer.json"))
    with running(tmp_path, {"teacher": {"tokenizer": "tokenizer.json"}}) as gateway:
        record = cut_by_upstream(gateway, 100, "teacher", "word word new ")
        _, output, by, *_ = attempt(gateway, record)
        assert (output, by) == (300, "counted")
        prompt = record["attempts"][0]["estimated"]["prompt"]
        assert record["attempts"][0]["cost_estimated"] == prompt * 10 * 10**6 + 300 * 20 * 10**6


def test_an_encoding_of_tiktoken(tmp_path: Path) -> None:
    (tmp_path / "tiktoken_ext").mkdir()
    (tmp_path / "tiktoken_ext/of_this_test.py").write_text(
        "def letters():\n"
        "    ranks = {bytes([one]): one for one in range(256)}\n"
        "    return dict(name='letters', pat_str=r'.', mergeable_ranks=ranks, special_tokens={'<|end|>': 256})\n"
        "ENCODING_CONSTRUCTORS = {'letters': letters}\n"
    )
    changes = {"teacher": {"tokenizer": "tiktoken:letters"}}
    with running(tmp_path, changes, environment={"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{tmp_path}"}) as gateway:
        _, output, by, *_ = attempt(gateway, cut_by_upstream(gateway, 100, "teacher", "word <|end|>"))
        assert (output, by) == (1200, "counted")
