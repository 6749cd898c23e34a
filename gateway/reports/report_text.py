"""The report of a period as printed in a terminal: tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from breakeven.gateway.accounting.money import dollars
from breakeven.gateway.economics.projection import Projection
from breakeven.gateway.economics.statement import Statement, adjusted
from breakeven.gateway.economics.totals import Sum
from breakeven.gateway.ledger import Investment
from breakeven.gateway.ledger.statements import Books
from breakeven.gateway.reports.report import Report, label, moment
from breakeven.router.policy import Route


def lines(report: Report) -> Iterator[Table | str]:
    """All tables and sentences of the report, in the order in which they are printed."""
    statement = report.books.statement
    yield from render(statement)
    if statement.investment:
        yield from describe_investments(report.investments)
        yield describe_projection(report.books.projection)
    yield from describe_quality(report.books)
    if report.price_sets > 1:
        yield f"Warning: gateways with {report.price_sets} different sets of prices write to this ledger."
    if report.by:
        yield render_groups(report.by, report.groups)


def render(statement: Statement) -> list[Table]:
    """Two tables: requests, tokens and spend by upstream; baseline, hosting, savings and payback."""
    traffic = Table(title=f"{moment(statement.since)} to {moment(statement.until)}", title_justify="left")
    traffic.add_column("upstream")
    for name in ("requests", "attempts", "input", "cached input", "cache write", "output", "spend"):
        traffic.add_column(name, justify="right")
    for route, total in statement.upstreams.items():
        traffic.add_row(
            str(route),
            *(f"{n:,}" for n in (total.requests, total.attempts)),
            *(f"{n:,}" for n in _token_counts(total)),
            "billed hourly" if route is Route.STUDENT else dollars(total.cost),
        )
    money = Table(show_header=False, title="Money", title_justify="left")
    money.add_column()
    money.add_column(justify="right")
    for name, value in _money(statement):
        money.add_row(name, value)
    return [traffic, money]


def render_groups(by: Sequence[str], groups: Sequence[Sum]) -> Table:
    """One row for each group, in USD; `by` names the leading columns."""
    table = Table(title=f"By {', '.join(by)}", title_justify="left")
    for name in by:
        table.add_column(name)
    for name in ("requests", "attempts", "tokens", "spend", "baseline"):
        table.add_column(name, justify="right")
    for total in groups:
        table.add_row(
            *(str(label(name, value)) for name, value in zip(by, total.group, strict=True)),
            *(f"{n:,}" for n in (total.requests, total.attempts, total.tokens)),
            dollars(total.cost),
            dollars(total.baseline),
        )
    return table


def describe_investments(invested: Sequence[Investment]) -> list[str]:
    """One line for each investment; none for a single one, whose amount the table already shows."""
    found = [f"invested {moment(one.at)[:10]}: {dollars(one.amount)} ({one.name})" for one in invested]
    return found if len(found) > 1 else []


def describe_projection(projection: Projection | None) -> str:
    """One sentence: the expected break-even date and its interval, or why there is none."""
    if projection is None:
        return "No projection yet: it needs an investment that is not paid back, and at least three full days of data."
    pace = f"At the pace of the last {projection.days} days ({dollars(projection.per_day)} a day)"
    if projection.expected is None and projection.early is None:
        return f"{pace} the investment is never paid back."
    dates = [at if at is None else moment(at)[:10] for at in (projection.expected, projection.early, projection.late)]
    expected, early, late = (date or "never" for date in dates)
    return f"{pace} break-even is expected {expected} (90% interval: {early} to {late})."


def describe_quality(books: Books) -> list[str]:
    """Sentences on the cost and results of shadow traffic; none where no pairs were compared and it cost nothing."""
    kept, ratio = books.quality
    corrected = adjusted(books.statement, ratio)
    spent = books.statement.shadow_spend
    found = [f"shadow traffic cost {dollars(spent)}, included in the teacher's spend"] if spent else []
    if corrected is not None:
        found.append(
            f"measured on {kept.pairs if kept else 0} pairs: the teacher writes {float(corrected.ratio):.2f} output "
            f"tokens for each of the student's; adjusted for this the baseline is {dollars(corrected.baseline)} and "
            f"the savings are {dollars(corrected.savings)}"
        )
    if kept is not None:
        routed = kept.routed
        found.append(
            f"quality retained by routed traffic {routed.value:.1%} [{routed.low:.1%}, {routed.high:.1%}], "
            f"by the student's answers {kept.student.value:.1%}"
        )
    return found


def _money(statement: Statement) -> list[tuple[str, str]]:
    rows = [
        ("baseline: all routed requests sent to the teacher", dollars(statement.baseline)),
        ("teacher spend", dollars(statement.routed_spend)),
        ("hosting accrued", dollars(statement.hosting)),
        ("savings", dollars(statement.savings)),
    ]
    if statement.pinned_spend:
        rows.append(("pinned teacher spend, not included", dollars(statement.pinned_spend)))
    if statement.student_per_million is not None:
        rows.append(("effective student price per million tokens", dollars(int(statement.student_per_million))))
    rows.append(("investment", dollars(statement.investment)))
    if statement.payback_ratio is not None:
        rows.append(("paid back", f"{statement.payback_ratio:.1%}"))
    return [*rows, ("break-even", _break_even(statement))]


def _break_even(statement: Statement) -> str:
    if statement.investment <= 0:
        return "nothing was invested"
    if statement.payback_at is None:
        return "never at this rate"
    verb = "reached" if statement.payback_at <= statement.until else "expected"
    return f"{verb} {moment(statement.payback_at)}"


def _token_counts(total: Sum) -> tuple[int, ...]:
    return total.input_tokens, total.cached_input_tokens, total.cache_write_tokens, total.output_tokens
