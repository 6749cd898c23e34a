"""Authentication of clients by API keys, of which only SHA-256 hashes are configured."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.errors import RequestError

# Headers that hold a bare key: Azure's and Anthropic's SDKs send these.
_BARE = ("api-key", "x-api-key")


def client_key(keys: Mapping[str, ClientKey], headers: Mapping[str, str]) -> ClientKey | None:
    """The configured key of a request; None if no keys are configured.

    `keys`: by SHA-256 in hex; `headers`: names in lower case. The key is in authorization as a bearer token, else bare
    in api-key or x-api-key. Raises RequestError 401, the same for every invalid key. The lookup is safe from timing
    attacks: it uses a hash of what was sent, which an attacker cannot choose, and the final comparison takes constant
    time.
    """
    if not keys:
        return None
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in ("", "bearer") and not token.strip():
        # Clients without a token for it send the header all the same, beside the one with their key.
        scheme, token = "bearer", next((headers[name] for name in _BARE if headers.get(name, "").strip()), "")
    digest = hashlib.sha256(token.strip().encode()).hexdigest() if scheme.lower() == "bearer" else ""
    found = keys.get(digest)
    if found is None or not hmac.compare_digest(found.sha256, digest):
        raise RequestError(
            401,
            "Incorrect API key provided; send one of the gateway's keys as 'Authorization: Bearer <key>', or bare in "
            "api-key or x-api-key.",
            type="authentication_error",
            code="invalid_api_key",
            headers={"www-authenticate": "Bearer"},
        )
    return found
