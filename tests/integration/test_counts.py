"""Tokens and costs of real traffic agree between the SDK, /metrics, the ledger, the report and vLLM."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import openai

from tests.integration.asks import LONG_QUESTION, QUESTION, SCHEMA, TOOLS
from tests.support.processes import PRICES, Gateway
from tests.support.real import Vllm


class Seen(NamedTuple):
    """Usage of one request as returned to the SDK, and where it was routed."""

    upstream: str
    pinned: bool
    prompt: int
    cached: int
    output: int


SIDE = {"student": "student", "auto@1.0": "student", "teacher": "teacher", "auto@0.0": "teacher"}
ASKS: list[dict[str, Any]] = [
    {"messages": QUESTION},
    {"messages": QUESTION, "stream": True},
    {"messages": LONG_QUESTION},
    {"messages": LONG_QUESTION, "stream": True},
    {"messages": QUESTION, "tools": TOOLS, "tool_choice": "required", "max_tokens": 128},
    {"messages": QUESTION, "response_format": SCHEMA, "max_tokens": 64, "stream": True},
    {"messages": QUESTION, "logprobs": True, "max_tokens": 4},
]


def send(client: openai.OpenAI, model: str, ask: dict[str, Any]) -> Seen:
    options = {"max_tokens": 12, "temperature": 0} | ask
    if ask.get("stream"):
        with client.chat.completions.create(model=model, stream_options={"include_usage": True}, **options) as stream:
            usage = list(stream)[-1].usage
    else:
        usage = client.chat.completions.create(model=model, **options).usage
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    return Seen(SIDE[model], model in SIDE.values(), usage.prompt_tokens, cached, usage.completion_tokens)


def cost(seen: list[Seen]) -> dict[str, Decimal]:
    """USD at the teacher's prices, by kind of token."""
    prices = {kind: Decimal(str(value)) / 1_000_000 for kind, value in PRICES.items()}
    return {
        "input": prices["input"] * sum(s.prompt - s.cached for s in seen),
        "cached_input": prices["cached_input"] * sum(s.cached for s in seen),
        "cache_write": Decimal(0),
        "output": prices["output"] * sum(s.output for s in seen),
    }


def increase(vllm: Vllm, before: tuple[int, int], expected: tuple[int, int]) -> tuple[int, int]:
    """The increase of vLLM's token counters; they are updated shortly after the response."""
    deadline = time.monotonic() + 5
    while True:
        now = vllm.tokens()
        delta = now[0] - before[0], now[1] - before[1]
        if delta == expected or time.monotonic() > deadline:
            return delta
        time.sleep(0.1)


def test_all_counts_are_equal(vllm: Vllm, gateway: Callable[..., Gateway], sdk: Callable[..., openai.OpenAI]) -> None:
    running = gateway(vllm.base_url, vllm.base_url)
    client = sdk(running.base_url)
    before = vllm.tokens()
    seen = [send(client, model, ask) for model in SIDE for ask in ASKS]

    # vLLM's own
    everything = sum(s.prompt for s in seen), sum(s.output for s in seen)
    assert increase(vllm, before, everything) == everything

    metrics, report = running.metrics(), running.report()
    for side in ("student", "teacher"):
        here = [s for s in seen if s.upstream == side]
        assert sum(s.cached for s in here) > 0, "no cached tokens, so their price is not tested"
        tokens = {
            "input": sum(s.prompt - s.cached for s in here),
            "cached_input": sum(s.cached for s in here),
            "cache_write": 0,
            "output": sum(s.output for s in here),
        }
        usd = cost(here) if side == "teacher" else dict.fromkeys(tokens, Decimal(0))
        # the report
        figures = report["upstreams"][side]
        assert figures["tokens"] == tokens
        assert {kind: Decimal(value) for kind, value in figures["cost_usd"].items()} == {**usd, "tools": 0}
        assert (figures["requests"], figures["attempts"], figures["usage_missing"]) == (len(here), len(here), 0)
        # /metrics
        for kind, count in tokens.items():
            labels = f'{{kind="{kind}",upstream="{side}"}}'
            assert metrics[f"breakeven_tokens_total{labels}"] == count
            assert metrics[f"breakeven_cost_usd_total{labels}"] == float(usd[kind])
        # the ledger's rows
        rows = running.sql(
            "SELECT sum(prompt_tokens), sum(cached_tokens), sum(output_tokens), count(*), min(usage_complete) "
            f"FROM attempts WHERE upstream = '{side}'"
        )
        assert rows == [(sum(s.prompt for s in here), tokens["cached_input"], tokens["output"], len(here), 1)]

    routed = [s for s in seen if not s.pinned]
    baseline = sum(cost(routed).values())
    spent = sum(cost([s for s in routed if s.upstream == "teacher"]).values())
    pinned = sum(cost([s for s in seen if s.pinned and s.upstream == "teacher"]).values())
    assert Decimal(report["baseline_upper_bound_usd"]) == baseline
    assert Decimal(report["teacher_spend_usd"]) == spent
    assert Decimal(report["pinned_spend_usd"]) == pinned
    assert (report["baseline_usd"], report["savings_usd"]) == (None, None)
    assert Decimal(report["savings_upper_bound_usd"]) == baseline - spent - Decimal(report["hosting_usd"])
    assert metrics["breakeven_baseline_usd_total"] == float(baseline)


def test_a_stream_is_counted_without_include_usage(
    vllm: Vllm, gateway: Callable[..., Gateway], sdk: Callable[..., openai.OpenAI]
) -> None:
    running = gateway(vllm.base_url, vllm.base_url)
    client = sdk(running.base_url)
    before = vllm.tokens()
    with client.chat.completions.create(
        model="auto@1.0",
        messages=QUESTION,  # type: ignore[arg-type]
        max_tokens=12,
        stream=True,
    ) as stream:
        assert all(chunk.usage is None for chunk in stream)
    running.metrics()  # settled requests are in the database after this
    [(prompt, output)] = running.sql("SELECT prompt_tokens, output_tokens FROM attempts")
    assert output > 0
    assert increase(vllm, before, (prompt, output)) == (prompt, output)


def test_the_other_endpoints_are_counted(
    vllm: Vllm, gateway: Callable[..., Gateway], sdk: Callable[..., openai.OpenAI]
) -> None:
    """Completions and responses, streamed and not, at both upstreams."""
    running = gateway(vllm.base_url, vllm.base_url)
    client = sdk(running.base_url)
    before = vllm.tokens()
    question = str(QUESTION[0]["content"])
    seen: list[tuple[int, int]] = []
    for model in ("auto@1.0", "auto@0.0"):
        completion = client.completions.create(model=model, prompt=question, max_tokens=8)
        assert completion.usage is not None
        seen.append((completion.usage.prompt_tokens, completion.usage.completion_tokens))
        with client.completions.create(
            model=model, prompt=question, max_tokens=8, stream=True, stream_options={"include_usage": True}
        ) as stream:
            last = list(stream)[-1].usage
        assert last is not None
        seen.append((last.prompt_tokens, last.completion_tokens))
        response = client.responses.create(model=model, input=question, max_output_tokens=8)
        assert response.usage is not None
        seen.append((response.usage.input_tokens, response.usage.output_tokens))
        with client.responses.stream(model=model, input=question, max_output_tokens=8) as events:
            final = list(events)[-1].response.usage  # type: ignore[union-attr]
        assert final is not None
        seen.append((final.input_tokens, final.output_tokens))
    everything = sum(prompt for prompt, _ in seen), sum(output for _, output in seen)
    assert increase(vllm, before, everything) == everything
    running.metrics()  # settled requests are in the database after this
    counted = "SELECT sum(prompt_tokens), sum(output_tokens), count(*), min(usage_complete) FROM attempts"
    assert running.sql(counted) == [(*everything, len(seen), 1)]
    kinds = running.sql("SELECT endpoint, route, count(*) FROM requests GROUP BY 1, 2 ORDER BY 1, 2")
    assert kinds == [(e, r, 2) for e in ("completions", "responses") for r in ("student", "teacher")]
