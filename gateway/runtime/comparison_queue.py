"""The bounded queue of requests drawn to be compared; requests that do not fit are dropped by the caller."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from breakeven.gateway.accounting.record import CANDIDATE, RequestRecord
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.road.stages import Direction
from breakeven.gateway.wire.body import Body
from breakeven.router.policy import Route

# Requests with images may have megabytes; so many bytes wait at most.
_MAX_BYTES = 64 << 20


class Discarded(NamedTuple):
    """The student's answer that was discarded for the teacher's: its bytes, as far as they came, whether these are all,
    and the usage that was reported.
    """

    data: bytes
    whole: bool
    usage: Usage


class Drawn(NamedTuple):
    """A request to compare.

    `record` is the settled request, `body` the client's, of the endpoint of `adapter`, with the client's `versions` of
    its API. `answer` is what the client's upstream sent, `direction` which one that was. `probability`, in (0, 1], is
    that with which the request was drawn. `maker` made the last answer of the conversation, None if that is not known.
    `discarded` is None unless the request was escalated.
    """

    record: RequestRecord
    adapter: Adapter
    body: Body
    versions: Mapping[str, str]
    answer: bytes
    direction: Direction
    probability: float
    maker: Route | None
    discarded: Discarded | None

    @property
    def asked(self) -> Route:
        """The upstream that has not answered the client."""
        return Route.STUDENT if self.direction is Direction.TEACHER_ANSWERED else Route.TEACHER

    @property
    def by_candidate(self) -> bool:
        """Whether the candidate answered the client, in the student's place."""
        last = self.record.attempts[-1]
        return last.upstream is Route.STUDENT and last.provider == CANDIDATE


class ComparisonQueue:
    """Drawn requests in order of arrival."""

    def __init__(self) -> None:
        self._queue: deque[Drawn] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()

    def put(self, drawn: Drawn, limit: int) -> bool:
        """Queue a request. False, and nothing queued, where `limit` are waiting already, or too many bytes. Never
        waits.
        """
        size = len(drawn.body) + len(drawn.answer)
        if len(self._queue) >= limit or self._bytes + size > _MAX_BYTES:
            return False
        self._queue.append(drawn)
        self._bytes += size
        self._filled.set()
        return True

    async def first(self) -> None:
        """Wait until a request is queued."""
        await self._filled.wait()

    async def get(self) -> Drawn:
        """Remove and return the oldest request, waiting for one if there is none. For one caller."""
        await self._filled.wait()
        drawn = self._queue.popleft()
        self._bytes -= len(drawn.body) + len(drawn.answer)
        if not self._queue:
            self._filled.clear()
        return drawn
