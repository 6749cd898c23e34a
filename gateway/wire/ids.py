"""Identifiers that are unique, and in the order of time."""

from __future__ import annotations

import random
import time


def fresh_id() -> str:
    """32 hex digits: 12 of milliseconds since the epoch, then 80 random bits, as in a UUID of version 7 (RFC 9562).

    In a database, rows that come together then lie together: a batch touches a few pages of each index, not one
    for each row. Not secret: who knows one can guess at others' times, and no more.
    """
    return f"{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"
