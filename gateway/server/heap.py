"""Returning free memory to the system."""

from __future__ import annotations

import contextlib
import ctypes


def trim_heap() -> None:
    """Return the free memory of the heap to the system (malloc_trim): glibc keeps what loading a config and an artifact
    took, 10 MB or, with 100,000 client keys, 50.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
