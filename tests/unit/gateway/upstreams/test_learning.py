"""When a server is asked again what its model can do, and what a refusal says about that."""

from __future__ import annotations

import pytest

from breakeven.gateway.errors import Cause, UpstreamFailure
from breakeven.gateway.upstreams.learning import Learning, said_window
from breakeven.gateway.upstreams.reported import Reported

KNOWN = Reported(2048, None, "vllm")
UNKNOWN = Reported(None, None, "vllm")


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def failure(cause: Cause, message: str = "", *, down: bool = False) -> UpstreamFailure:
    return UpstreamFailure(502, message, retryable=True, down=down, cause=cause)


@pytest.mark.parametrize(
    ("message", "window"),
    [
        ("This model's maximum context length is 2048 tokens. However, your prompt contains 2049.", 2048),
        ("max_tokens=5000 cannot be greater than max_model_len=4096. Please request fewer.", 4096),
        ("the maximum context length of 8192 tokens", 8192),
        ("maximum context length is many tokens", None),
        ("max_model_len=0", None),
        ("too many tokens", None),
    ],
)
def test_the_window_in_a_refusal(message: str, window: int | None) -> None:
    assert said_window(message) == window


def test_it_is_asked_at_once_then_every_minute_and_more_often_while_it_does_not_answer() -> None:
    clock = Clock()
    learning = Learning(clock)
    assert learning.due
    learning.learned(None, None)
    clock.now += 9.9
    assert not learning.due
    clock.now += 0.2
    assert learning.due
    learning.learned(KNOWN, None)
    clock.now += 59.9
    assert not learning.due
    clock.now += 0.2
    assert learning.due


@pytest.mark.parametrize(
    ("cause", "down", "due"),
    [
        (Cause.REFUSED, True, True),
        (Cause.STALE_CONNECTION, False, True),
        (Cause.CONTEXT_OVERFLOW, False, True),
        (Cause.MODEL_NOT_FOUND, False, True),
        (Cause.BAD_REQUEST, False, False),
        (Cause.RATE_LIMITED, False, False),
    ],
)
def test_it_is_asked_again_after_failures_that_a_restart_causes(cause: Cause, down: bool, due: bool) -> None:
    learning = Learning(Clock())
    learning.learned(KNOWN, None)
    learning.doubt(failure(cause, down=down))
    assert learning.due is due


def test_a_window_that_only_a_refusal_told_is_believed_for_ten_minutes() -> None:
    clock = Clock()
    learning = Learning(clock)
    learning.doubt(failure(Cause.CONTEXT_OVERFLOW, "maximum context length is 100 tokens"))
    assert learning.learned(UNKNOWN, None) == UNKNOWN._replace(context_window=100)
    assert learning.learned(KNOWN, UNKNOWN) == KNOWN
    assert learning.learned(None, KNOWN) == KNOWN
    clock.now += 600
    assert learning.learned(UNKNOWN, None) == UNKNOWN


def test_a_server_that_lists_nothing_has_the_window_that_it_told() -> None:
    learning = Learning(Clock())
    learning.doubt(failure(Cause.CONTEXT_OVERFLOW, "maximum context length is 100 tokens"))
    assert learning.learned(None, None) == Reported(100, None)
