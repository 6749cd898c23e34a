"""The ledger's tables of conversations, and of what people say of the answers in them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.ledger.schema import metadata

# The kind of a conversation that was compared; its document is a conversations.Pair.
COMPARISON = "comparison"
# Kinds of documents without any text: a judge's verdicts on a pair (record.Verdicts), and the probability with which a
# person was to be asked about it. They are stored without consent, and are not removed with the conversations.
VERDICTS, CHOSEN = "verdicts", "chosen"
TEXTLESS = (VERDICTS, CHOSEN)

# Conversations with their answers, stored only with ledger.store_conversations; `kind` says what the document holds.
conversations = Table(
    "conversations",
    metadata,
    Column("request", String(32), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("workload", String(64), nullable=False, server_default=DEFAULT_WORKLOAD),
    Column("key", String(64), nullable=False),
    Column("document", Text, nullable=False),
    Index("conversations_at", "at"),
)

# Which of the two answers of a comparison a person found better. Kept when the conversation is removed.
audits = Table(
    "audits",
    metadata,
    Column("request", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("verdict", String(8), nullable=False),
)
