"""The reference of the ledger's tables, from their SQLAlchemy metadata; what a column means is said here."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Column, Table

from breakeven.gateway.ledger.schema import metadata

_INTRO = """# Ledger schema

The ledger is a SQLite file or a PostgreSQL database (`ledger.url`). It is yours to query; write to it only through
`breakeven`. The schema's version is in `alembic_version`; `breakeven serve` migrates an older ledger when it starts.

Units: money is in picodollars (1e-12 USD) as a 64-bit integer, so `cost * 1e-12` is USD. Times are microseconds since
the Unix epoch (UTC), durations are seconds. Token counts are those that the upstream reported. Columns named `key` are
the name of a client key from the config, never the key itself.

Sum picodollars in two halves (`sum(x / 1000000000)` and `sum(x % 1000000000)`): a plain 64-bit sum overflows above nine
million USD.
"""
TABLES = {
    "requests": "One row for each settled request that had at least one attempt. Removed after `ledger.keep_days` "
    "or `keep_hours`.",
    "attempts": "One row for each call to an upstream. Removed together with its request.",
    "hourly": "Sums by hour, written in the same transaction as the rows above. Kept for ever: reports over long "
    "periods read only these.",
    "outcomes": "Comparisons of student and teacher, and users' feedback.",
    "comparisons": "What the two answers of each compared pair cost; the baseline is estimated from it.",
    "prompts": "The text that the router read, only with `ledger.store_prompts`. Removed after `keep_prompts_days`.",
    "conversations": "Conversations of routed requests with the answer to them, and of comparisons with both answers, "
    "only with `ledger.store_conversations`; removed after `keep_prompts_days`. And what is known of judging a "
    "comparison, without any text of it, always and for ever.",
    "audits": "What people said of compared pairs in `breakeven road audit` and `breakeven label`. Without any text.",
    "candidates": "What became of the candidate for the next student, with its states of the workloads. Without text "
    "of prompts.",
    "hosting_rates": "What the student's machines cost by the hour, from when on.",
    "hosting_observed": "What was observed of the student's replicas, one row for each hour. Several gateways add to "
    "one row, each only what is not covered yet: time at or after `until`. Kept for ever.",
    "prices": "The teacher's prices as gateways came to use them. An attempt keeps the cost of its own time.",
    "gateways": "The gateways that write to this ledger, with the prices each one uses, so that differences are found.",
    "marks": "Single moments. `raw_since`: rows of requests before it were removed.",
    "policies": "The routing policy that an operator set over the config's, shared between machines.",
    "road_states": "The stage of each workload, with what is in force and what is proposed.",
    "road_events": "What happened to the stages and to the operator's policy, for people, and who did it. Without text "
    "of prompts.",
    "artifacts": "The routers that gateways trained, as far as a stage names them, so that all gateways have them.",
    "key_spend": "What each key has cost in a calendar month, as reported and as estimated, and `(comparisons)` what "
    "comparisons have: for budgets, written in the transaction that stores the requests. Kept for ever.",
    "holds": "What running requests of keys with a budget may cost at most, and ended ones did, until they are stored.",
    "owned_ids": "Which key made stored responses, their items and conversations, where gateways on several machines "
    "share the ledger. Removed after thirty days.",
    "leases": "What only one gateway at a time may do, and which one does.",
    "investments": "One-time costs: `economics.investment_usd` as `config`, and those of `breakeven invest`.",
}
_USD_PER_TOKEN = "picodollars per token"  # noqa: S105
_COST = "picodollars that the attempts cost, this kind of tokens"
# By `table.column`, or by `column` where it means the same everywhere.
COLUMNS = {
    "key_spend.key": "name of the client key, or `(comparisons)`",
    "key_spend.month": "first microsecond of the calendar month (UTC)",
    "key_spend.cost": "picodollars, reported and estimated",
    "holds.amount": "picodollars",
    "holds.running": "whether the request has not ended; what an ended one holds is its cost",
    "holds.until": "when the hold is void: its process was killed",
    "owned_ids.id": "as the upstream gave it; `conversation` and a space before that of a conversation",
    "owned_ids.maker": "name of the client key",
    "owned_ids.route": "`student` or `teacher`: the upstream that stores it",
    "requests.id": "the record's own id, ordered by time",
    "requests.request_id": "what the client sees as `x-breakeven-request-id`",
    "at": "when",
    "requests.at": "when the request arrived",
    "endpoint": "`chat_completions`, `completions`, `responses`, `embeddings`",
    "key": "name of the client key; empty without keys",
    "workload": "workload: of the request's header, of its key, or `default`",
    "size": "size class of a student's answer: 1 up to 64 output tokens, 2 up to 256, 3 up to 1,024, 4 above; 0: none",
    "stream": "whether the client asked for a stream",
    "route": "`student` or `teacher`: the upstream of the decision",
    "reason": "why: see [reasons](headers.md#reasons)",
    "pinned": "whether the client named the upstream",
    "score": "the router's estimate that the student's answer is worse, in [0, 1]",
    "threshold": "the threshold in force for this request",
    "novelty": "distance from the reference set as a quantile, in [0, 1]",
    "artifact": "hash of the router's artifact",
    "outcome": "`ok`, `upstream_error`, `truncated`, `client_cancelled`, `gateway_error`, `rejected`",
    "requests.status": "HTTP status that the client got; 499 where it went away",
    "attempts.status": "HTTP status of the upstream; null without an answer",
    "baseline": "picodollars that the teacher would have cost for the same tokens; 0 for pinned requests",
    "baseline_input": "the part of `baseline` for prompts that the student answered, as its own tokenizer counts them",
    "baseline_output": "the part of `baseline` for output tokens that the student wrote",
    "router_seconds": "time of the routing decision",
    "overhead_seconds": "time in the gateway, without waiting for upstreams",
    "seconds": "duration",
    "request": "id of the request",
    "number": "1 for the first attempt",
    "last": "whether it is the last attempt; in `hourly` that one carries the request's own counts",
    "upstream": "`student` or `teacher`: the upstream that was called",
    "provider": "name in the config of the upstream that was called, where the route has several; empty for the first; "
    "`candidate` for that",
    "prompt_tokens": "prompt tokens, cached ones included",
    "cached_tokens": "cached prompt tokens",
    "cache_write_tokens": "prompt tokens that were written to a cache",
    "output_tokens": "completion tokens, reasoning included",
    "service_tier": "the provider's service tier that the answer was served in; null where it names none",
    "estimated_prompt_tokens": "prompt tokens that no usage reported, estimated; not part of `prompt_tokens`",
    "estimated_input_tokens": "prompt tokens that no usage reported, estimated; not part of `input_tokens`",
    "estimated_output_tokens": "completion tokens that no usage reported, estimated; not part of `output_tokens`",
    "usage_complete": "whether the upstream reported its usage",
    "cost_input": f"{_COST}: uncached prompt",
    "cost_cached_input": f"{_COST}: cached prompt",
    "cost_cache_write": f"{_COST}: prompt tokens written to a cache",
    "cost_output": f"{_COST}: completion",
    "cost_tools": f"{_COST}: fees beside tokens, such as web searches",
    "cost_reported": "the provider's own price of the answer in picodollars; null where it reports none",
    "estimated_by": "how the estimated output was found: `counted` with the upstream's tokenizer, or `estimated`; "
    "null where usage was reported",
    "cost_estimated": "what the estimated tokens would cost, picodollars; not part of the other costs",
    "cause": "why it [failed](../how-to/upstream-failures.md#causes); null where it did not",
    "upstream_request_id": "what the upstream calls the call, for its support; null where it does not say",
    "first_event_seconds": "from the call to the first event or body byte",
    "hour": "start of the hour",
    "requests": "number of requests",
    "attempts": "number of attempts",
    "usage_missing": "attempts that reached the upstream and have no complete usage",
    "attempts.usage_missing": "whether the attempt reached the upstream and has no complete usage",
    "input_tokens": "uncached prompt tokens",
    "cached_input_tokens": "cached prompt tokens",
    "source": "`shadow`, `candidate` (of its answer to the same request) or `feedback`",
    "comparisons.direction": "who answered the client: `teacher_answered` or `student_answered`",
    "comparisons.student_version": "the student that was compared: name, `@revision`, what its server loaded",
    "comparisons.teacher_version": "the teacher, in the same way; empty in rows of older versions",
    "comparisons.logprob": "mean log-probability of the first tokens of the student's answer; null: not known",
    "conversations.kind": "what the document holds; `comparison`: roles and texts, and text and calls of both answers; "
    "`teacher` and `student`: the request in the form of a chat completion with the answer of that model; "
    "`verdicts`: of each judge by name the better answer in both orders (A, B, T for a tie; the student's answer is A "
    "in the first one; `!`: its scores contradict that), and the lengths of both; `chosen`: the probability with which "
    "a person was to be asked",
    "conversations.document": "what `kind` says, as JSON",
    "attempts.version": "the model that was asked: name, `@revision`, in brackets what its server loaded",
    "outcomes.version": "the student that was compared; of feedback the model that answered; empty: not known",
    "candidates.name": "`default`",
    "candidates.version": "grows with each change",
    "candidates.document": "the state, as JSON",
    "audits.verdict": "the better answer: `student`, `teacher`; `tie`: they are as good",
    "road_states.version": "grows with each change",
    "road_states.document": "the state, as JSON",
    "road_events.stage": "the stage after it",
    "road_events.text": "what happened",
    "road_events.workload": "its workload; `candidate`; empty: all of them",
    "road_events.who": "who did it: `gateway`, `console`, `api`, `command line`",
    "road_events.undo": "as JSON what takes it back; null where nothing does",
    "artifacts.hash": "12 hex digits",
    "artifacts.at": "when its newest comparison was",
    "artifacts.data": "a zip archive of the artifact's files",
    "leases.name": "what it is for: `road`, moving the stages",
    "leases.holder": "the gateway's id",
    "leases.until": "when it ends, unless it is renewed",
    "comparisons.source": "`shadow`: drawn from live traffic; `candidate`: the candidate's answer to the same request; "
    "`rows`: entered from outcome rows",
    "student_score": "score of the student's answer, in [0, 1]",
    "teacher_score": "score of the teacher's answer, in [0, 1]",
    "student_tokens": "output tokens of the student",
    "teacher_tokens": "output tokens of the teacher",
    "student_input_value": "the student's prompt tokens at the teacher's prices, picodollars",
    "student_output_value": "the student's output tokens at the teacher's prices, picodollars",
    "teacher_input_cost": "what the teacher charged for its prompt, picodollars",
    "teacher_output_cost": "what the teacher charged for its own answer, picodollars",
    "weight": "one over the probability that this request was drawn",
    "text": "the text",
    "id": "a number",
    "since": "from when on",
    "per_hour": "picodollars per hour, all replicas",
    "per_replica": "picodollars per hour of one replica; null in rows of older versions",
    "hosting_observed.since": "when the first observation of the hour began",
    "until": "end of the last observation of the hour",
    "due": "the next observation is expected before this; until then the time after `until` is not paid for",
    "observed": "microseconds between `since` and `until` that were observed",
    "replicas": "replica-microseconds: observed replicas times the time of each",
    "busy_measured": "the part of `replicas` for which it is known whether they had requests",
    "busy": "the part of `busy_measured` with requests",
    "active_measured": "the part of `replicas` for which it is known whether they processed tokens",
    "active": "the part of `active_measured` in intervals in which tokens were processed, or may have been",
    "last_replicas": "replicas seen last",
    "input": f"{_USD_PER_TOKEN}, uncached prompt",
    "cached_input": f"{_USD_PER_TOKEN}, cached prompt",
    "output": f"{_USD_PER_TOKEN}, completion",
    "gateways.id": "random, for each start of a process",
    "started": "when it started",
    "seen": "when it last said that it runs",
    "hosting_per_hour": "picodollars per hour that it uses",
    "name": "name",
    "version": "counts changes",
    "document": "the policy as JSON; null where it was taken back",
    "prices.document": "all prices as JSON; null in rows of older versions",
    "gateways.document": "all prices that it uses, as JSON",
    "amount": "picodollars",
}


def page() -> str:
    """The page as Markdown."""
    return _INTRO + "\n".join(line for table in metadata.tables.values() for line in _table(table)) + "\n"


def meaning(column: Column[object]) -> str:
    """What a column holds; empty where nobody has said it."""
    table = column.table.name if column.table is not None else ""
    return COLUMNS.get(f"{table}.{column.name}", COLUMNS.get(column.name, ""))


def _table(table: Table) -> Iterator[str]:
    yield f"\n## {table.name}\n"
    yield f"{TABLES.get(table.name, '')}\n"
    yield "| column | type | null | what it is |"
    yield "| --- | --- | --- | --- |"
    for column in table.columns:
        key = " (key)" if column.primary_key else ""
        null = "yes" if column.nullable else "no"
        yield f"| `{column.name}`{key} | {column.type} | {null} | {meaning(column)} |"
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield f"\nIndex on {', '.join(f'`{column.name}`' for column in index.columns)}."
