"""Requests about stored responses, on the request path of all others: to the upstream that has the response."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.accounting.usage import NO_USAGE
from breakeven.gateway.endpoints.stored_responses import DELETE, INPUT_ITEMS, Operation, StoredResponse
from breakeven.gateway.errors import RequestError, UpstreamFailure
from breakeven.gateway.policy.model_names import Target, teacher_not_allowed
from breakeven.gateway.proxy.admission import counted_workload, shutting_down
from breakeven.gateway.proxy.attempt import call_upstream
from breakeven.gateway.proxy.background import account
from breakeven.gateway.proxy.downstream import AsgiClient, Client, Receive, Reply, Scope, Send
from breakeven.gateway.proxy.exchange import ClientRequest, Exchange, Plan
from breakeven.gateway.proxy.handler import Relay
from breakeven.gateway.proxy.ownership import walled
from breakeven.gateway.proxy.unavailable import overloaded
from breakeven.gateway.proxy.upstream_request import NOT_HONOURED
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire.body import Body
from breakeven.router.policy import STORED, Decision, Hold, Reason, Route

# How an upstream says that it has no such response, or nothing at this path.
_ABSENT = frozenset({404, 405, 501})
# The operator's to set, if anybody's.
_WITHHELD = frozenset({*NOT_HONOURED, "api-version"})


class StoredRelay(Relay):
    """The ASGI app of one path, which relays requests about stored responses."""

    def __init__(self, operations: Mapping[str, Operation], services: Callable[[], Services]) -> None:
        """`operations`: those of the path, by method."""
        self._operations = operations
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = AsgiClient(scope, receive, send)
        operation = self._operations.get(scope["method"])
        if operation is None:
            await self.refuse(client, sorted(self._operations))
            return
        config = self._services().config
        withheld = _WITHHELD.union(*(one.query for one in (*config.upstreams.values(), *config.models)))
        query = scope["query_string"].decode("latin-1")
        await self.relay(client, StoredResponse(operation, scope["path_params"]["id"], query, withheld))

    async def answer(self, exchange: Exchange, client: Client) -> Reply:
        """The answer of the upstream that has the response. Raises RequestError, and as `call_upstream` does."""
        adapter, services = exchange.adapter, exchange.services
        assert isinstance(adapter, StoredResponse)
        if services.state.draining:
            raise shutting_down()
        client.watch()
        services.state.quotas.admit(exchange.caller, free=True)
        services.state.quotas.count(exchange.caller)
        named = counted_workload(services, exchange.caller, client.headers)
        exchange.request = ClientRequest(
            body=Body(b"{}"),
            target=Target(None, None),
            stream=adapter.stream,
            wants_usage=False,
            choices=1,
            may_fall_back=False,
            wants_fallback=False,
            student_only=exchange.caller is not None and not exchange.caller.teacher,
            session=None,
            workload=named,
            unit=services.unit(named),
        )
        return await _ask_in_turn(exchange, client, adapter, await _likely(exchange, adapter))


async def _likely(exchange: Exchange, adapter: StoredResponse) -> list[Upstream]:
    """The upstreams that may have the response, the likelier first; one where it is known. Raises RequestError 404 for
    a response of another key, and 403 for one of the teacher, where the key may not reach that.
    """
    services, caller = exchange.services, exchange.caller
    if not adapter.valid:
        raise not_found()
    made = services.state.stored.get(adapter.id)
    if caller is not None and walled(services):
        made = await services.state.owners.of(adapter.id)
        if (services.config.auth.unknown_ids != "pass") if made is None else (made.maker != caller.name):
            raise not_found()
    route = made.route if made is not None else services.state.responses.get(adapter.id)
    provider = made.provider if made is not None else services.state.responses.provider(adapter.id)
    student_only = exchange.admitted_request.student_only
    if route is Route.MODEL:
        if provider not in services.models:
            raise not_found()
        exchange.services = services.for_model(provider)
        return [services.models[provider]]
    every = [services.upstreams[Route.TEACHER], *services.fallbacks]
    if Route.STUDENT in services.upstreams:
        every = [services.upstreams[Route.STUDENT]] if student_only else [*every, services.upstreams[Route.STUDENT]]
    if route is Route.TEACHER and student_only:
        raise teacher_not_allowed()
    return [one for one in every if (one.route, one.provider) == (route, provider)] or every


async def _ask_in_turn(exchange: Exchange, client: Client, adapter: StoredResponse, likely: list[Upstream]) -> Reply:
    """Ask one upstream after the other until one has the response, and remember which. After the last one raise the
    first failure that says more than that the response is not there, else RequestError 404.
    """
    services = exchange.services
    failures: list[RequestError] = []
    for upstream in likely:
        exchange.plan = _plan(services, upstream.route)
        if not upstream.available:
            failures.append(overloaded(services, upstream.route))
            continue
        try:
            reply = await call_upstream(exchange, client, upstream)
        except UpstreamFailure as failure:
            failures.append(failure)
            continue
        finally:
            _account(exchange, adapter)
        if adapter.operation is DELETE:
            services.state.responses.forget(adapter.id)
            services.state.owners.forget(adapter.id)
        else:
            services.state.responses.put(adapter.id, upstream.route, upstream.provider)
        return reply
    telling = [one for one in failures if not (isinstance(one, UpstreamFailure) and one.upstream_status in _ABSENT)]
    try:
        raise telling[0] if telling else not_found()
    finally:
        # A traceback has this frame: with its failure in here the two would be a cycle.
        del failures, telling


def _account(exchange: Exchange, adapter: StoredResponse) -> None:
    """Account the response of an attempt, if its tokens were not known and it has ended. The attempt itself is free."""
    attempt = exchange.attempts[-1]
    usage, attempt.usage, attempt.unbilled = attempt.usage, NO_USAGE, True
    if attempt.outcome is Outcome.UPSTREAM_ERROR and not usage.complete:
        return
    if adapter.operation is INPUT_ITEMS:
        return
    if adapter.operation is DELETE:
        ended = attempt.outcome is Outcome.OK
    elif adapter.stream:
        ended = usage.complete or attempt.outcome is Outcome.OK
    else:
        ended = adapter.ended(b"".join(attempt.segments))
    waiting = exchange.services.state.stored.take(adapter.id) if ended else None
    if waiting is not None:
        account(exchange.services, waiting, usage)


def _plan(services: Services, route: Route) -> Plan:
    hold = Hold(route, STORED)
    return Plan(Decision(route, Reason.STICKY, None, services.policy.threshold, None, hold))


def not_found() -> RequestError:
    """The 404 for a response that no upstream has, or that another key made: who asks learns no difference."""
    return RequestError(
        404, "There is no stored response with this id; it may have expired.", code="response_not_found"
    )
