"""Escalation: the start of the student's answer is buffered and checked before the client gets any of it.

The student is asked for token log-probabilities. If those of the first tokens are below the configured minimum, the
answer is discarded, which cancels it upstream, and the teacher answers instead. Log-probabilities that the client did
not ask for are removed from what it gets.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.config.routing import Escalation
from breakeven.gateway.wire.body import Body, as_boolean
from breakeven.gateway.wire.lenient_json import UNREADABLE, read
from breakeven.gateway.wire.logprobs import logprobs_in
from breakeven.router.deferral import confidence

ENDPOINTS = frozenset({Endpoint.CHAT_COMPLETIONS, Endpoint.COMPLETIONS})
# A stream whose first events carry no log-probabilities cannot be judged, and is no longer held back.
_MAX_EVENTS_WITHOUT_LOGPROBS = 8


class Escalated(Exception):
    """The student's answer is to be discarded and the teacher asked; nothing of it was sent to the client."""


_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHOICES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_NULL, _NOTHING, _EMPTY = msgspec.Raw(b"null"), msgspec.Raw(b"{}"), msgspec.Raw(b'""')


def request_logprobs(body: Body, *, chat: bool) -> None:
    """Request the log-probabilities of the tokens of the answer."""
    body.set("logprobs", True if chat else 1)


class Probe:
    """Judges one answer of the student by its first tokens.

    While `holding` the client must not get anything of the answer. `seconds` is how long it was held back, None while
    it is.
    """

    def __init__(self, rule: Escalation, endpoint: Endpoint, body: Body) -> None:
        self._rule = rule
        self._chat = endpoint is Endpoint.CHAT_COMPLETIONS
        asked = body.get("logprobs", Any, "") if "logprobs" in body else None
        # At the completions endpoint 0 is a request as well: log-probabilities of the chosen tokens only.
        self._client_asked = as_boolean(asked) is True if self._chat else asked is not None and asked is not False
        self._logprobs: list[float] = []
        self._events_without_logprobs = 0
        self._first_seen: float | None = None
        self.holding = True
        self.seconds: float | None = None

    def request_logprobs(self, body: Body) -> None:
        """Request log-probabilities in the student's copy of the body, if the client does not."""
        if not self._client_asked:
            request_logprobs(body, chat=self._chat)

    def inspect(self, data: bytes | None, *, finished: bool) -> None:
        """Take the JSON of one stream event, or of a whole answer with `finished`; `finished` also ends the holding.

        Raises Escalated where the log-probabilities so far are below the minimum.
        """
        if not self.holding:
            return
        if self._first_seen is None:
            self._first_seen = time.perf_counter()
        found = logprobs_in(data)
        self._logprobs += found
        self._events_without_logprobs += not found
        late = time.perf_counter() - self._first_seen >= self._rule.max_hold_seconds
        if finished or late or len(self._logprobs) >= self._rule.probe_tokens:
            self._decide()
        elif self._events_without_logprobs > _MAX_EVENTS_WITHOUT_LOGPROBS and not self._logprobs:
            self.release()

    def release(self) -> None:
        """Stop holding the answer back, whether or not it was judged."""
        if self.holding:
            self.holding = False
            self.seconds = 0.0 if self._first_seen is None else time.perf_counter() - self._first_seen

    def strip_logprobs(self, data: bytes) -> bytes:
        """The JSON of an event or an answer without the log-probabilities that the client did not ask for.

        Empty for an event with nothing else in it: vLLM sends events for tokens without text, such as special tokens,
        only where log-probabilities were requested.
        """
        if self._client_asked or b'"logprobs"' not in data:
            return data
        try:
            top = read(_TOP, data)
            choices = _CHOICES.decode(top["choices"])
        except (*UNREADABLE, KeyError):
            return data
        if choices and all(self._only_logprobs(choice) for choice in choices):
            return b""
        for choice in choices:
            if "logprobs" in choice:
                choice["logprobs"] = _NULL
        top["choices"] = msgspec.Raw(msgspec.json.encode(choices))
        return msgspec.json.encode(top)

    def _only_logprobs(self, choice: dict[str, msgspec.Raw]) -> bool:
        text = choice.get("delta") == _NOTHING if self._chat else choice.get("text") == _EMPTY
        asked = choice.get("logprobs", _NULL) != _NULL
        return asked and text and choice.get("finish_reason", _NULL) == _NULL and "message" not in choice

    def _decide(self) -> None:
        # Of a whole answer no more than of a stream, so that one limit means the same for both.
        seen = confidence(self._logprobs[: self._rule.probe_tokens])
        self.release()
        if seen is None:
            return
        floor = self._rule.min_low_logprob
        if seen.mean < self._rule.min_mean_logprob or (floor is not None and seen.low < floor):
            raise Escalated
