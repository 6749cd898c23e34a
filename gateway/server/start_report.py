"""The lines in the log at the start: which upstreams were reached, which not and why, and what is missing."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence

from breakeven.gateway.config.schema import Config
from breakeven.gateway.upstreams.chain import every_upstream, section_of
from breakeven.gateway.upstreams.listing import Listing, list_models
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Route

_log = logging.getLogger("breakeven.start")

_SECONDS = 10.0


async def report(config: Config, upstreams: Sequence[Upstream]) -> None:
    """Log what was reached, as `report_reached` does, and what the config leaves out."""
    await report_reached(upstreams)
    for text in missing(config):
        _log.info("not set: %s", text)


async def report_reached(upstreams: Sequence[Upstream]) -> None:
    """Do as `note_reached`, and log what came of it, one line after the other."""
    for upstream, listing in zip(upstreams, await note_reached(upstreams), strict=True):
        level, text = _line(upstream, listing)
        _log.log(level, text)


async def note_reached(upstreams: Sequence[Upstream]) -> list[Listing]:
    """Ask each upstream for its models. A failure is kept in the upstream's health, for /readyz and the admin API of
    this process. Never raises for an upstream that fails.
    """
    listings = await asyncio.gather(*(list_models(upstream, _SECONDS) for upstream in upstreams))
    for upstream, listing in zip(upstreams, listings, strict=True):
        if not listing.reached and listing.failure is not None:
            upstream.health.not_reached(listing.failure)
    return listings


def report_alone(config: Config) -> None:
    """Do the same in a process that serves no requests itself."""

    async def run() -> None:
        upstreams = every_upstream(config)
        for upstream in upstreams:
            await upstream.start()
        try:
            await report(config, upstreams)
        finally:
            for upstream in upstreams:
                await upstream.aclose()

    asyncio.run(run())


def missing(config: Config) -> Iterator[str]:
    """What the config leaves out, each with what that means, and how to change it."""
    student = config.student
    if not config.auth.keys:
        yield "auth.keys: anyone on this machine may use the gateway, and others on the network cannot"
    if not os.environ.get(config.admin.key_env):
        yield f"{config.admin.key_env} in the environment: the admin API is off, and with it the console's figures"
    if student is None:
        yield "student: the teacher answers everything; `breakeven plan --from-ledger` says whether a student would pay"
        return
    if not config.operator_routes and config.routing.start == "observe" and not config.ledger.store_prompts:
        yield "ledger.store_prompts: no router can be trained, so that every workload stays with the teacher"
    if config.road.sample == 0:
        yield "road.sample: savings and quality are not measured, since no answers are compared with the teacher's"
    prices = [student.hosting_usd_per_hour, *(change.usd_per_hour for change in student.hosting_changes)]
    if not any(prices):
        yield "student.hosting_usd_per_hour: the student counts as free, so savings are too high by what it costs"
    if config.economics.investment_usd == 0:
        yield "economics.investment_usd: payback and break-even only count investments of `breakeven invest`"


def _line(upstream: Upstream, listing: Listing) -> tuple[int, str]:
    """The level and the text of an upstream's line."""
    name, section = upstream.title, upstream.config
    where = f"{name} at {section.base_url}"
    key = section_of(upstream)
    if not listing.reached:
        what = "not reached" if listing.status is None else f"fails with status {listing.status}"
        return logging.WARNING, f"{where}: {what}; {listing.failure}"
    if listing.models is None:
        return logging.INFO, f"{where}: reached; it lists no models, so whether it serves {section.model} is not known"
    if section.model not in listing.models:
        return (
            logging.WARNING,
            f"{where}: reached, but it does not list {section.model}; correct {key}.model, "
            "or run `breakeven check --live`, which lists what is served",
        )
    window = listing.window(section.model)
    size = (
        f" with a context window of {window} tokens" if window is not None and upstream.route is Route.STUDENT else ""
    )
    return logging.INFO, f"{where}: reached; it serves {section.model}{size}"
