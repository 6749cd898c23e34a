"""The ledger's tables. Money is whole picodollars, time whole microseconds since the Unix epoch."""

from __future__ import annotations

import functools
import operator

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.economics.totals import COSTS

metadata = MetaData()

requests = Table(
    "requests",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("request_id", String(128), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("endpoint", String(32), nullable=False),
    Column("key", String(64), nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("route", String(16), nullable=False),
    Column("reason", String(16), nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("score", Float),
    Column("threshold", Float),
    Column("novelty", Float),
    Column("artifact", String(12)),
    Column("outcome", String(24), nullable=False),
    Column("status", Integer, nullable=False),
    Column("baseline", BigInteger, nullable=False),
    Column("baseline_input", BigInteger, nullable=False, server_default="0"),
    Column("baseline_output", BigInteger, nullable=False, server_default="0"),
    # Strata of the estimated baseline; the size is a class, see economics/traffic.py.
    Column("workload", String(64), nullable=False, server_default=DEFAULT_WORKLOAD),
    Column("size", Integer, nullable=False, server_default="0"),
    Column("router_seconds", Float),
    Column("overhead_seconds", Float),
    Column("seconds", Float, nullable=False),
    Index("requests_at", "at"),
    Index("requests_request_id", "request_id"),
)
# The newest scores of a workload by one artifact. Only of requests that have one: most have none at stage observe.
_scored = requests.c.score.is_not(None)
Index(
    "requests_scored",
    requests.c.workload,
    requests.c.artifact,
    requests.c.at,
    sqlite_where=_scored,
    postgresql_where=_scored,
)

attempts = Table(
    "attempts",
    metadata,
    Column("request", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    # In sums, a request is counted with its last attempt.
    Column("last", Boolean, nullable=False),
    Column("upstream", String(16), nullable=False),
    Column("outcome", String(24), nullable=False),
    Column("status", Integer),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False),
    Column("usage_complete", Boolean, nullable=False),
    # The upstream began an answer, or was asked and never answered, and nobody knows what it will charge.
    Column("usage_missing", Boolean, nullable=False, server_default="0"),
    Column("service_tier", String(32)),
    Column("cost_input", BigInteger, nullable=False),
    Column("cost_cached_input", BigInteger, nullable=False),
    Column("cost_cache_write", BigInteger, nullable=False, server_default="0"),
    Column("cost_output", BigInteger, nullable=False),
    Column("cost_tools", BigInteger, nullable=False, server_default="0"),
    # The provider's own price of the answer, where it reports one.
    Column("cost_reported", BigInteger),
    # What nobody reported: counted or estimated from the text that was delivered. Never part of the columns above.
    Column("estimated_prompt_tokens", BigInteger, nullable=False, server_default="0"),
    Column("estimated_output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost_estimated", BigInteger, nullable=False, server_default="0"),
    Column("estimated_by", String(16)),
    Column("first_event_seconds", Float),
    Column("seconds", Float, nullable=False),
    # Why it failed, and what the upstream calls it.
    Column("cause", String(32)),
    Column("upstream_request_id", String(128)),
    # The name in the config of the upstream that was paid, where a route has several; empty for the first of them. Of a
    # further model always its name.
    Column("provider", String(64), nullable=False, server_default=""),
    # Which model was asked: served name, revision, what its server loaded.
    Column("version", String(200), nullable=False, server_default=""),
    # Rows are then in the order of their key, without an index beside them: 20 bytes less for each. Of ledgers made
    # before, the table is as it was.
    sqlite_with_rowid=False,
)

# Sums per hour, written in the same transaction as the rows: long periods are cheap to read, and the sums are kept when
# raw rows are deleted.
hourly = Table(
    "hourly",
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("upstream", String(16), primary_key=True),
    Column("pinned", Boolean, primary_key=True),
    Column("endpoint", String(32), primary_key=True),
    Column("route", String(16), primary_key=True),
    Column("reason", String(16), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("workload", String(64), primary_key=True, server_default=DEFAULT_WORKLOAD),
    Column("size", Integer, primary_key=True, autoincrement=False, server_default="0"),
    Column("provider", String(64), primary_key=True, server_default=""),
    Column("requests", BigInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("usage_missing", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_input", BigInteger, nullable=False),
    Column("cost_cached_input", BigInteger, nullable=False),
    Column("cost_cache_write", BigInteger, nullable=False, server_default="0"),
    Column("cost_output", BigInteger, nullable=False),
    Column("cost_tools", BigInteger, nullable=False, server_default="0"),
    Column("estimated_input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("estimated_output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost_estimated", BigInteger, nullable=False, server_default="0"),
    Column("baseline", BigInteger, nullable=False),
    Column("baseline_input", BigInteger, nullable=False, server_default="0"),
    Column("baseline_output", BigInteger, nullable=False, server_default="0"),
)

# Scores of answers: from comparisons, which score both answers, and from users' feedback, which scores one.
# `request` is the client's request, whose raw rows may have been deleted.
outcomes = Table(
    "outcomes",
    metadata,
    Column("request", String(32), primary_key=True),
    Column("source", String(16), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("score", Float),
    Column("novelty", Float),
    Column("artifact", String(12)),
    Column("student_score", Float),
    Column("teacher_score", Float),
    Column("student_tokens", BigInteger),
    Column("teacher_tokens", BigInteger),
    Column("weight", Float, nullable=False),
    # Of the student that was compared; of feedback: of the model that answered. Empty: not known.
    Column("version", String(200), nullable=False, server_default=""),
    Index("outcomes_at", "at"),
)

# What the two answers of a compared pair cost, picodollars: the student's tokens at the teacher's prices, and what the
# teacher charged for its own answer. The baseline is estimated from these.
comparisons = Table(
    "comparisons",
    metadata,
    Column("request", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("key", String(64), nullable=False),
    Column("student_input_value", BigInteger, nullable=False),
    Column("student_output_value", BigInteger, nullable=False),
    Column("teacher_input_cost", BigInteger, nullable=False),
    Column("teacher_output_cost", BigInteger, nullable=False),
    Column("weight", Float, nullable=False),
    Column("workload", String(64), nullable=False, server_default=DEFAULT_WORKLOAD),
    Column("size", Integer, nullable=False, server_default="0"),
    # shadow: drawn from live traffic; candidate: the candidate's answer to the same request; rows: entered from outcome
    # rows, whose prompts somebody chose.
    Column("source", String(16), primary_key=True, server_default="shadow"),
    # Which of the two answers the client got, and the versions of the models that made them; empty: not known.
    Column("direction", String(24), nullable=False, server_default="student_answered"),
    Column("student_version", String(200), nullable=False, server_default=""),
    Column("teacher_version", String(200), nullable=False, server_default=""),
    # The mean log-probability of the first tokens of the student's answer, where that is known.
    Column("logprob", Float),
    Index("comparisons_at", "at"),
    Index("comparisons_workload", "workload", "at"),
    Index("comparisons_source", "source", "at"),
)

# The text that the router read, stored only with ledger.store_prompts.
prompts = Table(
    "prompts",
    metadata,
    Column("request", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Index("prompts_at", "at"),
)

hosting_rates = Table(
    "hosting_rates",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("per_hour", BigInteger, nullable=False),
    # The price of one replica; null in rows of before it was stored.
    Column("per_replica", BigInteger),
)

# What was observed of the student's replicas in each hour, in microseconds and replica-microseconds.
hosting_observed = Table(
    "hosting_observed",
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("observed", BigInteger, nullable=False),
    Column("replicas", BigInteger, nullable=False),
    Column("busy_measured", BigInteger, nullable=False),
    Column("busy", BigInteger, nullable=False),
    Column("active_measured", BigInteger, nullable=False),
    Column("active", BigInteger, nullable=False),
    Column("last_replicas", Float, nullable=False),
)

# History of the teacher's prices, in picodollars per token. Each attempt stores its own cost.
prices = Table(
    "prices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("input", BigInteger, nullable=False),
    Column("cached_input", BigInteger, nullable=False),
    Column("output", BigInteger, nullable=False),
    # All prices as JSON, cache writes, sound and tiers among them; null in rows of before these were known.
    Column("document", Text),
)

# The gateways that write to this ledger, with the prices they use, so that differences can be reported.
gateways = Table(
    "gateways",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("started", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("input", BigInteger, nullable=False),
    Column("cached_input", BigInteger, nullable=False),
    Column("output", BigInteger, nullable=False),
    Column("document", Text),
    Column("hosting_per_hour", BigInteger, nullable=False),
)

# Times that apply to the whole ledger; `raw_since`: raw rows before it have been deleted.
marks = Table(
    "marks",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False),
)

# The policy set through the admin API, shared by gateways on several machines; without a document the config's holds.
policies = Table(
    "policies",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("document", Text),
)

investments = Table(
    "investments",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
)


def cost_of(table: Table) -> ColumnElement[int]:
    """What a row of `attempts` or `hourly` cost as reported: all kinds together, picodollars."""
    return functools.reduce(operator.add, (table.c[name] for name in COSTS))
