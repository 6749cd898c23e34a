"""The config that a gateway's workers have in force, kept for a worker that takes the place of another one.

Its file may have changed meanwhile to one that is refused, or that differs in what cannot change while the gateway
runs: the new worker must begin with what the others have, and then judge the file as they do.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

from breakeven.gateway.config.schema import Config


class KeptConfig:
    """A file in a folder that only this user can read."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the supervisor's own, which it made with `tempfile.mkdtemp`."""
        self._path = folder / "config"

    def write(self, config: Config) -> None:
        """Keep this one instead of an earlier one. Raises OSError."""
        fresh = self._path.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_bytes(pickle.dumps(config))
        fresh.replace(self._path)

    def read(self) -> Config:
        """The one that was kept last. Raises OSError."""
        # Written by a process of this gateway.
        found: Config = pickle.loads(self._path.read_bytes())  # noqa: S301
        return found
