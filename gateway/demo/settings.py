"""The options of the demo."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec

# The share of prompts for the teacher where the demo routes at once, and nothing else says what is routed.
TEACHER_SHARE = 0.25


class Prices(msgspec.Struct, frozen=True):
    """Prices of the demo: USD per million tokens, USD per hour of hosting, and the investment in USD."""

    input: Decimal = Decimal("15")
    cached_input: Decimal = Decimal("1.5")
    output: Decimal = Decimal("60")
    hosting_per_hour: Decimal = Decimal("1.20")
    investment: Decimal = Decimal("100")


class Setup(msgspec.Struct, frozen=True):
    """Options of the demo.

    With `stages` it begins at stage `observe`, and the gateway routes once it can promise the `floor`; otherwise it
    routes at once, by the `threshold` or, without one, by that which sends `teacher_share` of the prompts to the
    teacher, with the router of the directory `artifact`, None for the shipped one.

    `student` and `teacher` are config sections of real upstreams; None: replay the recorded answers. `once`: return
    after the summary instead of keeping the gateway running.
    """

    port: int = 8080
    once: bool = False
    stages: bool = False
    floor: float = 0.95
    threshold: float | None = None
    teacher_share: float = TEACHER_SHARE
    prices: Prices = Prices()
    artifact: Path | None = None
    student: dict[str, object] | None = None
    teacher: dict[str, object] | None = None

    @property
    def live(self) -> bool:
        """Whether there is a real upstream."""
        return bool(self.student or self.teacher)
