"""Which requests for the student the candidate answers in its place: a share of the conversations, each as a whole."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from breakeven.gateway.accounting.record import CANDIDATE, Endpoint
from breakeven.gateway.config.student import Student
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.policy.capabilities import declared, limited
from breakeven.gateway.proxy.exchange import ClientRequest
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import STORED, Decision, Hold, Reason, Route, lacking
from breakeven.router.text import Conversation

# Those whose requests name nothing that only the upstream has which answered before.
_ENDPOINTS = frozenset({Endpoint.CHAT_COMPLETIONS, Endpoint.COMPLETIONS, Endpoint.MESSAGES})
_REASONS = frozenset({Reason.EASY, Reason.STICKY})
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_RANGE = float(1 << 64)


def of_candidate(
    services: Services,
    adapter: Adapter,
    request: ClientRequest,
    caller: str | None,
    seen: Conversation | None,
    decision: Decision,
    hold: Hold | None,
) -> bool:
    """Whether the candidate answers a request that was decided for the student.

    `caller` is the name of the API key, `seen` what the router read, `hold` what is remembered of the conversation: it
    stays with whom it began. One that is not remembered begins now: by the client's id, or without one by its messages,
    so that all gateways draw alike.
    """
    candidate, section = services.asked_candidate, services.config.candidate
    if candidate is None or section is None or services.candidate_share == 0.0 or seen is None or request.pinned:
        return False
    if adapter.endpoint not in _ENDPOINTS or decision.route is not Route.STUDENT or decision.reason not in _REASONS:
        return False
    if decision.hold is not None and decision.hold.why == STORED:
        return False
    if not candidate.available or not _can_take(section, candidate, seen, adapter.max_output_tokens(request.body)):
        return False
    if hold is not None and hold.answered is Route.STUDENT:
        return hold.provider == CANDIDATE
    identity = request.session if request.session is not None else adapter.items(request.body)
    return _drawn(caller, candidate.config.named, identity) < section.share


def _can_take(section: Student, candidate: Upstream, seen: Conversation, max_output_tokens: int | None) -> bool:
    can = limited(declared(section), candidate.reported)
    return lacking(seen, can, max_output_tokens) is None and can.keeps(seen)


def _drawn(caller: str | None, named: str, identity: Any) -> float:
    """A number in [0, 1), the same for the same caller, candidate and conversation; 1 for what has no encoding."""
    try:
        encoded = _ENCODER.encode((caller, named, identity))
    except (OverflowError, RecursionError, UnicodeEncodeError):
        return 1.0
    return int.from_bytes(hashlib.sha256(encoded).digest()[:8]) / _RANGE
