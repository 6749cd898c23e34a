"""What the routes that use the ledger have in common: their period, how they wait for it, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Query
from pydantic import Field

from breakeven.gateway.api.errors import ledger_unavailable, nothing_to_change
from breakeven.gateway.errors import BreakevenError, LedgerError, RequestError
from breakeven.gateway.runtime.services import Services

_FLUSH_SECONDS = 2.0
# The last microsecond of the year 9999, beyond which no date can be written.
_LAST_MICROSECOND = 253_402_300_799_999_999
_Read = TypeVar("_Read")

Microseconds = Annotated[int, Field(ge=0, le=_LAST_MICROSECOND)]
Since = Annotated[
    Microseconds | None,
    Query(description="Begin of the period, microseconds since the Unix epoch; absent: the beginning of the ledger."),
]
Until = Annotated[
    Microseconds | None, Query(description="End of the period, microseconds since the Unix epoch; absent: now.")
]
Before = Annotated[
    Microseconds | None,
    Query(description="Only those that began before, microseconds since the Unix epoch."),
]


async def from_ledger(now: Services, read: Callable[[], _Read]) -> _Read:
    """What `read` finds once settled requests are written. Raises RequestError 400 for its period, 503."""

    def after_writes() -> _Read:
        now.ledger.flush(_FLUSH_SECONDS)
        return read()

    try:
        return await asked(now, after_writes)
    except ValueError as error:  # a period that the ledger cannot cut
        raise RequestError(400, str(error), code="invalid_period") from None


async def asked(now: Services, what: Callable[[], _Read]) -> _Read:
    """What `what` finds or does in the ledger. Raises RequestError 503 where it cannot be used."""
    try:
        return await now.ledger.ask(what)
    except LedgerError:
        raise ledger_unavailable() from None


async def changed(now: Services, change: Callable[[], _Read]) -> _Read:
    """What an operator's change of the stages or the candidate gives. Raises RequestError 409 where there is nothing to
    change, 503.
    """
    try:
        return await now.ledger.ask(change)
    except LedgerError:
        raise ledger_unavailable() from None
    except BreakevenError as error:
        raise nothing_to_change(error) from None
