"""Finding JSON values in the free text of a model's answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any


def json_values(text: str, opening: str) -> Iterator[Any]:
    """The JSON values that start in `text` at one of the `opening` characters, such as "{[", in order of their start.

    Values inside others are included. Never raises.
    """
    decoder = json.JSONDecoder()
    for start in re.finditer(f"[{re.escape(opening)}]", text):
        try:
            value, _ = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        yield value
