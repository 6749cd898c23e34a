"""The report of a period as printed in a terminal: tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from breakeven.gateway.accounting.money import dollars
from breakeven.gateway.economics.baseline import Estimate
from breakeven.gateway.economics.hosting import ENOUGH_OBSERVED, Observed
from breakeven.gateway.economics.projection import MIN_DAYS
from breakeven.gateway.economics.shares import SHADOW, Share
from breakeven.gateway.economics.statement import Statement
from breakeven.gateway.economics.totals import Sum
from breakeven.gateway.ledger import Investment
from breakeven.gateway.ledger.reported import Reported
from breakeven.gateway.ledger.statements import Books, Group
from breakeven.gateway.reports.labels import LEAST, not_measured
from breakeven.gateway.reports.report import Report, label, moment
from breakeven.router.policy import Route


def lines(report: Report) -> Iterator[Table | str]:
    """All tables and sentences of the report, in the order in which they are printed."""
    statement = report.books.statement
    yield from render(statement, has_student=report.has_student)
    if not report.has_student:
        yield (
            "Only a teacher is configured: it answers everything, and nothing is saved. `breakeven plan --from-ledger` "
            "says from this traffic whether a student would pay."
        )
    elif statement.pairs_needed:
        yield (
            f"The answer lengths of the teacher are not known yet: {statement.pairs_needed} more comparisons are "
            "needed; set road: {sample: 0.02} in the config, for example."
        )
    if report.entered_pairs:
        yield (
            f"{report.entered_pairs:,} of the comparisons were entered from outcome rows: the estimate is as good as "
            "these are like the traffic."
        )
    if len(report.books.providers) > 1:
        yield render_providers(report.books.providers)
    for name, found in (("workload", statement.by_workload), ("key", statement.by_key)):
        if sum(one.name != SHADOW for one in found) > 1:
            yield render_shares(name, found)
    yield from describe_investments(report.investments)
    if report.has_student or statement.investment > 0:
        yield describe_break_even(report.books)
    yield from describe_quality(report.books)
    if report.reported.difference:
        yield describe_reported(report.reported)
    if report.price_sets > 1:
        yield f"Warning: gateways with {report.price_sets} different sets of prices write to this ledger."
    if report.by:
        yield render_groups(report.by, report.groups)


def render(statement: Statement, *, has_student: bool = True) -> list[Table]:
    """Two tables: requests, tokens and spend by upstream; baseline, hosting, savings and payback. Without a student
    what it did is left out where that is nothing.
    """
    traffic = Table(title=f"{moment(statement.since)} to {moment(statement.until)}", title_justify="left")
    traffic.add_column("upstream")
    for name in ("requests", "attempts", "input", "cached input", "cache write", "output", "spend"):
        traffic.add_column(name, justify="right")
    for route, total in statement.upstreams.items():
        if route is Route.MODEL or (route is Route.STUDENT and not (has_student or total.attempts)):
            continue
        _add_row(traffic, str(route), total, "billed hourly" if route is Route.STUDENT else dollars(total.cost))
    for total in statement.models:
        _add_row(traffic, str(total.group[0]), total, dollars(total.cost))
    money = Table(show_header=False, title="Money", title_justify="left")
    money.add_column()
    money.add_column(justify="right")
    for name, value in _money(statement, has_student=has_student):
        money.add_row(name, value)
    return [traffic, money]


def _add_row(traffic: Table, name: str, total: Sum, spend: str) -> None:
    counts = (total.requests, total.attempts, *_token_counts(total))
    traffic.add_row(name, *(f"{n:,}" for n in counts), spend)


def render_groups(by: Sequence[str], groups: Sequence[Group]) -> Table:
    """One row for each group, in USD; `by` names the leading columns."""
    table = Table(title=f"By {', '.join(by)}", title_justify="left")
    for name in by:
        table.add_column(name)
    for name in ("requests", "attempts", "tokens", "spend", "baseline", "baseline at most"):
        table.add_column(name, justify="right")
    for total, baseline in groups:
        table.add_row(
            *(str(label(name, value)) for name, value in zip(by, total.group, strict=True)),
            *(f"{n:,}" for n in (total.requests, total.attempts, total.tokens)),
            dollars(total.cost),
            "not measured" if baseline is None else dollars(baseline.value),
            dollars(total.baseline),
        )
    return table


def render_providers(found: Sequence[Sum]) -> Table:
    """One row for each of the teacher's providers; their spend adds up to that of the teacher."""
    table = Table(title="By provider of the teacher", title_justify="left")
    table.add_column("provider")
    for name in ("attempts", "tokens", "spend"):
        table.add_column(name, justify="right")
    for row in found:
        numbers = (f"{row.attempts:,}", f"{row.tokens:,}", dollars(row.cost))
        table.add_row(str(row.group[0] or Route.TEACHER), *numbers)
    return table


def render_shares(name: str, found: Sequence[Share]) -> Table:
    """One row for each workload or client key, the largest baseline first; they add up to the table of money."""
    table = Table(title=f"Savings by {name}", title_justify="left")
    table.add_column(name)
    for column in ("requests", "teacher spend", "hosting", "savings", "95% interval"):
        table.add_column(column, justify="right")
    for one in found:
        savings = one.savings
        money = (
            ("not measured yet", "-")
            if savings is None
            else (dollars(savings.value), f"{dollars(savings.low)} to {dollars(savings.high)}")
        )
        table.add_row(one.name, f"{one.requests:,}", dollars(one.spend), dollars(one.hosting), *money)
    return table


def describe_investments(invested: Sequence[Investment]) -> list[str]:
    """One line for each investment; none for a single one, whose amount the table already shows."""
    found = [f"invested {moment(one.at)[:10]}: {dollars(one.amount)} ({one.name})" for one in invested]
    return found if len(found) > 1 else []


def describe_break_even(books: Books) -> str:
    """One sentence: when break-even was reached, or is expected and its interval, or why there is no date."""
    statement, projection = books.statement, books.projection
    if statement.investment <= 0:
        return "break-even: nothing was invested"
    if statement.payback_at is not None:
        return f"break-even: reached {moment(statement.payback_at)}"
    if statement.savings is None:
        return "break-even: no date while savings are not measured"
    if projection is None:
        return (
            f"break-even: no date yet: it takes {MIN_DAYS} full days, and savings that are certain to go on reaching "
            "the investment"
        )
    expected, early, late = (moment(at)[:10] for at in (projection.expected, projection.early, projection.late))
    return (
        f"break-even: expected {expected} (90% interval {early} to {late}) at the pace of the last {projection.days} "
        f"days, {dollars(projection.per_day)} a day"
    )


def describe_reported(reported: Reported) -> str:
    """One sentence: the provider's own price, and what was counted for the same attempts."""
    return (
        f"the provider's own price of {reported.attempts:,} attempts is {dollars(reported.price)}, counted here "
        f"{dollars(reported.counted)} (difference {dollars(reported.difference)}): check usd_per_million"
    )


def describe_quality(books: Books) -> list[str]:
    """Sentences on the cost and results of comparisons with the current student, or how many it takes to have them."""
    kept, ratio, unrouted, judges = books.quality
    spent = books.statement.shadow_spend
    found = [f"comparisons cost {dollars(spent)}, included in the spend"] if spent else []
    if ratio is not None:
        found.append(f"the teacher writes {float(ratio):.2f} output tokens for each of the student's")
    if kept is not None:
        routed = kept.routed
        found.append(
            f"quality retained by routed traffic {routed.value:.1%} [{routed.low:.1%}, {routed.high:.1%}], "
            f"by the student's answers {kept.student.value:.1%}, from {kept.pairs:,} comparisons"
        )
    if unrouted is not None:
        pairs, value = unrouted
        found.append(
            f"of what the teacher answers the student would keep {value.value:.1%} [{value.low:.1%}, {value.high:.1%}] "
            f"of the quality, from {pairs:,} comparisons"
        )
    if kept is None and unrouted is None and books.statement.traffic.student:
        found.append(f"quality: {not_measured(LEAST)}")
    found += [line for one in judges for line in one.lines()]
    return found


def _money(statement: Statement, *, has_student: bool) -> list[tuple[str, str]]:
    traffic = statement.traffic
    # Where the student answered nothing there is nothing to estimate.
    needed = statement.pairs_needed if traffic.student else 0
    rows = [
        ("baseline: all sent to the teacher", _estimate(statement.baseline, traffic.upper_bound, needed)),
        ("teacher spend", dollars(statement.routed_spend)),
        ("hosting accrued", dollars(statement.hosting)),
        *(_observed(statement.observed) if has_student else ()),
        ("savings", _estimate(statement.savings, statement.savings_upper_bound, needed)),
    ]
    missing = sum(total.usage_missing for total in statement.upstreams.values())
    if missing:
        unreported = dollars(sum(total.cost_estimated for total in statement.upstreams.values()))
        rows.append((f"not reported in {missing:,} answers, estimated, in no other figure", unreported))
    if statement.pinned_spend:
        rows.append(("pinned teacher spend, not included", dollars(statement.pinned_spend)))
    if statement.models:
        rows.append(("further models, not included", dollars(statement.upstreams[Route.MODEL].cost)))
    if statement.student_per_million is not None:
        rows.append(("student price per million tokens", dollars(int(statement.student_per_million))))
        if statement.observed.share is not None:
            rows.append(("the same if always busy", _full_load(statement)))
    rows.append(("investment", dollars(statement.investment)))
    if statement.payback_ratio is not None:
        rows.append(("paid back", f"{statement.payback_ratio:.1%}"))
    return rows


def _observed(observed: Observed) -> list[tuple[str, str]]:
    share, mean, idle = observed.share, observed.mean_replicas, observed.idle_share
    if share is None or mean is None:
        return [("hosting hours that were observed", "not measured yet: set student.hosting_observed")]
    rows = [
        ("hosting hours that were observed", f"{share:.1%}, the others by the schedule"),
        ("replicas on average, observed", f"{mean:.2f}"),
        ("their idle share", "not measured yet: set busy_query" if idle is None else f"{idle:.1%}"),
    ]
    without = observed.share_without_tokens
    return rows if without is None else [*rows, ("their share in intervals without a token", f"{without:.1%}")]


def _full_load(statement: Statement) -> str:
    price = statement.observed.at_full_load(statement.student_per_million)
    if price is not None:
        return dollars(int(price))
    return f"not measured yet: takes {ENOUGH_OBSERVED:.0%} of the hours observed, with requests in them"


def _estimate(estimate: Estimate | None, at_most: int, needed: int) -> str:
    if estimate is None and not needed:
        return dollars(at_most)
    if estimate is None:
        return f"at most {dollars(at_most)}: answer length not measured yet, {needed} more comparisons"
    low, high = dollars(estimate.low), dollars(estimate.high)
    return f"{dollars(estimate.value)} (95% interval {low} to {high}, from {estimate.pairs:,} comparisons)"


def _token_counts(total: Sum) -> tuple[int, ...]:
    return total.input_tokens, total.cached_input_tokens, total.cache_write_tokens, total.output_tokens
