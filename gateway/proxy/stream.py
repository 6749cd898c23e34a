"""Relaying one stream of server-sent events: as sent, counted, and honest about its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import msgspec.structs

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.endpoints.base import Adapter, Mark
from breakeven.gateway.errors import RequestError, UpstreamFailure
from breakeven.gateway.proxy.downstream import Client, Reply
from breakeven.gateway.proxy.escalation import Probe
from breakeven.gateway.proxy.exchange import Attempt, Exchange
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.response import Answer
from breakeven.gateway.upstreams.upstream import CAUGHT, failures, refused
from breakeven.gateway.wire.sse import Event, Scanner

_DONE = b"data: [DONE]\n\n"
# What may come before the first event with content, such as comments, and is held back until then.
_HELD_BYTES = 1 << 16


class StreamRelay:
    """One answer's events on their way to the client.

    Nothing is sent before the first event with content, so that a stream that fails at once can still be
    answered by the other upstream or by a real HTTP status. The last bytes are returned, not sent: the
    request is settled before the client has its whole answer.
    """

    def __init__(
        self, exchange: Exchange, attempt: Attempt, answer: Answer, client: Client, deadline: Deadline
    ) -> None:
        self._exchange = exchange
        self._adapter: Adapter = exchange.adapter
        self._attempt = attempt
        self._answer = answer
        self._client = client
        self._deadline = deadline
        asked, plan = exchange.admitted
        self._choices = asked.choices
        self._wants_usage = asked.wants_usage
        self._scanner = Scanner()
        self._upstream = exchange.services.upstreams[attempt.route]
        self._idle = self._upstream.config.timeouts.idle_seconds
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._usage_event = b""
        self._held = bytearray()
        self._done = b""
        self._error_seen = False
        self._probe = exchange.probe(attempt.route)
        self._tap = plan.tap

    async def run(self, headers: Mapping[str, str]) -> Reply:
        """Relay to the end. Raises UpstreamFailure only where nothing was sent to the client yet."""
        try:
            await self._pump(headers)
            failure = None
        except UpstreamFailure as error:
            if not self._client.started:
                raise
            failure = error
        if self._probe is not None:
            self._probe.look(None, finished=True)
        return Reply(200, headers, self._tail(failure))

    async def _pump(self, headers: Mapping[str, str]) -> None:
        scanner = self._scanner
        idle = self._idle
        while not self._done:
            segment: bytes | None = b""
            try:
                if self._client.started and self._probe is None:
                    await self._answer.pour(self._poured)
                if not (self._held and self._client.started) and not self._done:
                    segment = await self._answer.segment()
            except CAUGHT:
                with failures(self._attempt.route, self._deadline):
                    raise
            if segment is None:
                last = scanner.flush()
                if last is not None and _whole(last):
                    whole = msgspec.structs.replace(last, raw=last.raw.rstrip(b"\r\n") + b"\n\n")
                    await self._relay([whole], headers)
                return
            await self._relay(self._scan(segment), headers)
            if self._client.started:
                self._deadline.within(idle)
            else:
                self._deadline.extend(idle)

    def _scan(self, segment: bytes) -> list[Event]:
        if self._tap is not None:
            self._tap.feed(segment)
        return self._scanner.feed(segment)

    def _poured(self, segment: bytes) -> bool:
        """A segment as it arrives, on its way without waking this task; False where the task must go on itself."""
        self._take(self._scan(segment))
        if self._held:
            if not self._client.push(bytes(self._held)):
                return False
            self._held.clear()
        self._deadline.within(self._idle)
        return not self._done

    async def _relay(self, events: list[Event], headers: Mapping[str, str]) -> None:
        content = self._take(events)
        if content:
            self._attempt.first_event()
        out = self._held
        if self._probe is not None and self._probe.waiting:
            if len(out) <= _HELD_BYTES and not self._done:
                return
            self._probe.look(None, finished=True)
        if out and (self._client.started or content or len(out) > _HELD_BYTES):
            await self._write(headers)

    def _take(self, events: list[Event]) -> bool:
        """Read the events and hold what the client gets of them. Whether there was content."""
        out = self._held
        content = False
        for event in events:
            if self._done:
                break
            mark = self._adapter.mark(event)
            if mark.usage is not None:
                self._attempt.usage = mark.usage
            if mark.usage_only:
                # Held until the end: exactly one, the last, and only for a client that asked.
                self._usage_event = event.raw
                continue
            if mark.error is not None:
                if not (self._client.started or content):
                    raise refused(self._upstream, _status(mark.error), mark.error)
                self._error_seen = True
            if mark.done:
                self._done = event.raw
                break
            if mark.finished:
                self._finished.update(mark.finished)
            if self._choices > 1:
                self._seen.update(mark.seen)
            if mark.response_id is not None:
                self._exchange.stored_as(mark.response_id)
            if mark.content:
                content = True
                self._attempt.events += 1
            out += event.raw if self._probe is None else self._probed(self._probe, event, mark)
        return content

    def _probed(self, probe: Probe, event: Event, mark: Mark) -> bytes:
        """The event as the client may see it. Raises Escalated where the answer so far is not good enough."""
        probe.look(event.data, finished=bool(mark.finished))
        data = event.data or b""
        stripped = probe.strip(data)
        if stripped is data:
            return event.raw
        return b"data: %b\n\n" % stripped if stripped else b""

    async def _write(self, headers: Mapping[str, str]) -> None:
        # While the client does not read, it is not the upstream that is slow.
        self._deadline.total()
        try:
            if not self._client.started:
                await self._client.start(200, headers)
            await self._client.write(bytes(self._held))
        except asyncio.CancelledError:
            if self._deadline.take():
                self._client.gone = True
            raise
        self._held.clear()

    @property
    def _complete(self) -> bool:
        """Whether every choice finished: all that were seen where the upstream says that it is done."""
        if self._done:
            return bool(self._finished) and self._seen <= self._finished
        return len(self._finished) >= self._choices

    def _tail(self, failure: RequestError | None) -> bytes:
        attempt = self._attempt
        complete = self._complete
        usage = self._usage_event if self._wants_usage else b""
        if not self._client.started and not complete:
            raise UpstreamFailure(
                502,
                f"The {attempt.route} ended its stream without an answer.",
                upstream_status=attempt.status,
                retryable=True,
                down=True,
                code="empty_stream",
            )
        if self._error_seen:
            attempt.outcome = Outcome.UPSTREAM_ERROR
            return bytes(self._held) + usage + (self._done or self._last())
        if complete:
            attempt.outcome = Outcome.OK
            return bytes(self._held) + usage + (self._done or self._last())
        attempt.outcome = Outcome.TRUNCATED
        error = failure or UpstreamFailure(
            502,
            f"The {attempt.route} ended its stream before the answer was complete.",
            retryable=False,
            down=True,
            code="stream_truncated",
        )
        return usage + self._adapter.error_tail(error.body())

    def _last(self) -> bytes:
        return _DONE if self._adapter.stream_options else b""


def _whole(event: Event) -> bool:
    """Whether an event whose empty line never came has all its data; what was cut off is no event."""
    if event.data is None or event.data.strip() == b"[DONE]":
        return True
    try:
        msgspec.json.decode(event.data)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _status(error: object) -> int:
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    try:
        status = int(code)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 502
    return status if 400 <= status <= 599 else 502
