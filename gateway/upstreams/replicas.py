"""How many replicas of the student are running, and how many have requests: from vLLM's metrics or from Prometheus.

For a replica of `vllm_metrics` there are three cases. Its metrics have vLLM's series: it is up. The connection is
refused: it is down, and counts as 0. Anything else, such as a timeout, a name that cannot be resolved or an answer
without vLLM's series, says nothing about it: then nothing is observed at all, since the number of replicas would be
wrong. An empty answer of Prometheus says nothing either; only a 0 that it gives is 0 replicas.
"""

from __future__ import annotations

import asyncio
import functools
import json
import math
import socket
import ssl
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from breakeven.gateway.config.hosting import HostingObserved
from breakeven.gateway.errors import NotObserved
from breakeven.gateway.upstreams.connection import Connection

_RUNNING = "vllm:num_requests_running"
_TOKENS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")
_MAX_BODY_BYTES = 1 << 25
_HEADERS = "accept-encoding: identity\r\nconnection: close\r\nuser-agent: breakeven\r\n"
_SECTION = "student.hosting_observed"


class Replica(NamedTuple):
    """One running vLLM: whether it has requests now, and the tokens that it has processed since it started."""

    busy: bool
    tokens: float


class Sample(NamedTuple):
    """Replicas that run now, and how many of them have requests; None where that is not measured.

    `each` has the replicas by address; None where only their number is known.
    """

    replicas: float
    busy: float | None
    each: dict[str, Replica] | None

    def active(self, later: Sample) -> float | None:
        """How many of these replicas may have processed a token until the sample `later`; None if not measured.

        One that is gone or has restarted by then is among them: what it did is not known.
        """
        if self.each is None or later.each is None:
            return None
        return float(sum(one.busy or later.each.get(at) != one for at, one in self.each.items()))


async def sample(config: HostingObserved, seconds: float) -> Sample:
    """Look once, waiting for each answer at most `seconds`. Raises NotObserved, with the config's key in its text."""
    if config.prometheus_url is not None:
        return await _from_prometheus(config, config.prometheus_url, seconds)
    looked = await asyncio.gather(
        *(_from_vllm(f"{_SECTION}.vllm_metrics[{n}]", url, seconds) for n, url in enumerate(config.vllm_metrics)),
        return_exceptions=True,
    )
    each: dict[str, Replica] = {}
    for found in looked:
        if isinstance(found, BaseException):
            raise found
        each |= found
    return Sample(float(len(each)), float(sum(one.busy for one in each.values())), each)


def read_vllm(text: str) -> Replica | None:
    """What the metrics of one vLLM say, all of its engines and models together; None without vLLM's series."""
    running, tokens, found = 0.0, 0.0, False
    for line in text.splitlines():
        if not line.startswith("vllm:"):
            continue
        name = line.partition("{")[0].partition(" ")[0]
        if name == _RUNNING or name in _TOKENS:
            try:
                value = float(line[len(name) :].rpartition("}")[2].split()[0])
            except (ValueError, IndexError):
                return None
            if name == _RUNNING:
                running, found = running + value, True
            else:
                tokens += value
    return Replica(running > 0, tokens) if found else None


def read_prometheus(body: bytes) -> float:
    """The single number of an instant query's answer. Raises ValueError that says what it is instead."""
    try:
        answer = json.loads(body)
        if answer["status"] != "success":
            raise ValueError(f"is refused: {str(answer.get('error'))[:200]}")
        kind, result = answer["data"]["resultType"], answer["data"]["result"]
        rows = [result] if kind == "scalar" else [row["value"] for row in result]
        values = [float(value) for _, value in rows]
    except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError):
        raise ValueError("has an answer that is not Prometheus'; check prometheus_url") from None
    if len(values) != 1:
        what = f"{len(values)} series; put sum() around it" if values else "no series; check its names and labels"
        raise ValueError(f"must give one number and gives {what}")
    if not math.isfinite(values[0]) or values[0] < 0:
        raise ValueError(f"must give a number that is not negative and gives {values[0]:g}")
    return values[0]


async def _from_vllm(key: str, url: str, seconds: float) -> dict[str, Replica]:
    """The replicas that are up behind this URL, by address."""
    parts = urlsplit(url)
    addresses = await _resolve(key, parts, seconds)
    found = await asyncio.gather(*(_replica(key, parts, address, seconds) for address in addresses))
    pairs = zip(addresses, found, strict=True)
    return {f"{address}:{_port(parts)}{parts.path}": one for address, one in pairs if one is not None}


async def _replica(key: str, parts: SplitResult, address: str, seconds: float) -> Replica | None:
    """The replica at an address; None if it is down."""
    try:
        status, body = await _get(key, parts, address, parts.path, seconds)
    except ConnectionRefusedError:
        return None
    one = read_vllm(body.decode("utf-8", "replace")) if status == 200 else None
    if one is None:
        said = "without vLLM's series" if status == 200 else f"with status {status}"
        raise NotObserved(f"{key}: answers {said}; give the /metrics of a vLLM replica")
    return one


async def _from_prometheus(config: HostingObserved, url: str, seconds: float) -> Sample:
    parts = urlsplit(url)

    async def ask(name: str, query: str) -> float:
        key = f"{_SECTION}.{name}"
        try:
            return read_prometheus(await _ask(f"{_SECTION}.prometheus_url", parts, query, seconds))
        except ValueError as error:
            raise NotObserved(f"{key}: {error}") from None

    assert config.replicas_query is not None, "checked by the config schema"
    replicas = await ask("replicas_query", config.replicas_query)
    if config.busy_query is None:
        return Sample(replicas, None, None)
    return Sample(replicas, min(replicas, await ask("busy_query", config.busy_query)), None)


async def _ask(key: str, parts: SplitResult, query: str, seconds: float) -> bytes:
    """The answer to an instant query by the first address of Prometheus that accepts a connection."""
    for address in await _resolve(key, parts, seconds):
        try:
            status, body = await _get(key, parts, address, f"{parts.path}/api/v1/query?query={quote(query)}", seconds)
        except ConnectionRefusedError:
            continue
        # Prometheus explains an invalid query in a body like that of a valid one.
        if status not in (200, 400, 422):
            raise NotObserved(f"{key}: answers with status {status}; check the URL, and that it needs no login")
        return body
    raise NotObserved(f"{key}: refuses connections; check that Prometheus runs")


async def _resolve(key: str, parts: SplitResult, seconds: float) -> list[str]:
    """The addresses of a host name: the IPv4 ones if there are any, since one machine may have one of each kind."""
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        raise NotObserved(f"{key}: its host name cannot be resolved; check the name") from None
    return _one_family([(family, str(address[0])) for family, _, _, _, address in found])


def _one_family(found: Sequence[tuple[Any, str]]) -> list[str]:
    of_ipv4 = [address for family, address in found if family == socket.AF_INET]
    return list(dict.fromkeys(of_ipv4 or [address for _, address in found]))


async def _get(key: str, parts: SplitResult, address: str, target: str, seconds: float) -> tuple[int, bytes]:
    """Status and body of a GET at one address. Raises ConnectionRefusedError, and NotObserved for all other faults."""
    tls = _tls() if parts.scheme == "https" else None
    connection: Connection | None = None
    try:
        async with asyncio.timeout(seconds):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(lambda _: None),
                address,
                _port(parts),
                ssl=tls,
                server_hostname=parts.hostname if tls is not None else None,
            )
            target = quote(target, safe="/%:=&~+!$,;'@()*?")
            connection.send(f"GET {target} HTTP/1.1\r\nhost: {parts.netloc}\r\n{_HEADERS}\r\n".encode(), b"")
            await connection.head()
            body, size = [], 0
            while size <= _MAX_BODY_BYTES and (part := await connection.read()) is not None:
                body.append(part)
                size += len(part)
            return connection.status, b"".join(body)
    except ConnectionRefusedError:
        raise
    except TimeoutError:
        raise NotObserved(f"{key}: does not answer within {seconds:g} s") from None
    # uvloop raises RuntimeError for some failed connects.
    except (OSError, RuntimeError) as error:
        raise NotObserved(f"{key}: cannot be reached ({type(error).__name__})") from None
    finally:
        if connection is not None:
            connection.close()


@functools.cache
def _tls() -> ssl.SSLContext:
    # Made once: it reads all certificates of the system.
    return ssl.create_default_context()


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
