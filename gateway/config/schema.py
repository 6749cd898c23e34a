"""The pydantic models of breakeven.yaml: strict, with units in the names.

`loading.load_config` is the only way in. Values of environment variables are read only when they are needed,
and never become part of a model, so that no dump of the config can show a secret.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from breakeven.gateway.config.prices import PriceChange, Prices
from breakeven.gateway.config.types import Fraction, Modality, Moment, Seconds, Section, Usd


class Server(Section):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=64, description="Server processes.")
    max_body_bytes: int = Field(33_554_432, ge=1024, description="Largest request body; above it: 413.")
    read_seconds: Seconds = Field(
        60.0, description="How long a request's head may take to arrive, and then its body; after it: 408."
    )
    cors_origins: list[str] = Field(
        [], description="Origins of browsers that may call, such as https://app.example.com; empty: none."
    )
    drain_seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = Field(
        60.0, description="How long running answers may go on after SIGTERM."
    )

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not re.fullmatch(r"https?://[^\s/?#@*]+", origin):
                raise ValueError("must be exact origins without a path, such as https://app.example.com")
        return value


class Timeouts(Section):
    connect_seconds: Seconds = Field(2.0, description="To open the connection.")
    first_event_seconds: Seconds = Field(60.0, description="From the request sent to the first event or body byte.")
    idle_seconds: Seconds = Field(30.0, description="Between two reads of a running answer; comments count as life.")
    total_seconds: Seconds = Field(600.0, description="For the whole attempt.")


class Breaker(Section):
    consecutive_failures: int = Field(5, ge=1, description="Failures in a row that open the circuit.")
    failure_rate: Fraction = Field(0.5, description="Share of failures in the window that opens it.")
    window_requests: int = Field(20, ge=1, description="How many of the last attempts the rate is taken over.")
    pause_seconds: Seconds = Field(10.0, description="How long it stays open before one request may probe.")


class Upstream(Section):
    """What both upstreams have in common."""

    base_url: str = Field(description="Base URL of the OpenAI-compatible API, with its /v1.")
    model: str = Field(min_length=1, description="Model name that the upstream serves.")
    api_key_env: str | None = Field(
        None, description="Name of the environment variable that holds the key; null: no key is sent."
    )
    max_concurrency: int = Field(256, ge=1, description="Requests that this upstream gets at once.")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        None,
        description="The one spelling of the output limit that this upstream accepts; null: as the client sent it.",
    )
    timeouts: Timeouts = Field(Timeouts(), description="Limits in time.")
    breaker: Breaker = Field(Breaker(), description="When the upstream is left alone.")

    @field_validator("base_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise ValueError("must be an http:// or https:// URL without user, query or fragment")
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _a_name_and_no_key(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            raise ValueError("must be the name of an environment variable, never the key itself")
        return value

    def api_key(self) -> str | None:
        """The key from the environment, or None where none is configured.

        `check_environment` has made sure that a configured variable is set.
        """
        return os.environ[self.api_key_env] if self.api_key_env else None


def _in_order_of_time(value: list[Any]) -> list[Any]:
    for earlier, later in itertools.pairwise(value):
        if later.since <= earlier.since:
            raise ValueError(f"{later.since:%Y-%m-%dT%H:%M:%SZ} does not come after the change before it; sort them")
    return value


class HostingChange(Section):
    since: Moment = Field(description="When it begins to hold.")
    usd_per_hour: Usd = Field(description="What one replica costs by the hour from then on.")
    replicas: int = Field(1, ge=0, description="How many replicas run from then on.")


class Student(Upstream):
    context_window: int | None = Field(
        None,
        ge=1,
        description="Tokens of prompt and answer together; null: max_model_len from the upstream's /v1/models.",
    )
    modalities: list[Modality] = Field(["text"], min_length=1, description="Kinds of input that the student reads.")
    tools: bool = Field(True, description="Whether the student can call tools.")
    hosting_usd_per_hour: Usd = Field(
        Decimal("0"), description="What one replica of the student costs by the hour, used or idle."
    )
    hosting_replicas: int = Field(1, ge=0, description="How many replicas run; each costs the hour.")
    hosting_changes: list[HostingChange] = Field([], description="Dated changes of rate or replicas, in order.")

    _in_order = field_validator("hosting_changes")(_in_order_of_time)


class Teacher(Upstream):
    usd_per_million: Prices = Field(description="The teacher's prices.")
    price_changes: list[PriceChange] = Field([], description="Dated changes of the prices, in order.")

    _in_order = field_validator("price_changes")(_in_order_of_time)


class Escalation(Section):
    probe_tokens: int = Field(24, ge=1, description="Tokens of the student's answer to look at.")
    min_mean_logprob: float = Field(-1.2, le=0.0, description="Below this mean log-probability the teacher answers.")
    min_low_logprob: float | None = Field(
        None, le=0.0, description="Below this 20% quantile of the log-probabilities too; null: not looked at."
    )
    max_hold_seconds: Seconds = Field(
        2.0,
        description="Longest time that a stream is held back from its first event on; then what is there is judged.",
    )


class Routing(Section):
    artifact: str | None = Field(None, description="Directory of the router artifact; null: the one that ships.")
    threshold: Fraction = Field(0.5, description="A score at or above it goes to the teacher.")
    novelty_threshold: Fraction = Field(0.99, description="A novelty at or above it goes to the teacher; 1.0: never.")
    sticky: bool = Field(True, description="A conversation stays on its route.")
    fallback: bool = Field(True, description="Try the other upstream, before the first byte, when one fails.")
    escalation: Escalation | None = Field(None, description="Look at the start of the student's answer; null: off.")


class Economics(Section):
    investment_usd: Usd = Field(Decimal("0"), description="One-time cost of distilling the student.")
    hosting_since: Moment | None = Field(
        None, description="When hosting began to cost; null: when this ledger was first used."
    )


class LedgerConfig(Section):
    url: str = Field("sqlite:///breakeven.db", description="SQLAlchemy URL; a SQLite path is relative to this file.")
    keep_days: int | None = Field(
        None,
        ge=1,
        description="Days that single requests are kept; their hourly sums stay. null: everything stays.",
    )
    store_prompts: bool = Field(
        False, description="Keep the text that the router read of each request, for `breakeven train --from-ledger`."
    )
    keep_prompts_days: int = Field(30, ge=1, description="Days that kept prompts stay; then they are removed.")
    journal: str | None = Field(
        None,
        description="Folder for records on their way to the database; null: beside the SQLite file, or this file.",
    )


class Shadow(Section):
    rate: Fraction = Field(
        0.0, description="Share of the student's chat answers that are also put to the teacher and judged; 0: none."
    )
    scorer: str = Field(
        "judge",
        pattern=r"^(judge|exact|numeric|json|contains|choice|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="What compares the two answers: `judge` (the teacher, asked in both orders), a checker against the "
        "teacher's answer (`exact`, `numeric`, `json`, `contains`, `choice`), or your `module:function`.",
    )
    monthly_budget_usd: Usd = Field(
        Decimal("50"), description="USD a calendar month in UTC for shadow answers and judging; then none is drawn."
    )
    max_queue: int = Field(64, ge=1, description="Drawn requests that may wait; more are dropped.")
    concurrency: int = Field(2, ge=1, le=64, description="How many are put to the teacher at once.")
    window_days: int = Field(28, ge=1, description="Days that quality_retention looks back.")


class ClientKey(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name in the ledger and the log.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the key, in lower-case hex.")
    requests_per_minute: int | None = Field(None, ge=1, description="Requests a minute; above it: 429.")
    tokens_per_minute: int | None = Field(
        None, ge=1, description="Tokens a minute, prompt and answer; once they are used: 429."
    )
    monthly_budget_usd: Usd | None = Field(None, description="USD a calendar month in UTC, as the ledger has them.")
    over_budget: Literal["refuse", "student"] = Field(
        "refuse", description="What a key gets whose budget is spent: 429, or the student only."
    )

    @functools.cached_property
    def limited(self) -> bool:
        """Whether there is anything to count."""
        limits = (self.requests_per_minute, self.tokens_per_minute, self.monthly_budget_usd)
        return any(limit is not None for limit in limits)


class Auth(Section):
    keys: list[ClientKey] = Field([], description="Client keys; empty: loopback only.")

    @field_validator("keys")
    @classmethod
    def _names_differ(cls, value: list[ClientKey]) -> list[ClientKey]:
        names = [key.name for key in value]
        if len(set(names)) != len(names):
            raise ValueError("two keys have the same name")
        return value


class Admin(Section):
    key_env: str = Field(
        "BREAKEVEN_ADMIN_KEY", description="Name of the environment variable with the admin key; unset: no /admin."
    )


class Config(Section):
    """breakeven.yaml."""

    server: Server = Field(Server(), description="The gateway's own server.")
    student: Student = Field(description="The self-hosted distilled model on vLLM.")
    teacher: Teacher = Field(description="The API that the student was distilled from.")
    routing: Routing = Field(Routing(), description="How a route is chosen.")
    economics: Economics = Field(Economics(), description="What was invested.")
    ledger: LedgerConfig = Field(LedgerConfig(), description="The durable record of usage and cost.")
    shadow: Shadow = Field(Shadow(), description="Measuring quality on live traffic.")
    auth: Auth = Field(Auth(), description="Who may call the gateway.")
    admin: Admin = Field(Admin(), description="Who may change it.")

    @model_validator(mode="after")
    def _hosting_begins_before_it_changes(self) -> Config:
        since, changes = self.economics.hosting_since, self.student.hosting_changes
        if since is not None and changes and changes[0].since <= since:
            raise ValueError("student.hosting_changes[0].since: must come after economics.hosting_since")
        return self

    @model_validator(mode="after")
    def _upstreams_differ(self) -> Config:
        reserved = {"auto", "student", "teacher"}
        for name, upstream in (("student", self.student), ("teacher", self.teacher)):
            if upstream.model in reserved - {name} or upstream.model.startswith("auto@"):
                raise ValueError(f"{name}.model: {upstream.model!r} means something else here; rename it upstream")
        if self.student.model == self.teacher.model:
            raise ValueError("student.model and teacher.model are the same; a client could not pin one of them")
        return self
