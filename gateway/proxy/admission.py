"""Admission: authentication, limits, and checking of the request body, before anything is sent upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.errors import RequestError
from breakeven.gateway.limits.keys import client_key
from breakeven.gateway.limits.local_access import check_local_access
from breakeven.gateway.policy import model_names
from breakeven.gateway.proxy.downstream import Client
from breakeven.gateway.proxy.exchange import ClientRequest
from breakeven.gateway.proxy.session import session_id
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.wire.body import Body, as_boolean
from breakeven.gateway.wire.form import MULTIPART, Form
from breakeven.gateway.wire.json_values import has_more_values

_NO_VERSIONS: Mapping[str, str] = {}
# How many times as many values a body may have that is passed on unread.
_OPAQUE_TIMES = 10
_OFF = frozenset({"false", "0", "off", "no"})


def identify(services: Services, client: Client) -> ClientKey | None:
    """The configured key that the request carries; None where the config has no keys.

    Raises RequestError 401 for a wrong key, and without keys 403 for what a website may have sent.
    """
    if not services.keys:
        check_local_access(client.headers, "POST", services.config.server)
    return client_key(services.keys, client.headers)


async def admit(services: Services, adapter: Adapter, caller: ClientKey | None, client: Client) -> ClientRequest:
    """Read and check the body, check the caller's limits, and resolve the model name.

    Raises RequestError: 400 (invalid body), 403 (not allowed), 404 (unknown model), 408 (body timeout), 413 (body too
    large), 415 (unknown encoding), 429 (limit reached), and 503 while the gateway shuts down.
    """
    if services.state.draining:
        raise shutting_down()
    server = services.config.server
    raw = await client.read_body(server.max_body_bytes, server.read_seconds)
    body = await _read(adapter, client, raw, server.max_body_values)
    client.watch()
    if client.deployment is not None:
        body.set("model", client.deployment)
    over_budget = services.state.quotas.admit(caller, free=not adapter.in_ledger)
    adapter.check(body)
    if caller is not None and caller.max_output_tokens is not None:
        _limit_output(adapter, body, caller.max_output_tokens)
    stream = adapter.streams and body.boolean("stream")
    choices = adapter.choices(body)
    options: dict[str, Any] = body.get("stream_options", dict[str, Any], "an object") or {}
    fallback = client.headers.get("x-breakeven-fallback")
    wants_fallback = fallback is None or fallback.strip().lower() not in _OFF
    named = target(services, adapter, body, caller)
    if over_budget and named.model is not None:
        raise services.state.quotas.over_budget()
    named_workload = counted_workload(services, caller, client.headers)
    return ClientRequest(
        body=body,
        target=named,
        stream=stream,
        wants_usage=stream and as_boolean(options.get("include_usage")) is True,
        choices=choices,
        may_fall_back=services.config.routing.fallback and wants_fallback,
        wants_fallback=wants_fallback,
        student_only=over_budget or (caller is not None and not caller.teacher),
        session=session_id(client.headers, body) if services.config.routing.sticky else None,
        workload=named_workload,
        unit=services.unit(named_workload),
        versions=_versions(adapter, client) if adapter.version_headers else _NO_VERSIONS,
    )


def _limit_output(adapter: Adapter, body: Body, most: int) -> None:
    """Give a body that names no limit of output tokens that of its key. Raises RequestError 403 for a higher one: an
    answer cut off where the client did not expect it would be taken for the whole one.
    """
    field = adapter.limit_field
    if field is None:
        return
    asked = adapter.max_output_tokens(body)
    if asked is None:
        body.set(field, most)
    elif asked > most:
        raise RequestError(
            403,
            f"This key may ask for at most {most} output tokens in one answer; send a smaller limit.",
            type="permission_error",
            param=field,
            code="max_tokens_not_allowed",
        )


def _versions(adapter: Adapter, client: Client) -> Mapping[str, str]:
    """The client's headers that name the version of the endpoint's API."""
    return {name: client.headers[name] for name in adapter.version_headers if name in client.headers}


async def _read(adapter: Adapter, client: Client, raw: bytes, most: int) -> Body:
    """The body as JSON of at most `most` values, or at a path that only further models have as a form, if content-type
    says so.
    """
    kind = client.headers.get("content-type", "") if adapter.opaque else ""
    if kind.lower().startswith(MULTIPART):
        return Form(raw, kind)
    most *= _OPAQUE_TIMES if adapter.opaque else 1
    # Shorter ones cannot have as many. In a thread, since all streams wait for the event loop.
    if len(raw) >= 2 * most and await asyncio.to_thread(has_more_values, raw, most):
        raise RequestError(
            400,
            f"The body has more than {most} values; send less in one request, or raise server.max_body_values.",
            code="too_many_values",
        )
    return Body(raw)


def workload(services: Services, caller: ClientKey | None, headers: Mapping[str, str]) -> str:
    """The workload that the client names, if the config has it; else its key's, else the default one."""
    named = headers.get("x-breakeven-workload", "")
    if named in services.workloads:
        return named
    return (caller.workload if caller is not None else None) or DEFAULT_WORKLOAD


def counted_workload(services: Services, caller: ClientKey | None, headers: Mapping[str, str]) -> str:
    """The same; a name that the config does not have is said to the operator."""
    named = headers.get("x-breakeven-workload", "")
    if named and named not in services.workloads:
        services.state.unknown_workloads.note(named)
    return workload(services, caller, headers)


def target(services: Services, adapter: Adapter, body: Body, caller: ClientKey | None = None) -> model_names.Target:
    """What the body's `model` selects at this endpoint. Raises RequestError 404 for an unknown name, and for a model
    that does not have this path, 400 for a bad threshold or type, 403 for what the caller may not ask for.
    """
    named = model_names.resolve(body.get("model", str, "a string"), services.config, caller)
    if named.model is not None or adapter.opaque:
        _check_path(services, adapter, named.model)
    if named.pin is None and adapter.unrouted in services.upstreams:
        return model_names.Target(adapter.unrouted, None)
    return named


def _check_path(services: Services, adapter: Adapter, model: str | None) -> None:
    """Raise RequestError 404 where the further model, None for what is none, does not have the endpoint's path. What
    the gateway has below a path, such as the count of a message's tokens, comes with it.
    """
    path = adapter.path
    section = next((one for one in services.config.models if one.name == model), None)
    if section is None:
        raise RequestError(
            404,
            f"Only further models have the path /v1{path}; send the name of one that has it as 'model'.",
            param="model",
            code="model_not_found",
        )
    if path not in section.paths and (adapter.opaque or path.rpartition("/")[0] not in section.paths):
        raise RequestError(
            404,
            f"This model does not have the path /v1{path}; it has {', '.join(f'/v1{has}' for has in section.paths)}.",
            param="model",
            code="path_not_supported",
        )


def shutting_down() -> RequestError:
    """The 503 for requests that arrive, or are aborted, during a graceful shutdown."""
    return RequestError(
        503,
        "The gateway is shutting down; try again.",
        type="server_error",
        code="draining",
        headers={"retry-after": "1"},
    )
