"""The ledger: attempts paid for, hosting rates and investments; the source of all sums of money."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.config.road import Road
from breakeven.gateway.config.schema import Config
from breakeven.gateway.economics.baseline import PricedPair
from breakeven.gateway.economics.hosting import Hosting, Rate
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.economics.quality import Compared
from breakeven.gateway.economics.totals import Hour, Sum
from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import outcomes
from breakeven.gateway.ledger.budgets import BudgetStore
from breakeven.gateway.ledger.candidates import CandidateStore
from breakeven.gateway.ledger.changes import ChangeStore
from breakeven.gateway.ledger.conversations import ConversationStore, purge
from breakeven.gateway.ledger.database import error_message, migrate, open_engine, transaction
from breakeven.gateway.ledger.decisions import Found, Scored, Wanted, last, scored
from breakeven.gateway.ledger.hosting import Span, observe, read_observations
from breakeven.gateway.ledger.inspection import InspectionStore
from breakeven.gateway.ledger.judged import JudgedStore
from breakeven.gateway.ledger.owned_ids import OwnedIdStore, purge_ids
from breakeven.gateway.ledger.policy import put_policy, read_policy
from breakeven.gateway.ledger.pruning import prune
from breakeven.gateway.ledger.rates import (
    Investment,
    contradictions,
    deregister,
    enter,
    fallback_prices,
    hosting_schedule,
    invest,
    price_at,
    read_investments,
    read_rates,
    register,
)
from breakeven.gateway.ledger.rates import Writer as Registration
from breakeven.gateway.ledger.reported import Reported, reported
from breakeven.gateway.ledger.road import RoadStore
from breakeven.gateway.ledger.tables import Tables
from breakeven.gateway.ledger.totals import hours, read
from breakeven.gateway.ledger.writer import Writer
from breakeven.router.policy import Reason

_log = logging.getLogger("breakeven.ledger")

_CLOSE_SECONDS = 10.0


class Ledger(Tables):
    """An open ledger. Thread-safe. Times are in microseconds since the epoch, money in picodollars."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        super().__init__(engine)
        self._writer = writer
        # What this gateway is called among those of the ledger.
        self.id = uuid.uuid4().hex
        # The tables of stages, and of what they rest on.
        self.road = RoadStore(engine)
        self.candidates = CandidateStore(engine)
        self.changes = ChangeStore(engine)
        self.inspection = InspectionStore(engine)
        self.conversations = ConversationStore(engine)
        self.judged_pairs = JudgedStore(engine)
        self.budgets = BudgetStore(engine)
        self.owned_ids = OwnedIdStore(engine)
        self._config: Config | None = None
        self._contradicted = False
        self._prune_at = 0

    @classmethod
    def open(cls, url: str, *, journal: Path, config: Config | None = None) -> Ledger:
        """Connect, migrate, recover the journals of crashed processes, and start writing.

        `url` is SQLAlchemy's; `journal` a folder that the processes of one machine share. With a config, its prices,
        hosting rates and investment are entered if they changed, and maintenance runs. Raises LedgerError.
        """
        engine = open_engine(url)
        try:
            migrate(engine)
            writer = Writer(engine, journal)
            ledger = cls(engine, writer)
            if config is not None:
                ledger.enter(config, now=time.time_ns() // 1000)
                writer.maintenance = lambda: ledger.maintenance(time.time_ns() // 1000)
            writer.start()
        except SQLAlchemyError as error:
            engine.dispose()
            raise LedgerError(error_message(error)) from None
        except OSError as error:
            engine.dispose()
            raise LedgerError(f"its journal {journal} cannot be written ({error.strerror})") from None
        except LedgerError:
            engine.dispose()
            raise
        return ledger

    def settle(self, record: RequestRecord, encoded: bytes | None = None) -> None:
        """Accept a record; `encoded` is its JSON, if the caller has it. It is in the journal when this returns.

        Never raises: see `write_failures`.
        """
        self._writer.put(record, encoded)

    def flush(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until all settled records are in the database; False if they are not."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Store pending records, within 10 seconds, and disconnect. Others stay in the journal."""
        self._writer.close(_CLOSE_SECONDS)
        if self._config is not None:
            # If the database is unavailable, the registration expires instead.
            with contextlib.suppress(SQLAlchemyError), transaction(self._engine, write=True) as connection:
                deregister(connection, self.id)
        self._engine.dispose()

    @property
    def pending(self) -> int:
        """The number of records that are settled and not in the database yet."""
        return self._writer.pending

    @property
    def write_failures(self) -> int:
        """The number of failed writes to the database or the journal, and of lost records, since the start."""
        return self._writer.write_failures + self._writer.journal_failures + self._writer.lost

    def sums(
        self,
        group_by: Sequence[str] = (),
        since: int | None = None,
        until: int | None = None,
        reason: Reason | None = None,
    ) -> list[Sum]:
        """Counts and money over [since, until), grouped; see `totals.read`. Raises LedgerError, ValueError."""
        return self._read(lambda connection: read(connection, group_by, since, until, reason))

    def hours(self, until: int | None = None, keys: Collection[str] = ()) -> list[Hour]:
        """Routed traffic per hour; see `totals.hours`. Raises LedgerError, ValueError."""
        return self._read(lambda connection: hours(connection, until, keys))

    def reported(self, since: int | None = None, until: int | None = None) -> Reported:
        """The provider's own prices over [since, until); see `reported.reported`. Raises LedgerError."""
        return self._read(lambda connection: reported(connection, since, until))

    def rates(self) -> list[Rate]:
        """Hosting rates in chronological order. Raises LedgerError."""
        return self._read(read_rates)

    def hosting(self, now: int) -> Hosting:
        """The hosting cost of any period, as known at `now`, microseconds since the epoch. Raises LedgerError."""
        return self._read(lambda connection: Hosting(read_rates(connection), read_observations(connection, now), now))

    def observe_hosting(self, spans: Sequence[Span], due: int) -> None:
        """Store observed replicas of the student; see `hosting.observe`. Raises LedgerError."""
        self._write(lambda connection: observe(connection, spans, due))

    def investments(self) -> list[Investment]:
        """Investments in chronological order. Raises LedgerError."""
        return self._read(read_investments)

    def investment(self) -> int:
        """The sum of all investments, in picodollars. Raises LedgerError."""
        return sum(one.amount for one in self.investments())

    def invest(self, one: Investment) -> None:
        """Enter an investment, or replace the one with its name. Raises LedgerError."""
        self._write(lambda connection: invest(connection, one))

    def decisions(self, limit: int, wanted: Wanted) -> Found:
        """The newest requests with their cost; see `decisions.last`. Raises LedgerError."""
        return self._read(lambda connection: last(connection, limit, wanted))

    def scored(self, artifact: str, since: int | None = None, until: int | None = None) -> Sequence[Scored]:
        """Requests scored by the artifact with this hash; see `decisions.scored`. Raises LedgerError."""
        return self._read(lambda connection: scored(connection, artifact, since, until))

    @property
    def window(self) -> int:
        """The period that quality is measured over, `road.window_days`, in microseconds."""
        road = self._config.road if self._config is not None else Road()
        return road.window_days * DAY

    def compared(self, since: int) -> list[Compared]:
        """Compared pairs; see `outcomes.compared`. Raises LedgerError."""
        return self._read(lambda connection: outcomes.compared(connection, since))

    def priced_pairs(self, until: int | None = None) -> list[PricedPair]:
        """Compared pairs with their prices; see `outcomes.priced_pairs`. Raises LedgerError."""
        return self._read(lambda connection: outcomes.priced_pairs(connection, until))

    def enter_pairs(self, pairs: Mapping[str, PricedPair], at: int) -> int:
        """Store pairs of outcome rows; see `outcomes.enter_pairs`. Raises LedgerError."""
        return self._write(lambda connection: outcomes.enter_pairs(connection, pairs, at))

    def entered_pairs(self) -> int:
        """The number of comparisons that came from outcome rows. Raises LedgerError."""
        return self._read(outcomes.entered_pairs)

    def feedback(self, request_id: str, key: str, score: float) -> outcomes.Answered | None:
        """Store a user's score in [0, 1] of a request of this client key.

        Returns the request, or None, with nothing stored, if it is not known. Raises LedgerError.
        """

        def put(connection: Connection) -> outcomes.Answered | None:
            about = outcomes.answered(connection, request_id, key)
            if about is not None:
                outcomes.put_feedback(connection, about, score)
            return about

        return self._write(put)

    def store_prompts(self, kept: Sequence[tuple[str, int, str]]) -> None:
        """Store prompts: (request id, time, text). Raises LedgerError."""
        self._write(lambda connection: outcomes.store_prompts(connection, kept))

    def purge_prompts(self, before: int | None = None) -> int:
        """Delete stored prompts, with `before` only older ones; returns their number. Raises LedgerError."""
        return self._write(lambda connection: outcomes.purge_prompts(connection, before))

    def repeated_prompts(self, since: int, until: int) -> tuple[int, int]:
        """Stored prompts and how many are repeated; see `outcomes.repeated_prompts`. Raises LedgerError."""
        return self._read(lambda connection: outcomes.repeated_prompts(connection, since, until))

    def stored_prompts(self, since: int, until: int, limit: int) -> list[str]:
        """The newest stored prompts, oldest first; see `outcomes.stored_prompts`. Raises LedgerError."""
        return self._read(lambda connection: outcomes.stored_prompts(connection, since, until, limit))

    def judged(self) -> list[outcomes.Judged]:
        """Outcomes whose prompt is stored, oldest first. Raises LedgerError."""
        return self._read(outcomes.judged)

    def outcome_counts(self) -> tuple[int, int]:
        """The number of outcomes, and of those whose prompt is stored. Raises LedgerError."""
        return self._read(outcomes.count)

    def contradictions(self, now: int) -> int:
        """The number of different sets of prices among the gateways active at `now`. Raises LedgerError."""
        return self._read(lambda connection: contradictions(connection, now))

    @property
    def shared(self) -> bool:
        """Whether gateways on several machines may write to this ledger: not with SQLite."""
        return self._engine.dialect.name != "sqlite"

    def policy(self) -> tuple[int, str | None]:
        """Version and document of the shared policy; see `policy.read_policy`. Raises LedgerError."""
        return self._read(read_policy)

    def put_policy(self, document: str | None) -> int:
        """Replace the shared policy, None removes it. Returns the new version. Raises LedgerError."""
        return self._write(lambda connection: put_policy(connection, document))

    def enter(self, config: Config, now: int) -> None:
        """Enter the config's hosting rates, prices and investment, from their dates or from `now` on.

        Maintenance uses this config from then on. Raises LedgerError.
        """
        self._write(lambda connection: enter(connection, config, now))
        self._config = config

    def maintenance(self, now: int) -> None:
        """Periodic work: register this gateway as active, warn if others use different prices, and once an hour delete
        raw rows, prompts and conversations past their retention. Does nothing without a config. Raises SQLAlchemyError.
        """
        config = self._config
        if config is None:
            return
        per_hour = [rate.per_hour for rate in hosting_schedule(config, 0) if rate.since <= now][-1]
        with transaction(self._engine, write=True) as connection:
            own = Registration(self.id, price_at(config, now), per_hour, fallback_prices(config, now))
            register(connection, own, now)
            different = contradictions(connection, now)
        if different > 1 and not self._contradicted:
            _log.warning("gateways with %d different sets of prices write to this ledger; make them equal", different)
        self._contradicted = different > 1
        if now < self._prune_at:
            return
        self._prune_at = now + HOUR
        if config.ledger.keep_days is not None:
            prune(self._engine, config.ledger.keep_days, now)
        with transaction(self._engine, write=True) as connection:
            before = now - config.ledger.keep_prompts_days * DAY
            outcomes.purge_prompts(connection, before)
            purge(connection, before)
            purge_ids(connection, now)
