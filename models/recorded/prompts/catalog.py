"""All prompts of the recorded set, in their published order."""

from __future__ import annotations

import random

from breakeven.models.recorded.prompts import comprehension, everyday, formats, reasoning, writing
from breakeven.models.recorded.prompts.base import Prompt

SEED = 20261125


def prompts() -> list[tuple[str, Prompt]]:
    """Every prompt with its id (category and number), shuffled with a fixed seed."""
    numbered: list[tuple[str, Prompt]] = []
    for module in (everyday, comprehension, writing, reasoning, formats):
        counts: dict[str, int] = {}
        for prompt in module.prompts(random.Random(SEED)):
            counts[prompt.category] = counts.get(prompt.category, 0) + 1
            numbered.append((f"{prompt.category}-{counts[prompt.category]:03d}", prompt))
    random.Random(SEED).shuffle(numbered)
    return numbered
