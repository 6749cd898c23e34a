"""The section of breakeven.yaml that each upstream has: how it is reached, its limits, timeouts and circuit breaker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from breakeven.gateway.config.outbound import Outbound
from breakeven.gateway.config.types import Fraction, Seconds, Section, TokenizerName


class Timeouts(Section):
    connect_seconds: Seconds = Field(2.0, description="Timeout for opening a connection.")
    first_event_seconds: Seconds = Field(
        60.0,
        description="Timeout for the first event or body byte of a response; longest time to hold back what a stream "
        "sends before its answer.",
    )
    idle_seconds: Seconds = Field(30.0, description="Timeout between two reads of a body; SSE comments reset it.")
    total_seconds: Seconds = Field(600.0, description="Timeout for the whole attempt.")


class Breaker(Section):
    consecutive_failures: int = Field(5, ge=1, description="Consecutive failures that open the circuit.")
    failure_rate: Fraction = Field(0.5, description="Share of failures in the window that opens the circuit.")
    window_requests: int = Field(20, ge=1, description="Number of last attempts that the failure rate is of.")
    pause_seconds: Seconds = Field(10.0, description="Time that the circuit stays open before a probe request.")


TOKENIZER = (
    "What counts the tokens that no usage reported: `vllm` (the upstream's own /tokenize), `auto` (the same where its "
    "/v1/models says that it is a vLLM), `tiktoken:o200k_base` or "
    "another encoding, or the path of a `tokenizer.json`, relative to this file; null: they are estimated."
)


MESSAGES = (
    "Which API this upstream gets requests of `/v1/messages` in: `native` (its own /v1/messages, as they came), "
    "`translate` (chat completions), or `auto` (native where its /v1/models says that it is a vLLM, and it has it)."
)


class Upstream(Outbound):
    """The settings that all upstreams share."""

    model: str = Field(min_length=1, description="Name of the model at the upstream.")
    revision: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Free text that says which model is behind the name, such as a tag or a date; with another one, "
        "earlier comparisons are set aside. null: the name says it.",
    )
    max_concurrency: int = Field(256, ge=1, description="Maximum number of concurrent requests to this upstream.")
    max_answer_bytes: int = Field(
        8_388_608, ge=1024, description="Longest answer that is no stream, decompressed; a longer one is a failure."
    )
    max_event_bytes: int = Field(
        8_388_608, ge=1024, description="Longest event of a stream, decompressed; a longer one breaks the stream off."
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        None,
        description="The only field for the output limit that this upstream accepts; null: as the client sent it.",
    )
    reserve_output_tokens: int = Field(
        4096,
        ge=1,
        description="Output tokens that a request of a key with a budget reserves the money for, where neither the "
        "request nor the key limits them.",
    )
    tokenizer: TokenizerName | None = Field(None, description=TOKENIZER)
    messages: Literal["native", "translate", "auto"] = Field("translate", description=MESSAGES)
    timeouts: Timeouts = Field(Timeouts(), description="Timeouts of attempts.")
    breaker: Breaker = Field(Breaker(), description="Circuit breaker: when no requests are sent after failures.")

    @property
    def named(self) -> str:
        """Which model is meant: its name, after an @ the revision."""
        return self.model if self.revision is None else f"{self.model}@{self.revision}"

    def reaches_the_same(self, other: Upstream) -> bool:
        """Whether requests to both get to one model with one account, so that one cannot stand in for the other."""
        names = ("base_url", "model", "api_key_env", "headers", "query")
        return all(getattr(self, name) == getattr(other, name) for name in names)
