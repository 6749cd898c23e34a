"""The request path of all endpoints: identify -> admit -> plan -> attempts, relayed -> settle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.errors import OverBudget, RequestError, Untranslatable, UpstreamFailure
from breakeven.gateway.proxy.admission import admit, identify, shutting_down
from breakeven.gateway.proxy.attempt import call_upstream
from breakeven.gateway.proxy.decision import plan
from breakeven.gateway.proxy.downstream import AsgiClient, Client, Receive, Reply, Scope, Send
from breakeven.gateway.proxy.escalation import Escalated
from breakeven.gateway.proxy.exchange import Exchange, Plan
from breakeven.gateway.proxy.further import plan_further
from breakeven.gateway.proxy.ownership import check_references, walled
from breakeven.gateway.proxy.portable import again
from breakeven.gateway.proxy.providers import REFUSED, TOO_MANY, in_order
from breakeven.gateway.proxy.reserving import budgeted, reserve, reserve_first
from breakeven.gateway.proxy.settle import conclude
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire import trace_context
from breakeven.router.policy import Route

_log = logging.getLogger("breakeven.relay")


class Relay:
    """The ASGI app of one endpoint, which relays its requests to the upstreams."""

    def __init__(self, adapter: Adapter, services: Callable[[], Services]) -> None:
        """`services` returns those in force now; each request calls it once."""
        self._adapter = adapter
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(AsgiClient(scope, receive, send), scope["method"])

    def serve(self, client: Client, method: str) -> Coroutine[Any, Any, None]:
        """Serve one request of any server."""
        if method != "POST":
            return self.refuse(client, ["POST"], self._adapter)
        return self.relay(client, self._adapter)

    async def refuse(self, client: Client, methods: list[str], adapter: Adapter | None = None) -> None:
        """Answer a request with another method than these with 405, in the shape of the adapter's API."""
        allowed = ", ".join(methods)
        error = RequestError(405, f"Use {allowed} here.", code="method_not_allowed", headers={"allow": allowed})
        await client.finish(_refusal(error, adapter, {"x-request-id": client.request_id}))

    def refusal(self, error: RequestError, headers: dict[str, str]) -> Reply:
        """An error as a whole response, in the shape of the endpoint's API."""
        return _refusal(error, self._adapter, headers)

    async def relay(self, client: Client, adapter: Adapter) -> None:
        """Relay one request. It is settled exactly once: before the last bytes are sent, or soon after them where
        tokens that no usage reported are counted first.
        """
        exchange = Exchange(self._services(), adapter, client.request_id)
        if exchange.services.state.spans is not None:
            exchange.trace = trace_context.begin(client.headers, exchange.services.config.tracing.sample_ratio)
        task = asyncio.current_task()
        assert task is not None
        running = exchange.services.state.running
        running.add(task)
        reply: Reply | None = None
        try:
            reply = await self._respond(exchange, client)
        finally:
            running.discard(task)
            await client.unwatch()
            conclude(exchange)
        if reply is not None:
            await client.finish(reply)

    async def _respond(self, exchange: Exchange, client: Client) -> Reply | None:
        """Run the request up to the last bytes of its response; None where the client has disconnected."""
        try:
            exchange.caller = identify(exchange.services, client)
            reply = await self.answer(exchange, client)
            exchange.outcome = exchange.attempts[-1].outcome if exchange.attempts else Outcome.OK
            exchange.status = reply.status
        except UpstreamFailure as error:
            exchange.outcome, exchange.status = Outcome.UPSTREAM_ERROR, error.status
            reply = _refusal(error, exchange.adapter, exchange.headers())
        except RequestError as error:
            exchange.outcome, exchange.status = Outcome.REJECTED, error.status
            reply = _refusal(error, exchange.adapter, exchange.headers())
        except asyncio.CancelledError:
            return self._cancelled(exchange, client)
        except Exception as error:  # catch-all: the client gets a 500 without details
            _log.error("a request failed inside the gateway: %s", type(error).__name__, exc_info=error)
            exchange.outcome, exchange.status = Outcome.GATEWAY_ERROR, 500
            failure = RequestError(500, "The gateway failed.", type="server_error", code="gateway_error")
            reply = self._failed(failure, exchange, client)
        return reply

    async def answer(self, exchange: Exchange, client: Client) -> Reply:
        """Admit an identified request, decide for an upstream, and ask it. Raises RequestError and CancelledError."""
        exchange.request = await admit(exchange.services, exchange.adapter, exchange.caller, client)
        if exchange.adapter.names_stored and walled(exchange.services):
            await check_references(exchange)
        further = exchange.request.target.model
        exchange.plan = plan(exchange, exchange.request) if further is None else plan_further(exchange, further)
        if exchange.caller is not None and exchange.caller.limited:
            await reserve_first(exchange)
            exchange.services.state.quotas.count(exchange.caller)
        return await self._attempts(exchange, client, exchange.plan)

    def _cancelled(self, exchange: Exchange, client: Client) -> Reply | None:
        """Handle a cancellation: of a client that disconnected, or by the shutdown; any other is raised again."""
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
        """An error as a whole response, or as the end of a stream that has started."""
        if client.started:
            number = exchange.attempts[-1].next_number()
            return Reply(error.status, {}, exchange.adapter.error_tail(error, number))
        return _refusal(error, exchange.adapter, exchange.headers())

    async def _attempts(self, exchange: Exchange, client: Client, plan: Plan) -> Reply:
        route = plan.decision.route
        try:
            return await _ask(exchange, client, route)
        except Escalated:
            exchange.escalated = True
            return await self._escalate(exchange, client, plan)
        except Untranslatable:
            # The other upstream may speak the client's API.
            if not (plan.may_fall_back and _accepts(exchange, plan, route.other)):
                raise
            return await _ask(exchange, client, route.other)
        except UpstreamFailure as failure:
            # The other upstream may have what this one does not know, if it was not relayed by this process.
            elsewhere = plan.may_be_elsewhere and failure.upstream_status in REFUSED
            may_ask = elsewhere or (failure.retryable and plan.may_fall_back)
            if not (may_ask and _accepts(exchange, plan, route.other)):
                raise
            try:
                return await _ask(exchange, client, route.other)
            except (Untranslatable, OverBudget):
                raise failure from None
            except UpstreamFailure as other:
                if _says_more(failure, other, plan):
                    raise failure from None
                raise

    async def _escalate(self, exchange: Exchange, client: Client, plan: Plan) -> Reply:
        """Ask the teacher; if it fails, or the key cannot pay for it, fall back to the student, whose answer is then
        not judged.
        """
        try:
            return await _ask(exchange, client, Route.TEACHER)
        except OverBudget:
            if Route.STUDENT not in exchange.services.available:
                raise
        except UpstreamFailure as failure:
            if not (failure.retryable and plan.may_fall_back and Route.STUDENT in exchange.services.available):
                raise
        return await _ask(exchange, client, Route.STUDENT)


def _accepts(exchange: Exchange, plan: Plan, route: Route) -> bool:
    """Whether an upstream of this route that can take the request accepts one now."""
    if route is Route.TEACHER and plan.providers is not None:
        return plan.providers.available
    return route in exchange.services.available


def _ask(exchange: Exchange, client: Client, route: Route) -> Coroutine[Any, Any, Reply]:
    """Call the upstream of a route; of several providers one after the other until one answers. Raises as
    `call_upstream` does.
    """
    plan = exchange.admitted[1]
    providers, candidate = plan.providers, exchange.services.candidate
    if route is Route.STUDENT and plan.by_candidate and candidate is not None and not exchange.attempts:
        return _ask_candidate(exchange, client, candidate)
    if providers is None or route is Route.STUDENT:
        return _call(exchange, client, exchange.services.upstreams[route])
    return in_order(providers, lambda upstream: _call(exchange, client, upstream))


async def _ask_candidate(exchange: Exchange, client: Client, candidate: Upstream) -> Reply:
    """Call the candidate, and the student in its place where it fails before the first byte. Raises as `call_upstream`
    does.
    """
    student = exchange.services.upstreams[Route.STUDENT]
    try:
        return await _call(exchange, client, candidate)
    except (UpstreamFailure, Untranslatable):
        if not student.available:
            raise
    return await _call(exchange, client, student)


async def _call(exchange: Exchange, client: Client, upstream: Upstream) -> Reply:
    """Call one upstream, and again if need be: see `again`. Raises as `call_upstream` does, and OverBudget where the
    key's budget does not allow it.
    """
    key = budgeted(exchange)
    if key is not None and not await reserve(exchange, key, upstream):
        raise exchange.services.state.quotas.does_not_fit(key)
    try:
        return await call_upstream(exchange, client, upstream)
    except UpstreamFailure as refusal:
        return await again(exchange, upstream, refusal, lambda: call_upstream(exchange, client, upstream))


def _says_more(first: UpstreamFailure, second: UpstreamFailure, plan: Plan) -> bool:
    """Whether the client gets the first failure of two attempts at different upstreams.

    The teacher's 429 stays one. A refusal of what only the other upstream knows says nothing to the client.
    """
    if first.upstream_status == TOO_MANY and plan.decision.route is Route.TEACHER:
        return True
    return plan.may_be_elsewhere and second.upstream_status in REFUSED


def _refusal(error: RequestError, adapter: Adapter | None, headers: dict[str, str]) -> Reply:
    """An error as a whole response, in the shape of the endpoint's API."""
    named = {**headers, "content-type": "application/json", **error.headers}
    return Reply(error.status, named, error.body() if adapter is None else adapter.error_body(error))
