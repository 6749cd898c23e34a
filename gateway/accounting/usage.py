"""Token counts as an upstream reported them, read from every provider's dialect by its shape. Never estimated.

One usage object names each count in one of a few ways, and two readings differ in money: whether the prompt holds the
cached tokens (OpenAI and those like it) or not (Anthropic), and whether the completion holds the reasoning tokens
(OpenAI, vLLM, DeepSeek) or not (xAI, Gemini). The first is told by the field names, the second by the total. Where the
total fits neither reading the usage is not complete: it is counted as missing instead of guessed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

# Far more tokens than any context window has: a higher count is an error of the upstream.
_MAX_COUNT = 10**9
_PICODOLLARS = 10**12
# xAI reports its own price in ticks, ten thousand million of which are a USD.
_XAI_TICK = 100
_NO_DETAILS: dict[str, Any] = {}
_PLAIN = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
_OPENAI = _PLAIN | {"prompt_tokens_details", "completion_tokens_details"}


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Token counts of one attempt.

    `prompt` counts all prompt tokens; `cached` (read from a cache) and `cache_write` (written to one) are parts of it,
    `cache_write_1h` the part of the writes that is kept for an hour, `audio_input` the part that is sound. `output`
    counts all completion tokens; `reasoning` and `audio_output` are parts of it. `web_searches` counts searches that
    the provider made and charges for. `service_tier` is the tier that the answer was served in, None where none was
    said. `reported_cost` is the provider's own price in picodollars, None where it reports none.
    `complete` is False where the upstream did not report all of it, or where its counts contradict its total; what is
    missing is then 0.
    """

    prompt: int
    cached: int
    output: int
    complete: bool
    # Left out of logs and journal where there is nothing to say.
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    web_searches: int = 0
    service_tier: str | None = None
    reported_cost: int | None = None

    @property
    def uncached(self) -> int:
        """Prompt tokens that were neither read from a cache nor written to one."""
        return max(0, self.prompt - self.cached - self.cache_write)


NO_USAGE = Usage(0, 0, 0, complete=False)


def continued(begun: Usage, rest: dict[str, Any]) -> Usage | None:
    """The usage of a stream of Anthropic's that says the prompt's counts when it begins, and `rest` when it ends.

    What `rest` names counts for the whole answer; what it does not is taken from the beginning. None for no usage.
    """
    known: dict[str, Any] = {
        "cache_read_input_tokens": begun.cached,
        "cache_creation_input_tokens": begun.cache_write,
        "cache_creation": {"ephemeral_1h_input_tokens": begun.cache_write_1h},
        "service_tier": begun.service_tier,
    }
    if begun.prompt:
        known["input_tokens"] = begun.uncached
    return read_usage({**known, **{name: value for name, value in rest.items() if value is not None}})


def read_usage(value: object, service_tier: object = None) -> Usage | None:
    """The `usage` object of an answer, and the answer's own `service_tier`; None where it is no usage object.

    A count that is absent, negative, above 1e9 or not an integer is read as 0 and makes the usage incomplete. Absent
    details (no cached tokens reported) do not. Embeddings have no output tokens.
    """
    if not isinstance(value, dict):
        return None
    prompt = _count(value, "prompt_tokens", "input_tokens")
    output = _count(value, "completion_tokens", "output_tokens")
    total = _count(value, "total_tokens")
    if output is None and total is not None and prompt == total:
        output = 0
    if prompt is None and output is None:
        return None
    tier = _tier(value.get("service_tier", service_tier))
    openai = value.keys() <= _OPENAI
    if openai and tier is None and value.keys() <= _PLAIN and (total is None or total == (prompt or 0) + (output or 0)):
        # What vLLM sends: nothing else to look for.
        return Usage(prompt or 0, 0, output or 0, complete=prompt is not None and output is not None)
    of_prompt = _details(value, "prompt_tokens_details", "input_tokens_details")
    of_output = _details(value, "completion_tokens_details", "output_tokens_details")
    # What only other providers write is not looked for in what is written as OpenAI does.
    of_others = _NO_DETAILS if openai else value
    cached, written, hour, outside = _cache(of_others, of_prompt)
    whole = (prompt or 0) + outside
    reasoning = audio_output = 0
    if of_output or of_others:
        reasoning = _count(of_output, "reasoning_tokens") or _count(of_others, "reasoning_tokens") or 0
        audio_output = _count(of_output, "audio_tokens") or 0
    completion, fits = _completion(whole, output or 0, reasoning, total)
    cached = min(cached, whole)
    written = min(written, whole - cached)
    return Usage(
        prompt=whole,
        cached=cached,
        output=completion,
        complete=prompt is not None and output is not None and fits,
        cache_write=written,
        cache_write_1h=min(hour, written),
        reasoning=min(reasoning, completion),
        audio_input=min(_count(of_prompt, "audio_tokens") or 0, whole),
        audio_output=min(audio_output, completion),
        web_searches=_searches(of_others) if of_others else 0,
        service_tier=tier,
        reported_cost=_reported(of_others) if of_others else None,
    )


def _cache(value: dict[str, Any], details: dict[str, Any]) -> tuple[int, int, int, int]:
    """Tokens read from a cache, written to one, the hour's part of these, and how many of all are outside the prompt.

    Anthropic's fields are its own, and its input tokens are only those that the cache had no part in.
    """
    if "cache_read_input_tokens" in value or "cache_creation_input_tokens" in value:
        read = _count(value, "cache_read_input_tokens") or 0
        kinds = _details(value, "cache_creation")
        hour = _count(kinds, "ephemeral_1h_input_tokens") or 0
        short = _count(kinds, "ephemeral_5m_input_tokens") or 0
        written = max(_count(value, "cache_creation_input_tokens") or 0, hour + short)
        # An endpoint that speaks OpenAI and shows these beside its own names counts them in the prompt.
        outside = 0 if "prompt_tokens" in value else read + written
        return read, written, hour, outside
    cached = _count(details, "cached_tokens") or 0
    write = _count(details, "cache_write_tokens", "cache_creation_tokens") or 0
    if value:
        # Kimi puts the count beside the others, DeepSeek has a name of its own.
        cached = cached or _count(value, "cached_tokens", "prompt_cache_hit_tokens") or 0
        write = write or _count(value, "cache_write_tokens") or 0
    return cached, write, 0, 0


def _completion(prompt: int, output: int, reasoning: int, total: int | None) -> tuple[int, bool]:
    """All completion tokens, and whether they fit the total. Reasoning is outside where the total says so."""
    if total is None or total == prompt + output:
        return output, True
    if reasoning and total == prompt + output + reasoning:
        return output + reasoning, True
    return output, False


def _searches(value: dict[str, Any]) -> int:
    """Anthropic's web searches, or the sources that xAI charges for."""
    found = _count(_details(value, "server_tool_use"), "web_search_requests")
    return found if found is not None else _count(value, "num_sources_used") or 0


def _reported(value: dict[str, Any]) -> int | None:
    """OpenRouter's `cost` in USD, or xAI's in ticks, as picodollars."""
    ticks = value.get("cost_in_usd_ticks")
    if isinstance(ticks, int) and not isinstance(ticks, bool) and ticks >= 0:
        return ticks * _XAI_TICK
    cost = value.get("cost")
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not 0 <= cost < _MAX_COUNT:
        return None
    return int(Decimal(repr(cost)) * _PICODOLLARS)


def _tier(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 32 else None


def _details(value: dict[str, Any], first: str, second: str = "") -> dict[str, Any]:
    """The first of these objects that is there; an empty one where none is."""
    found = value.get(first)
    if not isinstance(found, dict):
        found = value.get(second)
    return found if isinstance(found, dict) else _NO_DETAILS


def _count(value: dict[str, Any], first: str, second: str = "") -> int | None:
    """The first of these fields that is there, None where it is no credible count."""
    found = value.get(first)
    if found is None:
        found = value.get(second)
    # Exactly int: True is one as well.
    return found if type(found) is int and 0 <= found <= _MAX_COUNT else None
