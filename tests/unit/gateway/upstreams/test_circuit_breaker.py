"""The circuit breaker, with a simulated clock."""

from __future__ import annotations

from breakeven.gateway.config.upstream import Breaker as Config
from breakeven.gateway.upstreams.circuit_breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make(**changes: float) -> tuple[Breaker, Clock]:
    clock = Clock()
    settings = {"consecutive_failures": 3, "failure_rate": 0.5, "window_requests": 10, "pause_seconds": 10.0}
    return Breaker(Config.model_validate({**settings, **changes}), clock), clock


def test_consecutive_failures_open_the_circuit() -> None:
    breaker, _ = make()
    for _ in range(4):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
        breaker.succeeded()
        breaker.succeeded()
    assert not breaker.open
    for _ in range(3):
        breaker.failed()
    assert breaker.open
    assert not breaker.allows
    assert breaker.retry_after_seconds() == 10.0


def test_a_rate_of_failures_opens_it_once_the_window_is_full() -> None:
    breaker, _ = make()
    for _ in range(4):
        breaker.succeeded()
        breaker.failed()
    breaker.succeeded()
    assert not breaker.open
    breaker.failed()
    assert breaker.open


def test_old_failures_leave_the_window() -> None:
    breaker, _ = make()
    for _ in range(2):
        breaker.failed()
        breaker.succeeded()
    for _ in range(10):
        breaker.succeeded()
    for _ in range(2):
        breaker.failed()
        breaker.succeeded()
    assert not breaker.open


def test_half_open_allows_one_probe_that_closes_or_reopens_the_circuit() -> None:
    breaker, clock = make()
    for _ in range(3):
        breaker.failed()
    clock.now = 10.0
    assert breaker.allows
    breaker.starting()
    assert not breaker.allows
    breaker.failed()
    assert breaker.retry_after_seconds() == 10.0
    clock.now = 20.0
    breaker.starting()
    breaker.succeeded()
    assert breaker.allows
    assert not breaker.open
    breaker.failed()
    assert not breaker.open


def test_a_probe_without_a_result_allows_another() -> None:
    breaker, clock = make()
    for _ in range(3):
        breaker.failed()
    clock.now = 10.0
    breaker.starting()
    breaker.released()
    assert breaker.allows
    breaker.starting()
    clock.now = 19.9
    assert not breaker.allows
    clock.now = 20.0
    assert breaker.allows
