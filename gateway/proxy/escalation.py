"""The cascade: look at the start of the student's answer before the client sees a byte of it.

The student is asked for the log-probabilities of its tokens. The first of them are judged; below the floor
the student's answer is dropped, which cancels it upstream, and the teacher answers. What was asked for only
here is taken out of what the client gets.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.config.schema import Escalation
from breakeven.gateway.wire.body import Body
from breakeven.router.deferral import confidence

ENDPOINTS = frozenset({Endpoint.CHAT_COMPLETIONS, Endpoint.COMPLETIONS})
# A stream whose events carry no log-probabilities cannot be judged and is not held back for longer.
_BLIND_EVENTS = 8


class Escalated(Exception):
    """The student's answer is not good enough; nothing of it was sent to the client."""


class _Event(msgspec.Struct):
    choices: list[dict[str, Any]] | None = None


_EVENT = msgspec.json.Decoder(_Event)
_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHOICES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_NULL, _NOTHING, _EMPTY = msgspec.Raw(b"null"), msgspec.Raw(b"{}"), msgspec.Raw(b'""')


class Probe:
    """Watches one answer of the student. `waiting` while the client must not see anything of it."""

    def __init__(self, rule: Escalation, endpoint: Endpoint, body: Body) -> None:
        self._rule = rule
        self._chat = endpoint is Endpoint.CHAT_COMPLETIONS
        asked = body.get("logprobs", Any, "") if "logprobs" in body else None
        # 0 is a wish for the completions endpoint: the tokens' own log-probabilities and no others.
        self._client_asked = bool(asked) or (not self._chat and asked == 0 and asked is not False)
        self._logprobs: list[float] = []
        self._blind = 0
        self._began: float | None = None
        self.waiting = True
        self.seconds: float | None = None

    def ask(self, body: Body) -> None:
        """Edit the student's copy of the body: its tokens' log-probabilities are wanted."""
        if not self._client_asked:
            body.set("logprobs", True if self._chat else 1)

    def look(self, data: bytes | None, *, finished: bool) -> None:
        """One event of the stream, or a whole answer with `finished`. Raises Escalated below the floor."""
        if not self.waiting:
            return
        if self._began is None:
            self._began = time.perf_counter()
        found = self._read(data)
        self._logprobs += found
        self._blind += not found
        late = time.perf_counter() - self._began >= self._rule.max_hold_seconds
        if finished or late or len(self._logprobs) >= self._rule.probe_tokens:
            self._judge()
        elif self._blind > _BLIND_EVENTS and not self._logprobs:
            self.release()

    def release(self) -> None:
        """The client may see it, judged or not."""
        if self.waiting:
            self.waiting = False
            self.seconds = 0.0 if self._began is None else time.perf_counter() - self._began

    def strip(self, data: bytes) -> bytes:
        """The JSON of an event or an answer without the log-probabilities that only we asked for.

        Empty for an event that had nothing else: for a token without text, such as a special one, vLLM sends an event
        only where log-probabilities were asked for.
        """
        if self._client_asked or b'"logprobs"' not in data:
            return data
        try:
            top = _TOP.decode(data)
            choices = _CHOICES.decode(top["choices"])
        except (msgspec.DecodeError, KeyError, RecursionError):
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

    def _judge(self) -> None:
        seen = confidence(self._logprobs)
        self.release()
        if seen is None:
            return
        floor = self._rule.min_low_logprob
        if seen.mean < self._rule.min_mean_logprob or (floor is not None and seen.low < floor):
            raise Escalated

    def _read(self, data: bytes | None) -> list[float]:
        """The log-probabilities in the first choice; what cannot be read has none."""
        try:
            choices = _EVENT.decode(data or b"").choices or []
            logprobs = choices[0].get("logprobs") if choices else None
            if not isinstance(logprobs, dict):
                return []
            if self._chat:
                values = [item.get("logprob") for item in logprobs.get("content") or []]
            else:
                values = list(logprobs.get("token_logprobs") or [])
        except (msgspec.DecodeError, RecursionError, AttributeError, TypeError):
            return []
        return [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
