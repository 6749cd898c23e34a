"""Reserving what a comparison may cost from the month's budget for comparisons."""

from __future__ import annotations

import asyncio
import time

from breakeven.gateway.accounting.money import picodollars
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.comparing.comparison import Comparison, judges_of
from breakeven.gateway.comparing.scoring import Scoring
from breakeven.gateway.ledger.budget_tables import COMPARISONS
from breakeven.gateway.runtime.comparison_queue import Drawn
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Route

_REFRESH_SECONDS = 10.0
# How long a comparison waits for the money that running ones hold, and how often it looks.
_WAIT_SECONDS, _LOOK_SECONDS = 60.0, 0.5
# Both orders of the two answers, and each again where a verdict could not be read.
_VERDICTS = 4
_BYTES_PER_TOKEN = 3


async def within_budget(services: Services) -> bool:
    """Whether the budget is not spent yet. False while the ledger cannot be read: the spend is unknown."""
    budgets = services.state.quotas.budgets
    known = await budgets.refresh(_REFRESH_SECONDS)
    return known and budgets.spent(COMPARISONS) < picodollars(services.config.road.monthly_budget_usd)


async def reserve(comparison: Comparison, drawn: Drawn, scoring: Scoring) -> bool:
    """Reserve for a comparison, by its id, once what running ones hold allows it; False where it does not in time."""
    services = comparison.services
    budget = picodollars(services.config.road.monthly_budget_usd)
    budgets, amount = services.state.quotas.budgets, most(services, drawn, scoring)
    seconds = services.config.teacher.timeouts.total_seconds * (1 + _VERDICTS)
    end = time.monotonic() + _WAIT_SECONDS
    while not await budgets.hold(comparison.id, COMPARISONS, amount, budget, seconds):
        if budgets.spent(COMPARISONS) >= budget or time.monotonic() > end:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return True


def most(services: Services, drawn: Drawn, scoring: Scoring) -> int:
    """The most that a comparison is expected to cost, in picodollars."""
    prompt = len(drawn.body) // _BYTES_PER_TOKEN
    answer = drawn.adapter.max_output_tokens(drawn.body)
    if answer is None:
        answer = services.config.teacher.reserve_output_tokens
    amount = 0
    if drawn.asked is Route.TEACHER or drawn.by_candidate:
        amount += services.cost(Route.TEACHER, Usage(prompt, 0, answer, complete=True)).total
    if scoring.paid:
        pairs = 1 if services.asked_candidate is None else 2
        verdict = Usage(prompt + 2 * answer, 0, services.config.road.judge_max_tokens, complete=True)
        amount += pairs * _VERDICTS * sum(_cost(services, judge, verdict) for judge in judges_of(services))
    return amount


def _cost(services: Services, judge: Upstream, usage: Usage) -> int:
    paid_by = services.for_model(judge.provider) if judge.route is Route.MODEL else services
    return paid_by.cost(judge.route, usage, judge.provider).total
