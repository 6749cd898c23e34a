"""The periodic work of a gateway on its ledger."""

from __future__ import annotations

import logging

from sqlalchemy import Engine

from breakeven.gateway.config.schema import Config
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.ledger import outcomes
from breakeven.gateway.ledger.conversations import purge
from breakeven.gateway.ledger.database import transaction
from breakeven.gateway.ledger.owned_ids import purge_ids
from breakeven.gateway.ledger.pruning import prune
from breakeven.gateway.ledger.rates import Writer as Registration
from breakeven.gateway.ledger.rates import contradictions, fallback_prices, hosting_schedule, price_at, register

_log = logging.getLogger("breakeven.ledger")


class Maintenance:
    """Registers a gateway as active, and deletes what is past its retention."""

    def __init__(self, engine: Engine, id: str) -> None:
        """`id`: what the gateway is called among those of the ledger."""
        self._engine = engine
        self._id = id
        self._contradicted = False
        self._prune_at = self._purge_at = 0

    def run(self, config: Config, now: int) -> None:
        """Register this gateway as active at `now`, microseconds since the epoch, warn if others use different prices,
        and after each full hour delete raw rows, prompts and conversations past their retention, raw rows in several
        calls where there are many. Raises SQLAlchemyError.
        """
        per_hour = [rate.per_hour for rate in hosting_schedule(config, 0) if rate.since <= now][-1]
        with transaction(self._engine, write=True) as connection:
            own = Registration(self._id, price_at(config, now), per_hour, fallback_prices(config, now))
            register(connection, own, now)
            different = contradictions(connection, now)
        if different > 1 and not self._contradicted:
            _log.warning("gateways with %d different sets of prices write to this ledger; make them equal", different)
        self._contradicted = different > 1
        if now >= self._prune_at and config.ledger.hours_kept is not None:
            _, done = prune(self._engine, config.ledger.hours_kept, now)
            if done:
                self._prune_at = (now // HOUR + 1) * HOUR
        if now < self._purge_at:
            return
        self._purge_at = now + HOUR
        with transaction(self._engine, write=True) as connection:
            before = now - config.ledger.keep_prompts_days * DAY
            outcomes.purge_prompts(connection, before)
            purge(connection, before)
            purge_ids(connection, now)
