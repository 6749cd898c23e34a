"""The state of an upstream after what its calls came to, and what is logged, with a clock of the test's own."""

from __future__ import annotations

import logging

import pytest

from breakeven.gateway.config.upstream import Breaker as Settings
from breakeven.gateway.errors import Cause
from breakeven.gateway.upstreams.circuit_breaker import Breaker
from breakeven.gateway.upstreams.health import Failure, Health
from breakeven.router.policy import Route


class Clock:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(clock: Clock) -> Health:
    breaker = Breaker(Settings(consecutive_failures=2, pause_seconds=10), clock)
    return Health(Route.STUDENT, breaker, clock)


def test_states() -> None:
    health = made(Clock())
    assert health.state == "unknown"
    health.failed(Failure(Cause.REFUSED, 1), down=True)
    assert health.state == "failing"
    health.succeeded()
    assert (health.state, health.failure) == ("up", None)
    for _ in range(2):
        health.failed(Failure(Cause.RESET, 2), down=True)
    assert health.state == "down"
    assert health.failures == {Cause.REFUSED: 1, Cause.RESET: 2}
    health.succeeded()
    assert health.state == "up"


def test_not_being_reached_at_the_start_is_no_try() -> None:
    health = made(Clock())
    failure = Failure(Cause.DNS, 1)
    health.not_reached(failure)
    assert (health.state, health.failure, dict(health.failures)) == ("unknown", failure, {})
    health.succeeded()
    health.not_reached(failure)
    assert (health.state, health.failure) == ("up", None)


@pytest.mark.parametrize("cause", [Cause.BAD_REQUEST, Cause.NOT_FOUND, Cause.CONTEXT_OVERFLOW])
def test_a_failure_of_the_request_itself_is_an_answer(cause: Cause) -> None:
    health = made(Clock())
    health.failed(Failure(Cause.RESET, 1), down=True)
    health.failed(Failure(cause, 2, 400), down=False)
    assert (health.state, health.failure, health.failures[cause]) == ("up", None, 1)


def test_a_stale_connection_says_nothing() -> None:
    health = made(Clock())
    health.failed(Failure(Cause.STALE_CONNECTION, 1), down=False)
    assert (health.state, health.failures[Cause.STALE_CONNECTION]) == ("unknown", 1)


def test_calls_of_no_client_leave_the_circuit_alone() -> None:
    health = made(Clock())
    for _ in range(5):
        health.note(Failure(Cause.OVERLOADED, 1, 503))
    assert health.state == "failing"
    health.answered()
    assert health.state == "up"


def test_the_same_cause_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    health = made(clock)
    with caplog.at_level(logging.INFO, "breakeven.upstream"):
        for _ in range(3):
            health.note(Failure(Cause.OVERLOADED, 1, 503))
            health.answered()
        health.note(Failure(Cause.KEY_REFUSED, 1, 401))
        assert len(caplog.records) == 2
        clock.now += 61
        health.note(Failure(Cause.OVERLOADED, 1, 503, detail="said so"))
    assert caplog.messages[-1] == (
        "a call to the student failed: overloaded: it is overloaded (503 or 529) (said so); "
        "add replicas or lower max_concurrency; at an API, wait"
    )


def test_the_circuit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    health = made(clock)
    with caplog.at_level(logging.INFO, "breakeven.upstream"):
        for _ in range(4):
            health.failed(Failure(Cause.REFUSED, 1), down=True)
        clock.now += 12.5
        health.failed(Failure(Cause.BAD_REQUEST, 1, 400), down=False)
    opened, closed = caplog.messages[1:]
    assert opened.startswith(
        "the circuit of the student opened: no requests are sent to it, and one to try it again in "
    )
    assert "in 10.0 s; the last failure was refused: nothing listens at its address" in opened
    assert closed == "the circuit of the student closed: it answers again, after 12.5 s"
