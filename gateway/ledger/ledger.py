"""The ledger: what was paid, what hosting costs, what was invested; the one source of every sum of money."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.config.schema import Config, Shadow
from breakeven.gateway.economics.breakeven import Rate
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.economics.quality import Compared
from breakeven.gateway.economics.totals import Hour, Sum
from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import outcomes
from breakeven.gateway.ledger.database import explain, migrate, open_engine, transaction
from breakeven.gateway.ledger.decisions import Scored, last, scored
from breakeven.gateway.ledger.policy import put_policy, read_policy
from breakeven.gateway.ledger.pruning import prune
from breakeven.gateway.ledger.rates import (
    Investment,
    contradictions,
    enter,
    hosting_schedule,
    invest,
    price_at,
    read_investments,
    read_rates,
    register,
    sign_off,
)
from breakeven.gateway.ledger.rates import Writer as Registration
from breakeven.gateway.ledger.totals import hours, read
from breakeven.gateway.ledger.writer import Writer
from breakeven.router.policy import Reason

_log = logging.getLogger("breakeven.ledger")

_T = TypeVar("_T")
_CLOSE_SECONDS = 10.0


class Ledger:
    """One open ledger. Safe to use from several threads."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer
        self._id = uuid.uuid4().hex
        self._config: Config | None = None
        self._contradicted = False
        self._prune_at = 0

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
                writer.upkeep = lambda: ledger.upkeep(time.time_ns() // 1000)
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

    def settle(self, record: RequestRecord, encoded: bytes | None = None) -> None:
        """Take one record, with its JSON where that is known. It is on disk when this returns; never raises."""
        self._writer.put(record, encoded)

    def flush(self, timeout: float) -> bool:
        """Wait until what was settled so far is in the database; False where that took too long."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write what waits and close."""
        self._writer.close(_CLOSE_SECONDS)
        if self._config is not None:
            # Where the database is away, others take us for gone after a while.
            with contextlib.suppress(SQLAlchemyError), transaction(self._engine, write=True) as connection:
                sign_off(connection, self._id)
        self._engine.dispose()

    @property
    def pending(self) -> int:
        """Records that are settled and not yet in the database."""
        return self._writer.pending

    @property
    def write_failures(self) -> int:
        """How often the database or the journal refused a write."""
        return self._writer.write_failures + self._writer.journal_failures + self._writer.lost

    def sums(
        self,
        group_by: Sequence[str] = (),
        since: int | None = None,
        until: int | None = None,
        reason: Reason | None = None,
    ) -> list[Sum]:
        """Counts and money over [since, until), microseconds, grouped. See `sums.read`. Raises LedgerError."""
        return self._read(lambda connection: read(connection, group_by, since, until, reason))

    def hours(self, until: int | None = None) -> list[Hour]:
        """Routed traffic by the hour. See `sums.hours`. Raises LedgerError, ValueError."""
        return self._read(lambda connection: hours(connection, until))

    def rates(self) -> list[Rate]:
        """Hosting rates in order of time. Raises LedgerError."""
        return self._read(read_rates)

    def investments(self) -> list[Investment]:
        """What was invested, in order of time. Raises LedgerError."""
        return self._read(read_investments)

    def investment(self) -> int:
        """Picodollars invested, all together. Raises LedgerError."""
        return sum(one.amount for one in self.investments())

    def invest(self, one: Investment) -> None:
        """Enter an investment, or correct the one of that name. Raises LedgerError."""
        self._write(lambda connection: invest(connection, one))

    def decisions(self, limit: int, before: int | None = None) -> list[dict[str, Any]]:
        """The newest requests with what they cost. See `decisions.last`. Raises LedgerError."""
        return self._read(lambda connection: last(connection, limit, before))

    def scored(self, artifact: str, since: int | None = None, until: int | None = None) -> Sequence[Scored]:
        """Requests that this artifact scored. See `decisions.scored`. Raises LedgerError."""
        return self._read(lambda connection: scored(connection, artifact, since, until))

    @property
    def window(self) -> int:
        """Microseconds that quality looks back, as the config says."""
        shadow = self._config.shadow if self._config is not None else Shadow()
        return shadow.window_days * DAY

    def compared(self, since: int) -> list[Compared]:
        """Pairs of shadow traffic. See `outcomes.compared`. Raises LedgerError."""
        return self._read(lambda connection: outcomes.compared(connection, since))

    def feedback(self, request_id: str, key: str, score: float) -> outcomes.Answered | None:
        """Enter a user's score. Returns the answer that it is about, None where none is known. Raises LedgerError."""

        def put(connection: Connection) -> outcomes.Answered | None:
            about = outcomes.answered(connection, request_id, key)
            if about is not None:
                outcomes.put_feedback(connection, about, score)
            return about

        return self._write(put)

    def keep_prompts(self, kept: Sequence[tuple[str, int, str]]) -> None:
        """Keep (request, microseconds, text). Raises LedgerError."""
        self._write(lambda connection: outcomes.keep(connection, kept))

    def purge_prompts(self, before: int | None = None) -> int:
        """Remove kept prompts; how many went. Raises LedgerError."""
        return self._write(lambda connection: outcomes.purge(connection, before))

    def judged(self) -> list[outcomes.Judged]:
        """Outcomes with their prompts, oldest first. Raises LedgerError."""
        return self._read(outcomes.judged)

    def outcome_counts(self) -> tuple[int, int]:
        """How many outcomes there are, and how many with a kept prompt. Raises LedgerError."""
        return self._read(outcomes.count)

    def contradictions(self, now: int) -> int:
        """How many different sets of prices the gateways use that write here now. Raises LedgerError."""
        return self._read(lambda connection: contradictions(connection, now))

    @property
    def shared(self) -> bool:
        """Whether gateways on several machines may write here."""
        return self._engine.dialect.name != "sqlite"

    def policy(self) -> tuple[int, str | None]:
        """Version and document of the shared policy. See `policy.read_policy`. Raises LedgerError."""
        return self._read(read_policy)

    def put_policy(self, document: str | None) -> int:
        """Replace the shared policy and return its version. Raises LedgerError."""
        return self._write(lambda connection: put_policy(connection, document))

    def enter(self, config: Config, now: int) -> None:
        """Enter the config's hosting rates, prices and investment, from their dates or from now on.

        From here on this gateway calculates with this config. Raises LedgerError.
        """
        self._write(lambda connection: enter(connection, config, now))
        self._config = config

    def upkeep(self, now: int) -> None:
        """What is to be done now and then: say that we are here, see whether another gateway contradicts, and
        remove raw rows after their time. Nothing for a reader. Raises SQLAlchemyError.
        """
        config = self._config
        if config is None:
            return
        per_hour = [rate.per_hour for rate in hosting_schedule(config, 0) if rate.since <= now][-1]
        with transaction(self._engine, write=True) as connection:
            register(connection, Registration(self._id, price_at(config, now), per_hour), now)
            different = contradictions(connection, now)
        if different > 1 and not self._contradicted:
            _log.warning("gateways with %d different sets of prices write to this ledger; make them agree", different)
        self._contradicted = different > 1
        if now < self._prune_at:
            return
        self._prune_at = now + HOUR
        if config.ledger.keep_days is not None:
            prune(self._engine, config.ledger.keep_days, now)
        with transaction(self._engine, write=True) as connection:
            outcomes.purge(connection, now - config.ledger.keep_prompts_days * DAY)

    def _write(self, what: Callable[[Connection], _T]) -> _T:
        try:
            with transaction(self._engine, write=True) as connection:
                return what(connection)
        except SQLAlchemyError as error:
            raise LedgerError(explain(error)) from None

    def _read(self, what: Callable[[Connection], _T]) -> _T:
        try:
            with transaction(self._engine, write=False) as connection:
                return what(connection)
        except SQLAlchemyError as error:
            raise LedgerError(explain(error)) from None
