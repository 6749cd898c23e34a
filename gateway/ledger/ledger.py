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
from breakeven.gateway.config.journal_folder import claim, others, owner
from breakeven.gateway.config.road import Road
from breakeven.gateway.config.schema import Config
from breakeven.gateway.economics.baseline import PricedPair
from breakeven.gateway.economics.hosting import Hosting, Rate
from breakeven.gateway.economics.periods import DAY
from breakeven.gateway.economics.quality import Compared
from breakeven.gateway.economics.totals import Hour, Sum
from breakeven.gateway.errors import LedgerAway, LedgerError
from breakeven.gateway.ledger import outcomes
from breakeven.gateway.ledger.asking import Asking
from breakeven.gateway.ledger.budgets import BudgetStore
from breakeven.gateway.ledger.candidates import CandidateStore
from breakeven.gateway.ledger.changes import ChangeStore
from breakeven.gateway.ledger.conversations import ConversationStore
from breakeven.gateway.ledger.database import migrate, open_engine, transaction, unusable
from breakeven.gateway.ledger.decisions import Found, Scored, Wanted, last, scored
from breakeven.gateway.ledger.hosting import Span, observe, read_observations
from breakeven.gateway.ledger.inspection import InspectionStore
from breakeven.gateway.ledger.judged import JudgedStore
from breakeven.gateway.ledger.maintenance import Maintenance
from breakeven.gateway.ledger.owned_ids import OwnedIdStore
from breakeven.gateway.ledger.policy import put_policy, read_policy
from breakeven.gateway.ledger.rates import (
    Investment,
    contradictions,
    deregister,
    enter,
    invest,
    read_investments,
    read_rates,
)
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
        # Reads or writes for a request, in threads of their own.
        self.ask = Asking(lambda: self.away).run
        self._maintenance = Maintenance(engine, self.id)

    @classmethod
    def open(cls, url: str, *, journal: Path, config: Config | None = None, later: bool = False) -> Ledger:
        """Connect, migrate, recover the journals of crashed processes, and start writing.

        `url` is SQLAlchemy's; `journal` a folder that the processes of one machine share. With a config, its prices,
        hosting rates and investment are entered if they changed, and maintenance runs. Raises LedgerError; but with
        `later` not where the database cannot be reached: that is tried again until it can, and `away` says so.
        """
        engine = open_engine(url)
        try:
            of = owner(url, journal)
            folder = claim(journal, of)
            ledger = cls(engine, Writer(engine, folder, of if folder == journal else None))
            ledger._config = config
            if config is not None:
                ledger._writer.maintenance = lambda: ledger.maintenance(time.time_ns() // 1000)
            failed = ledger._writer.start(prepare=ledger._prepare, later=later)
        except SQLAlchemyError as error:
            engine.dispose()
            raise unusable(error) from None
        except OSError as error:
            engine.dispose()
            raise LedgerError(f"its journal {journal} cannot be written ({error.strerror})") from None
        except LedgerError:
            engine.dispose()
            raise
        if left := others(journal):
            _log.warning("%d files of the journal are of another database (%s), which only its gateway stores", *left)
        if failed is not None:
            _log.error("requests are answered, and kept in the journal until the ledger can be used: %s", ledger.away)
        return ledger

    def _prepare(self) -> None:
        """Make or upgrade the tables, and enter the config. Raises LedgerError."""
        migrate(self._engine)
        config = self._config
        if config is not None:
            self._write(lambda connection: enter(connection, config, time.time_ns() // 1000))

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
        if self._config is not None and self.away is None:
            # If the database is unavailable, the registration expires instead.
            with contextlib.suppress(SQLAlchemyError), transaction(self._engine, write=True) as connection:
                deregister(connection, self.id)
        self._engine.dispose()

    @property
    def pending(self) -> int:
        """The number of records that are settled and not in the database yet."""
        return self._writer.pending

    @property
    def away(self) -> str | None:
        """Why the database could not be used when records were last written, in words; None: it can."""
        return self._writer.unusable

    @property
    def remade(self) -> int:
        """How often the journal's folder or the SQLite file was gone or replaced since the start, and made again."""
        return self._writer.remade

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
        """Store a user's score in [0, 1]; returns the request, None where the key has none. Raises LedgerError."""

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

        Maintenance uses this config from then on. Where the database cannot be reached, that is done once it can.
        Raises LedgerError.
        """
        try:
            self._write(lambda connection: enter(connection, config, now))
        except LedgerAway:
            self._writer.prepare_again()
        self._config = config

    def maintenance(self, now: int) -> None:
        """Periodic work at `now`: see `Maintenance.run`. Does nothing without a config. Raises SQLAlchemyError."""
        if self._config is not None:
            self._maintenance.run(self._config, now)
