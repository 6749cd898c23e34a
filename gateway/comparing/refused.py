"""Requests of the gateway's own, sent again without what the model refuses of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from breakeven.gateway.errors import UpstreamFailure, VerdictCutOff
from breakeven.gateway.proxy.upstream_request import Prepared
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire.answers import read_answer
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.chat_text import Message
from breakeven.gateway.wire.lenient_json import read_object
from breakeven.gateway.wire.refusals import LIMITS, too_large

# How many fields a model may refuse, one after another.
_MOST = 8


async def send_accepted(upstream: Upstream, asked: Prepared, send: Callable[[Prepared], Awaitable[bytes]]) -> bytes:
    """Send a request without what its model is known to refuse, and again without what it refuses now; the answer.

    Raises UpstreamFailure, as `send` does.
    """
    for _ in range(_MOST):
        body = Body(asked.body)
        for name in upstream.refusals.omitted:
            body.remove(name)
        for name, other in upstream.refusals.renamed.items():
            if asked.adapter.renames_limit:
                body.rename(name, other)
        sent = msgspec.json.decode(body.encode(), type=dict[str, msgspec.Raw])
        try:
            return await send(asked._replace(body=body.encode()))
        except UpstreamFailure as failure:
            if not upstream.refusals.learn(failure.upstream_status, failure.param, failure.message, sent):
                raise
    return await send(asked)


async def verdict(
    judge: Upstream,
    asked: tuple[list[Message], int, Mapping[str, Any]],
    least: int,
    send: Callable[[bytes], Awaitable[bytes]],
) -> str:
    """A judge's text for (messages, limit of tokens, further fields), "" for an answer without one.

    With the limit `least` where the judge cannot write as much. Raises UpstreamFailure, and VerdictCutOff where the
    limit ended the verdict.
    """
    messages, limit, more = asked
    field = judge.config.max_tokens_field or LIMITS[0]
    tries = 0
    while True:
        body = {"model": judge.config.model, "messages": messages, field: limit, **more}
        judge.refusals.edit(body)
        try:
            data = await send(msgspec.json.encode(body))
            break
        except UpstreamFailure as failure:
            status, words = failure.upstream_status, failure.message
            if limit > least and too_large(status, words):
                limit = least
            elif tries >= _MOST or not judge.refusals.learn(status, failure.param, words, body):
                raise
        tries += 1
    if _cut_off(data):
        raise VerdictCutOff(limit)
    found = read_answer(data)
    return "" if found is None else found.text


def _cut_off(data: bytes) -> bool:
    """Whether the limit of the output ended a chat completion."""
    choices = (read_object(data) or {}).get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and first.get("finish_reason") == "length"
