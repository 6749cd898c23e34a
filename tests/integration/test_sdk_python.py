"""The official OpenAI SDK for Python with the gateway and a real vLLM."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.integration.asks import QUESTION, SCHEMA, TOOLS
from tests.support.processes import Gateway
from tests.support.real import Vllm

# Pinned by the gateway's names and by an upstream's model name, and routed to each upstream.
MODELS = ["student", "teacher", "teacher-model", "auto@1.0", "auto@0.0"]
SIDES = ["student", "teacher"]


def ask(client: openai.OpenAI, model: str, **options: Any) -> Any:
    options = {"messages": QUESTION, "max_tokens": 16, "temperature": 0} | options
    return client.chat.completions.create(model=model, **options)


@pytest.mark.parametrize("model", MODELS)
def test_plain(client: openai.OpenAI, vllm: Vllm, sdk: Callable[..., openai.OpenAI], model: str) -> None:
    answer = ask(client, model)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content == ask(sdk(vllm.base_url), "student").choices[0].message.content
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("model", MODELS)
def test_stream(client: openai.OpenAI, model: str) -> None:
    with ask(client, model, stream=True) as stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == ask(client, model).choices[0].message.content
    assert len(chunks) > 3
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    # The gateway requests usage from the upstream, but this client did not.
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("model", MODELS)
def test_stream_with_usage(client: openai.OpenAI, model: str) -> None:
    with ask(client, model, stream=True, stream_options={"include_usage": True}) as stream:
        *chunks, last = list(stream)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert last.choices == []
    plain = ask(client, model).usage
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (plain.prompt_tokens, plain.completion_tokens)


@pytest.mark.parametrize("model", SIDES)
def test_tools(client: openai.OpenAI, model: str) -> None:
    answer = ask(client, model, tools=TOOLS, tool_choice="required", max_tokens=128)
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] in ("Paris", "London")


@pytest.mark.parametrize("model", SIDES)
def test_tools_in_a_stream(client: openai.OpenAI, model: str) -> None:
    options = {"tools": TOOLS, "tool_choice": "required", "max_tokens": 128}
    with client.chat.completions.stream(model=model, messages=QUESTION, temperature=0, **options) as stream:
        answer = stream.get_final_completion()
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.name == "get_weather"
    assert json.loads(calls[0].function.arguments)["city"] in ("Paris", "London")


@pytest.mark.parametrize("model", SIDES)
def test_json_schema(client: openai.OpenAI, model: str) -> None:
    answer = ask(client, model, response_format=SCHEMA, max_tokens=64)
    assert json.loads(answer.choices[0].message.content)["city"] in ("Paris", "London")


@pytest.mark.parametrize("model", SIDES)
def test_logprobs(client: openai.OpenAI, model: str) -> None:
    answer = ask(client, model, logprobs=True, top_logprobs=2, max_tokens=4)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


@pytest.mark.parametrize("model", SIDES)
def test_two_choices(client: openai.OpenAI, model: str) -> None:
    answer = ask(client, model, n=2, temperature=1, seed=1, max_tokens=8)
    assert sorted(choice.index for choice in answer.choices) == [0, 1]


@pytest.mark.parametrize("model", SIDES)
def test_two_choices_in_a_stream(client: openai.OpenAI, model: str) -> None:
    with ask(client, model, n=2, temperature=1, seed=1, max_tokens=8, stream=True) as stream:
        finished = [c.index for chunk in stream for c in chunk.choices if c.finish_reason is not None]
    assert sorted(finished) == [0, 1]


@pytest.mark.parametrize("model", MODELS)
def test_completions(client: openai.OpenAI, model: str) -> None:
    options: dict[str, Any] = {"model": model, "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
    answer = client.completions.create(**options)
    assert answer.object == "text_completion"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    with client.completions.create(**options, stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("model", MODELS)
def test_responses(client: openai.OpenAI, model: str) -> None:
    options: dict[str, Any] = {"input": QUESTION[0]["content"], "max_output_tokens": 16, "temperature": 0}
    answer = client.responses.create(model=model, **options)
    assert answer.output_text != ""
    with client.responses.stream(model=model, **options) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_response()
    assert events[0] == "response.created"
    assert events[-1] in ("response.completed", "response.incomplete")
    assert final.output_text == answer.output_text
    assert final.usage is not None
    assert answer.usage is not None
    assert final.usage.output_tokens == answer.usage.output_tokens


def test_embeddings_that_vllm_does_not_serve(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="student", input="Hello")


@pytest.mark.parametrize(
    ("model", "route", "reason"),
    [
        ("student", "student", "pinned"),
        ("teacher-model", "teacher", "pinned"),
        ("auto@1.0", "student", "easy"),
        ("auto@0.0", "teacher", "difficult"),
    ],
)
def test_the_decision_is_in_the_headers(client: openai.OpenAI, model: str, route: str, reason: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=model,
        messages=QUESTION,  # type: ignore[arg-type]
        max_tokens=2,
    )
    assert raw.headers["x-breakeven-route"] == route
    assert raw.headers["x-breakeven-reason"] == reason
    assert raw.headers["x-breakeven-attempts"] == "1"
    # Unchanged from vLLM, which responds with the first of its model names.
    assert raw.parse().model == "student"


def test_models(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {"auto", "student", "teacher", "teacher-model"}
    assert client.models.retrieve("student").id == "student"


def test_an_unknown_model(client: openai.OpenAI, real_gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "gpt-4")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_an_error_from_vllm(client: openai.OpenAI) -> None:
    """An error response of the upstream is returned as it is, also for a streamed request."""
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, "student", max_tokens=100_000, stream=stream)
        assert "max_model_len" in str(caught.value) or "context length" in str(caught.value)
        assert isinstance(caught.value.code, str | None)


def test_a_client_that_closes_a_stream(client: openai.OpenAI, real_gateway: Gateway) -> None:
    """The gateway keeps serving and records the request as cancelled."""
    with ask(client, "student", stream=True, max_tokens=1000, extra_body={"ignore_eos": True}) as stream:
        next(iter(stream))
    ask(client, "student")
    name = 'breakeven_requests_total{endpoint="chat_completions",outcome="client_cancelled",reason="pinned",'
    assert real_gateway.metrics()[name + 'route="student"}'] == 1
    assert real_gateway.metrics()['breakeven_in_flight{upstream="student"}'] == 0
