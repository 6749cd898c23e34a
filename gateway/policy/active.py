"""The policy in force: the config's, or the one that an operator set, which survives a restart.

It is stored in one small file beside the ledger's journal, which the processes of one machine share: each checks at
most once a second whether it changed. Where gateways on several machines share a ledger it is stored there too, and
`sync` copies it to the machine's file; a decision never waits for the database.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from pydantic import ConfigDict, Field, ValidationError

from breakeven.gateway.config.routing import Escalation
from breakeven.gateway.config.schema import Config
from breakeven.gateway.config.types import Fraction, Section
from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger.journal import beside
from breakeven.router.files import write_atomically
from breakeven.router.policy import Policy

_log = logging.getLogger("breakeven.policy")
_LOOK_SECONDS = 1.0
_DEFAULT_THRESHOLD = 0.5


class ActivePolicy(Section):
    """The policy in force, and the hash of the artifact whose scores its thresholds are for."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    threshold: Fraction = Field(description="A score at or above it goes to the teacher.")
    novelty_threshold: Fraction = Field(description="A novelty at or above it goes to the teacher; 1: none does.")
    escalation: Escalation | None = Field(description="null: off.")
    artifact: str = Field(description="Hash of the router artifact that it is for, 12 hex digits.")
    source: Literal["config", "admin"] = Field("admin", description="Set in the config, or with PUT /admin/policy.")

    @property
    def policy(self) -> Policy:
        """The two thresholds, as the router's rules take them."""
        return Policy(self.threshold, self.novelty_threshold)


class PolicyUpdate(Section):
    """A change of the policy; what is not given stays as it is."""

    model_config = ConfigDict(strict=True)

    threshold: Fraction | None = Field(None, description="A score at or above it goes to the teacher.")
    novelty_threshold: Fraction | None = Field(None, description="A novelty at or above it goes to the teacher.")
    escalation: Escalation | None = Field(None, description="null: off.")
    artifact: str | None = Field(
        None,
        description="Hash of the artifact that it was tuned for; refused unless it is the running one.",
    )


class Shared(Protocol):
    """Where gateways on several machines store the policy."""

    def policy(self) -> tuple[int, str | None]:
        """A version that grows with every change, and the policy as JSON or None. Raises LedgerError."""

    def put_policy(self, document: str | None) -> int:
        """Store the policy, or remove it with None. Returns the new version. Raises LedgerError."""


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
        """`artifact`: hash of the running one; a stored policy for another one is ignored. `path`: the file of the
        policy. `clock`: seconds.
        """
        self._shared = shared
        self._version = 0
        routing = config.routing
        self._configured = ActivePolicy(
            threshold=_DEFAULT_THRESHOLD if routing.threshold is None else routing.threshold,
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
        """With the policy's file beside the journal of the config's ledger."""
        assert config.ledger.journal is not None, "load_config resolves it"
        journal = Path(config.ledger.journal)
        return cls(config, artifact, beside(journal, "policy.json"), shared=shared)

    @property
    def active(self) -> ActivePolicy:
        """The policy in force; reads its file where that changed, at most once a second."""
        now = self._clock()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._active

    def put(self, update: PolicyUpdate) -> ActivePolicy:
        """Change the policy, for all processes and machines that share it. Returns the new one.

        Raises OSError, LedgerError where it cannot be stored.
        """
        changes = update.model_dump(exclude_unset=True, exclude={"artifact"})
        kept = {name: value for name, value in changes.items() if value is not None or name == "escalation"}
        active = ActivePolicy.model_validate({**self.active.model_dump(), **kept, "source": "admin"})
        document = active.model_dump_json()
        if self._shared is not None:
            self._version = self._shared.put_policy(document)
        self._write(document)
        self._looked = self._clock()
        self._look()
        return self._active

    def clear(self) -> ActivePolicy:
        """Go back to the config's policy, and return it. Raises OSError, LedgerError."""
        if self._shared is not None:
            self._version = self._shared.put_policy(None)
        self._path.unlink(missing_ok=True)
        self._look()
        return self._active

    def sync(self) -> None:
        """Copy what another machine stored in the ledger to this machine's file. Waits for the database; no errors."""
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
            _log.warning("could not load the shared policy, keeping the previous one: %s", error)

    def _write(self, text: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, text + "\n", durable=True, private=True)

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

    def _read(self) -> ActivePolicy | None:
        try:
            stored = ActivePolicy.model_validate(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError):
            _log.error("%s is not a policy, using the config's; remove the file or set the policy again", self._path)
            return None
        if stored.artifact != self._configured.artifact:
            _log.warning(
                "the stored policy is for router %s but %s is running, using the config's policy; tune again",
                stored.artifact,
                self._configured.artifact,
            )
            return None
        return stored
