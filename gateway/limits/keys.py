"""Who calls: client keys known by their SHA-256, without a word on which was wrong."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from breakeven.gateway.config.schema import ClientKey
from breakeven.gateway.errors import RequestError


def client_key(keys: Mapping[str, ClientKey], authorization: str | None) -> ClientKey | None:
    """The configured key that a request carries, None where no keys are configured; `keys` by their SHA-256.

    Raises RequestError 401, the same for every wrong key. What is looked up is a hash of what was sent: the time that
    takes tells nothing about a key, since nobody can steer towards a hash. The last comparison is in constant time.
    """
    if not keys:
        return None
    scheme, _, token = (authorization or "").partition(" ")
    digest = hashlib.sha256(token.strip().encode()).hexdigest() if scheme.lower() == "bearer" else ""
    found = keys.get(digest)
    if found is None or not hmac.compare_digest(found.sha256, digest):
        raise RequestError(
            401,
            "Incorrect API key provided; send one of the gateway's keys as 'Authorization: Bearer <key>'.",
            type="authentication_error",
            code="invalid_api_key",
            headers={"www-authenticate": "Bearer"},
        )
    return found
