"""Opening the router artifact and the ledger that the config names; faults are reported under their config key."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path

from breakeven.gateway.config.journal_folder import claim, owner
from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.database import check_access, refuse_impossible
from breakeven.gateway.ledger.opening import config_errors_for
from breakeven.gateway.ledger.redaction import load_redact
from breakeven.gateway.observability.tracing import check_tracing
from breakeven.gateway.upstreams.tokenizers import AUTO, VLLM, load_tokenizer
from breakeven.router.model.artifact import Artifact, ArtifactError, load

_log = logging.getLogger("breakeven.server")


def open_services(config: Config) -> tuple[Artifact, Ledger]:
    """Load the router artifact and open the ledger, which migrates its database; where that is away, once it is back.

    Raises ConfigError with the key that is at fault: routing.artifact, road.scorer, tokenizer or ledger.url.
    """
    artifact = open_artifact(config)
    check_loadable(config)
    assert config.ledger.journal is not None, "load_config resolves it"
    _check_journal(config)
    _warn_of_readers(config)
    with config_errors_for("ledger.url"):
        journal = Path(config.ledger.journal)
        return artifact, Ledger.open(config.ledger.url, journal=journal, config=config, later=True)


def claim_journal(config: Config) -> bool:
    """Make the folder of the journal for the config's ledger. Whether it belongs to another one: then the config, read
    again, has a folder of its own. Raises ConfigError.
    """
    assert config.ledger.journal is not None, "load_config resolves it"
    folder = Path(config.ledger.journal)
    with config_errors_for("ledger.url"):
        # Before the journal's folder is made, which may be in the one that is missing.
        refuse_impossible(config.ledger.url)
    try:
        return claim(folder, owner(config.ledger.url, folder)) != folder
    except OSError as error:
        raise ConfigError([f"ledger.journal: {folder} cannot be written ({error.strerror})"]) from None


def _warn_of_readers(config: Config) -> None:
    """Say where a ledger from before it was private, or whose mode somebody changed, has prompts in it."""
    path = config.ledger.url.removeprefix("sqlite:///")
    if path == config.ledger.url or not (config.ledger.store_prompts or config.ledger.store_conversations):
        return
    with contextlib.suppress(OSError):
        mode = Path(path).stat().st_mode & 0o777
        if mode & 0o077:
            _log.warning("%s has prompts in it, and others may read it (mode %03o); chmod 600 it", path, mode)


def check_services(config: Config) -> None:
    """Check what `open_services` would open, without writing anything. Raises ConfigError as it does."""
    open_artifact(config)
    check_loadable(config)
    with config_errors_for("ledger.url"):
        check_access(config.ledger.url)
    _check_journal(config)


def _check_journal(config: Config) -> None:
    """Raise ConfigError where the folder of the journal cannot be made or written."""
    assert config.ledger.journal is not None, "load_config resolves it"
    folder = Path(config.ledger.journal)
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    number = 0
    if not existing.is_dir():
        number = errno.EEXIST if existing == folder else errno.ENOTDIR
    elif not os.access(existing, os.W_OK | os.X_OK):
        number = errno.EACCES
    if number:
        raise ConfigError([f"ledger.journal: {folder} cannot be written ({os.strerror(number)})"])


def check_loadable(config: Config) -> None:
    """Load what the config names and running requests will use.

    Raises ConfigError where answers are compared and the function that `road.scorer` names cannot be loaded, for
    a tokenizer or a `ledger.redact` that cannot, and where traces are on and their packages are missing.
    """
    load_redact(config.ledger.redact)
    check_tracing(config.tracing)
    for section, upstream in config.sections.items():
        if upstream.tokenizer not in (None, AUTO, VLLM):
            try:
                load_tokenizer(upstream.tokenizer)
            except ValueError as error:
                raise ConfigError([f"{section}.tokenizer: {error}"]) from None
    if config.road.sample > 0:
        # Imported here: it loads `breakeven.models`, which nothing else in the gateway needs.
        from breakeven.gateway.comparing.scoring import scoring

        scoring(config)


def open_artifact(config: Config) -> Artifact:
    """The router artifact of a config. Raises ConfigError where it cannot be loaded or is another student's."""
    path = config.routing.artifact
    try:
        artifact = load(Path(path) if path is not None else None)
        if config.student is not None:
            artifact.check_student(config.student.model)
        return artifact
    except ArtifactError as error:
        raise ConfigError([f"routing.artifact: {error}"]) from None
