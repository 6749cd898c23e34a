"""What `breakeven check --live` says about a request that failed: why, and what to change in the config."""

from __future__ import annotations

import difflib
from typing import Any
from urllib.parse import urlsplit

from breakeven.gateway.config.upstream import Upstream as Section
from breakeven.gateway.errors import Cause, UpstreamFailure
from breakeven.gateway.upstreams.causes import ADVICE
from breakeven.gateway.upstreams.listing import Listing

_SHOWN_MODELS = 10
_BEARER = "authorization"
# The ends of hosts whose APIs want the key in a header of their own, and these.
_KEY_HEADERS = {".azure.com": "api-key", ".azure-api.net": "api-key", "api.anthropic.com": "x-api-key"}


def failed(section: Section, listing: Listing, failure: UpstreamFailure, path: str) -> str:
    """Why a request to this path failed, and what to do."""
    if failure.cause is Cause.KEY_REFUSED:
        return key_refused(section, failure.upstream_status)
    if failure.cause in (Cause.MODEL_NOT_FOUND, Cause.NOT_FOUND) and listing.models is not None:
        if section.model not in listing.models:
            return f"it does not serve {section.model}; correct model: {served(section.model, listing.models)}"
        return f"it lists {section.model}, and has no {path}; check the path of base_url: {section.base_url}"
    if failure.cause in (Cause.MODEL_NOT_FOUND, Cause.NOT_FOUND):
        what = f"check model ({section.model}) and the path of base_url{without_version(section)}"
        return f"{failure.cause}: {said(failure)}; {what}"
    hint = without_version(section) if failure.cause is Cause.INVALID_ANSWER else ""
    return f"{failure.cause}: {advice(failure.cause)}{hint}{said(failure, ' It says: ')}"


def without_version(section: Section) -> str:
    """A hint where base_url has no path with a version, which is the usual cause of answers that are none."""
    parts = urlsplit(section.base_url).path.split("/")
    return (
        ""
        if any(part[:1] == "v" and part[1:2].isdigit() for part in parts)
        else (f"; base_url has no /v1, which most servers want: {section.base_url}/v1")
    )


def served(model: str, models: dict[str, Any]) -> str:
    """The names that are served; of many those that are most alike."""
    if not models:
        return "it serves none now"
    if len(models) <= _SHOWN_MODELS:
        return f"it serves {', '.join(sorted(models))}"
    alike = difflib.get_close_matches(model, list(models), n=5, cutoff=0.0)
    return f"it serves {len(models)} models, most alike {', '.join(alike)}"


def advice(cause: Cause) -> str:
    """What a cause means, and what to do about it."""
    meaning, remedy = ADVICE[cause]
    return f"{meaning}; {remedy}"


def said(failure: UpstreamFailure, before: str = "") -> str:
    """The first words of the upstream's own error message, on one line; empty where it gave none."""
    if failure.upstream_status is None:
        return f"{before}{failure.detail}" if failure.detail else ""
    return f"{before}{' '.join(failure.message.split())[:200]}"


def key_refused(section: Section, status: int | None) -> str:
    """What to do where the key was refused with this status."""
    if section.api_key_env is None:
        return (
            f"it wants a key (status {status}), and none is sent; set api_key_env to the name of a variable that has it"
        )
    return (
        f"it refuses the key (status {status}); check the variable {section.api_key_env}, and what the key may use"
        f"{_header_hint(section)}"
    )


def _header_hint(section: Section) -> str:
    """What may be wrong with the header that the key is sent in."""
    host = urlsplit(section.base_url).hostname or ""
    wanted = next((name for end, name in _KEY_HEADERS.items() if host.endswith(end)), _BEARER)
    if section.auth_header == wanted:
        return ""
    known = "this API wants" if wanted != _BEARER else "most servers want"
    return f"; it is sent in the header {section.auth_header}, and {known} {wanted}: set auth_header"
