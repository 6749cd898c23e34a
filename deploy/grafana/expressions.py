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
QUALITY = f"max(breakeven_quality_retention{JOB})"
QUALITY_LOWER = f"max(breakeven_quality_retention_lower{JOB})"
QUALITY_UPPER = f"max(breakeven_quality_retention_upper{JOB})"
ROUTED = ('route=~"student|teacher"', 'reason!="pinned"')


def routed_share(window: str, *matchers: str) -> str:
    """A PromQL expression: the share of the routed requests of the last `window` that match `matchers`."""
    part, whole = (f"sum(rate(breakeven_requests_total{job(*ROUTED, *more)}[{window}]))" for more in (matchers, ()))
    return f"({part} or vector(0)) / ({whole} > 0)"


def happened(expression: str, metric: str, labels: str, *matchers: str) -> str:
    """The `expression`, of rates by `labels` of the counter `metric`, without what never happened."""
    return f"{expression} and sum by ({labels}) ({metric}{job(*matchers)}) > 0"


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
    """A PromQL expression: USD per million tokens of `upstream` over the last six hours; `cost` is a counter in USD."""
    served = job(f'upstream="{upstream}"')
    tokens = f"sum(max without (instance, pod) (increase(breakeven_tokens_total{served}[6h])))"
    return f"1e6 * sum(max without (instance, pod) (increase({cost}[6h]))) / ({tokens} > 0)"
