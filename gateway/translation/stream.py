"""A stream of chat completions as events of the Messages API.

Its blocks follow each other: one ends before the next begins. Chat completions may send the pieces of several tool
calls in any order; what is not for the call that is open waits until its arguments are a whole JSON object.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.translation.answer import (
    ANSWER,
    Answer,
    Call,
    Choice,
    arguments_of,
    begun,
    call_id,
    complete,
    counts,
    named,
    stopped,
    text,
)
from breakeven.gateway.wire.call_numbers import CallNumbers
from breakeven.gateway.wire.lenient_json import UNREADABLE, read
from breakeven.gateway.wire.sse import Event

_EMPTY: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}
_UNSEEN_PER_PING = 32
_DELTAS = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}
_NOTHING = {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}


class _Piece(NamedTuple):
    """A piece of a block: of its text, of what was thought, or of the arguments of the call with number `call`."""

    kind: str
    text: str
    call: int = -1


class _Call:
    """What is known of one tool call: its id, its name, and its arguments so far."""

    # `early`: arguments that came before the name, without which the call cannot begin.
    def __init__(self) -> None:
        self.id = self.name = self.arguments = self.early = ""


class MessageStream:
    """Translates one stream, event by event."""

    def __init__(self, *, thinking: bool) -> None:
        """`thinking`: the client asked to see what the model thinks."""
        self._thinking = thinking
        self._begun = False
        self._named = ""
        self._open: tuple[str, int] | None = None
        self._index = -1
        self._calls: dict[int, _Call] = {}
        self._numbers = CallNumbers()
        self._waiting: list[_Piece] = []
        self._last = Choice()
        self._refused = False
        self._unseen = 0

    def feed(self, event: Event) -> bytes:
        """The events that one event of the upstream becomes; a comment stays one. Never raises."""
        if event.data is None:
            return event.raw if event.raw.startswith(b":") else b""
        try:
            answer = read(ANSWER, event.data)
        except UNREADABLE:
            return b""
        if not answer.choices:
            return b""
        out: list[bytes] = []
        self._begin(out, answer)
        choice = answer.choices[0]
        if choice.delta is not None:
            said = choice.delta
            if said.thought:
                self._thought(out, said.thought)
            for one in (said.content, said.refusal):
                if text(one):
                    self._add(out, _Piece("text", text(one)))
            self._refused = self._refused or bool(text(said.refusal))
            for call in said.tool_calls or ():
                piece = self._piece(call)
                if piece is not None:
                    self._add(out, piece)
        if choice.finish_reason:
            self._last = choice
        return b"".join(out)

    def end(self, usage: Usage) -> bytes:
        """The last events of a complete answer with this usage."""
        out: list[bytes] = []
        self._begin(out, Answer())
        self._send_waiting(out)
        self._close(out)
        stop, sequence = stopped(self._last, called=bool(self._calls), refused=self._refused)
        ended = {"delta": {"stop_reason": stop, "stop_sequence": sequence}, "usage": counts(usage)}
        return b"".join((*out, _event("message_delta", **ended), _event("message_stop")))

    def _thought(self, out: list[bytes], piece: str) -> None:
        """Send what was thought; a client that does not want it gets a ping now and then, to know that all is well."""
        if self._thinking:
            self._add(out, _Piece("thinking", piece))
            return
        self._unseen += 1
        if self._unseen % _UNSEEN_PER_PING == 0:
            out.append(_event("ping"))

    def _begin(self, out: list[bytes], answer: Answer) -> None:
        if not self._begun:
            self._begun = True
            self._named = named(answer)
            started = {**begun(answer), "content": [], "stop_reason": None, "stop_sequence": None, "usage": _NOTHING}
            out.append(_event("message_start", message=started))

    def _piece(self, call: Call) -> _Piece | None:
        """The piece of a tool call in an event, None before its name is known."""
        name = text(call.function.name) if call.function is not None else ""
        number = self._numbers.of(call.index, text(call.id), name)
        known = self._calls.setdefault(number, _Call())
        known.id = known.id or text(call.id)
        if call.function is not None:
            known.name = known.name or name
            known.early += arguments_of(call.function)
        if not known.name:
            return None
        arguments, known.early = known.early, ""
        return _Piece("tool_use", arguments, number)

    def _add(self, out: list[bytes], piece: _Piece) -> None:
        """Send a piece, or let it wait for the end of the call that is open."""
        if self._busy(piece):
            self._waiting.append(piece)
            return
        self._send(out, piece)
        if self._waiting and piece.call in self._calls and complete(self._calls[piece.call].arguments):
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                self._add(out, one)

    def _busy(self, piece: _Piece) -> bool:
        """Whether another call is open than that of the piece, and goes on."""
        if self._open is None or self._open == (piece.kind, piece.call):
            return False
        kind, call = self._open
        return kind == "tool_use" and (bool(self._waiting) or not complete(self._calls[call].arguments))

    def _send_waiting(self, out: list[bytes]) -> None:
        """Send all that waits at the end, block by block."""
        for kind, call in dict.fromkeys((piece.kind, piece.call) for piece in self._waiting):
            for piece in self._waiting:
                if (piece.kind, piece.call) == (kind, call):
                    self._send(out, piece)

    def _send(self, out: list[bytes], piece: _Piece) -> None:
        wanted = (piece.kind, piece.call)
        if self._open != wanted:
            self._close(out)
            self._open = wanted
            self._index += 1
            out.append(_event("content_block_start", index=self._index, content_block=self._start(piece)))
        if piece.kind == "tool_use":
            self._calls[piece.call].arguments += piece.text
            delta = {"type": "input_json_delta", "partial_json": piece.text}
        else:
            name, field = _DELTAS[piece.kind]
            delta = {"type": name, field: piece.text}
        if piece.text:
            out.append(_event("content_block_delta", index=self._index, delta=delta))

    def _start(self, piece: _Piece) -> dict[str, Any]:
        if piece.kind != "tool_use":
            return _EMPTY[piece.kind]
        call = self._calls[piece.call]
        return {"type": "tool_use", "id": call.id or call_id(self._named, piece.call), "name": call.name, "input": {}}

    def _close(self, out: list[bytes]) -> None:
        if self._open is not None:
            self._open = None
            out.append(_event("content_block_stop", index=self._index))


def _event(name: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode({"type": name, **fields}))
