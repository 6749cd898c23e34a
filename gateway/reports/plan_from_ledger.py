"""The assumptions of a plan from the ledger's traffic and the config's prices, and what was taken from where."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
from rich.table import Table

from breakeven.gateway.accounting.money import dollars, exact
from breakeven.gateway.config.schema import Config
from breakeven.gateway.economics.plan import Assumptions, dataset_cost, least_student_share, plan
from breakeven.gateway.ledger.monthly import Monthly, Tokens
from breakeven.gateway.ledger.rates import micros
from breakeven.gateway.reports.next_student import NextStudent
from breakeven.gateway.reports.plan import months
from breakeven.gateway.reports.plan_options import OneTimeCosts, Traffic
from breakeven.gateway.reports.report import moment
from breakeven.gateway.reports.resemblance import LEAST_PROMPTS, Resemblance

YEAR = 12


class Source(NamedTuple):
    """Where a plan's assumptions come from: the ledger's traffic, and the config's prices as of `now`, microseconds.

    The names of options in `given` were on the command line, which comes first. `resemblance` is of the stored prompts,
    None where they are too few, and `next_student` what is known of the candidate, None without a student.
    """

    monthly: Monthly
    config: Config
    now: int
    given: Collection[str]
    resemblance: Resemblance | None = None
    next_student: NextStudent | None = None

    def fill(self, traffic: Traffic) -> Traffic:
        """`traffic` with the ledger's tokens and the config's prices and hosting where the command line has none."""
        found = {name: value for name, value in (self._tokens() | self._known()).items() if name not in self.given}
        return msgspec.structs.replace(traffic, **found)

    def fill_costs(self, costs: OneTimeCosts) -> OneTimeCosts:
        """`costs` with examples as long as this traffic's requests where the command line has no lengths."""
        each = _mean(self.monthly.total)
        found = {"example_input_tokens": each.input, "example_output_tokens": each.output}
        return msgspec.structs.replace(costs, **{name: n for name, n in found.items() if name not in self.given})

    def conclusions(self, a: Assumptions) -> Iterator[str]:
        """Sentences: from which share of the traffic a student pays, how much of it is common, what examples cost, and
        what is not known yet.
        """
        least, soon = least_student_share(a), least_student_share(a, YEAR)
        if least is not None:
            within = f"; it is paid back within {YEAR} months from {_percent(soon)}" if soon is not None else ""
            yield f"A student pays from {_percent(least)} of the tokens on{within}."
        yield from self._common(a)
        thousand = _examples_cost(self.monthly, a, 1000)
        yield (
            f"Training examples: the teacher's answers to 1,000 more prompts like these cost {dollars(thousand)}; "
            "--examples adds the cost of as many as you say."
        )
        if self.next_student is not None:
            yield from self.next_student.lines(self.monthly.by_workload, a.teacher)
            return
        yield (
            "Retention: not measured yet. How much of the teacher's quality a student keeps, and on which share, takes "
            "a student and its comparisons with the teacher (road.sample; 300 for a router of its own)."
        )

    def _common(self, a: Assumptions) -> Iterator[str]:
        found = self.resemblance
        if found is None:
            yield (
                f"Common share: not measured yet; it takes {LEAST_PROMPTS} stored prompts in the period "
                f"(ledger.store_prompts: true), and there are {self.monthly.prompts:,}."
            )
            return
        near, alike = found.near_copies, found.alike
        yield (
            f"Likely common share: of the newest {found.newest:,} prompts {near.value:.1%} [{near.low:.1%}, "
            f"{near.high:.1%}] are near copies of one of the {found.earlier:,} before, and {alike.value:.1%} "
            f"[{alike.low:.1%}, {alike.high:.1%}] are like one of them."
        )
        for name, share in (("near copies", near.value), ("what is alike", alike.value)):
            made = plan(msgspec.structs.replace(a, teacher_share=1 - Fraction(round(share * 1000), 1000)))
            paid = months(made.payback_high)
            after = f"paid back after {paid} months" if made.pays else "it does not pay"
            yield f"If a student may answer {name}: {dollars(made.saved)} saved a month, {after}."

    def parts(self, traffic: Traffic) -> Iterator[Table | str]:
        """Sentences on what was taken from where and what is not included, and a table by client key."""
        monthly, total = self.monthly, self.monthly.total
        days = f"{monthly.days} whole day{'s' * (monthly.days > 1)}"
        yield (
            f"from the ledger: {monthly.requests:,} requests in {days}, {moment(monthly.since)} to "
            f"{moment(monthly.until)}, scaled to a month of 730 hours: {total.input:,} input tokens, {total.cached:,} "
            f"of them cached, and {total.output:,} output tokens"
        )
        known = self._known()
        taken = {name: value for name, value in known.items() if name not in self.given and value is not None}
        if taken:
            yield "from the config: " + ", ".join(f"{_option(name)} {value}" for name, value in taken.items())
        over = [name for name in (*self._tokens(), *known) if name in self.given]
        if over:
            yield "from the command line: " + ", ".join(f"{_option(name)} {getattr(traffic, name)}" for name in over)
        if total.cache_write:
            yield f"{total.cache_write:,} input tokens a month are written to a cache; the plan prices them as input"
        if monthly.usage_missing:
            yield f"{monthly.usage_missing:,} answers have no complete usage; what they lack is not included"
        yield _repeated(monthly)
        if len(monthly.by_workload) > 1:
            yield _table("workload", monthly.by_workload)
        yield _table("key", monthly.by_key)

    def _tokens(self) -> dict[str, str]:
        total = self.monthly.total
        counts = {"input_tokens": total.input, "cached_tokens": total.cached, "output_tokens": total.output}
        return {name: str(count) for name, count in counts.items()}

    def _known(self) -> dict[str, Any]:
        teacher, student = self.config.teacher, self.config.student
        changes = [one for one in teacher.price_changes if micros(one.since) <= self.now]
        price = changes[-1] if changes else teacher.usd_per_million
        found: dict[str, Any] = {
            "input_usd": f"{price.input:f}",
            "cached_usd": None if price.cached_input is None else f"{price.cached_input:f}",
            "output_usd": f"{price.output:f}",
        }
        if student is None:
            return found
        hourly, replicas = student.hosting_usd_per_hour, student.hosting_replicas
        for one in student.hosting_changes:
            if micros(one.since) <= self.now:
                hourly, replicas = one.usd_per_hour, one.replicas
        if hourly and replicas:
            found |= {"hosting_usd_per_hour": f"{hourly:f}", "replicas": replicas}
        return found


def _repeated(monthly: Monthly) -> str:
    if not monthly.prompts:
        return "repeated prompts: not known; ledger.store_prompts: true stores what it takes"
    share = monthly.repeated / monthly.prompts
    return f"repeated prompts: {share:.1%} of {monthly.prompts:,} stored prompts are equal to an earlier one"


def _table(label: str, parts: Mapping[str, Tokens]) -> Table:
    made = Table(title=f"Traffic a month by {label}", title_justify="left")
    made.add_column(label)
    for name in ("requests", "input tokens", "cached", "output tokens"):
        made.add_column(name, justify="right")
    for name, one in parts.items():
        made.add_row(name or "-", *(f"{count:,}" for count in (one.requests, one.input, one.cached, one.output)))
    return made


def to_dict(source: Source, a: Assumptions) -> dict[str, Any]:
    """What the ledger has and what follows, as JSON values; null where too few prompts are stored, and for never."""
    monthly, seen = source.monthly, source.resemblance
    shares = {name: least_student_share(a, within) for name, within in (("at_all", None), ("in_a_year", YEAR))}
    return {
        "since": moment(monthly.since),
        "until": moment(monthly.until),
        "days": monthly.days,
        "requests": monthly.requests,
        "usage_missing": monthly.usage_missing,
        "stored_prompts": monthly.prompts,
        "repeated_prompts": monthly.repeated / monthly.prompts if monthly.prompts else None,
        "per_month": _tokens(monthly.total),
        "per_month_by_key": {key or "-": _tokens(one) for key, one in monthly.by_key.items()},
        "per_month_by_workload": {name: _tokens(one) for name, one in monthly.by_workload.items()},
        "least_student_share": {name: None if share is None else float(share) for name, share in shares.items()},
        "common_share": None
        if seen is None
        else {
            "newest_prompts": seen.newest,
            "earlier_prompts": seen.earlier,
            **{
                name: dict(zip(("estimate", "lower", "upper"), share, strict=True))
                for name, share in (("near_copies", seen.near_copies), ("alike", seen.alike))
            },
        },
        "next_student": None
        if source.next_student is None
        else source.next_student.to_dict(monthly.by_workload, a.teacher),
        "example_usd": exact(_examples_cost(monthly, a, 1)),
    }


def _tokens(one: Tokens) -> dict[str, int]:
    names = ("requests", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")
    return dict(zip(names, one, strict=True))


def _mean(total: Tokens) -> Tokens:
    """The tokens of one request on average, rounded up; `total` has at least one."""
    return Tokens(*(-(-count // max(1, total.requests)) for count in total))


def _examples_cost(monthly: Monthly, a: Assumptions, count: int) -> int:
    """Picodollars of the teacher's answers to so many more prompts of this traffic."""
    total = monthly.total
    return dataset_cost(count, total.input, total.output, a.teacher) // max(1, total.requests)


def _percent(share: Fraction) -> str:
    return f"{float(share):.0%}"


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
