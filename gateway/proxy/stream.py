"""Relaying one stream of server-sent events: usage is read, and a stream that is cut off ends with an error event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.accounting.usage import continued
from breakeven.gateway.endpoints.base import Adapter, EventInfo, Translation
from breakeven.gateway.errors import Cause, UpstreamFailure
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.proxy.downstream import Client, Reply
from breakeven.gateway.proxy.escalation import Probe
from breakeven.gateway.proxy.event_source import EventSource
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.failures import event_failure
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.upstream import UPSTREAM_ERRORS, translated_errors
from breakeven.gateway.wire.sse import Event

# Events before the first one with content, such as comments, are held back up to this size.
_MAX_BUFFERED_BYTES = 1 << 16


class StreamRelay:
    """Relays the events of one response to the client.

    Nothing is sent before the first event with content, so that if the stream fails before it, the other upstream can
    still answer, or the client gets an HTTP error status. What comes before it, such as comments or a chunk with only a
    role, is held back for at most `first_event_seconds` and 64 KiB: after that it keeps the client's connection alive.
    The last bytes are returned, not sent: the request is settled before the client has the whole response.
    """

    def __init__(
        self,
        exchange: Exchange,
        attempt: Attempt,
        response: UpstreamResponse,
        client: Client,
        deadline: Deadline,
        translation: Translation | None = None,
    ) -> None:
        """`translation`: what the upstream sends is of another API than the client's, and is translated."""
        self._exchange = exchange
        self._adapter: Adapter = exchange.adapter if translation is None else translation.reader
        self._translated = None if translation is None else translation.stream()
        self._attempt = attempt
        self._client = client
        self._deadline = deadline
        request, _ = exchange.admitted
        self._choices = request.choices
        self._wants_usage = request.wants_usage
        self._upstream = attempt.upstream
        self._source = EventSource(attempt, response)
        self._idle = self._upstream.config.timeouts.idle_seconds
        self._content = False
        self._held_since: float | None = None
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._usage_event = b""
        self._buffer = bytearray()
        self._done = b""
        self._error_seen = False
        self._probe = exchange.probe(attempt.route)
        self._relays_raw = self._probe is None and self._translated is None

    async def run(self, headers: Mapping[str, str]) -> Reply:
        """Relay to the end of the stream; returns the last bytes, with `headers` in case nothing was sent yet.

        Raises UpstreamFailure only if nothing was sent to the client yet, and Escalated.
        """
        try:
            await self._relay_events(headers)
            failure = None
        except UpstreamFailure as error:
            if not self._client.started:
                raise
            failure = error
        if self._probe is not None:
            self._probe.inspect(None, finished=True)
        return Reply(200, headers, self._final_bytes(failure))

    async def _relay_events(self, headers: Mapping[str, str]) -> None:
        while not self._done:
            events: list[Event] | None = []
            try:
                if self._client.started and self._probe is None:
                    await self._source.push(self._take)
                if not (self._buffer and self._client.started) and not self._done:
                    events = await self._source.events()
            except UPSTREAM_ERRORS:
                with translated_errors(self._attempt.route, self._deadline):
                    raise
            if events is None:
                return
            await self._process(events, headers)
            if self._client.started:
                self._deadline.within(self._idle)
            else:
                self._deadline.extend(self._idle)

    def _take(self, events: list[Event]) -> bool:
        """Relay events from the read callback, without a task switch; False if `_relay_events` must take over."""
        self._collect(events)
        if self._buffer:
            if not self._client.try_write(bytes(self._buffer)):
                return False
            self._buffer.clear()
        self._deadline.within(self._idle)
        return not self._done

    async def _process(self, events: list[Event], headers: Mapping[str, str]) -> None:
        content = self._collect(events)
        if content:
            self._attempt.first_event()
        out = self._buffer
        if self._probe is not None and self._probe.holding:
            if len(out) <= _MAX_BUFFERED_BYTES and not self._done:
                return
            self._probe.inspect(None, finished=True)
        if out and (self._client.started or self._content or self._held_long_enough()):
            await self._write(headers)

    def _held_long_enough(self) -> bool:
        """Whether what came before the answer is to be sent although nothing of the answer has come yet."""
        now = time.monotonic()
        if self._held_since is None:
            self._held_since = now
        seconds = self._upstream.config.timeouts.first_event_seconds
        return len(self._buffer) > _MAX_BUFFERED_BYTES or now - self._held_since >= seconds

    def _collect(self, events: list[Event]) -> bool:
        """Read the events and add what the client gets of them to the buffer. Returns whether any had content."""
        out = self._buffer
        content = False
        for event in events:
            if self._done:
                break
            info = self._adapter.read_event(event)
            if info.usage is not None:
                self._attempt.usage = info.usage
            if info.usage_only:
                # Kept until the end: the client gets only the last one, and only if it asked for usage.
                self._usage_event = event.raw
                continue
            if info.error is not None:
                if not (self._client.started or content):
                    raise event_failure(self._upstream, info.error, cause=Cause.ERROR_EVENT)
                self._error_seen = True
            if info.finished:
                self._finished.update(info.finished)
            if self._choices > 1:
                self._seen.update(info.seen)
            if info.response_id is not None:
                self._exchange.remember_response(info.response_id)
            if info.content and (self._content or info.finished or self._adapter.has_content(event)):
                content = self._content = True
                self._attempt.events += 1
            elif info.more_usage is not None:
                self._attempt.usage = continued(self._attempt.usage, info.more_usage) or self._attempt.usage
            if info.done:
                # Sent with the last bytes, once the request is settled: a client may close as soon as it has them.
                self._done = event.raw
                break
            out += event.raw if self._relays_raw else self._edited(event, info)
        return content

    def _edited(self, event: Event, info: EventInfo) -> bytes:
        """What the client gets for an event that is not passed on as it came. Raises Escalated."""
        if self._translated is None:
            assert self._probe is not None
            return self._inspected(self._probe, event, info)
        if info.error is not None:
            failure = event_failure(self._upstream, info.error)
            return self._exchange.adapter.error_tail(failure, self._attempt.next_number())
        return self._translated.feed(event)

    def _inspected(self, probe: Probe, event: Event, info: EventInfo) -> bytes:
        """The event without log-probabilities that the client did not ask for. Raises Escalated if the answer fails the
        probe.
        """
        probe.inspect(event.data, finished=bool(info.finished))
        data = event.data or b""
        stripped = probe.strip_logprobs(data)
        if stripped is data:
            return event.raw
        return b"data: %b\n\n" % stripped if stripped else b""

    async def _write(self, headers: Mapping[str, str]) -> None:
        # While the client does not read, the upstream's idle timeout must not fire.
        self._deadline.until_total()
        try:
            if not self._client.started:
                await self._client.start(200, headers)
            await self._client.write(bytes(self._buffer))
        except asyncio.CancelledError:
            if self._deadline.take_cancellation():
                self._client.gone = True
            raise
        self._buffer.clear()

    @property
    def _complete(self) -> bool:
        """Whether all choices have finished: those seen if the upstream sent its end marker, else those requested.

        An upstream that finishes no choice, and says that this was all, is believed if there was an answer.
        """
        if self._done:
            return self._seen <= self._finished if self._finished else self._content
        return len(self._finished) >= self._choices

    def _final_bytes(self, failure: UpstreamFailure | None) -> bytes:
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
                cause=Cause.INVALID_ANSWER,
                code="empty_stream",
            )
        if self._error_seen:
            attempt.outcome, attempt.cause = Outcome.UPSTREAM_ERROR, Cause.ERROR_EVENT
            if self._translated is not None:
                return bytes(self._buffer)
            # Where `[DONE]` ends streams, it ends those with an error, too.
            marker = self._adapter.end_marker if self._adapter.stream_options else b""
            return bytes(self._buffer) + usage + (self._done or marker)
        if complete:
            attempt.outcome = Outcome.OK
            if self._translated is not None:
                return bytes(self._buffer) + self._translated.end(attempt.usage)
            return bytes(self._buffer) + usage + (self._done or self._adapter.end_marker)
        attempt.outcome = Outcome.TRUNCATED
        error = failure or UpstreamFailure(
            502,
            f"The {attempt.route} ended its stream before the answer was complete.",
            retryable=False,
            down=True,
            cause=Cause.INCOMPLETE,
            code="stream_truncated",
        )
        attempt.fail(error)
        return usage + self._exchange.adapter.error_tail(error, attempt.next_number())
