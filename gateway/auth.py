"""Who calls: client keys compared by their SHA-256, in constant time, without a word on which was wrong."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from gateway.config import ClientKey
from gateway.errors import RequestError


def client_key(keys: Sequence[ClientKey], authorization: str | None) -> ClientKey | None:
    """The configured key that a request carries, None where no keys are configured.

    Raises RequestError 401, the same for every wrong key.
    """
    if not keys:
        return None
    scheme, _, token = (authorization or "").partition(" ")
    digest = hashlib.sha256(token.strip().encode()).hexdigest() if scheme.lower() == "bearer" else ""
    found = None
    for key in keys:
        # No early end: the time taken must not tell which key was nearly right.
        if hmac.compare_digest(digest, key.sha256):
            found = key
    if found is None:
        raise RequestError(
            401,
            "Incorrect API key provided; send one of the gateway's keys as 'Authorization: Bearer <key>'.",
            type="authentication_error",
            code="invalid_api_key",
            headers={"www-authenticate": "Bearer"},
        )
    return found
