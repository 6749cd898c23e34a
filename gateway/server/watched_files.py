"""Whether files changed since they were last read."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection
from pathlib import Path

# A file that is being written is taken as complete once it has not changed for so long, and at the latest after the
# second time.
_SETTLE_SECONDS, _MOST_SETTLE_SECONDS = 0.2, 5.0
# Modification and status change (ns), size and inode; None where it is not there.
_State = tuple[int, int, int, int] | None


class WatchedFiles:
    """The states of files at the time when they were last read. Symbolic links are followed."""

    def __init__(self, *paths: Path) -> None:
        self._states = {path: _state(path) for path in paths}

    def read(self, path: Path) -> None:
        """Note the state of a file that is about to be read, and watch it from here on."""
        self._states[path] = _state(path)

    def __contains__(self, path: Path) -> bool:
        return path in self._states

    def keep(self, paths: Collection[Path]) -> None:
        """Watch no others."""
        self._states = {path: state for path, state in self._states.items() if path in paths}

    @property
    def changed(self) -> bool:
        """Whether one of them is another file than it was when it was read."""
        return any(_state(path) != state for path, state in tuple(self._states.items()))

    async def settle(self) -> None:
        """Wait until none of them changes any more, for some seconds at most, and note their states."""
        end = time.monotonic() + _MOST_SETTLE_SECONDS
        while True:
            for path in tuple(self._states):
                self.read(path)
            await asyncio.sleep(_SETTLE_SECONDS)
            if not self.changed or time.monotonic() >= end:
                return


def _state(path: Path) -> _State:
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
