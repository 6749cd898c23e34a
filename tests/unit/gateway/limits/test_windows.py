"""Counting over a sliding minute, in memory and in a file that processes share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from breakeven.gateway.limits.windows import Windows

START = 10_000.0


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "file"])
def windows(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Windows]:
    path = tmp_path / "limits.sqlite" if request.param == "file" else None
    with closing(Windows(path, 2 if path else 1, clock)) as opened:
        yield opened


def test_the_turn_of_a_minute_lets_nothing_more_through(windows: Windows, clock: Clock) -> None:
    assert windows.take("a", 100)
    clock.now += 57
    assert sum(windows.take("a", 100) for _ in range(200)) == 99
    clock.now += 3.3
    assert sum(windows.take("a", 100) for _ in range(200)) == 1  # the place of the first one
    assert windows.state("a", 100) == (0, 57)
    assert not windows.fits("a", 1, 100)
    assert windows.fits("b", 100, 100)
    clock.now += 57
    assert sum(windows.take("a", 100) for _ in range(200)) == 99


@pytest.mark.parametrize("seed", range(3))
def test_no_sixty_seconds_have_more_than_the_limit(windows: Windows, clock: Clock, seed: int) -> None:
    draw = random.Random(seed)
    taken: list[float] = []
    for _ in range(600):
        clock.now += draw.choice((0.0, 0.01, 0.2, 1.0, 7.0))
        if windows.take("a", 20):
            taken.append(clock.now)
    assert len(taken) > 60
    for first, later in zip(taken, taken[20:], strict=False):
        assert later - first > 60


def test_a_steady_rate_at_the_limit_is_not_refused(windows: Windows, clock: Clock) -> None:
    for _ in range(300):
        assert windows.take("a", 60)
        clock.now += 1.01


def test_amounts_may_go_over_the_limit_and_say_when_there_is_room(windows: Windows, clock: Clock) -> None:
    windows.add("tokens", 90)
    clock.now += 10
    windows.add("tokens", 500)
    assert not windows.fits("tokens", 1, 100)
    assert windows.state("tokens", 100) == (0, 60)  # the first ones going is not enough
    clock.now += 55
    assert windows.state("tokens", 100) == (0, 6)
    clock.now += 6
    assert windows.fits("tokens", 100, 100)


def test_a_clock_that_goes_back_makes_nobody_wait_longer_than_a_minute(windows: Windows, clock: Clock) -> None:
    assert all(windows.take("a", 10) for _ in range(10))
    clock.now -= 3600
    assert not windows.take("a", 10)
    assert windows.state("a", 10) == (0, 60)
    clock.now += 60.5
    assert windows.take("a", 10)


def test_processes_share_a_file(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "limits.sqlite"
    with closing(Windows(path, 2, clock)) as one, closing(Windows(path, 2, clock)) as other:
        assert [windows.take("a", 5) for windows in (one, other) * 3] == [True] * 5 + [False]
        assert one.state("a", 5) == other.state("a", 5) == (0, 60)


def broken_by_directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def broken_by_content(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)


@pytest.mark.parametrize("breaks", [broken_by_directory, broken_by_content])
def test_without_the_file_each_process_has_its_part(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, breaks: Callable[[Path], None]
) -> None:
    path = tmp_path / "limits.sqlite"
    breaks(path)
    with closing(Windows(path, 2, clock)) as one, closing(Windows(path, 2, clock)) as other:
        taken = [sum(windows.take("a", 9) for _ in range(20)) for windows in (one, other)]
        assert taken == [5, 5]
        assert one.state("a", 9) == (0, 60)
    said = [line for line in caplog.messages if "cannot be used" in line]
    assert len(said) == 2
    assert all("TMPDIR" in line for line in said)
