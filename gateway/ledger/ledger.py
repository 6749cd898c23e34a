"""The ledger: what was paid, what hosting costs, what was invested; the one source of every sum of money."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from gateway.config import Config
from gateway.economics.breakeven import Rate
from gateway.economics.prices import picodollars
from gateway.economics.sums import Sum
from gateway.errors import LedgerError
from gateway.ledger.database import explain, migrate, open_engine, serialise, transaction
from gateway.ledger.schema import hosting_rates, investments
from gateway.ledger.sums import read
from gateway.ledger.writer import Writer
from gateway.record import RequestRecord

_CLOSE_SECONDS = 10.0
# The investment that the config names; others have names of their own.
_FROM_CONFIG = "config"


class Ledger:
    """One open ledger. Safe to use from several threads."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer

    @classmethod
    def open(cls, url: str, *, journal: Path, config: Config | None = None) -> Ledger:
        """Connect, migrate, bring home what a killed process left behind, and start writing.

        `journal` is a folder that the processes of one machine share; with a config its hosting rate and
        its investment are entered where they changed. Raises LedgerError.
        """
        engine = open_engine(url)
        try:
            migrate(engine)
            writer = Writer(engine, journal)
            ledger = cls(engine, writer)
            if config is not None:
                ledger.enter(config, now=time.time_ns() // 1000)
            writer.start()
        except SQLAlchemyError as error:
            engine.dispose()
            raise LedgerError(explain(error)) from None
        except OSError as error:
            engine.dispose()
            raise LedgerError(f"its journal {journal} cannot be written ({error.strerror})") from None
        except LedgerError:
            engine.dispose()
            raise
        return ledger

    def settle(self, record: RequestRecord) -> None:
        """Take one record. It is on disk when this returns; never raises."""
        self._writer.put(record)

    def flush(self, timeout: float) -> bool:
        """Wait until what was settled so far is in the database; False where that took too long."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write what waits and close."""
        self._writer.close(_CLOSE_SECONDS)
        self._engine.dispose()

    @property
    def pending(self) -> int:
        """Records that are settled and not yet in the database."""
        return self._writer.pending

    @property
    def write_failures(self) -> int:
        """How often the database or the journal refused a write."""
        return self._writer.write_failures + self._writer.journal_failures + self._writer.lost

    def sums(self, group_by: Sequence[str] = (), since: int | None = None, until: int | None = None) -> list[Sum]:
        """Counts and money over [since, until), microseconds, grouped. See `sums.read`. Raises LedgerError."""
        try:
            with transaction(self._engine, write=False) as connection:
                return read(connection, group_by, since, until)
        except SQLAlchemyError as error:
            raise LedgerError(explain(error)) from None

    def rates(self) -> list[Rate]:
        """Hosting rates in order of time. Raises LedgerError."""
        try:
            with transaction(self._engine, write=False) as connection:
                return _rates(connection)
        except SQLAlchemyError as error:
            raise LedgerError(explain(error)) from None

    def investment(self, until: int | None = None) -> int:
        """Picodollars invested, before `until` where given. Raises LedgerError."""
        statement = select(investments.c.amount)
        if until is not None:
            statement = statement.where(investments.c.at < until)
        try:
            with transaction(self._engine, write=False) as connection:
                return sum(connection.scalars(statement))
        except SQLAlchemyError as error:
            raise LedgerError(explain(error)) from None

    def enter(self, config: Config, now: int) -> None:
        """Enter the config's hosting rate, from now on where it changed, and its investment."""
        per_hour = picodollars(config.student.hosting_usd_per_hour)
        since = config.economics.hosting_since
        start = now if since is None else int(since.timestamp() * 1_000_000)
        with transaction(self._engine, write=True) as connection:
            serialise(connection)
            rates = _rates(connection)
            if not rates:
                connection.execute(insert(hosting_rates), {"since": start, "per_hour": per_hour})
            else:
                if since is not None and start != rates[0].since and (len(rates) == 1 or start < rates[1].since):
                    first = hosting_rates.c.since == rates[0].since
                    connection.execute(update(hosting_rates).where(first).values(since=start))
                if per_hour != rates[-1].per_hour:
                    moment = max(now, rates[-1].since + 1)
                    connection.execute(insert(hosting_rates), {"since": moment, "per_hour": per_hour})
            amount = picodollars(config.economics.investment_usd)
            entry = investments.c.name == _FROM_CONFIG
            if not connection.execute(update(investments).where(entry).values(amount=amount)).rowcount:
                connection.execute(insert(investments), {"name": _FROM_CONFIG, "at": start, "amount": amount})


def _rates(connection: Connection) -> list[Rate]:
    columns = hosting_rates.c
    rows = connection.execute(select(columns.since, columns.per_hour).order_by(columns.since, columns.id))
    return [Rate(since, per_hour) for since, per_hour in rows]
