"""Times as text, for headers and answers."""

from __future__ import annotations

import time


def moment(seconds: float) -> str:
    """Seconds since the Unix epoch as a time in UTC (RFC 3339), such as 2026-11-27T16:48:38Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
