"""The choice of the transport to an upstream: by its config, and by what that needs."""

from __future__ import annotations

import logging

from breakeven.gateway.config.outbound import Outbound
from breakeven.gateway.config.proxies import proxy_of
from breakeven.gateway.config.tls import proxy_tls_context, tls_context
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.upstreams.transports.direct import DirectTransport
from breakeven.gateway.upstreams.transports.interface import Origin, Transport

# Below vLLM's keep-alive of 5 seconds: a POST on a connection that the server is just closing fails.
_KEEP_ALIVE_SECONDS = 4.0

_log = logging.getLogger("breakeven.upstream")


def open_transport(name: str, section: Outbound, connect_seconds: float) -> Transport:
    """The transport to the upstream `name`: the direct one unless there is a proxy or the config names the other.

    Must run in the event loop. Raises ConfigError for certificates and proxies that cannot be used.
    """
    try:
        proxy = proxy_of(section)
        origin = Origin(
            base_url=section.base_url,
            query=section.query_string(),
            headers={"accept-encoding": "identity", "user-agent": "breakeven", **section.request_headers()},
            connect_seconds=connect_seconds,
            keep_seconds=_KEEP_ALIVE_SECONDS,
            tls=tls_context(section),
            proxy=proxy,
            proxy_tls=proxy_tls_context(section, proxy),
        )
    except ValueError as error:
        raise ConfigError([f"{name}: {error}"]) from None
    if proxy is None and section.transport != "httpx2":
        return DirectTransport(origin)
    if proxy is not None:
        _log.info("requests to the %s go through the proxy %s, from %s", name, proxy.address, proxy.given_by)
    # Imported where it is used: it takes longer to load than the rest of the gateway's data plane.
    from breakeven.gateway.upstreams.transports.httpx2_transport import Httpx2Transport

    return Httpx2Transport(origin)
