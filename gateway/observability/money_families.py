"""The metrics of tokens and money, made of the ledger's books."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from operator import attrgetter

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, UnknownMetricFamily
from prometheus_client.metrics_core import Metric

from breakeven.gateway.accounting.money import PICODOLLARS, usd
from breakeven.gateway.economics.baseline import Estimate
from breakeven.gateway.economics.hosting import Observed
from breakeven.gateway.economics.statement import Statement
from breakeven.gateway.economics.totals import Sum
from breakeven.gateway.ledger.statements import Books
from breakeven.gateway.observability.quality import gauge
from breakeven.router.policy import ROUTED

_log = logging.getLogger("breakeven.metrics")


def families(books: Books | None, *, pending: int, write_failures: int, price_sets: int | None) -> Iterator[Metric]:
    """All metrics read from the ledger; without books only those about the ledger itself.

    `pending` records, `write_failures` and `price_sets` are counts; `price_sets` is None where it is unknown.
    """
    if books is not None:
        yield from _traffic(books.statement)
        yield from _savings(books.statement)
        yield from _shares(books.statement)
        yield from _payback(books)
    waiting = GaugeMetricFamily(
        "breakeven_ledger_pending", "Settled requests of this process that are not in the database yet."
    )
    waiting.add_metric([], pending)
    failures = CounterMetricFamily(
        "breakeven_ledger_write_failures", "Failed writes to the database or the journal; they are retried."
    )
    failures.add_metric([], write_failures)
    yield waiting
    yield failures
    if price_sets is not None:
        different = GaugeMetricFamily(
            "breakeven_ledger_price_sets",
            "Number of different sets of prices and hosting rates among the gateways that write to this ledger now; "
            "more than 1 means that their configs disagree.",
        )
        different.add_metric([], price_sets)
        yield different


def state_families(*, age: float | None, away: bool, remade: int) -> Iterator[Metric]:
    """The metrics of how far the others can be relied on: the `age` of the books in seconds, None before the first."""
    if age is not None:
        yield gauge(
            "breakeven_ledger_age_seconds",
            "How long ago the figures of tokens and money were read from the ledger; large while its database does not "
            "answer, and they are those from before. Absent until they were read once.",
            age,
        )
    yield gauge(
        "breakeven_ledger_up",
        "0 while the ledger's database cannot be used: requests are answered and kept in the journal until it can.",
        int(not away),
    )
    again = CounterMetricFamily(
        "breakeven_ledger_remade",
        "Times that the folder of the journal or the file of a SQLite ledger was gone or replaced, and was made again "
        "with what it had.",
    )
    again.add_metric([], remade)
    yield again


def _traffic(statement: Statement) -> Iterator[Metric]:
    tokens = CounterMetricFamily(
        "breakeven_tokens",
        "Tokens as reported by the upstreams. Cached tokens are part of the API's prompt tokens and are counted once: "
        "kind input means uncached. The upstream is student, teacher, or the name of a further model.",
        labels=["upstream", "kind"],
    )
    cost = CounterMetricFamily(
        "breakeven_cost_usd",
        "USD cost of attempts at prices per token, and fees per search or request (kind tools). 0 for the student, "
        "which is paid for by the hour: see breakeven_hosting_usd_total.",
        labels=["upstream", "kind"],
    )
    estimated = CounterMetricFamily(
        "breakeven_estimated_tokens",
        "Tokens of attempts whose usage no upstream reported, such as streams that were cut off: estimated from what "
        "was sent and delivered. Not part of breakeven_tokens_total.",
        labels=["upstream", "kind"],
    )
    estimated_cost = CounterMetricFamily(
        "breakeven_estimated_cost_usd",
        "USD that the estimated tokens would cost. Not part of breakeven_cost_usd_total.",
        labels=["upstream"],
    )
    parts = {**{str(route): statement.upstreams[route] for route in ROUTED}, **_named(statement.models)}
    for upstream, total in parts.items():
        for kind, count, money in (
            ("input", total.input_tokens, total.cost_input),
            ("cached_input", total.cached_input_tokens, total.cost_cached_input),
            ("cache_write", total.cache_write_tokens, total.cost_cache_write),
            ("output", total.output_tokens, total.cost_output),
        ):
            tokens.add_metric([upstream, kind], count)
            cost.add_metric([upstream, kind], float(usd(money)))
        cost.add_metric([upstream, "tools"], float(usd(total.cost_tools)))
        estimated.add_metric([upstream, "input"], total.estimated_input_tokens)
        estimated.add_metric([upstream, "output"], total.estimated_output_tokens)
        estimated_cost.add_metric([upstream], float(usd(total.cost_estimated)))
    # A counter, but not declared as one: in OpenMetrics the family of a counter has its name without _total, and that
    # name is the estimate's.
    baseline = UnknownMetricFamily(
        "breakeven_baseline_usd_total",
        "Upper bound of the baseline in USD, for rates: the teacher's bills for the routed requests that it answered, "
        "and the student's own tokens at the teacher's prices for the others. It only goes up. The estimate is "
        "breakeven_baseline_usd.",
    )
    baseline.add_metric([], float(usd(statement.traffic.upper_bound)))
    hosting = CounterMetricFamily(
        "breakeven_hosting_usd", "USD that the student's machines have cost so far, used or idle."
    )
    hosting.add_metric([], float(usd(statement.hosting)))
    yield from (tokens, cost, estimated, estimated_cost, baseline, hosting)
    yield from _observed(statement.observed)


def _named(models: Iterable[Sum]) -> dict[str, Sum]:
    return {str(one.group[0]): one for one in models}


def _observed(observed: Observed) -> Iterator[Metric]:
    for name, help, value in (
        (
            "breakeven_hosting_observed_share",
            "Share of the hosted time in which the student's replicas were observed; the others are by the schedule. "
            "Absent where nothing was observed.",
            observed.share,
        ),
        ("breakeven_student_replicas", "Replicas of the student seen last; absent while not observed.", observed.last),
        (
            "breakeven_student_idle_share",
            "Share of the observed replicas' time without a request; absent where that was not measured.",
            observed.idle_share,
        ),
    ):
        if value is not None:
            yield gauge(name, help, value)


def _savings(statement: Statement) -> Iterator[Metric]:
    yield gauge("breakeven_compared_pairs", "Compared answers that the baseline is estimated from.", statement.pairs)
    yield gauge(
        "breakeven_compared_pairs_needed",
        "Compared answers still needed before the baseline and savings are estimated; see road.sample.",
        statement.pairs_needed,
    )
    if statement.baseline is not None:
        yield from _estimate(
            "breakeven_baseline_usd",
            "USD that the teacher would have charged for the routed requests, with the lengths of its own answers",
            statement.baseline,
        )
    if statement.savings is not None:
        yield from _estimate(
            "breakeven_savings_usd",
            "USD saved so far: estimated baseline minus teacher spend and hosting, without pinned requests. Negative "
            "while the student has cost more than it saved",
            statement.savings,
        )
    else:
        yield gauge(
            "breakeven_savings_upper_bound_usd",
            "The most in USD that can have been saved, if the teacher's answers are as long as the student's; absent "
            "once savings are measured.",
            float(usd(statement.savings_upper_bound)),
        )


def _estimate(name: str, what: str, estimate: Estimate) -> Iterator[Metric]:
    yield gauge(name, f"{what}; absent until answers enough were compared.", float(usd(estimate.value)))
    yield gauge(f"{name}_lower", f"Lower end of the 95% interval of {name}.", float(usd(estimate.low)))
    yield gauge(f"{name}_upper", f"Upper end of the 95% interval of {name}.", float(usd(estimate.high)))


def _shares(statement: Statement) -> Iterator[Metric]:
    for name, found in (("workload", statement.by_workload), ("key", statement.by_key)):
        spend = GaugeMetricFamily(
            f"breakeven_teacher_spend_by_{name}_usd",
            f"USD spent on the teacher for routed requests so far, by {name}.",
            labels=[name],
        )
        for one in found:
            spend.add_metric([one.name], float(usd(one.spend)))
        yield spend
        measured = [(one.name, one.savings) for one in found if one.savings is not None]
        for suffix, what, of in (
            ("", f"USD saved so far, by {name}; they add up to breakeven_savings_usd.", attrgetter("value")),
            ("_lower", "Lower end of its 95% interval.", attrgetter("low")),
            ("_upper", "Upper end of its 95% interval.", attrgetter("high")),
        ):
            family = GaugeMetricFamily(f"breakeven_savings_by_{name}_usd{suffix}", what, labels=[name])
            for label, savings in measured:
                family.add_metric([label], float(usd(of(savings))))
            if measured:
                yield family


def _payback(books: Books) -> Iterator[Metric]:
    statement = books.statement
    yield gauge(
        "breakeven_investment_usd",
        "USD of one-time investment in distilling the student.",
        float(usd(statement.investment)),
    )
    if statement.payback_ratio is not None:
        yield gauge(
            "breakeven_payback_ratio",
            "Savings over investment; 1 is the break-even point. Absent until savings are measured.",
            statement.payback_ratio,
        )
    if books.payback_at is not None:
        yield gauge(
            "breakeven_payback_timestamp_seconds",
            "Unix time at which savings reached the investment, or will at the pace of recent days; absent while "
            "neither is known.",
            books.payback_at / 1e6,
        )
    if statement.student_per_million is not None:
        yield gauge(
            "breakeven_student_usd_per_million_tokens",
            "The student's effective price: hosting cost so far divided by all tokens that it has served.",
            float(statement.student_per_million) / PICODOLLARS,
        )
