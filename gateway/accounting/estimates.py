"""Tokens that no upstream reported: counted in what was delivered, or estimated from it.

A stream that is cut off never says its usage, yet the provider charges for it. What was delivered is known: so many
events with content, and their text. Where the upstream's tokenizer can be had, the text is counted (see
`gateway.proxy.counting`). Else the tokens are estimated with ratios that are measured on the complete answers of the
same upstream: tokens for each event while it sends nearly every token in an event of its own, as vLLM does, else tokens
for each character; and tokens of a prompt for each token of the gateway's own rough count.
"""

from __future__ import annotations

import msgspec

from breakeven.gateway.accounting.usage import Usage

# Old answers fade, so that another model behind the same address is learned: the sums are halved at this many.
_MEMORY = 1 << 20
# Before anything was measured an event is taken for one token, and four characters for another.
_CHARACTERS_PER_TOKEN = 4
# With more tokens for each event than this, events differ so much in length that characters tell more.
_FEW_TOKENS_PER_EVENT = 1.5
# The text of the first complete answers is measured, then that of one in so many.
_FIRST_SAMPLES, _SAMPLE = 16, 256


class Estimate(msgspec.Struct, frozen=True, omit_defaults=True):
    """Token counts of the prompt and of the answer that were not reported; 0 where they were.

    `counted`: the delivered text was counted with the upstream's tokenizer; else it was estimated.
    """

    prompt: int = 0
    output: int = 0
    counted: bool = False


class Counts(msgspec.Struct, frozen=True):
    """What the upstream's tokenizer counted; None for what it did not."""

    prompt: int | None = None
    output: int | None = None


NO_ESTIMATE = Estimate()
NO_COUNTS = Counts()


class TokenRatios:
    """What the complete answers of one upstream say of tokens for each event, character, and token of our own count."""

    def __init__(self) -> None:
        self._events = self._of_events = 0
        self._characters = self._of_characters = 0
        self._counted = self._of_counted = 0
        self._answers = 0

    @property
    def samples_text(self) -> bool:
        """Whether `observe` wants to know how many characters the next complete answer has."""
        return self._answers < _FIRST_SAMPLES or self._answers % _SAMPLE == 0

    @property
    def by_characters(self) -> bool:
        """Whether a stream's tokens are estimated from its characters, not from its events."""
        return bool(self._characters) and self._of_events > _FEW_TOKENS_PER_EVENT * self._events

    def observe(self, usage: Usage, *, counted: int, events: int, characters: int = 0) -> None:
        """One complete answer: `counted` is our own count of the prompt's tokens, `events` those with content, 0 for
        an answer that was no stream; `characters` of its text, 0 where they were not counted.
        """
        self._answers += 1
        if events and usage.output:
            self._events += events
            self._of_events += usage.output
        if characters and usage.output:
            self._characters += characters
            self._of_characters += usage.output
        if counted and usage.prompt:
            self._counted += counted
            self._of_counted += usage.prompt
        if max(self._events, self._characters, self._counted) > _MEMORY:
            self._events, self._of_events = self._events // 2, self._of_events // 2
            self._characters, self._of_characters = self._characters // 2, self._of_characters // 2
            self._counted, self._of_counted = self._counted // 2, self._of_counted // 2

    def estimate(self, usage: Usage, *, counted: int, events: int, characters: int | None = None) -> Estimate:
        """The counts that an incomplete usage lacks. `characters` is None where events are to be used."""
        prompt = output = 0
        if not usage.prompt:
            prompt = round(counted * self._of_counted / self._counted) if self._counted else counted
        if not usage.output:
            if characters is None:
                output = round(events * self._of_events / self._events) if self._events else events
            elif self._characters:
                output = round(characters * self._of_characters / self._characters)
            else:
                output = round(characters / _CHARACTERS_PER_TOKEN)
        return Estimate(prompt, output)
