"""Drawn requests that wait to be put to the teacher: bounded, so that what does not fit is dropped and counted."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import NamedTuple

from gateway.body import Body
from gateway.record import RequestRecord
from gateway.shadow.answers import Tap


class Result(StrEnum):
    """How a drawn request ended."""

    COMPARED = "compared"
    UNREADABLE = "unreadable"
    FAILED = "failed"
    DROPPED_QUEUE = "dropped_queue"
    DROPPED_BUSY = "dropped_busy"
    DROPPED_BUDGET = "dropped_budget"


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
