"""The assumptions of a plan from the ledger's traffic and the config's prices, and what was taken from where."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import msgspec
from rich.table import Table

from breakeven.gateway.config.schema import Config
from breakeven.gateway.ledger.monthly import Monthly, Tokens
from breakeven.gateway.ledger.rates import micros
from breakeven.gateway.reports.plan_options import Traffic
from breakeven.gateway.reports.report import moment


class Source(NamedTuple):
    """Where a plan's assumptions come from: the ledger's traffic, and the config's prices as of `now`, microseconds.

    The names of options in `given` were on the command line, which comes first.
    """

    monthly: Monthly
    config: Config
    now: int
    given: Collection[str]

    def fill(self, traffic: Traffic) -> Traffic:
        """`traffic` with the ledger's tokens and the config's prices and hosting where the command line has none."""
        found = {name: value for name, value in (self._tokens() | self._known()).items() if name not in self.given}
        return msgspec.structs.replace(traffic, **found)

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
        yield _table(monthly)

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


def _table(monthly: Monthly) -> Table:
    made = Table(title="Traffic a month by key", title_justify="left")
    made.add_column("key")
    for name in ("requests", "input tokens", "cached", "output tokens"):
        made.add_column(name, justify="right")
    for key, one in monthly.by_key.items():
        made.add_row(key or "-", *(f"{count:,}" for count in (one.requests, one.input, one.cached, one.output)))
    return made


def to_dict(monthly: Monthly) -> dict[str, Any]:
    """What the ledger has, as JSON values; `repeated_prompts` is null where no prompts are stored."""
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
    }


def _tokens(one: Tokens) -> dict[str, int]:
    names = ("requests", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")
    return dict(zip(names, one, strict=True))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
