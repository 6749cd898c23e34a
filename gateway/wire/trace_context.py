"""W3C Trace Context: the headers traceparent and tracestate, by which a trace goes from one program to the next."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
_SAMPLED = 1
# Later versions may have more fields behind these.
_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace:
    """The place of one request in a trace. Ids are integers, of 128 and 64 bits.

    `parent` is the client's span, None where the trace begins here; `span` that of the request, `attempts` those of the
    calls to upstreams in their order. `state` is the client's tracestate. Of a trace that is not `sampled` no span is
    recorded; it goes on all the same.
    """

    __slots__ = ("attempts", "id", "parent", "sampled", "span", "state")

    def __init__(self, id: int, parent: int | None, state: str, *, sampled: bool) -> None:
        self.id = id
        self.parent = parent
        self.state = state
        self.sampled = sampled
        self.span = new_id(64)
        self.attempts: list[int] = []

    @property
    def hex(self) -> str:
        """The trace's id, as logs and other programs write it."""
        return f"{self.id:032x}"

    def onward(self) -> str:
        """The traceparent for the next call to an upstream."""
        span = new_id(64)
        self.attempts.append(span)
        return f"00-{self.id:032x}-{span:016x}-{self.sampled:02x}"


def begin(headers: Mapping[str, str], ratio: float) -> Trace:
    """The trace that a client's headers continue, names in lower case; where they name none, a new one, which is
    sampled with probability `ratio`.
    """
    found = _HEADER.fullmatch(headers.get(TRACEPARENT, "").strip())
    if found is not None:
        version, trace, span, flags, more = found.groups()
        known = version != "ff" and not (version == "00" and more)
        if known and int(trace, 16) and int(span, 16):
            sampled = bool(int(flags, 16) & _SAMPLED)
            return Trace(int(trace, 16), int(span, 16), headers.get(TRACESTATE, ""), sampled=sampled)
    return Trace(new_id(128), None, "", sampled=random.random() < ratio)


def new_id(bits: int) -> int:
    """A random id; never 0, which is none."""
    return random.getrandbits(bits) or 1
