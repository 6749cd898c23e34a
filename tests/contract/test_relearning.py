"""The student's context window is learned again: its server may restart with another one, or report none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import Reset, answer, completion, error_answer

LONG = chat("word " * 200)
OVERFLOW = "This model's maximum context length is 100 tokens. However, your prompt contains at least 200 input tokens."


def serve(gateway: Gateway, window: int | None) -> None:
    """Have the student's server report this context window."""
    facts = {} if window is None else {"max_model_len": window}
    gateway.student.models(*answer({"object": "list", "data": [{"id": "small", "object": "model", **facts}]}))


def window(gateway: Gateway) -> int | None:
    headers = {"authorization": "Bearer admin"}
    return dict(gateway.get("/admin/upstreams", headers).json["upstreams"][0])["context_window"]


def reason(gateway: Gateway) -> str:
    return gateway.post(LONG).headers["x-breakeven-reason"]


@pytest.fixture
def learning(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, environment={"BREAKEVEN_ADMIN_KEY": "admin"}) as gateway:
        gateway.student.default(*answer(completion()))
        yield gateway


def test_a_larger_window_is_learned_after_a_connection_failure(learning: Gateway) -> None:
    serve(learning, 100)
    learning.student.script(*error_answer(400, OVERFLOW))
    learning.post(chat("hi"))
    eventually(lambda: window(learning) == 100)
    assert reason(learning) == "context"
    serve(learning, 4000)
    learning.student.script(Reset())
    learning.student.script(Reset())
    learning.post(chat("hi"))
    eventually(lambda: window(learning) == 4000)
    assert reason(learning) == "easy"
    assert "the student's context window is 4000 tokens now, and was 100" in learning.log.read_text()


def test_a_smaller_window_is_learned_after_a_refusal(learning: Gateway) -> None:
    assert reason(learning) == "easy"
    serve(learning, 100)
    learning.student.script(*error_answer(400, OVERFLOW))
    assert reason(learning) == "fallback"
    eventually(lambda: window(learning) == 100)
    assert reason(learning) == "context"


def test_a_server_that_reports_no_window_tells_it_when_it_refuses(learning: Gateway) -> None:
    learning.student.script(*error_answer(400, OVERFLOW))
    assert reason(learning) == "fallback"
    eventually(lambda: window(learning) == 100)
    assert reason(learning) == "context"
    # What it reports itself counts more than what a refusal told.
    serve(learning, 4000)
    learning.student.script(*error_answer(400, OVERFLOW))
    learning.post(chat("hi"))
    eventually(lambda: window(learning) == 4000)


def test_a_server_that_does_not_answer_keeps_what_is_known(learning: Gateway) -> None:
    serve(learning, 100)
    learning.student.script(*error_answer(400, OVERFLOW))
    learning.post(chat("hi"))
    eventually(lambda: window(learning) == 100)
    asked = len(learning.student.gets)
    learning.student.models(*error_answer(503))
    learning.student.script(*error_answer(500))
    learning.post(chat("hi"))
    eventually(lambda: len(learning.student.gets) > asked)
    assert window(learning) == 100
