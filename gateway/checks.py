"""Opening what the config names, with each fault as a line that carries the key's path."""

from __future__ import annotations

from pathlib import Path

from gateway.config import Config
from gateway.errors import ConfigError, LedgerError
from gateway.ledger import Ledger
from router.artifact import Artifact, ArtifactError, load


def open_services(config: Config) -> tuple[Artifact, Ledger]:
    """The router's artifact and the ledger. Raises ConfigError."""
    path = config.routing.artifact
    try:
        artifact = load(Path(path) if path is not None else None)
    except ArtifactError as error:
        raise ConfigError([f"routing.artifact: {error}"]) from None
    try:
        ledger = Ledger.open(config.ledger.url, config=config)
    except LedgerError as error:
        raise ConfigError([f"ledger.url: {error}"]) from None
    return artifact, ledger
