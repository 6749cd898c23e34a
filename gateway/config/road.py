"""The section of breakeven.yaml on how the gateway earns the right to route: comparing, proposing, watching."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from breakeven.gateway.config.types import Fraction, Section, Usd

# Below these the promise means nothing, and 1 can never be shown from a sample.
Share = Annotated[float, Field(ge=0.5, le=0.999, allow_inf_nan=False)]
# What `shadow` had, and what it is called now.
REPLACED = {
    "rate": "road.sample",
    "scorer": "road.scorer",
    "monthly_budget_usd": "road.monthly_budget_usd",
    "max_queue": "road.max_queue",
    "concurrency": "road.concurrency",
    "window_days": "road.window_days",
}


class Road(Section):
    advance: Literal["propose", "auto"] = Field(
        "propose", description="`propose`: a proposal waits for `breakeven apply`; `auto`: it goes live by itself."
    )
    floor: Share = Field(0.98, description="The share of the teacher's quality that routed traffic must keep.")
    confidence: Share = Field(0.95, description="Probability with which a promise of the floor holds.")
    labels: int = Field(300, ge=50, description="Number of comparisons of a workload before the first proposal.")
    monthly_budget_usd: Usd = Field(
        Decimal("50"), description="USD per calendar month (UTC) for the teacher's answers and judging of comparisons."
    )
    scorer: str = Field(
        "judge",
        pattern=r"^(judge|exact|numeric|json|contains|choice|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="How the two answers are scored: by `judge` (a model, with both orders of answers), a checker "
        "against the teacher's answer (`exact`, `numeric`, `json`, `contains`, `choice`), or your `module:function`.",
    )
    judge: str | list[str] | None = Field(
        None, description="Name of one of `models` as the judge, or several names: a panel; null: the teacher."
    )
    panel: Literal["mean", "majority"] = Field(
        "mean", description="How several judges judge: the mean of their scores, or what more than half of them say."
    )
    judge_max_tokens: int = Field(
        8192,
        ge=64,
        description="Maximum number of tokens of a verdict, with what a reasoning judge thinks first; a verdict that "
        "this cuts off does not count.",
    )
    sample: Fraction = Field(
        0.02,
        description="Share of the student's answers that are compared with the teacher's, which is paid for; of the "
        "teacher's answers ten times as many are compared with the student's, or all where no judge is paid for that. "
        "0: none, not even in stage observe.",
    )
    max_queue: int = Field(64, ge=1, description="Maximum number of requests that wait to be compared; more are not.")
    concurrency: int = Field(2, ge=1, le=64, description="Maximum number of concurrent comparisons.")
    window_days: int = Field(28, ge=1, description="Days over which quality_retention is measured.")

    @property
    def judges(self) -> tuple[str, ...]:
        """The names of the judges among `models`; none where the teacher judges."""
        return () if self.judge is None else (self.judge,) if isinstance(self.judge, str) else tuple(self.judge)
