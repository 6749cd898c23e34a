"""PromQL expressions of the dashboard "Money". Replicas on one ledger export the same money: aggregate it with max."""

from __future__ import annotations

from panels import JOB, job

SAVINGS = f"max(breakeven_savings_usd{JOB})"
LOWER, UPPER = f"max(breakeven_savings_usd_lower{JOB})", f"max(breakeven_savings_usd_upper{JOB})"
AT_MOST = f"max(breakeven_savings_upper_bound_usd{JOB})"
BASELINE = f"max(breakeven_baseline_usd{JOB})"
INVESTMENT = f"max(breakeven_investment_usd{JOB})"
RATIO = f"max(breakeven_payback_ratio{JOB})"
TEACHER = job('upstream="teacher"')


def rate(metric: str, *matchers: str) -> str:
    """A PromQL expression: the increase in USD per hour of a counter from the ledger."""
    return f"3600 * sum(max without (instance, pod) (rate({metric}{job(*matchers)}[$__rate_interval])))"


def saved(window: str) -> str:
    """A PromQL expression: USD saved within `window`, from its traffic and the estimate of now for all traffic.

    The change of the gauge itself would also contain what better knowledge changed about all earlier traffic.
    """
    limit = f"max(breakeven_baseline_usd_total{JOB})"
    spend = f"(({BASELINE} - {SAVINGS}) or ({limit} - {AT_MOST}))"
    earlier = spend.replace(JOB, f"{JOB} offset {window}")
    traffic = f"({limit} - max(breakeven_baseline_usd_total{JOB} offset {window}))"
    return f"{BASELINE} / {limit} * {traffic} - ({spend} - {earlier})"


def saving(end: str = "") -> str:
    """A PromQL expression: USD saved per hour now, estimated as `saved` does; `end` is empty, `_lower` or `_upper`.

    The last two terms are the spend: the baseline cancels out.
    """
    share = f"max(breakeven_baseline_usd{end}{JOB}) / max(breakeven_baseline_usd_total{JOB})"
    change = {
        name: f"max(deriv(breakeven_{name}{JOB}[$__rate_interval]))"
        for name in ("baseline_usd_total", "baseline_usd", "savings_usd")
    }
    return f"3600 * ({share} * {change['baseline_usd_total']} - ({change['baseline_usd']} - {change['savings_usd']}))"


def per_million(cost: str, upstream: str) -> str:
    """A PromQL expression: USD per million tokens of `upstream` over the last hour; `cost` is a counter in USD."""
    served = job(f'upstream="{upstream}"')
    tokens = f"sum(max without (instance, pod) (increase(breakeven_tokens_total{served}[1h])))"
    return f"1e6 * sum(max without (instance, pod) (increase({cost}[1h]))) / ({tokens} > 0)"
