"""Why an attempt at an upstream failed: the cause of each error, what it means, and how to mend it."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import NamedTuple

from breakeven.gateway.errors import Cause

# X509_V_ERR_*, from OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAMES = (62, 64)  # of a host, and of an IP address
_ERRNO = re.compile(r"\[Errno (\d+)\]")


class Advice(NamedTuple):
    """What a cause means, and what to do about it, each a phrase without a full stop at its end."""

    meaning: str
    remedy: str


ADVICE: dict[Cause, Advice] = {
    Cause.REFUSED: Advice(
        "nothing listens at its address", "start the server, or correct the host and port of base_url"
    ),
    Cause.DNS: Advice(
        "its host name cannot be resolved", "correct the host of base_url, or the DNS of this machine or pod"
    ),
    Cause.UNREACHABLE: Advice(
        "there is no route to its address", "check the network, and firewalls between here and it"
    ),
    Cause.CONNECT_TIMEOUT: Advice(
        "no connection within timeouts.connect_seconds",
        "look for a firewall that drops packets or an overloaded server; a server far away needs a longer timeout",
    ),
    Cause.NO_FILES: Advice(
        "this gateway has no file left to open a connection with",
        "raise the limit of open files (ulimit -n, LimitNOFILE), or lower server.max_connections",
    ),
    Cause.TLS_UNTRUSTED: Advice(
        "its certificate is signed by nobody whom this machine trusts",
        "name the file of its certificate authority in ca_file, or add it to the system's store, and restart",
    ),
    Cause.TLS_WRONG_NAME: Advice(
        "its certificate is for another name than the host of base_url",
        "use a host that the certificate names, or have a certificate made for this one",
    ),
    Cause.TLS_EXPIRED: Advice(
        "its certificate has expired, or is not valid yet", "have it renewed; check the clock of this machine"
    ),
    Cause.TLS: Advice(
        "no TLS connection could be agreed on",
        "if the server speaks plain HTTP, write http:// in base_url; else look at the TLS versions that it allows, and "
        "whether it asks for a client certificate (client_cert)",
    ),
    Cause.PROXY: Advice(
        "the proxy before it cannot be reached, or refused to connect",
        "correct proxy, or the environment variable that gives it; check the proxy's rules, and the user and password "
        "in its URL",
    ),
    Cause.FIRST_EVENT_TIMEOUT: Advice(
        "a stream did not begin within timeouts.first_event_seconds",
        "look at the server's queue and load; long prompts may need a longer timeout",
    ),
    Cause.IDLE_TIMEOUT: Advice(
        "an answer stopped for timeouts.idle_seconds before its end", "look at the server's log and load"
    ),
    Cause.TOTAL_TIMEOUT: Advice(
        "an answer took longer than timeouts.total_seconds",
        "raise the timeout for long answers, or have clients limit their length",
    ),
    Cause.RESET: Advice(
        "the connection was reset before the answer was complete",
        "look at the server's log for a crash, and at proxies and load balancers between here and it",
    ),
    Cause.CLOSED: Advice(
        "the connection was closed before the answer was complete",
        "look at the server's log for a crash or a restart, and at time limits of proxies between here and it",
    ),
    Cause.STALE_CONNECTION: Advice(
        "an idle connection was closed as it was used again; the request was repeated on a new one",
        "nothing, unless it is frequent: then the server keeps idle connections for less than 4 seconds",
    ),
    Cause.PROTOCOL: Advice(
        "what it sent is not HTTP/1.1, or cannot be decoded",
        "check the port of base_url, and whether it is https:// that the server expects",
    ),
    Cause.INVALID_ANSWER: Advice(
        "it answered with success, and the body is no answer",
        "check the path of base_url: it ends in /v1 for most servers; a proxy's login page looks like this, too",
    ),
    Cause.INCOMPLETE: Advice("a stream ended properly, but before the answer was complete", "look at the server's log"),
    Cause.ERROR_EVENT: Advice(
        "it reported an error inside an answer that had begun with success", "look at the server's log"
    ),
    Cause.KEY_REFUSED: Advice(
        "it refused the key (401 or 403)",
        "check the environment variable that api_key_env names, and what the key is allowed to use",
    ),
    Cause.MODEL_NOT_FOUND: Advice(
        "it does not serve the configured model", "correct model; `breakeven check --live` lists what is served"
    ),
    Cause.QUOTA_SPENT: Advice(
        "the account's credit or quota is spent", "add credit or raise the limit at the provider"
    ),
    Cause.RATE_LIMITED: Advice(
        "it limits the rate of requests (429)", "ask the provider for a higher limit, or lower max_concurrency"
    ),
    Cause.OVERLOADED: Advice("it is overloaded (503 or 529)", "add replicas or lower max_concurrency; at an API, wait"),
    Cause.SERVER_ERROR: Advice(
        "it failed (another 5xx, or 408)", "look at the server's log; at an API, see the provider's status page"
    ),
    Cause.REDIRECT: Advice(
        "it redirects, or answers with a status that is neither success nor error",
        "write the address that it redirects to in base_url; redirects are not followed",
    ),
    Cause.CONTEXT_OVERFLOW: Advice(
        "a prompt did not fit into the model's context window",
        "set context_window to what the server has, so that long prompts are not sent there",
    ),
    Cause.NOT_FOUND: Advice(
        "it has no such endpoint, or not the stored response that a request continues (404)",
        "nothing for single requests; if all fail, check the path of base_url",
    ),
    Cause.BAD_REQUEST: Advice(
        "it refused a request (another 4xx)", "the client's request has to change; the error that it got says how"
    ),
}
# Those of a single request, or none at all: they say nothing against the upstream.
OF_THE_REQUEST = frozenset({Cause.STALE_CONNECTION, Cause.CONTEXT_OVERFLOW, Cause.NOT_FOUND, Cause.BAD_REQUEST})


def connect_cause(error: Exception) -> tuple[Cause, str]:
    """The cause of an error while a connection was opened, and what the library said; that may name the host."""
    if out_of_files(error):
        return Cause.NO_FILES, ""
    if isinstance(error, ssl.SSLError):
        return _tls_cause(error)
    if isinstance(error, socket.gaierror | UnicodeError):
        return Cause.DNS, ""
    if isinstance(error, ConnectionRefusedError):
        return Cause.REFUSED, ""
    if isinstance(error, TimeoutError):
        return Cause.CONNECT_TIMEOUT, ""
    if isinstance(error, ConnectionError):
        # In the handshake, since a connection that is being opened is refused, not reset.
        return Cause.RESET, "in the TLS handshake"
    # Of several addresses, each failed in its own way: one that refuses is there.
    numbers = {int(number) for number in _ERRNO.findall(str(error))}
    if errno.ECONNREFUSED in numbers:
        return Cause.REFUSED, ""
    return Cause.UNREACHABLE, (error.strerror or "") if isinstance(error, OSError) else ""


def out_of_files(error: Exception) -> bool:
    """Whether this process, or its machine, has no file left: nothing against the upstream."""
    if isinstance(error, socket.gaierror):
        # A resolver that cannot open a file says that it knows no such name.
        try:
            os.close(os.dup(2))
        except OSError as mine:
            return mine.errno in (errno.EMFILE, errno.ENFILE)
        return False
    numbers = {getattr(error, "errno", None), *(int(number) for number in _ERRNO.findall(str(error)))}
    return isinstance(error, OSError) and bool(numbers & {errno.EMFILE, errno.ENFILE})


def lost_cause(error: Exception | None) -> tuple[Cause, str]:
    """The cause of a connection that was lost, from what its transport reports: None for a clean end."""
    if error is None:
        return Cause.CLOSED, ""
    return _tls_cause(error) if isinstance(error, ssl.SSLError) else (Cause.RESET, "")


def status_cause(status: int, code: object) -> Cause:
    """The cause for an HTTP status that is no success, and the `code` of its error object."""
    if status in (401, 403):
        return Cause.KEY_REFUSED
    if status == 402 or code == "insufficient_quota":
        return Cause.QUOTA_SPENT
    if status == 429:
        return Cause.RATE_LIMITED
    if status in (503, 529):
        return Cause.OVERLOADED
    if status >= 500 or status == 408:
        return Cause.SERVER_ERROR
    if status < 400:
        return Cause.REDIRECT
    return Cause.NOT_FOUND if status == 404 else Cause.BAD_REQUEST


def _tls_cause(error: ssl.SSLError) -> tuple[Cause, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _WRONG_NAMES:
            return Cause.TLS_WRONG_NAME, error.verify_message
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            return Cause.TLS_EXPIRED, error.verify_message
        return Cause.TLS_UNTRUSTED, error.verify_message
    return Cause.TLS, (getattr(error, "reason", None) or "").replace("_", " ").lower()
