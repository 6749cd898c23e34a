"""What goes upstream: the client's body with only the edits that one upstream needs, and the headers beside it."""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.proxy.downstream import Client
from breakeven.gateway.proxy.escalation import Probe
from breakeven.gateway.proxy.exchange import Asked
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire.body import Body

# The headers of a client that go upstream; all others, keys and cookies among them, stay here.
_PASSED = ("openai-beta", "traceparent", "tracestate")
_TRUE = msgspec.Raw(b"true")
# Fields in which other gateways take an address or a key from the client; they end here.
NOT_HONOURED = ("api_key", "api_base", "base_url")


def upstream_body(asked: Asked, adapter: Adapter, upstream: Upstream, probe: Probe | None) -> bytes:
    """The client's body with what one upstream needs otherwise, and nothing else changed.

    `probe` adds what it needs to judge the answer, None where the answer is not judged.
    """
    body = asked.body.copy()
    body.set("model", upstream.config.model)
    for name in NOT_HONOURED:
        body.remove(name)
    if asked.stream and adapter.stream_options:
        options: dict[str, Any] = body.get("stream_options", dict[str, msgspec.Raw], "an object") or {}
        if options.get("include_usage") != _TRUE:
            body.set("stream_options", {**options, "include_usage": True})
    if adapter.renames_limit:
        one_output_limit(body, upstream.config.max_tokens_field)
    if probe is not None:
        probe.ask(body)
    return body.encode()


def upstream_headers(client: Client, *, stream: bool) -> dict[str, str]:
    """The headers of a request upstream, without authorization."""
    headers = {"content-type": "application/json", "x-request-id": client.request_id}
    headers["accept"] = "text/event-stream" if stream else "application/json"
    for name in _PASSED:
        if name in client.headers:
            headers[name] = client.headers[name]
    return headers


def one_output_limit(body: Body, field: str | None) -> None:
    """Leave one spelling of the output limit: `field` where the upstream takes only that."""
    older, newer = "max_tokens", "max_completion_tokens"
    if older in body and newer in body:
        body.remove(older)
    if field is not None:
        body.rename(older if field == newer else newer, field)
