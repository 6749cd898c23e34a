"""The replay server over a real socket, with the OpenAI client."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from breakeven.models.replay.answers import Answer, AnswersError, Pacing, load_answers
from breakeven.models.replay.server import estimate_tokens

ROWS = [
    {
        "prompt": "What is the capital of France?",
        "answer": "The capital of France is Paris.",
        "prompt_tokens": 37,
        "output_tokens": 8,
        "cached_tokens": 32,
    },
    {"prompt": "Count.", "answer": "one two three\n four  ", "prompt_tokens": 5, "output_tokens": 40},
    {
        "prompt": "Cut short",
        "answer": "It goes on and",
        "prompt_tokens": 6,
        "output_tokens": 4,
        "finish_reason": "length",
    },
    {
        "prompt": "Where is 12?",
        "answer": "LOOKUP 12",
        "prompt_tokens": 9,
        "output_tokens": 4,
        "tokens": ["LOOK", "UP", " 12", "<end>"],
        "logprobs": [-0.5, -0.25, 0.0, -0.1],
    },
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("replay")
    answers = folder / "answers.jsonl"
    answers.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    port_file = folder / "port"
    command = [
        sys.executable,
        "-m",
        "breakeven.models.replay",
        "--answers",
        answers,
        "--model",
        "student",
        "--port",
        "0",
    ]
    options = ["--port-file", port_file, "--tokens-per-second", "200", "--first-event-seconds", "0.05"]
    process = subprocess.Popen([*command, *options])
    try:
        for _ in range(400):
            if port_file.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{int(port_file.read_text())}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, text: str, **more: object) -> object:
    return client.chat.completions.create(model="student", messages=[{"role": "user", "content": text}], **more)


def test_a_recorded_prompt_gets_its_answer_and_token_counts(client: openai.OpenAI) -> None:
    answer = ask(client, "What is the capital of France?")
    assert answer.choices[0].message.content == "The capital of France is Paris."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "student"
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (37, 8, 45)
    assert usage.prompt_tokens_details.cached_tokens == 32


def test_the_prompt_is_the_last_user_message_with_its_text_parts_joined(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="student",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Count."},
            {"role": "assistant", "content": "one"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is the capital"},
                    {"type": "text", "text": " of France?"},
                ],
            },
        ],
    )
    assert answer.choices[0].message.content == "The capital of France is Paris."


def test_a_stream_has_the_chunks_of_vllm(url: str) -> None:
    body = {
        "model": "student",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    answer = httpx2.post(f"{url}/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    role, *parts, finish, usage = chunks
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(part["choices"][0]["delta"]["content"] for part in parts)
    assert text == "The capital of France is Paris."
    assert len(parts) == 6
    assert (finish["choices"][0]["delta"], finish["choices"][0]["finish_reason"]) == ({}, "stop")
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 8


def test_without_include_usage_there_is_no_usage_chunk(client: openai.OpenAI) -> None:
    chunks = list(ask(client, "Count.", stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three\n four  "


def test_a_stream_follows_its_timing(client: openai.OpenAI) -> None:
    start = time.monotonic()
    times = [time.monotonic() - start for _ in ask(client, "Count.", stream=True)]
    # 0.05 s to the first token and 40 tokens at 200 a second.
    assert 0.05 <= times[0] < 0.2
    assert 0.25 <= times[-1] < 1.0
    assert times[-1] - times[0] > 0.15


def test_max_tokens_truncates_the_answer(client: openai.OpenAI) -> None:
    answer = ask(client, "What is the capital of France?", max_tokens=4)
    assert answer.choices[0].message.content == "The capital of"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 4
    assert ask(client, "Cut short", max_tokens=100).choices[0].finish_reason == "length"


def test_a_prompt_that_was_not_recorded_gets_a_generic_answer(client: openai.OpenAI) -> None:
    answer = ask(client, "Why is the sky blue?")
    assert answer.choices[0].message.content.startswith("This replay server has no recorded answer")
    assert answer.usage.prompt_tokens == 5
    assert answer.usage.completion_tokens == len(answer.choices[0].message.content.split())


def test_legacy_completions_are_streamed_or_not(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="student", prompt="Count.")
    assert (whole.object, whole.choices[0].text) == ("text_completion", "one two three\n four  ")
    chunks = list(
        client.completions.create(model="student", prompt="Count.", stream=True, stream_options={"include_usage": True})
    )
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole.choices[0].text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)


def test_models_and_health_endpoints(client: openai.OpenAI, url: str) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.max_model_len) == ("student", 8192)
    assert httpx2.get(f"{url}/health").status_code == 200
    assert httpx2.get(f"{url}/nowhere").json() == {"detail": "Not Found"}


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"model": "nope"}, 404, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": 3}]}, 400, "messages"),
        ({"stream": "yes"}, 400, "stream"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"n": 2}, 400, "n"),
    ],
)
def test_invalid_requests_name_the_parameter(url: str, change: dict[str, object], status: int, param: str) -> None:
    body = {"model": "student", "messages": [{"role": "user", "content": "Count."}], **change}
    answer = httpx2.post(f"{url}/v1/chat/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, status, param)


def test_a_body_that_is_not_a_json_object_is_an_error(url: str) -> None:
    for raw in (b"{", b"[]", b"", b"\xff"):
        answer = httpx2.post(f"{url}/v1/chat/completions", content=raw)
        assert answer.status_code == 400
        assert "JSON object" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"prompt": "a", "answer": "b", "prompt_tokens": 1, "output_tokens": 1}\n{"prompt": 3}', "line 2"),
        ('{"prompt": "a", "answer": "b", "prompt_tokens": -1, "output_tokens": 1}', "prompt_tokens"),
        ('{"prompt": "a", "answer": "b", "prompt_tokens": 1}', "output_tokens"),
        ("", "has no answers"),
        (
            '{"prompt": "a", "answer": "b", "prompt_tokens": 1, "output_tokens": 1, "tokens": ["b"]}',
            "line 1: tokens and logprobs must be as many",
        ),
        (
            '{"prompt": "a", "answer": "b", "prompt_tokens": 1, "output_tokens": 1}\n'
            '{"prompt": "a", "answer": "c", "prompt_tokens": 1, "output_tokens": 1}',
            "line 2: an earlier line has the same prompt",
        ),
    ],
)
def test_an_invalid_answers_file_is_an_error_that_names_the_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    with pytest.raises(AnswersError, match=said):
        load_answers(path)
    command = [sys.executable, "-m", "breakeven.models.replay", "--answers", path, "--model", "m"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("replay: ")
    assert ended.stderr.count("\n") == 1


def test_chunks_join_to_the_answer_and_are_at_most_its_tokens() -> None:
    for tokens in (0, 1, 2, 3, 5, 100):
        answer = Answer("p", " a b\n\nc dd e  ", 1, tokens)
        assert "".join(answer.pieces()) == answer.answer
        assert len(answer.pieces()) <= max(tokens, 1)
    assert Answer("p", "", 1, 1).pieces() == []


def test_timing_is_relative_to_the_request() -> None:
    pacing = Pacing(first_event_seconds=0.1, tokens_per_second=50, speed=2)
    assert pacing.seconds(0) == pytest.approx(0.05)
    assert pacing.seconds(10) == pytest.approx(0.15)
    assert Pacing(speed=float("inf")).seconds(1000) == 0
    for bad in ({"tokens_per_second": 0}, {"speed": 0}, {"first_event_seconds": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Pacing(**bad)


def test_tokens_are_estimated_at_four_characters_each() -> None:
    assert [estimate_tokens("a" * n) for n in (0, 1, 4, 5, 400)] == [0, 1, 1, 2, 100]


def test_log_probabilities_are_those_of_the_tokens_where_they_are_asked_for(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(
        model="student", messages=[{"role": "user", "content": "Where is 12?"}], logprobs=True
    )
    tokens = whole.choices[0].logprobs.content
    assert [one.token for one in tokens] == ["LOOK", "UP", " 12", "<end>"]
    assert [one.logprob for one in tokens] == [-0.5, -0.25, 0.0, -0.1]
    assert bytes(tokens[2].bytes) == b" 12"
    assert ask(client, "Where is 12?").choices[0].logprobs is None
    events = list(ask(client, "Where is 12?", stream=True, logprobs=True))
    parts = [event.choices[0] for event in events if event.choices and event.choices[0].logprobs]
    assert [part.delta.content for part in parts] == ["LOOK", "UP", " 12", ""]
    assert [part.logprobs.content[0].logprob for part in parts] == [-0.5, -0.25, 0.0, -0.1]
    bare = list(ask(client, "Where is 12?", stream=True))
    assert not any(event.choices[0].logprobs for event in bare if event.choices)
    assert [event.choices[0].delta.content for event in bare][1:-1] == ["LOOK", "UP", " 12"]


def test_an_answer_of_known_tokens_is_cut_at_a_token(client: openai.OpenAI) -> None:
    cut = ask(client, "Where is 12?", max_tokens=2, logprobs=True)
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("LOOKUP", "length")
    assert [one.token for one in cut.choices[0].logprobs.content] == ["LOOK", "UP"]
