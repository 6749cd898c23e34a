"""Dated entries of the ledger: hosting rates, the teacher's prices, investments, and the active gateways."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from breakeven.gateway.accounting.money import picodollars
from breakeven.gateway.accounting.prices import Price, context_tiers, per_token, tier_multipliers
from breakeven.gateway.config.prices import PriceChange, Prices, TeacherPrices
from breakeven.gateway.config.schema import Config, FurtherModel
from breakeven.gateway.economics.hosting import Rate
from breakeven.gateway.ledger.database import serialise
from breakeven.gateway.ledger.schema import gateways, hosting_rates, investments, prices

# The name of the investment in the config; others are named by the operator.
FROM_CONFIG = "config"
_ACTIVE = 120_000_000  # without registering for this long, a gateway counts as stopped
_EXPIRED = 86_400_000_000


class Investment(NamedTuple):
    """A one-time cost: its name, time (microseconds since the epoch) and amount (picodollars)."""

    name: str
    at: int
    amount: int


class Writer(NamedTuple):
    """An active gateway: its id, and the prices and hosting rate (picodollars per hour) that it uses now; `fallbacks`
    are the prices of the teacher's other providers by name.
    """

    id: str
    price: Price
    hosting_per_hour: int
    fallbacks: Mapping[str, Price] = {}


def enter(connection: Connection, config: Config, now: int) -> None:
    """Enter the config's rates and prices, from their dates, or from `now` on if they changed; and its investment."""
    serialise(connection)
    start = _enter_hosting(connection, config, now)
    _enter_price(connection, price_at(config, now), fallback_prices(config, now), now)
    amount = picodollars(config.economics.investment_usd)
    entry = investments.c.name == FROM_CONFIG
    if not connection.execute(update(investments).where(entry).values(amount=amount)).rowcount:
        connection.execute(insert(investments), {"name": FROM_CONFIG, "at": start, "amount": amount})


def hosting_schedule(config: Config, start: int) -> list[Rate]:
    """The config's hosting rates in chronological order; the first one holds from `start`, microseconds."""
    student = config.student
    if student is None:
        return [Rate(start, 0)]
    first = _rate(start, student.hosting_usd_per_hour, student.hosting_replicas)
    changes = [_rate(micros(one.since), one.usd_per_hour, one.replicas) for one in student.hosting_changes]
    return [first, *changes]


def _rate(since: int, usd_per_hour: Decimal, replicas: int) -> Rate:
    per_replica = picodollars(usd_per_hour)
    return Rate(since, per_replica * replicas, per_replica)


def price_at(config: Config, now: int) -> Price:
    """The teacher's prices that the config sets for `now`, microseconds since the epoch."""
    return in_force(price_schedule(config.teacher), now)


def fallback_prices(config: Config, now: int) -> dict[str, Price]:
    """The prices of the teacher's other providers at `now`, by name."""
    return {one.name: in_force(price_schedule(one), now) for one in config.teacher.fallbacks}


def price_schedule(section: TeacherPrices) -> list[tuple[int, Price]]:
    """A provider's prices, each with the moment in microseconds from which it holds; the first holds from ever."""
    return _schedule(section.usd_per_million, section.price_changes)


def model_price_schedule(section: FurtherModel) -> list[tuple[int, Price]]:
    """The prices of a further model in the same form; zeros where it has none."""
    fee = picodollars(section.usd_per_request)
    tokens = section.usd_per_million
    schedule = [(0, Price(0, 0, 0))] if tokens is None else _schedule(tokens, section.price_changes)
    return [(since, msgspec.structs.replace(price, request=fee)) for since, price in schedule]


def _schedule(first: Prices, changes: Sequence[PriceChange]) -> list[tuple[int, Price]]:
    return [(0, _price(first)), *((micros(change.since), _price(change)) for change in changes)]


def in_force(schedule: Sequence[tuple[int, Price]], now: int) -> Price:
    """The price of a schedule that holds at `now`, microseconds since the epoch."""
    return next(price for since, price in reversed(schedule) if since <= now or since == 0)


def _price(prices: Prices) -> Price:
    def optional(value: Decimal | None) -> int | None:
        return None if value is None else per_token(value)

    return Price(
        input=per_token(prices.input),
        cached_input=per_token(prices.input if prices.cached_input is None else prices.cached_input),
        output=per_token(prices.output),
        cache_write=optional(prices.cache_write),
        cache_write_1h=optional(prices.cache_write_1h),
        audio_input=optional(prices.audio_input),
        audio_output=optional(prices.audio_output),
        web_search=picodollars(prices.usd_per_web_search),
        service_tiers=tier_multipliers(prices.service_tiers),
        context_tiers=context_tiers([(t.above_prompt_tokens, t.input, t.output) for t in prices.context_tiers]),
    )


def read_rates(connection: Connection) -> list[Rate]:
    """The stored hosting rates in chronological order."""
    columns = hosting_rates.c
    statement = select(columns.since, columns.per_hour, columns.per_replica).order_by(columns.since, columns.id)
    return [Rate(*row) for row in connection.execute(statement)]


def read_investments(connection: Connection) -> list[Investment]:
    """All stored investments other than 0, in chronological order."""
    columns = investments.c
    statement = select(columns.name, columns.at, columns.amount).where(columns.amount != 0)
    return [Investment(*row) for row in connection.execute(statement.order_by(columns.at, columns.name))]


def invest(connection: Connection, one: Investment) -> None:
    """Insert an investment, or replace the one with its name."""
    serialise(connection)
    entry = investments.c.name == one.name
    if not connection.execute(update(investments).where(entry).values(at=one.at, amount=one.amount)).rowcount:
        connection.execute(insert(investments), one._asdict())


def register(connection: Connection, writer: Writer, now: int) -> None:
    """Register a gateway as active at `now`, and delete those not active for a day."""
    values = {**_price_row(writer.price, writer.fallbacks), "seen": now, "hosting_per_hour": writer.hosting_per_hour}
    if not connection.execute(update(gateways).where(gateways.c.id == writer.id).values(**values)).rowcount:
        connection.execute(insert(gateways), {**values, "id": writer.id, "started": now})
        connection.execute(delete(gateways).where(gateways.c.seen < now - _EXPIRED))


def deregister(connection: Connection, id: str) -> None:
    """Delete the registration of the gateway with this id."""
    connection.execute(delete(gateways).where(gateways.c.id == id))


def contradictions(connection: Connection, now: int) -> int:
    """The number of different sets of prices among the gateways active at `now`; more than 1 is a conflict."""
    c = gateways.c
    statement = (
        select(c.input, c.cached_input, c.output, c.document, c.hosting_per_hour)
        .where(c.seen >= now - _ACTIVE)
        .distinct()
    )
    return connection.scalar(select(func.count()).select_from(statement.subquery())) or 0


def micros(moment: datetime.datetime) -> int:
    """A time with a zone as microseconds since the epoch."""
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (moment - epoch) // datetime.timedelta(microseconds=1)


def _enter_hosting(connection: Connection, config: Config, now: int) -> int:
    since = config.economics.hosting_since
    start = now if since is None else micros(since)
    wanted = hosting_schedule(config, start)
    stored = read_rates(connection)
    if not stored:
        begun = [rate for rate in wanted if rate.since <= now]
        if since is None:  # hosting starts now, at the rate in force
            wanted = [begun[-1]._replace(since=now), *(rate for rate in wanted if rate.since > now)]
        _insert_rates(connection, wanted)
        return start
    if since is not None and start != stored[0].since and (len(stored) == 1 or start < stored[1].since):
        connection.execute(update(hosting_rates).where(hosting_rates.c.since == stored[0].since).values(since=start))
        stored[0] = stored[0]._replace(since=start)
    # Rates in the future may still change; those in force, and past ones, are never rewritten.
    for rate in stored:
        if rate.since > now and rate not in wanted:
            connection.execute(delete(hosting_rates).where(hosting_rates.c.since == rate.since))
    stored = [rate for rate in stored if rate.since <= now or rate in wanted]
    late = [r for r in wanted[1:] if r.since <= now and r.since > max((s.since for s in stored), default=0)]
    _insert_rates(connection, late)
    begun = sorted((rate for rate in (*stored, *late) if rate.since <= now), key=lambda rate: rate.since)
    holds = _rate_at(wanted, now) if since is not None else _rate_at([wanted[0]._replace(since=0), *wanted[1:]], now)
    if holds is not None and begun and begun[-1]._replace(since=0) == Rate(0, holds.per_hour, None):
        # From before the price of one replica was stored: only that is added.
        of = hosting_rates.c.since == begun[-1].since
        connection.execute(update(hosting_rates).where(of).values(per_replica=holds.per_replica))
    elif holds is not None and (not begun or begun[-1][1:] != holds[1:]):
        moment = max(now, begun[-1].since + 1) if begun else now
        _insert_rates(connection, [holds._replace(since=moment)])
    _insert_rates(connection, [rate for rate in wanted if rate.since > now and rate not in stored])
    return start


def _rate_at(rates: Sequence[Rate], now: int) -> Rate | None:
    begun = [rate for rate in rates if rate.since <= now]
    return begun[-1] if begun else None


def _insert_rates(connection: Connection, rates: Sequence[Rate]) -> None:
    if rates:
        connection.execute(insert(hosting_rates), [rate._asdict() for rate in rates])


def _enter_price(connection: Connection, current_price: Price, others: Mapping[str, Price], now: int) -> None:
    c = prices.c
    columns = (c.input, c.cached_input, c.output, c.document)
    last = connection.execute(select(*columns, c.since).order_by(c.since.desc(), c.id.desc()).limit(1)).first()
    row = _price_row(current_price, others)
    if last is None or last[:4] != tuple(row.values()):
        since = now if last is None else max(now, last[4] + 1)
        connection.execute(insert(prices), {**row, "since": since})


def _price_row(price: Price, others: Mapping[str, Price]) -> dict[str, Any]:
    """The three prices that every teacher has in columns of their own, all of them as a document, to which those of
    its other providers are added.
    """
    fields = msgspec.to_builtins(price)
    document = msgspec.json.encode({**fields, "fallbacks": others} if others else price).decode()
    return {"input": price.input, "cached_input": price.cached_input, "output": price.output, "document": document}
