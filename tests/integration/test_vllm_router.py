"""A student behind vLLM's own router with two real replicas: sessions, a lost replica, and a changed context window."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.integration.asks import LONG_QUESTION, QUESTION, TOOLS
from tests.support import processes, real
from tests.support.processes import Gateway, free_port, make_config
from tests.support.real import Vllm

ADMIN = {"BREAKEVEN_ADMIN_KEY": "admin"}
# Everything that the student can take goes to it.
ROUTING = {"threshold": 1.0, "novelty_threshold": 1.0, "sticky": False}


@pytest.fixture(scope="module")
def second() -> Iterator[Vllm]:
    """A replica with half of the context window of `vllm`."""
    with real.vllm(1024, warm=False) as server:
        yield server


@contextlib.contextmanager
def behind(folder: Path, port: int, teacher: Vllm) -> Iterator[Gateway]:
    """A gateway whose student is at this port, and whose teacher answers directly."""
    config = make_config(f"http://127.0.0.1:{port}/v1", teacher.base_url, routing=ROUTING)
    with processes.gateway(folder, config, ADMIN) as running:
        yield running


@pytest.fixture(scope="module")
def routed(vllm: Vllm, second: Vllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in front of a router in front of both replicas."""
    folder, port = tmp_path_factory.mktemp("routed"), free_port()
    with real.vllm_router(folder / "router.log", port, vllm, second), behind(folder, port, vllm) as gateway:
        yield gateway


def window(gateway: Gateway) -> int | None:
    """The student's context window as the gateway knows it."""
    states = httpx2.get(f"{gateway.url}/admin/upstreams", headers={"authorization": "Bearer admin"}, timeout=10.0)
    return dict(states.json()["upstreams"][0])["context_window"]


def until(check: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.1)


def ask(gateway: Gateway, session: str | None = None, **fields: Any) -> httpx2.Response:
    headers = {} if session is None else {"x-session-id": session}
    body = {"model": "auto", "messages": QUESTION, "max_tokens": 2, **fields}
    found = httpx2.post(f"{gateway.base_url}/chat/completions", json=body, headers=headers, timeout=240.0)
    assert found.status_code == 200, found.text
    return found


def reason(gateway: Gateway, **fields: Any) -> str:
    """Why a request would go where it would, without sending it."""
    headers, body = {"authorization": "Bearer admin"}, {"model": "auto", **fields}
    found = httpx2.post(f"{gateway.url}/admin/route", json=body, headers=headers, timeout=10.0)
    return str(found.json()["reason"])


def replica_of(gateway: Gateway, session: str, *replicas: Vllm) -> int:
    """Which of the replicas answers this session."""
    before = [one.tokens()[1] for one in replicas]
    assert ask(gateway, session).headers["x-breakeven-route"] == "student"
    until(lambda: [one.tokens()[1] for one in replicas] != before)
    more = [one.tokens()[1] - old for one, old in zip(replicas, before, strict=True)]
    assert sorted(more) == [0, 2]
    return more.index(2)


def test_a_student_that_restarts_with_another_window_is_learned_again(vllm: Vllm, second: Vllm, tmp_path: Path) -> None:
    port = free_port()
    long = {"messages": [{"role": "user", "content": "word " * 800}]}
    with contextlib.ExitStack() as stack:
        with real.vllm_router(tmp_path / "first.log", port, vllm):
            gateway = stack.enter_context(behind(tmp_path, port, vllm))
            until(lambda: window(gateway) == 2048)
            assert reason(gateway, **long) == "easy"
        down = ask(gateway)
        assert (down.headers["x-breakeven-route"], down.headers["x-breakeven-reason"]) == ("teacher", "fallback")
        with real.vllm_router(tmp_path / "second.log", port, second):
            until(lambda: window(gateway) == 1024)
            assert reason(gateway, **long) == "context"
            assert ask(gateway).headers["x-breakeven-route"] == "student"


def test_a_chat_a_stream_and_a_tool_call_pass(routed: Gateway, sdk: Callable[..., openai.OpenAI]) -> None:
    until(lambda: window(routed) in (1024, 2048))
    client = sdk(routed.base_url)
    made = client.chat.completions.create(model="student", messages=QUESTION, max_tokens=8)
    assert made.choices[0].message.content
    assert made.usage is not None
    with client.chat.completions.create(
        model="student", messages=QUESTION, max_tokens=8, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert any(chunk.choices and chunk.choices[0].delta.content for chunk in chunks)
    assert chunks[-1].usage.completion_tokens > 0
    # At random, a small model may fill every token with spaces.
    called = client.chat.completions.create(
        model="student", messages=QUESTION, tools=TOOLS, tool_choice="required", max_tokens=128, temperature=0
    )
    assert called.choices[0].message.tool_calls[0].function.name == "get_weather"


def test_a_session_stays_on_one_replica_until_that_is_gone(routed: Gateway, vllm: Vllm, second: Vllm) -> None:
    of = {name: replica_of(routed, name, vllm, second) for name in "abcdefgh"}
    assert set(of.values()) == {0, 1}, "all sessions are on one replica"
    assert {name: replica_of(routed, name, vllm, second) for name in of} == of
    # The next turn of a conversation finds its prompt in the cache of its replica.
    turn = {"messages": LONG_QUESTION}
    ask(routed, "a", **turn)
    again = ask(routed, "a", **turn).json()["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert again > 0
    second.stop()
    lost = next(name for name, index in of.items() if index == 1)
    for _ in range(3):
        # The router asks the other replica, or fails, and the teacher answers.
        assert ask(routed, lost).headers["x-breakeven-route"] in ("student", "teacher")
    until(lambda: ask(routed, lost).headers["x-breakeven-route"] == "student")
    until(lambda: window(routed) == 2048)
