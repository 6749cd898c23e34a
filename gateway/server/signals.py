"""When SIGHUP, which asks for a reload of the config, may come: a process that starts has no handler for it yet."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


def hold_reloads() -> None:
    """Keep a SIGHUP waiting, which would otherwise end this process, until `take_reloads`; also one that a child gets
    that is started meanwhile.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def take_reloads() -> None:
    """Let a SIGHUP come, also one that waits. Its handler must be there."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


@contextlib.contextmanager
def held_reloads() -> Iterator[None]:
    """Run the block between `hold_reloads` and `take_reloads`."""
    hold_reloads()
    try:
        yield
    finally:
        take_reloads()
