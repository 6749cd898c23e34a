"""The official Anthropic SDK for Python with the gateway and a real vLLM: natively as the student, translated as the
teacher.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest

from tests.contract.client import eventually
from tests.integration.asks import QUESTION, TOOLS
from tests.support import processes
from tests.support.real import Vllm

MODELS = ["student", "teacher", "auto@1.0", "auto@0.0"]
SIDES = ["student", "teacher"]
FUNCTION = TOOLS[0]["function"]
# Strict: else a vLLM does not hold a small model to the schema.
TOOL: Any = {
    "name": FUNCTION["name"], "description": "Get weather", "input_schema": FUNCTION["parameters"], "strict": True,
}  # fmt: skip
# The SDK has no argument for it, since Anthropic's newer models do not take it.
GREEDY = {"extra_body": {"temperature": 0}}
CALL: Any = {"tools": [TOOL], "tool_choice": {"type": "any"}, "max_tokens": 128}


@pytest.fixture(scope="module")
def running(vllm: Vllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    """A gateway for this module only, which has found that its student speaks the Messages API."""
    config = processes.make_config(vllm.base_url, vllm.base_url)
    with processes.gateway(tmp_path_factory.mktemp("gateway"), config) as gateway:
        body = {"model": "student", "messages": QUESTION}
        url = f"{gateway.base_url}/messages/count_tokens"
        eventually(lambda: httpx2.post(url, json=body).headers["x-breakeven-token-count"] == "upstream", 20)
        yield gateway


@pytest.fixture(scope="module")
def client(running: processes.Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=running.url, api_key="sk-test") as client:
        yield client


def ask(client: anthropic.Anthropic, model: str, **options: Any) -> Any:
    return client.messages.create(**{"model": model, "messages": QUESTION, "max_tokens": 16, **GREEDY, **options})


def stream(client: anthropic.Anthropic, model: str, **options: Any) -> Any:
    """The final message of a stream, as the SDK assembles it."""
    asked: Any = {"model": model, "messages": QUESTION, "max_tokens": 16, **GREEDY, **options}
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def prompt_tokens(usage: Any) -> int:
    return int(usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0))


@pytest.mark.parametrize("model", MODELS)
def test_plain_and_streamed(client: anthropic.Anthropic, vllm: Vllm, model: str) -> None:
    body = {"model": "student", "messages": QUESTION, "max_tokens": 16, "temperature": 0}
    direct = httpx2.post(f"{vllm.base_url}/chat/completions", json=body, timeout=60).json()
    expected = direct["choices"][0]
    for answer in (ask(client, model), stream(client, model)):
        assert [block.type for block in answer.content] == ["text"]
        assert answer.content[0].text == expected["message"]["content"]
        assert answer.stop_reason == {"stop": "end_turn", "length": "max_tokens"}[expected["finish_reason"]]
        assert prompt_tokens(answer.usage) == direct["usage"]["prompt_tokens"]
        assert answer.usage.output_tokens == direct["usage"]["completion_tokens"]
    assert ask(client, model)._request_id is not None


@pytest.mark.parametrize("model", SIDES)
def test_a_stop_sequence(client: anthropic.Anthropic, model: str) -> None:
    word = ask(client, model).content[0].text.split()[1]
    for answer in (ask(client, model, stop_sequences=[word]), stream(client, model, stop_sequences=[word])):
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", word)
        assert word not in answer.content[0].text


@pytest.mark.parametrize("model", SIDES)
def test_a_loop_of_tools(client: anthropic.Anthropic, model: str) -> None:
    for answer in (ask(client, model, **CALL), stream(client, model, **CALL)):
        call = answer.content[-1]
        assert (answer.stop_reason, call.type, call.name) == ("tool_use", "tool_use", "get_weather")
        assert call.input["city"] in ("Paris", "London")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "It rains."}
    turns = [*QUESTION, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    after = ask(client, model, messages=turns, tools=[TOOL])
    assert after.content[0].type == "text"
    assert prompt_tokens(after.usage) > prompt_tokens(answer.usage)


@pytest.mark.parametrize(("model", "how"), [("student", "upstream"), ("teacher", "estimated")])
def test_counting_tokens(client: anthropic.Anthropic, model: str, how: str) -> None:
    used = prompt_tokens(ask(client, model).usage)
    raw = client.messages.with_raw_response.count_tokens(model=model, messages=QUESTION)  # type: ignore[arg-type]
    assert raw.headers["x-breakeven-token-count"] == how
    counted = raw.parse().input_tokens
    # This model's template leaves tools out, which an estimate cannot know.
    assert counted == used if how == "upstream" else counted > 0


def test_errors_are_those_of_the_sdk(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model") as found:
        ask(client, "nobody")
    assert found.value.body["type"] == "error"  # type: ignore[index]
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        ask(client, "student", messages=[])
    for model in SIDES:
        with pytest.raises(anthropic.BadRequestError):
            stream(client, model, max_tokens=1_000_000)


def test_the_ledger_has_what_vllm_counted(client: anthropic.Anthropic, running: processes.Gateway, vllm: Vllm) -> None:
    def recorded() -> tuple[int, int]:
        columns = "coalesce(sum(prompt_tokens), 0), coalesce(sum(output_tokens), 0)"
        httpx2.get(f"{running.url}/metrics")
        return running.sql(f"select {columns} from attempts join requests on request = id where endpoint = 'messages'")[
            0
        ]

    before, counted = recorded(), vllm.tokens()
    for model in SIDES:
        ask(client, model)
        stream(client, model)
        stream(client, model, **CALL)
    delta = tuple(now - then for now, then in zip(vllm.tokens(), counted, strict=True))
    assert min(delta) > 0
    eventually(lambda: tuple(now - then for now, then in zip(recorded(), before, strict=True)) == delta)
