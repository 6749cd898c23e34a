"""The bounded queue of requests sampled for shadow traffic; requests that do not fit are dropped by the caller."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.chat_text import AnswerCapture


class ShadowSample(NamedTuple):
    """A student's answer to compare with the teacher's.

    `record` is the settled request, `body` the client's, `capture` the answer's bytes, and `rate` the probability in
    (0, 1] with which the request was sampled.
    """

    record: RequestRecord
    body: Body
    capture: AnswerCapture
    rate: float


class ShadowQueue:
    """Sampled requests in order of arrival."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[ShadowSample] = asyncio.Queue()
        self._first = asyncio.Event()

    def put(self, sample: ShadowSample, limit: int) -> bool:
        """Queue a sample. False, and nothing queued, where `limit` are waiting already. Never waits."""
        if self._queue.qsize() >= limit:
            return False
        self._queue.put_nowait(sample)
        self._first.set()
        return True

    async def first(self) -> None:
        """Wait until the first sample since the start has been queued."""
        await self._first.wait()

    async def get(self) -> ShadowSample:
        """Remove and return the oldest sample, waiting for one if there is none."""
        return await self._queue.get()
