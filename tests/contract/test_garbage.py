"""Requests leave nothing that only the garbage collector could free: its runs stop every stream for milliseconds."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import (
    DONE,
    End,
    Head,
    Send,
    Sleep,
    Step,
    answer,
    completion,
    delta,
    error_answer,
    stream,
    usage_chunk,
)

PATH = "/v1/chat/completions"
PLAIN, STREAMED = json.dumps(chat()).encode(), json.dumps(chat(stream=True)).encode()
REQUESTS = 60
WHOLE = stream(delta("a"), delta("b", finish="stop") + usage_chunk() + DONE)
SLOW: list[Step] = [Head(200, {"content-type": "text/event-stream"}), Send(delta("1")), Sleep(0.2), Send(DONE), End()]


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    command = ("-m", "tests.contract.counted_garbage", "serve")
    with running(tmp_path_factory.mktemp("gateway"), command=command) as gateway:
        yield gateway


def _garbage(gateway: Gateway) -> int:
    """Objects that a full collection found."""
    found: Path = gateway.path.with_name("garbage")
    found.unlink(missing_ok=True)
    gateway.signal(signal.SIGUSR2)
    eventually(found.exists)
    return int(found.read_text())


def _kept_alive(body: bytes, path: str = PATH, method: str = "POST") -> Callable[[Gateway, int], None]:
    def ask(gateway: Gateway, requests: int) -> None:
        with gateway.connect() as client:
            for _ in range(requests):
                client.request(method, path, body).response()

    return ask


def _one_connection_each(gateway: Gateway, requests: int) -> None:
    for _ in range(requests):
        gateway.post(chat())


def _gone_within_the_stream(gateway: Gateway, requests: int) -> None:
    for _ in range(requests):
        with gateway.connect() as client:
            client.request("POST", PATH, STREAMED).head()
            client.reset()


@pytest.mark.parametrize(
    ("steps", "asked"),
    [
        pytest.param(answer(completion()), _kept_alive(PLAIN), id="json"),
        pytest.param(WHOLE, _kept_alive(STREAMED), id="stream"),
        pytest.param(error_answer(500), _kept_alive(PLAIN), id="student fails"),
        pytest.param(error_answer(400), _kept_alive(PLAIN), id="student refuses"),
        pytest.param(answer(completion()), _kept_alive(b"{"), id="refused here"),
        pytest.param(answer(completion()), _one_connection_each, id="one connection each"),
        pytest.param(SLOW, _gone_within_the_stream, id="client gone"),
    ],
)
def test_requests_leave_no_garbage(counting: Gateway, steps: list[Step], asked: Callable[[Gateway, int], None]) -> None:
    counting.student.default(*steps)
    counting.teacher.default(*answer(completion()))
    asked(counting, 3)
    eventually(lambda: counting.metric("ledger_pending") == 0)
    _garbage(counting)  # of the scrape, and what is made once
    settled = len(counting.settled())

    asked(counting, REQUESTS)
    eventually(lambda: len(counting.settled()) == settled + REQUESTS)
    assert _garbage(counting) < REQUESTS, "objects in cycles, for each request"


@pytest.mark.parametrize("status", [400, 404, 500])
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(_kept_alive(json.dumps(chat(model="teacher")).encode()), id="answer"),
        pytest.param(_kept_alive(PLAIN), id="answer of either"),
        pytest.param(_kept_alive(b"", "/v1/responses/resp_1", "GET"), id="stored response"),
        pytest.param(
            _kept_alive(b'{"input": "hi", "previous_response_id": "resp_1"}', "/v1/responses/input_tokens"), id="count"
        ),
    ],
)
def test_what_no_upstream_answers_leaves_no_garbage(
    counting: Gateway, asked: Callable[[Gateway, int], None], status: int
) -> None:
    for upstream in (counting.student, counting.teacher):
        upstream.default(*error_answer(status))
    asked(counting, 3)
    eventually(lambda: counting.metric("ledger_pending") == 0)
    _garbage(counting)
    asked(counting, REQUESTS)
    assert _garbage(counting) < REQUESTS, "objects in cycles, for each request"
