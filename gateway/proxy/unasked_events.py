"""A stream that comes although none was asked for: no answer for the client, but one that the upstream charges for."""

from __future__ import annotations

import asyncio

from breakeven.gateway.accounting.usage import continued
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.errors import Cause, UpstreamFailure
from breakeven.gateway.proxy.attempt_state import MAX_KEPT_BYTES, Attempt
from breakeven.gateway.upstreams.failures import event_failure
from breakeven.gateway.wire.sse import Event, Scanner, starts_events

# So many bytes are read in one turn of the event loop.
_SLICE_BYTES = 1 << 14


async def check_no_events(attempt: Attempt, adapter: Adapter, body: bytes) -> None:
    """Raise UpstreamFailure for a whole answer that is a stream of events, with the usage that it reports noted.

    The client waits for JSON, and another upstream may have it.
    """
    if await note_events(attempt, adapter, body):
        raise UpstreamFailure(
            502,
            f"The {attempt.route} answered with a stream of events, although none was asked for.",
            upstream_status=attempt.status,
            retryable=True,
            down=True,
            cause=Cause.INVALID_ANSWER,
            detail="a stream of events, although none was asked for",
            code="upstream_invalid_answer",
        )


async def note_events(attempt: Attempt, adapter: Adapter, body: bytes) -> bool:
    """Whether a whole answer is a stream of events, whose usage is then noted. Raises UpstreamFailure for an error
    before any content.
    """
    if not starts_events(body):
        return False
    attempt.segments = [body[:MAX_KEPT_BYTES]]
    scanner = Scanner(attempt.upstream.config.max_event_bytes)
    for start in range(0, len(body), _SLICE_BYTES):
        _read(attempt, adapter, scanner.feed(body[start : start + _SLICE_BYTES]))
        if start + _SLICE_BYTES >= MAX_KEPT_BYTES and attempt.kept_events is None:
            attempt.kept_events = attempt.events
        await asyncio.sleep(0)
    last = scanner.flush()
    if last is not None:
        _read(attempt, adapter, [last])
    return True


def _read(attempt: Attempt, adapter: Adapter, events: list[Event]) -> None:
    """Note what the events report. Raises UpstreamFailure for an error before any content."""
    for event in events:
        info = adapter.read_event(event)
        if info.usage is not None:
            attempt.usage = info.usage
        elif info.more_usage is not None:
            attempt.usage = continued(attempt.usage, info.more_usage) or attempt.usage
        if info.error is not None and not attempt.events:
            raise event_failure(attempt.upstream, info.error, Cause.ERROR_EVENT)
        attempt.events += info.content and adapter.has_content(event)
