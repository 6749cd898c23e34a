"""The ledger's tables of stages, of what happened to them, and of the routers that go with them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from breakeven.gateway.ledger.schema import metadata

# The stage of each workload, as JSON; a version that grows with each change tells all gateways of one.
road_states = Table(
    "road_states",
    metadata,
    Column("workload", String(64), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

# What happened on the way: each change of a stage or of the operator's policy, and what was said at it.
road_events = Table(
    "road_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("workload", String(64), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("text", Text, nullable=False),
    # gateway, console, api or command line.
    Column("who", String(16), nullable=False, server_default="gateway"),
    # As JSON what takes the change back; null where nothing does.
    Column("undo", Text),
    Index("road_events_at", "at"),
)

# The router artifacts that gateways trained, as zip archives, so that all gateways of a ledger have them.
artifacts = Table(
    "artifacts",
    metadata,
    Column("hash", String(12), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# What became of the candidate for the next student, as JSON; a version that grows with each change.
candidates = Table(
    "candidates",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

# What only one gateway at a time may do; `holder` is its id, until `until`.
leases = Table(
    "leases",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", String(32), nullable=False),
    Column("until", BigInteger, nullable=False),
)
