"""Opening what the config names, with each fault as a line that carries the key's path."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gateway.config import Config
from gateway.errors import ConfigError, LedgerError
from gateway.ledger import Ledger
from gateway.ledger.database import probe, require
from router.artifact import Artifact, ArtifactError, load


def open_services(config: Config) -> tuple[Artifact, Ledger]:
    """The router's artifact and the ledger. Raises ConfigError."""
    artifact = _artifact(config)
    check_scorer(config)
    assert config.ledger.journal is not None, "load_config resolves it"
    with _at("ledger.url"):
        return artifact, Ledger.open(config.ledger.url, journal=Path(config.ledger.journal), config=config)


def check_services(config: Config) -> None:
    """Raise ConfigError where they could not be opened; writes nothing."""
    _artifact(config)
    check_scorer(config)
    with _at("ledger.url"):
        probe(config.ledger.url)


def check_scorer(config: Config) -> None:
    """Raise ConfigError where shadow traffic is on and its scorer is not there."""
    if config.shadow.rate > 0:
        from gateway.shadow.scoring import scoring

        scoring(config)


@contextlib.contextmanager
def read_ledger(config: Config, *, create: bool = False) -> Iterator[Ledger]:
    """The ledger for reading, with what killed processes left in the journal.

    Raises ConfigError, also where there is none and it is not to be created: an empty report would be a lie.
    """
    assert config.ledger.journal is not None, "load_config resolves it"
    with _at("ledger.url"):
        if not create:
            require(config.ledger.url)
        ledger = Ledger.open(config.ledger.url, journal=Path(config.ledger.journal))
    try:
        yield ledger
    finally:
        ledger.close()


def _artifact(config: Config) -> Artifact:
    path = config.routing.artifact
    with _at("routing.artifact"):
        return load(Path(path) if path is not None else None)


@contextlib.contextmanager
def _at(key: str) -> Iterator[None]:
    """What goes wrong inside is this key's fault."""
    try:
        yield
    except (ArtifactError, LedgerError) as error:
        raise ConfigError([f"{key}: {error}"]) from None
