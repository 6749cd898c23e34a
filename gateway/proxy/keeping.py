"""Having whole conversations stored, with the answer that was paid for, where the config and the key consent.

They are what `breakeven distill harvest` makes a dataset of. A request only notes its bytes: these are read in another
thread, after the client has its answer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from breakeven.gateway.accounting.record import AttemptRecord, Endpoint, Outcome, RequestRecord
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.errors import RequestError
from breakeven.gateway.ledger.keeping import LONGEST, Waiting
from breakeven.gateway.ledger.kept import BY_STUDENT, BY_TEACHER
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire.answers import read_whole
from breakeven.gateway.wire.body import Body
from breakeven.router.policy import ROUTED, Route

_ENDPOINTS = frozenset({Endpoint.CHAT_COMPLETIONS, Endpoint.COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES})
# A longer body cannot become a document that is stored: its other fields and its escapes are a part of it.
_MOST_BYTES = 4 * LONGEST


def keep(exchange: Exchange, record: RequestRecord) -> None:
    """Have the conversation of a settled request stored, if it is one that may be, and a whole answer came."""
    request, plan, caller = exchange.request, exchange.plan, exchange.caller
    if request is None or plan is None or not exchange.attempts or record.outcome is not Outcome.OK:
        return
    if exchange.adapter.endpoint not in _ENDPOINTS or record.route not in ROUTED or record.pinned:
        return
    last, seen = exchange.attempts[-1], plan.conversation
    # What names state of an upstream is not all in the request.
    named = seen is not None and (seen.stored or seen.background or seen.made)
    if named or request.choices != 1 or exchange.deferred or last.kept_events is not None:
        return
    if not (caller is None or caller.store) or exchange.adapter.previous(request.body) is not None:
        return
    if len(request.body) > _MOST_BYTES:
        return
    kind = BY_STUDENT if record.route is Route.STUDENT else BY_TEACHER
    answer = Answered(kind, b"".join(last.segments), last.upstream, record.attempts[-1])
    exchange.services.state.kept.add(waiting(record, exchange.adapter, request.body, answer))


class Answered(NamedTuple):
    """An answer to keep: by which of the two models, the bytes that `upstream` sent, and the attempt that paid it."""

    kind: str
    data: bytes
    upstream: Upstream
    paid: AttemptRecord


def waiting(record: RequestRecord, adapter: Adapter, body: Body, answer: Answered) -> Waiting:
    """The conversation of the request that `record` is of, with an answer to it, to be stored."""
    # What the upstream is now; its server may be another one later.
    model = {"model": answer.upstream.config.model, "version": answer.upstream.version}

    def document() -> dict[str, Any] | None:
        made = _document(record, adapter, body.copy(), answer)
        return None if made is None else made | model

    size = len(body) + len(answer.data)
    return Waiting(record.id, answer.kind, record.at, record.workload, record.key or "", size, document)


def _document(record: RequestRecord, adapter: Adapter, body: Body, answer: Answered) -> dict[str, Any] | None:
    """The fields of `Adapter.as_chat`, the `answer` as a message, why it ended (`finish`), `reason` and `hold` of the
    decision, the usage that was reported, and its `cost` in picodollars. None where the request cannot be expressed
    like that, or the answer is none.
    """
    try:
        asked = adapter.as_chat(body)
    except RequestError:
        return None
    found = read_whole(answer.data)
    if asked is None or found is None or found.answer.empty:
        return None
    message: dict[str, Any] = {"role": "assistant", "content": found.answer.text or None}
    if found.reasoning:
        message["reasoning_content"] = found.reasoning
    if found.answer.calls:
        message["tool_calls"] = [
            {"id": f"call_{number}", "type": "function", "function": call._asdict()}
            for number, call in enumerate(found.answer.calls)
        ]
    document = {**asked, "answer": message, "finish": found.finish, "reason": record.reason, "hold": record.hold}
    if answer.paid.usage.complete:
        usage = answer.paid.usage
        document["usage"] = {"prompt_tokens": usage.prompt, "output_tokens": usage.output}
        document["cost"] = answer.paid.cost.total
    return document
