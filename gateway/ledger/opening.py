"""Opening the ledger that the config names, for reading, with each fault under the key that is to blame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import ConfigError, LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.database import require


@contextlib.contextmanager
def read_ledger(config: Config, *, create: bool = False) -> Iterator[Ledger]:
    """The ledger for reading, with what killed processes left in the journal.

    Raises ConfigError, also where there is none and it is not to be created: an empty report would be a lie.
    """
    assert config.ledger.journal is not None, "load_config resolves it"
    with blamed_on("ledger.url"):
        if not create:
            require(config.ledger.url)
        ledger = Ledger.open(config.ledger.url, journal=Path(config.ledger.journal))
    try:
        yield ledger
    finally:
        ledger.close()


@contextlib.contextmanager
def blamed_on(key: str) -> Iterator[None]:
    """Turn a LedgerError inside the block into a ConfigError that names the config key."""
    try:
        yield
    except LedgerError as error:
        raise ConfigError([f"{key}: {error}"]) from None
