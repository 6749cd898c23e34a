"""Opening the ledger of a config for reading; faults are reported under their config key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import ConfigError, LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.database import require_existing


@contextlib.contextmanager
def read_ledger(config: Config, *, create: bool = False) -> Iterator[Ledger]:
    """Open the config's ledger for reading and close it after the block; journals of crashed processes are recovered.

    Without `create`, a SQLite file that does not exist is an error: a report of an empty ledger would be misleading.
    Raises ConfigError.
    """
    assert config.ledger.journal is not None, "load_config resolves it"
    with config_errors_for("ledger.url"):
        if not create:
            require_existing(config.ledger.url)
        ledger = Ledger.open(config.ledger.url, journal=Path(config.ledger.journal))
    try:
        yield ledger
    finally:
        ledger.close()


@contextlib.contextmanager
def config_errors_for(key: str) -> Iterator[None]:
    """Turn a LedgerError inside the block into a ConfigError that names the config key."""
    try:
        yield
    except LedgerError as error:
        raise ConfigError([f"{key}: {error}"]) from None
