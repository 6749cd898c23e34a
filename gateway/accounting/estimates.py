"""Tokens that no upstream reported, estimated from what was sent and delivered.

A stream that is cut off never says its usage, yet the provider charges for it. What was delivered is known: so many
events with content. How many tokens one of them carries, and how many tokens a prompt has for each token of the
gateway's own rough count, is measured on the complete answers of the same upstream. Before the first of these an event
is taken for one token, which is what vLLM sends.
"""

from __future__ import annotations

import msgspec

from breakeven.gateway.accounting.usage import Usage

# Old answers fade, so that another model behind the same address is learned: the sums are halved at this many events.
_MEMORY = 1 << 20


class Estimate(msgspec.Struct, frozen=True, omit_defaults=True):
    """Estimated token counts, of the prompt and of the answer; 0 where they were reported."""

    prompt: int = 0
    output: int = 0


NO_ESTIMATE = Estimate()


class TokenRatios:
    """What the complete answers of one upstream say of tokens for each event, and for each token of our own count."""

    def __init__(self) -> None:
        self._events = self._output = 0
        self._counted = self._prompt = 0

    def observe(self, usage: Usage, *, counted: int, events: int) -> None:
        """One complete answer: `counted` is our own count of the prompt's tokens, `events` those with content, 0 for
        an answer that was no stream.
        """
        if events and usage.output:
            self._events += events
            self._output += usage.output
        if counted and usage.prompt:
            self._counted += counted
            self._prompt += usage.prompt
        if self._events > _MEMORY or self._counted > _MEMORY:
            self._events, self._output = self._events // 2, self._output // 2
            self._counted, self._prompt = self._counted // 2, self._prompt // 2

    def estimate(self, usage: Usage, *, counted: int, events: int) -> Estimate:
        """The counts that an incomplete usage lacks."""
        prompt = output = 0
        if not usage.prompt:
            prompt = round(counted * self._prompt / self._counted) if self._counted else counted
        if not usage.output:
            output = round(events * self._output / self._events) if self._events else events
        return Estimate(prompt, output)
