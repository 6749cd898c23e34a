"""Escalation with a real vLLM: the official SDK receives an escalated stream as an ordinary one of the teacher."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest

from tests.integration.asks import QUESTION
from tests.support import processes
from tests.support.real import Vllm

# No token has a log-probability above 0, so every answer is escalated with this floor.
ALWAYS_ESCALATES = {"probe_tokens": 8, "min_mean_logprob": 0.0, "max_hold_seconds": 60.0}
NEVER_ESCALATES = {"probe_tokens": 8, "min_mean_logprob": -20.0}


@pytest.fixture(scope="module", params=[ALWAYS_ESCALATES, NEVER_ESCALATES], ids=["always escalates", "never escalates"])
def cascade(
    request: pytest.FixtureRequest, vllm: Vllm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[processes.Gateway]:
    routing = {"escalation": request.param, "threshold": 1.0, "novelty_threshold": 1.0, "sticky": False}
    config = processes.make_config(vllm.base_url, vllm.base_url, routing=routing)
    with processes.gateway(tmp_path_factory.mktemp("cascade"), config) as running:
        yield running


def counted(vllm: Vllm, name: str) -> float:
    """The sum of a vLLM metric over its labels."""
    text = httpx2.get(f"{vllm.base_url.removesuffix('/v1')}/metrics", timeout=30.0).text
    return sum(float(value) for value in re.findall(rf"^vllm:{name}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE))


def generated(vllm: Vllm) -> float:
    """The number of tokens that vLLM has generated, read when it is idle."""
    deadline = time.monotonic() + 60
    while counted(vllm, "num_requests_running") and time.monotonic() < deadline:
        time.sleep(0.2)
    return counted(vllm, "generation_tokens_total")


def test_stream(cascade: processes.Gateway, vllm: Vllm, sdk: Callable[..., openai.OpenAI]) -> None:
    escalates = cascade.config.read_text().count("min_mean_logprob: 0.0") == 1
    before = generated(vllm)
    asked: dict[str, Any] = {"messages": QUESTION, "max_tokens": 96, "temperature": 0, "stream": True}
    options: dict[str, Any] = {"stream_options": {"include_usage": True}, "extra_body": {"ignore_eos": True}}
    raw = sdk(cascade.base_url).chat.completions.with_raw_response.create(model="auto", **asked, **options)
    reason = raw.headers["x-breakeven-reason"]
    chunks = list(raw.parse())
    worked = generated(vllm) - before
    pinned = list(sdk(cascade.base_url).chat.completions.create(model="teacher", **asked, **options))

    def plain(found: list[Any]) -> list[Any]:
        return [chunk.model_dump(exclude={"id", "created", "model"}) for chunk in found]

    assert plain(chunks) == plain(pinned)
    assert reason == ("escalated" if escalates else "easy")
    assert raw.headers["x-breakeven-route"] == ("teacher" if escalates else "student")
    cascade.metrics()  # a scrape writes all settled requests to the ledger
    attempts = cascade.sql(
        "SELECT a.upstream, a.output_tokens FROM attempts a JOIN requests r ON r.id = a.request "
        "WHERE NOT r.pinned ORDER BY a.number"
    )
    assert [upstream for upstream, _ in attempts] == (["student", "teacher"] if escalates else ["student"])
    assert attempts[-1][1] == chunks[-1].usage.completion_tokens
    # The student's request was cancelled inside vLLM before it was complete.
    assert worked >= chunks[-1].usage.completion_tokens
    assert worked <= chunks[-1].usage.completion_tokens + 40


def test_whole(cascade: processes.Gateway, sdk: Callable[..., openai.OpenAI]) -> None:
    escalates = cascade.config.read_text().count("min_mean_logprob: 0.0") == 1
    asked: dict[str, Any] = {"messages": QUESTION, "max_tokens": 16, "temperature": 0}
    raw = sdk(cascade.base_url).chat.completions.with_raw_response.create(model="auto", **asked)
    assert raw.headers["x-breakeven-route"] == ("teacher" if escalates else "student")
    assert raw.parse().choices[0].logprobs is None
    with_them = sdk(cascade.base_url).chat.completions.create(model="auto", logprobs=True, **asked)
    assert with_them.choices[0].logprobs.content
