"""Usage: token counts as an upstream reported them, never estimated by the gateway."""

from __future__ import annotations

import msgspec

# Far more tokens than any context window has: a higher count is an error of the upstream.
_MAX_COUNT = 10**9


class Usage(msgspec.Struct, frozen=True):
    """Token counts of one attempt.

    `prompt` counts all prompt tokens, the `cached` ones among them; `output` counts completion tokens,
    reasoning among them. `complete` is False where the upstream did not report all of it; what is
    missing is then 0.
    """

    prompt: int = 0
    cached: int = 0
    output: int = 0
    complete: bool = False


NO_USAGE = Usage()


def read_usage(value: object) -> Usage | None:
    """Parse the `usage` object of a chat, completions, embeddings or responses response; None where it is not one.

    A count that is absent, negative, above 1e9 or not an integer is read as 0 and makes the usage incomplete. Absent
    details (no cached tokens reported) do not. Embeddings have no output tokens.
    """
    if not isinstance(value, dict):
        return None
    prompt = _count(value.get("prompt_tokens", value.get("input_tokens")))
    output = _count(value.get("completion_tokens", value.get("output_tokens")))
    if output is None and "total_tokens" in value and prompt == _count(value["total_tokens"]):
        output = 0
    details = value.get("prompt_tokens_details", value.get("input_tokens_details"))
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    if prompt is None and output is None:
        return None
    return Usage(
        prompt=prompt or 0,
        cached=min(cached or 0, prompt or 0),
        output=output or 0,
        complete=prompt is not None and output is not None,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT else None
