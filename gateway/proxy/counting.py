"""Counting tokens that no usage reported with the upstream's tokenizer, after the client is served."""

from __future__ import annotations

import asyncio

from breakeven.gateway.accounting.estimates import Counts
from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.upstreams.tokenizers import Tokenizer

# For all attempts of a request together; its record waits for it.
_SECONDS = 2.0


def countable(exchange: Exchange) -> list[Attempt]:
    """The attempts whose tokens an upstream's tokenizer can be asked for. Not those that were escalated: of these only
    the first few tokens were read, each in an event.
    """
    missing = [attempt for attempt in exchange.attempts if attempt.missing]
    if not missing or exchange.adapter.opaque or exchange.adapter.endpoint is Endpoint.EMBEDDINGS:
        return []
    return [attempt for attempt in missing if not attempt.escalated and attempt.upstream.tokenizer is not None]


async def count(exchange: Exchange, attempts: list[Attempt]) -> None:
    """Set the `counts` of these attempts, as far as they are known in time. Raises only CancelledError."""
    try:
        async with asyncio.timeout(_SECONDS):
            for attempt in attempts:
                tokenizer = attempt.upstream.tokenizer
                assert tokenizer is not None
                await _count(exchange, attempt, tokenizer)
    except TimeoutError:
        return


async def _count(exchange: Exchange, attempt: Attempt, tokenizer: Tokenizer) -> None:
    usage, text = attempt.usage, attempt.text()
    if text and not usage.output:
        attempt.counts = Counts(output=await tokenizer.text(text))
    if not usage.prompt:
        request, _ = exchange.admitted
        asked = exchange.adapter.prompt(request.body)
        prompt = await tokenizer.prompt(asked) if asked is not None else None
        # Where nothing was delivered, there is nothing to count but the prompt.
        nothing = 0 if prompt is not None and not (text or usage.output or attempt.events) else None
        attempt.counts = Counts(prompt, attempt.counts.output if text else nothing)
