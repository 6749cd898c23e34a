"""The tokens of a month, scaled from whole days of real traffic in the ledger."""

from __future__ import annotations

from typing import NamedTuple

from breakeven.gateway.economics.periods import DAY, HOUR, HOURS_A_MONTH
from breakeven.gateway.economics.totals import Sum
from breakeven.gateway.ledger import Ledger
from breakeven.router.policy import ROUTED, Reason


class Tokens(NamedTuple):
    """Requests and tokens a month. `input` counts all prompt tokens; `cached` and `cache_write` are parts of it."""

    requests: int
    input: int
    cached: int
    cache_write: int
    output: int


class Monthly(NamedTuple):
    """Traffic of `days` whole days in [since, until), microseconds since the epoch, scaled to a month of 730 hours.

    `requests` were answered in the period itself, `by_key`, `by_workload` and `total` are scaled to a month.
    `usage_missing` attempts have no complete usage, so that what they lack is not included. Of the period's `prompts`
    stored prompts `repeated` are equal to an earlier one of the period.
    """

    since: int
    until: int
    days: int
    requests: int
    usage_missing: int
    by_key: dict[str, Tokens]
    by_workload: dict[str, Tokens]
    prompts: int
    repeated: int

    @property
    def total(self) -> Tokens:
        """The sums over all client keys."""
        return Tokens(*(sum(kind) for kind in zip(*self.by_key.values(), strict=True)))


def read(ledger: Ledger, now: int, since: int | None = None, until: int | None = None) -> Monthly:
    """The last whole days before `until`, by default `now`, back to `since`, by default the ledger's first traffic.

    Routed and pinned requests count with the attempt that answered them, and comparisons do not
    count. All in microseconds since the epoch. Raises ValueError for less than one whole day, and LedgerError.
    """
    end = (now if until is None else min(until, now)) // HOUR * HOUR
    hours = ledger.hours(end)
    if not hours:
        raise ValueError("--from-ledger: the ledger has no traffic before the last whole hour of the period")
    begin = max(hours[0].hour * HOUR, 0 if since is None else -(-since // HOUR) * HOUR)
    days = (end - begin) // DAY
    if days < 1:
        raise ValueError(
            f"--from-ledger: takes traffic of at least one whole day, and there are {max(0, end - begin) // HOUR} "
            "hours of it; wait, or choose a longer period with --since and --until"
        )
    begin = end - days * DAY
    sums = ledger.sums(("key", "workload", "route", "upstream", "reason"), begin, end)
    found = [one for one in sums if _answered(one)]
    if not any(one.requests for one in found):
        raise ValueError(f"--from-ledger: no request was answered in the last {days} whole days of the period")
    return Monthly(
        begin,
        end,
        days,
        sum(one.requests for one in found),
        sum(one.usage_missing for one in found),
        _by(found, 0, days),
        _by(found, 1, days),
        *ledger.repeated_prompts(begin, end),
    )


def _answered(one: Sum) -> bool:
    """Whether these are attempts that answered: not those before a fallback or an escalation, and not comparisons,
    which the teacher alone would not have, and not further models.
    """
    _, _, route, upstream, reason = one.group
    return route == upstream and route in ROUTED and reason != Reason.SHADOW


def _by(found: list[Sum], column: int, days: int) -> dict[str, Tokens]:
    parts: dict[str, list[Sum]] = {}
    for one in found:
        parts.setdefault(str(one.group[column]), []).append(one)
    return {name: _scaled(sums, days) for name, sums in sorted(parts.items())}


def _scaled(sums: list[Sum], days: int) -> Tokens:
    kinds = zip(
        *(
            (
                one.requests,
                one.input_tokens + one.cached_input_tokens + one.cache_write_tokens,
                one.cached_input_tokens,
                one.cache_write_tokens,
                one.output_tokens,
            )
            for one in sums
        ),
        strict=True,
    )
    # Down to whole tokens, so that parts of the input stay within it.
    return Tokens(*(sum(kind) * HOURS_A_MONTH // (24 * days) for kind in kinds))
