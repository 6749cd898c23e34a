"""admit -> plan -> attempt* -> relay -> settle: the only request path."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.errors import RequestError, UpstreamFailure
from breakeven.gateway.proxy.admission import admit, identify, shutting_down
from breakeven.gateway.proxy.attempt import ask
from breakeven.gateway.proxy.decision import plan
from breakeven.gateway.proxy.downstream import AsgiClient, Client, Receive, Reply, Scope, Send
from breakeven.gateway.proxy.escalation import Escalated
from breakeven.gateway.proxy.exchange import Exchange, Plan
from breakeven.gateway.proxy.settle import settle
from breakeven.gateway.runtime.services import Services
from breakeven.router.policy import Route

_log = logging.getLogger("breakeven.relay")


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
            exchange.caller = identify(exchange.services, client)
            exchange.asked = await admit(exchange.services, exchange.adapter, exchange.caller, client)
            exchange.plan = plan(exchange, exchange.asked)
            reply = await self._attempts(exchange, client, exchange.plan)
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

    async def _attempts(self, exchange: Exchange, client: Client, plan: Plan) -> Reply:
        route = plan.decision.route
        try:
            return await ask(exchange, client, route)
        except Escalated:
            exchange.escalated = True
            return await self._escalate(exchange, client, plan)
        except UpstreamFailure as failure:
            other = route.other
            # A stored response that this process does not know of may be kept by the other upstream.
            elsewhere = plan.previous is not None and failure.upstream_status == 404
            if not (failure.retryable or elsewhere):
                raise
            if not (plan.may_fall_back and other in exchange.services.available):
                raise
        return await ask(exchange, client, other)

    async def _escalate(self, exchange: Exchange, client: Client, plan: Plan) -> Reply:
        """The teacher answers; where it cannot after all, the student does, as it is."""
        try:
            return await ask(exchange, client, Route.TEACHER)
        except UpstreamFailure as failure:
            if not (failure.retryable and plan.may_fall_back and Route.STUDENT in exchange.services.available):
                raise
        return await ask(exchange, client, Route.STUDENT)


def _reply(error: RequestError, headers: dict[str, str]) -> Reply:
    return Reply(error.status, {**headers, "content-type": "application/json", **error.headers}, error.body())
