"""The exception tree, and the one mapper to OpenAI error bodies.

    BreakevenError
    ├── ConfigError               breakeven.yaml or the environment is wrong: exit 2
    ├── LedgerError               the ledger cannot be opened or written
    └── RequestError              one request fails with an OpenAI-shaped body
"""

from __future__ import annotations


class BreakevenError(Exception):
    """Anything that Breakeven raises on purpose."""


class ConfigError(BreakevenError):
    """The config is wrong. `faults` has one line each: the key's path, what is wrong, how to mend it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class LedgerError(BreakevenError):
    """The ledger cannot be opened or written."""
