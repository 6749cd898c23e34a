"""Stored responses, their items and conversations belong to the key that made them."""

from __future__ import annotations

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.endpoints.base import Reference
from breakeven.gateway.errors import RequestError
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.runtime.owners import conversation, items_in
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.runtime.stored_responses import Made

_MOST_REFERENCES = 1000


def walled(services: Services) -> bool:
    """Whether there are keys to be kept apart: one needs no wall to itself."""
    return len(services.keys) > 1


async def check_references(exchange: Exchange) -> None:
    """Check that all stored state that a request names is its key's own. Raises RequestError 404, the same for another
    key's as for what does not exist.
    """
    services, caller = exchange.services, exchange.caller
    named = exchange.adapter.references(exchange.admitted_request.body)
    if len(named) > _MOST_REFERENCES:
        raise RequestError(
            400,
            f"The input refers to more than {_MOST_REFERENCES} stored items; send the items themselves.",
            param="input",
            code="too_many_values",
        )
    for one in named:
        name = conversation(one.id) if one.param == "conversation" else one.id
        # A conversation is made elsewhere, and belongs to the first key that has it continued.
        begun = one.param == "conversation"
        passes = one.whole or begun or services.config.auth.unknown_ids == "pass"
        made = await services.state.owners.of(name, patient=begun or not passes, shared=not one.whole)
        if made is None:
            if passes:
                continue
        elif caller is not None and made.maker == caller.name:
            if one.param == "previous_response_id" and services.state.responses.get(one.id) is None:
                services.state.responses.put(one.id, made.route, made.provider)
            continue
        raise _not_found(one)


def note_made(exchange: Exchange) -> None:
    """Note at the end of a request what its answer shows to be its key's: the items of a stored response, and the
    conversation that it continues.
    """
    request, services = exchange.request, exchange.services
    if request is None or exchange.caller is None or not exchange.attempts or not walled(services):
        return
    last = exchange.attempts[-1]
    if exchange.adapter.endpoint is not Endpoint.RESPONSES or last.status is None or not 200 <= last.status < 300:
        return
    if exchange.response_id is None:
        return
    ids = items_in(b"".join(last.segments))
    ids += [conversation(one.id) for one in exchange.adapter.references(request.body) if one.param == "conversation"]
    services.state.owners.note(ids, Made(last.route, last.provider, exchange.caller.name))


def _not_found(one: Reference) -> RequestError:
    if one.param == "previous_response_id":
        return RequestError(
            404,
            "There is no response with the id in previous_response_id; it may have expired, or not be this key's.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if one.param == "conversation":
        return RequestError(
            404,
            "There is no conversation with this id; it may have expired, or not be this key's.",
            param="conversation",
            code="conversation_not_found",
        )
    return RequestError(
        404,
        f"There is no stored item with the id in {one.param}; it may have expired, or not be this key's. "
        "Send the item itself.",
        param=one.param,
        code="item_not_found",
    )
