"""prepare -> decide -> attempt* -> relay -> settle: the only request path."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from gateway import log
from gateway.answer import Answer
from gateway.client import AsgiClient, Client, Receive, Reply, Scope, Send
from gateway.deadline import Deadline
from gateway.endpoints.base import Adapter
from gateway.errors import RequestError, StaleConnection, UpstreamFailure
from gateway.escalation import Escalated
from gateway.exchange import Attempt, Exchange
from gateway.prepare import prepare, shutting_down, upstream_body, upstream_headers
from gateway.record import Outcome
from gateway.services import Services
from gateway.shadow.draw import offer
from gateway.stream import StreamRelay
from gateway.upstream import CAUGHT, failures, refusal, refused
from gateway.usage import NO_USAGE
from router.policy import Route

_log = logging.getLogger("breakeven.relay")
_encode = msgspec.json.Encoder().encode

_STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class Relay:
    """The ASGI app of one endpoint."""

    def __init__(self, adapter: Adapter, services: Callable[[], Services]) -> None:
        self._adapter = adapter
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(AsgiClient(scope, receive, send), scope["method"])

    async def serve(self, client: Client, method: str) -> None:
        """Answer one request, whatever server it came by."""
        if method != "POST":
            error = RequestError(405, "Use POST here.", code="method_not_allowed", headers={"allow": "POST"})
            await client.finish(_reply(error, {"x-request-id": client.request_id}))
            return
        exchange = Exchange(self._services(), self._adapter, client.request_id)
        task = asyncio.current_task()
        assert task is not None
        running = exchange.services.state.running
        running.add(task)
        reply: Reply | None = None
        try:
            reply = await self._answer(exchange, client)
        finally:
            running.discard(task)
            await client.unwatch()
            settle(exchange)
        if reply is not None:
            await client.finish(reply)

    async def _answer(self, exchange: Exchange, client: Client) -> Reply | None:
        """The bytes that end the answer; None where nobody is there to get them."""
        try:
            await prepare(exchange, client)
            reply = await self._attempts(exchange, client)
            exchange.outcome = exchange.attempts[-1].outcome
            exchange.status = reply.status
        except UpstreamFailure as error:
            exchange.outcome, exchange.status = Outcome.UPSTREAM_ERROR, error.status
            reply = _reply(error, exchange.headers())
        except RequestError as error:
            exchange.outcome, exchange.status = Outcome.REJECTED, error.status
            reply = _reply(error, exchange.headers())
        except asyncio.CancelledError:
            return self._cancelled(exchange, client)
        except Exception as error:  # the last net: nothing of the fault reaches the client
            _log.error("a request failed inside the gateway: %s", type(error).__name__, exc_info=error)
            exchange.outcome, exchange.status = Outcome.GATEWAY_ERROR, 500
            failure = RequestError(500, "The gateway failed.", type="server_error", code="gateway_error")
            reply = self._failed(failure, exchange, client)
        return reply

    def _cancelled(self, exchange: Exchange, client: Client) -> Reply | None:
        """The client went away, or the gateway shuts down; else the cancellation goes on."""
        task = asyncio.current_task()
        assert task is not None
        if client.gone:
            task.uncancel()
            exchange.outcome, exchange.status = Outcome.CLIENT_CANCELLED, 499
            return None
        exchange.outcome, exchange.status = Outcome.GATEWAY_ERROR, 503
        if not exchange.services.state.aborting:
            raise asyncio.CancelledError
        task.uncancel()
        return self._failed(shutting_down(), exchange, client)

    def _failed(self, error: RequestError, exchange: Exchange, client: Client) -> Reply:
        """An error as a whole answer, or as the end of a stream that has begun."""
        if client.started:
            return Reply(error.status, {}, self._adapter.error_tail(error.body()))
        return _reply(error, exchange.headers())

    async def _attempts(self, exchange: Exchange, client: Client) -> Reply:
        assert exchange.decision is not None
        route = exchange.decision.route
        try:
            return await _ask(exchange, client, route)
        except Escalated:
            exchange.escalated = True
            return await self._escalate(exchange, client)
        except UpstreamFailure as failure:
            other = route.other
            # A stored response that this process does not know of may be kept by the other upstream.
            elsewhere = exchange.previous is not None and failure.upstream_status == 404
            if not (failure.retryable or elsewhere):
                raise
            if not (exchange.may_fall_back and other in exchange.services.available):
                raise
        return await _ask(exchange, client, other)

    async def _escalate(self, exchange: Exchange, client: Client) -> Reply:
        """The teacher answers; where it cannot after all, the student does, as it is."""
        try:
            return await _ask(exchange, client, Route.TEACHER)
        except UpstreamFailure as failure:
            if not (failure.retryable and exchange.may_fall_back and Route.STUDENT in exchange.services.available):
                raise
        exchange.probe = None
        return await _ask(exchange, client, Route.STUDENT)


async def _ask(exchange: Exchange, client: Client, route: Route) -> Reply:
    """An attempt, and another one where an idle connection was closed as the first one took it."""
    try:
        return await _attempt(exchange, client, route)
    except StaleConnection:
        return await _attempt(exchange, client, route, fresh=True)


async def _attempt(exchange: Exchange, client: Client, route: Route, *, fresh: bool = False) -> Reply:
    """One call to one upstream. Raises UpstreamFailure only where nothing reached the client."""
    upstream = exchange.services.upstreams[route]
    body = upstream_body(exchange, upstream)
    attempt = exchange.begin(route)
    if exchange.tap is not None:
        exchange.tap.restart()
    timeouts = upstream.config.timeouts
    answer: Answer | None = None
    upstream.in_flight += 1
    upstream.breaker.starting()
    deadline = Deadline(timeouts.total_seconds, min(timeouts.first_event_seconds, timeouts.idle_seconds))
    try:
        if exchange.stream:
            deadline.within(timeouts.first_event_seconds)
        head = upstream_headers(exchange, client)
        answer = await upstream.post(exchange.adapter.path, body, head, deadline, fresh=fresh)
        attempt.status = answer.status
        if not 200 <= answer.status < 300:
            with failures(route, deadline):
                raise await refusal(upstream, answer)
        headers = {**answer.headers, **exchange.headers()}
        if exchange.stream and answer.streams:
            relay = StreamRelay(exchange, attempt, answer, client, deadline)
            reply = await relay.run({**headers, **_STREAM_HEADERS})
        else:
            try:
                reply = Reply(answer.status, headers, await _whole(exchange, attempt, answer, deadline))
            except CAUGHT:
                with failures(route, deadline):
                    raise
        if attempt.outcome is Outcome.OK:
            upstream.breaker.succeeded()
        else:
            upstream.breaker.failed()
        return reply
    except Escalated:
        # A stream was cut off by us; a whole answer had come to its end.
        attempt.outcome = Outcome.TRUNCATED if exchange.stream else Outcome.OK
        upstream.breaker.succeeded()
        raise
    except UpstreamFailure as failure:
        attempt.outcome = Outcome.UPSTREAM_ERROR
        if isinstance(failure, StaleConnection):
            upstream.breaker.released()
        elif failure.down:
            upstream.breaker.failed()
        else:
            upstream.breaker.succeeded()
        raise
    except asyncio.CancelledError:
        attempt.outcome = Outcome.CLIENT_CANCELLED if client.gone else Outcome.GATEWAY_ERROR
        upstream.breaker.released()
        raise
    finally:
        deadline.close()
        upstream.in_flight -= 1
        attempt.end()
        if answer is not None:
            answer.close(complete=attempt.outcome is Outcome.OK)


async def _whole(exchange: Exchange, attempt: Attempt, answer: Answer, deadline: Deadline) -> bytes:
    """A whole JSON answer. What is an error in the clothes of a 200, or no JSON, is the failure that it is."""
    upstream = exchange.services.upstreams[attempt.route]
    parts = []
    while (segment := await answer.segment()) is not None:
        attempt.first_event()
        parts.append(segment)
        deadline.within(upstream.config.timeouts.idle_seconds)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    usage = exchange.adapter.usage(body)
    if usage is None and not answer.streams:
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise refused(upstream, 502, {"message": f"The {attempt.route} answered with something else than JSON."})
        if value.get("error") and "choices" not in value and "object" not in value:
            raise refused(upstream, 502, value["error"])
    if exchange.tap is not None:
        exchange.tap.feed(body)
    exchange.keeps(exchange.adapter.response_id(body))
    attempt.usage = usage or NO_USAGE
    attempt.outcome = Outcome.OK
    if exchange.probe is None or attempt.route is not Route.STUDENT:
        return body
    exchange.probe.look(body, finished=True)
    return exchange.probe.strip(body)


def settle(exchange: Exchange) -> None:
    """Once for each request: metrics, log line and ledger from one record."""
    record = exchange.record()
    encoded = _encode(record)
    exchange.services.state.quotas.settle(exchange.client_key, record)
    exchange.services.metrics.settle(record)
    if record.attempts:
        exchange.services.ledger.settle(record, encoded)
        if exchange.services.config.ledger.store_prompts and record.score is not None:
            assert exchange.conversation_seen is not None
            exchange.services.state.prompts.add(record.id, record.at, exchange.conversation_seen.text)
    offer(exchange, record)
    if exchange.conversation is not None and record.route is not None and record.outcome is Outcome.OK:
        exchange.services.state.conversations.remember(exchange.conversation, record.route, time.monotonic())
    log.settled(encoded)


def _reply(error: RequestError, headers: dict[str, str]) -> Reply:
    return Reply(error.status, {**headers, "content-type": "application/json", **error.headers}, error.body())
