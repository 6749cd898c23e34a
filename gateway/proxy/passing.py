"""Passing on the answer of a further model, of whatever kind: JSON, sound, text, or a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.accounting.usage import NO_USAGE
from breakeven.gateway.errors import UpstreamFailure
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.proxy.downstream import Client, Reply
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.failures import invalid_answer
from breakeven.gateway.upstreams.response import UpstreamResponse, Whole
from breakeven.gateway.upstreams.upstream import UPSTREAM_ERRORS, translated_errors
from breakeven.gateway.wire.lenient_json import readable
from breakeven.gateway.wire.sse import Scanner


class Passing:
    """Passes on one answer byte for byte. Its usage is read from a copy."""

    def __init__(
        self, exchange: Exchange, attempt: Attempt, response: UpstreamResponse, client: Client, deadline: Deadline
    ) -> None:
        self._adapter = exchange.adapter
        self._upstream = attempt.upstream
        self._idle = self._upstream.config.timeouts.idle_seconds
        self._attempt = attempt
        self._response = response
        self._client = client
        self._deadline = deadline

    async def run(self, headers: Mapping[str, str]) -> Reply:
        """Send JSON whole, so that a failure before its end is a status, and anything else as it comes. Returns what is
        still to be sent. Raises UpstreamFailure only if nothing was sent yet.
        """
        kind = self._response.content_type.partition(";")[0].strip().lower()
        try:
            if kind.endswith("json"):
                return Reply(self._response.status, headers, await self._whole())
            last = await self._parts(headers, self._scanner() if kind == "text/event-stream" else None)
        except UPSTREAM_ERRORS:
            try:
                with translated_errors(self._attempt.route, self._deadline):
                    raise
            except UpstreamFailure as failure:
                if not self._client.started:
                    raise
                return self._broken_off(failure, events=kind == "text/event-stream")
        self._attempt.outcome = Outcome.OK
        return Reply(self._response.status, headers, last)

    def _scanner(self) -> Scanner:
        return Scanner(self._upstream.config.max_event_bytes)

    async def _whole(self) -> bytes:
        """The JSON that was answered, of whatever shape. Raises UpstreamFailure for something else."""
        whole = Whole(self._upstream.config.max_answer_bytes)
        while (segment := await self._next()) is not None:
            whole.add(segment)
        body = whole.body()
        usage = self._adapter.usage(body)
        if usage is None and not readable(body):
            raise invalid_answer(self._upstream)
        self._attempt.usage = usage or NO_USAGE
        self._attempt.outcome = Outcome.OK
        return body

    async def _parts(self, headers: Mapping[str, str], scanner: Scanner | None) -> bytes:
        """Send what comes; returns what ends a stream of events, empty for anything else."""
        while (segment := await self._next()) is not None:
            if scanner is not None and self._ends(scanner, segment):
                return segment
            await self._send(segment, headers)
            self._deadline.within(self._idle)
        return b""

    async def _next(self) -> bytes | None:
        segment = await self._response.segment()
        if segment:
            self._attempt.first_event()
        self._deadline.within(self._idle)
        return segment

    def _ends(self, scanner: Scanner, segment: bytes) -> bool:
        """Read the usage in a segment; whether the last event is in it, after which a client may close."""
        ended = False
        for event in scanner.feed(segment):
            info = self._adapter.read_event(event)
            if info.usage is not None:
                self._attempt.usage = info.usage
            ended = ended or info.done
        return ended

    async def _send(self, part: bytes, headers: Mapping[str, str]) -> None:
        # While the client does not read, the upstream's idle timeout must not fire.
        self._deadline.until_total()
        try:
            if not self._client.started:
                await self._client.start(self._response.status, headers)
            await self._client.write(part)
        except asyncio.CancelledError:
            if self._deadline.take_cancellation():
                self._client.gone = True
            raise

    def _broken_off(self, failure: UpstreamFailure, *, events: bool) -> Reply:
        """The end of an answer that has begun: of events an error, of anything else none, so that the client sees that
        its end is missing.
        """
        self._attempt.outcome = Outcome.TRUNCATED
        self._attempt.fail(failure)
        if events:
            return Reply(failure.status, {}, self._adapter.error_tail(failure, 0))
        return Reply(failure.status, {}, b"", cut_off=True)
