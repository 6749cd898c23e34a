"""Which proxy requests to an upstream go through: the config's, else that of the environment variables."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from breakeven.gateway.config.outbound import FromEnvironment, Outbound, check_proxy


class Proxy(NamedTuple):
    """The URL of a proxy, with its user and password if it has them, and where it was given, for messages."""

    url: str
    given_by: str

    @property
    def address(self) -> str:
        """Host and port, without user and password."""
        return self.url.partition("//")[2].rpartition("@")[2].rstrip("/")


def proxy_of(section: Outbound, environment: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy for an upstream, None where requests go to it directly.

    `environment` is os.environ by default. Raises ValueError, without the URL in its text, for a URL that is no HTTP
    proxy's, and where the transport cannot use one.
    """
    known = os.environ if environment is None else environment
    if section.proxy == "direct":
        return None
    if isinstance(section.proxy, FromEnvironment):
        found = Proxy(known[section.proxy.env], section.proxy.env)
    elif section.proxy is not None:
        return Proxy(section.proxy, "proxy")
    else:
        from_variables = _from_variables(section.base_url, known)
        if from_variables is None:
            return None
        found = from_variables
    try:
        check_proxy(found.url)
    except ValueError as error:
        raise ValueError(f"the environment variable {found.given_by} {error}") from None
    if section.transport == "direct":
        raise ValueError(
            f"transport: direct cannot use the proxy of {found.given_by}; set transport to auto, or proxy to direct"
        )
    return found


def _from_variables(base_url: str, known: Mapping[str, str]) -> Proxy | None:
    """The proxy that the usual variables give, in lower or upper case, the lower case first; loopback has none."""
    parts = urlsplit(base_url)
    host = (parts.hostname or "").rstrip(".")
    if _loopback(host):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if variable in known:
                url = known[variable]
                if not url:
                    break
                if _excepted(host, parts.port or (443 if parts.scheme == "https" else 80), known):
                    return None
                return Proxy(url if "://" in url else f"http://{url}", variable)
    return None


def _excepted(host: str, port: int, known: Mapping[str, str]) -> bool:
    """Whether NO_PROXY names this host: by `*`, its name or a parent's, its address, or a network; with any port or
    this one.
    """
    for entry in re.split(r"[,\s]+", known.get("no_proxy", known.get("NO_PROXY", "")).lower()):
        if entry == "*":
            return True
        name, given, only = entry.rpartition(":") if _has_port(entry) else (entry, "", "")
        if given and only != str(port):
            continue
        name = name.strip("[]").removeprefix("*").removeprefix(".").rstrip(".")
        if not name:
            continue
        if host == name or host.endswith(f".{name}"):
            return True
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
    return False


def _has_port(name: str) -> bool:
    # An IPv6 address has several colons, and a port only behind brackets.
    return "]:" in name or name.count(":") == 1


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
