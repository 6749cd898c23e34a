"""Usage of answers that are no chats: scores, rankings, images, transcriptions. What is not reported is not known."""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.accounting.usage import Usage, read_usage


def usage_of(answer: dict[str, Any]) -> Usage | None:
    """The usage in the top level of an answer or of a stream event; None where it has none that is counted in tokens
    or units.

    Some report only a total: an answer that is a score or a vector has no tokens, so that all are of the prompt. Cohere
    counts searches instead, as `meta.billed_units.search_units`: they are given as `web_searches`.
    """
    reported = answer.get("usage")
    if isinstance(reported, dict):
        return read_usage(_renamed(reported), answer.get("service_tier")) or _only_total(reported)
    meta = answer.get("meta")
    units = meta.get("billed_units") if isinstance(meta, dict) else None
    return _billed(units) if isinstance(units, dict) else None


def _renamed(usage: dict[str, Any]) -> dict[str, Any]:
    """With the details of a transcription's prompt under the name that all others give them."""
    details = usage.get("input_token_details")
    return usage if details is None else {**usage, "input_tokens_details": details}


def _only_total(usage: dict[str, Any]) -> Usage | None:
    return read_usage({"prompt_tokens": usage.get("total_tokens"), "total_tokens": usage.get("total_tokens")})


def _billed(units: dict[str, Any]) -> Usage | None:
    tokens = read_usage({"output_tokens": 0, **{name: _whole(units.get(name)) for name in units}})
    searches = _whole(units.get("search_units"))
    if searches is None:
        return tokens if tokens is not None and "input_tokens" in units else None
    if tokens is None or "input_tokens" not in units:
        return Usage(0, 0, 0, complete=True, web_searches=searches)
    return msgspec.structs.replace(tokens, web_searches=searches)


def _whole(count: object) -> int | None:
    """Cohere writes counts as floats."""
    if isinstance(count, float) and count.is_integer():
        count = int(count)
    return count if type(count) is int and 0 <= count <= 10**9 else None
