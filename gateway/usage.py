"""Usage: token counts as an upstream reported them. Never invented, never estimated."""

from __future__ import annotations

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Token counts of one attempt.

    `prompt` counts all prompt tokens, the `cached` ones among them; `output` counts completion tokens,
    reasoning among them. `complete` is False where the upstream did not report all of it; what is
    missing is then 0.
    """

    prompt: int = 0
    cached: int = 0
    output: int = 0
    complete: bool = False


NO_USAGE = Usage()
