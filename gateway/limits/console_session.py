"""Sessions of the console: a signed token that a browser holds in a cookie, in the place of the admin key.

A token is `expiry.nonce.signature`; the signature is an HMAC-SHA256 by the admin key. So every worker and replica with
the same key knows it, nothing is stored, and another admin key ends all sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from breakeven.gateway.errors import RequestError

SESSION_SECONDS = 12 * 3600
# A page of another origin cannot send a header of its own without being asked for permission first.
CHANGE_HEADER = "x-breakeven-console"
_COOKIE = "breakeven_session"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def issue(key: str, now: float) -> str:
    """A token for who knows the admin key, valid SESSION_SECONDS from `now`, seconds since the Unix epoch."""
    signed = f"{int(now) + SESSION_SECONDS}.{secrets.token_hex(16)}"
    return f"{signed}.{_signature(key, signed)}"


def expires(key: str, token: str | None, now: float) -> int | None:
    """When a token ends, seconds since the Unix epoch; None where it is none, was forged, or has ended."""
    signed, _, signature = (token or "").rpartition(".")
    if not hmac.compare_digest(_signature(key, signed).encode(), signature.encode("utf-8", "replace")):
        return None
    end = int(signed.partition(".")[0])
    return end if end > now else None


def cookie_name(port: int | None) -> str:
    """The cookie's name. Browsers share cookies among the ports of a host, and each may be another gateway's."""
    return _COOKIE if port is None else f"{_COOKIE}_{port}"


def check_change(method: str, headers: Mapping[str, str]) -> None:
    """Raise RequestError 403 for a change with a session's cookie that a page of another origin may have sent.

    `headers`: names in lower case.
    """
    if method in _READING:
        return
    if CHANGE_HEADER not in headers or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise RequestError(
            403,
            f"A change with the console's cookie needs the header {CHANGE_HEADER}, from the console's own page.",
            type="permission_error",
            code="change_refused",
        )


def _signature(key: str, signed: str) -> str:
    return hmac.new(
        key.encode("utf-8", "surrogateescape"), f"console:{signed}".encode("utf-8", "replace"), hashlib.sha256
    ).hexdigest()
