"""Drawn requests that wait to be put to the teacher: bounded, so that what does not fit is dropped and counted."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.chat_text import Tap


class Drawn(NamedTuple):
    """A student's answer to compare: the settled record, what was asked, the answer's bytes, the rate of drawing."""

    record: RequestRecord
    body: Body
    tap: Tap
    rate: float


class Queue:
    """In the order of arrival."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Drawn] = asyncio.Queue()
        self._first = asyncio.Event()

    def put(self, drawn: Drawn, most: int) -> bool:
        """False where `most` wait already; it is then dropped. Never waits."""
        if self._waiting.qsize() >= most:
            return False
        self._waiting.put_nowait(drawn)
        self._first.set()
        return True

    async def first(self) -> None:
        """Wait until one was ever put."""
        await self._first.wait()

    async def get(self) -> Drawn:
        """The next one, once there is one."""
        return await self._waiting.get()
