"""The tokens of answers without usage, counted by a real vLLM, against the usage that it reports for whole ones."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import openai
import pytest

from breakeven.gateway.wire.delivered_text import delivered_text
from tests.integration.asks import LONG_QUESTION, QUESTION, TOOLS
from tests.support.processes import Gateway
from tests.support.real import Vllm

_ATTEMPT = "SELECT estimated_prompt_tokens, estimated_output_tokens, estimated_by, attempts.outcome FROM attempts"


def attempts(gateway: Gateway) -> list[tuple[Any, ...]]:
    """The stored attempts, the last one at the end."""
    gateway.metrics()
    return gateway.sql(f"{_ATTEMPT} JOIN requests ON id = request ORDER BY at")


@pytest.mark.parametrize(
    "ask", [{"messages": QUESTION}, {"messages": LONG_QUESTION}, {"messages": QUESTION, "tools": TOOLS}]
)
def test_a_cut_stream_is_counted_as_vllm_counts(
    vllm: Vllm, real_gateway: Gateway, client: openai.OpenAI, ask: dict[str, Any]
) -> None:
    body = {"model": "student", "max_tokens": 60, "temperature": 0, "stream": True, "ignore_eos": True, **ask}
    whole = httpx2.post(
        f"{vllm.base_url}/chat/completions", json={**body, "stream_options": {"include_usage": True}}, timeout=120
    ).content
    usage = next(chunk for chunk in reversed(whole.split(b"\n\n")) if b'"usage":{' in chunk)
    reported = httpx2.Response(200, content=usage.removeprefix(b"data: ")).json()["usage"]
    counted = httpx2.post(
        f"{vllm.base_url.removesuffix('/v1')}/tokenize",
        json={"model": "student", "prompt": delivered_text(whole), "add_special_tokens": False},
    ).json()["count"]
    # Past the end of the answer, where `ignore_eos` has it go on, a model also writes special tokens, without text.
    assert 0.85 * reported["completion_tokens"] <= counted <= reported["completion_tokens"] + 1

    before = len(attempts(real_gateway))
    seen = 0
    extra = {"extra_body": {"ignore_eos": True}}
    options: dict[str, Any] = {"max_tokens": 60, "temperature": 0, **extra, **ask}
    with client.chat.completions.create(model="student", stream=True, **options) as stream:
        for chunk in stream:
            seen += bool(chunk.choices and chunk.choices[0].delta.content)
            if seen == 20:
                break
    deadline = time.monotonic() + 10
    while len(found := attempts(real_gateway)) == before and time.monotonic() < deadline:
        time.sleep(0.1)
    prompt, output, by, outcome = found[-1]
    assert (outcome, by, prompt) == ("client_cancelled", "counted", reported["prompt_tokens"])
    # A few more tokens may have come before vLLM saw that the client had gone.
    assert 19 <= output <= 60
