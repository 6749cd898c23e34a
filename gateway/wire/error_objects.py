"""Errors in the JSON of upstreams, in the several shapes that servers give them."""

from __future__ import annotations

import json
from typing import Any

_SHOWN_FIELDS = 3


def error_in(value: Any) -> Any:
    """The error in the decoded JSON of an answer or event: an object or a text; None where it has none.

    OpenAI, FastAPI (`detail`), Gemini (an array with one error), JSON:API (`errors`) and plain texts are understood.
    """
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return error_in(value[0])
    if isinstance(value, str):
        return value or None
    if not isinstance(value, dict):
        return None
    found = value.get("error", value.get("detail"))
    if found is None and isinstance(value.get("errors"), list):
        found = next(iter(value["errors"]), None)
    if isinstance(found, list):
        return _invalid_fields(found)
    return found if found is not None or "message" not in value else value


def _invalid_fields(detail: list[Any]) -> str | None:
    """FastAPI's list of what is wrong with a request, in one text, without what the client sent."""
    found = []
    for one in detail[:_SHOWN_FIELDS]:
        if isinstance(one, dict) and isinstance(one.get("msg"), str):
            place = one.get("loc")
            path = ".".join(str(part) for part in place if part != "body") if isinstance(place, list) else ""
            found.append(f"{path}: {one['msg']}" if path else one["msg"])
    return "; ".join(found) or None


def error_in_array(data: bytes) -> Any:
    """The error in an event or answer that is a JSON array, as Gemini sends them; None for anything else."""
    if not data.lstrip().startswith(b"["):
        return None
    try:
        return error_in(json.loads(data))
    except (ValueError, RecursionError):
        return None
