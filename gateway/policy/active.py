"""The policy in force: the config's, or what an operator put over it, which survives a restart.

It is kept in one small file beside the ledger's journal, which the processes of one machine share: each looks
at most once a second whether it changed. Where gateways on several machines share a ledger it is in the ledger
too, and `sync` brings it to the machine's file; a decision never waits for the database.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field, ValidationError

from breakeven.gateway.config.schema import Config, Escalation
from breakeven.gateway.config.types import Fraction, Section
from breakeven.gateway.errors import LedgerError
from breakeven.router.files import write_atomically
from breakeven.router.policy import Policy

_log = logging.getLogger("breakeven.policy")
_LOOK_SECONDS = 1.0


class Active(Section):
    """A policy, and the hash of the artifact whose scores its thresholds are for."""

    threshold: Fraction
    novelty_threshold: Fraction
    escalation: Escalation | None
    artifact: str
    source: Literal["config", "admin"] = "admin"

    @property
    def policy(self) -> Policy:
        """What the router's rules need of it."""
        return Policy(self.threshold, self.novelty_threshold)


class PolicyUpdate(Section):
    """A change; what is not given stays as it is. An `artifact` other than the running one is refused."""

    threshold: Fraction | None = Field(None, description="A score at or above it goes to the teacher.")
    novelty_threshold: Fraction | None = Field(None, description="A novelty at or above it goes to the teacher.")
    escalation: Escalation | None = Field(None, description="null: off.")
    artifact: str | None = Field(None, description="Hash of the artifact that the thresholds were tuned for.")


class Shared(Protocol):
    """Where gateways on several machines keep the policy: a version that grows, and a document or none."""

    def policy(self) -> tuple[int, str | None]:
        """Raises LedgerError."""

    def put_policy(self, document: str | None) -> int:
        """Raises LedgerError."""


class Policies:
    """The policy in force, and the one place that changes it."""

    def __init__(
        self,
        config: Config,
        artifact: str,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        shared: Shared | None = None,
    ) -> None:
        """`artifact`: hash of the running one; a stored policy for another one is left aside."""
        self._shared = shared
        self._version = 0
        routing = config.routing
        self._configured = Active(
            threshold=routing.threshold,
            novelty_threshold=routing.novelty_threshold,
            escalation=routing.escalation,
            artifact=artifact,
            source="config",
        )
        self._path = path
        self._clock = clock
        self._looked = -_LOOK_SECONDS
        self._changed: tuple[int, int] | None = None
        self._active = self._configured

    @classmethod
    def beside_ledger(cls, config: Config, artifact: str, shared: Shared | None = None) -> Policies:
        """With the file at its place."""
        assert config.ledger.journal is not None, "load_config resolves it"
        journal = Path(config.ledger.journal)
        name = journal.name.removesuffix(".d").removesuffix("-journal")
        return cls(config, artifact, journal.with_name(f"{name}-policy.json"), shared=shared)

    @property
    def active(self) -> Active:
        """The policy in force."""
        now = self._clock()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._active

    def put(self, update: PolicyUpdate) -> Active:
        """Change it, here and for the others. Raises OSError, LedgerError where it cannot be stored."""
        changes = update.model_dump(exclude_unset=True, exclude={"artifact"})
        kept = {name: value for name, value in changes.items() if value is not None or name == "escalation"}
        active = Active.model_validate({**self.active.model_dump(), **kept, "source": "admin"})
        document = active.model_dump_json()
        if self._shared is not None:
            self._version = self._shared.put_policy(document)
        self._write(document)
        self._looked = self._clock()
        self._look()
        return self._active

    def clear(self) -> Active:
        """Back to the config's. Raises OSError, LedgerError."""
        if self._shared is not None:
            self._version = self._shared.put_policy(None)
        self._path.unlink(missing_ok=True)
        self._look()
        return self._active

    def sync(self) -> None:
        """Bring what another machine put to this one's file. Waits for the database; never raises."""
        if self._shared is None:
            return
        try:
            version, document = self._shared.policy()
            if version == self._version:
                return
            if document is None:
                self._path.unlink(missing_ok=True)
            else:
                self._write(document)
            self._version = version
        except (LedgerError, OSError) as error:
            _log.warning("the shared policy cannot be brought here, the one before holds: %s", error)

    def _write(self, text: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, text + "\n", durable=True)

    def _look(self) -> None:
        try:
            stat = self._path.stat()
        except OSError:
            self._changed, self._active = None, self._configured
            return
        changed = (stat.st_mtime_ns, stat.st_ino)
        if changed == self._changed:
            return
        self._changed = changed
        self._active = self._read() or self._configured

    def _read(self) -> Active | None:
        try:
            stored = Active.model_validate(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError):
            _log.error("%s cannot be read; the config's policy holds. Remove it, or set the policy again", self._path)
            return None
        if stored.artifact != self._configured.artifact:
            _log.warning(
                "the stored policy is for the router %s and %s is running: the config's policy holds; tune again",
                stored.artifact,
                self._configured.artifact,
            )
            return None
        return stored
