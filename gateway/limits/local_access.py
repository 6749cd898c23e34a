"""Who may use a gateway without keys: programs on this machine, and no page of a website in its browser.

Listening on loopback keeps other machines out, but not what runs in a browser here. A website may send simple POSTs to
127.0.0.1, whose `origin` header names the site. And it may have its own name resolve to 127.0.0.1 (DNS rebinding); its
requests are then of the same origin and it can read the answers, but their `host` header has its name.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping

from breakeven.gateway.config.server import Server
from breakeven.gateway.errors import RequestError

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\]|([A-Za-z0-9_.-]+))(?::[0-9]*)?")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def check_local_access(headers: Mapping[str, str], method: str, server: Server) -> None:
    """Raise RequestError 403 for a request that a website may have made. `headers`: names in lower case.

    Allowed hosts are IP addresses, localhost, names without a dot, and `server.allowed_hosts`. Allowed origins are that
    of the gateway itself, those on loopback (pages of programs on this machine), and `server.cors_origins`.
    """
    host = headers.get("host", "")
    if host and not _is_local(host) and _name(host) not in server.allowed_hosts:
        raise RequestError(
            403,
            "The gateway has no keys, so it answers under local host names only; use 127.0.0.1 or localhost, "
            "or add this host to server.allowed_hosts.",
            type="permission_error",
            code="host_not_allowed",
        )
    origin = headers.get("origin")
    if origin is None:
        # Browsers tell with it how a page relates to the address that it asks.
        foreign = method not in _READING and headers.get("sec-fetch-site") == "cross-site"
    else:
        place = origin.partition("://")[2].lower()
        foreign = not ((place and place == host.lower()) or _is_loopback(place) or origin in server.cors_origins)
    if foreign:
        raise RequestError(
            403,
            "The gateway has no keys, so it refuses requests from pages of other origins; "
            "add the origin to server.cors_origins.",
            type="permission_error",
            code="origin_not_allowed",
        )


@functools.lru_cache(maxsize=256)
def _is_local(host: str) -> bool:
    """Whether no website can have this host: an IP address, localhost, or a name without a dot, which only the
    machine's own network resolves, such as that of a container.
    """
    name = _name(host)
    if name.endswith(".localhost") or (name and not ("." in name or ":" in name)):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    name = _name(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """The name or address in a host header, without the port, in lower case; empty if it is not well-formed."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower().rstrip(".") if found else ""
