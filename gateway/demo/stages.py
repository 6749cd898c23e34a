"""Playing prompts from stage `observe` on: until the gateway routes by itself, and after that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx2

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.demo.load_generator import Result
from breakeven.gateway.demo.rows import DemoRow
from breakeven.gateway.road.stages import Stage

# The gateway may catch up with comparing after so many prompts, as it does in real traffic.
_AT_ONCE = 50
_POLL_SECONDS = 0.5
_LIMIT_SECONDS = 90.0
_OBSERVING = f'breakeven_stage{{breakeven_stage="{Stage.OBSERVE}",workload="{DEFAULT_WORKLOAD}"}} 1.0'

Send = Callable[[Sequence[DemoRow]], list[Result]]


class Played(NamedTuple):
    """The results of the prompts that were sent before anything was routed, and of those after; `workload` is what
    `GET /admin/road` said at the end, None where the demo routes from the first prompt on.
    """

    before: list[Result]
    after: list[Result]
    workload: dict[str, Any] | None = None


def play(client: httpx2.Client, rows: Sequence[DemoRow], send: Send, say: Callable[[str], None]) -> Played:
    """Send the prompts in order, and the rest of them once the gateway routes.

    `client` is for the gateway's admin API; `send` returns the results of some rows. Raises httpx2.HTTPError where the
    gateway does not answer.
    """
    before: list[Result] = []
    while len(before) < len(rows):
        before += send(rows[len(before) : len(before) + _AT_ONCE])
        state = _caught_up(client)
        if state["in_force"] is not None:
            # The gateway follows what it has stored within a second.
            _wait(lambda: _OBSERVING not in client.get("/metrics").text)
            say(f"after {len(before)} prompts: {state['why']}")
            break
    after = send(rows[len(before) :])
    return Played(before, after)


def workload(client: httpx2.Client) -> dict[str, Any]:
    """What the gateway says of its workload. Raises httpx2.HTTPError."""
    answer = client.get("/admin/road")
    answer.raise_for_status()
    return next(dict(one) for one in answer.json()["workloads"] if one["workload"] == DEFAULT_WORKLOAD)


def _caught_up(client: httpx2.Client) -> dict[str, Any]:
    """The workload once what was drawn has been compared, and no router is being trained; or after the time limit."""
    last = -1
    state: dict[str, Any] = {}

    def idle() -> bool:
        nonlocal last, state
        state, before = workload(client), last
        last = int(state["comparisons"])
        return last == before and last < int(state["next_look_at"])

    _wait(idle)
    return state


def _wait(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + _LIMIT_SECONDS
    while not reached() and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
