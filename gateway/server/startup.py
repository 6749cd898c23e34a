"""Opening what the config names, with each fault as a line that carries the key's path."""

from __future__ import annotations

from pathlib import Path

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.database import probe
from breakeven.gateway.ledger.opening import blamed_on
from breakeven.router.model.artifact import Artifact, ArtifactError, load


def open_services(config: Config) -> tuple[Artifact, Ledger]:
    """The router's artifact and the ledger. Raises ConfigError."""
    artifact = _artifact(config)
    check_scorer(config)
    assert config.ledger.journal is not None, "load_config resolves it"
    with blamed_on("ledger.url"):
        return artifact, Ledger.open(config.ledger.url, journal=Path(config.ledger.journal), config=config)


def check_services(config: Config) -> None:
    """Raise ConfigError where they could not be opened; writes nothing."""
    _artifact(config)
    check_scorer(config)
    with blamed_on("ledger.url"):
        probe(config.ledger.url)


def check_scorer(config: Config) -> None:
    """Raise ConfigError where shadow traffic is on and its scorer is not there."""
    if config.shadow.rate > 0:
        from breakeven.gateway.shadow.scoring import scoring

        scoring(config)


def _artifact(config: Config) -> Artifact:
    path = config.routing.artifact
    try:
        return load(Path(path) if path is not None else None)
    except ArtifactError as error:
        raise ConfigError([f"routing.artifact: {error}"]) from None
