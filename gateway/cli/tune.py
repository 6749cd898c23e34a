"""The verb `tune`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breakeven.gateway.cli.options import console
from breakeven.gateway.economics.periods import HOURS_A_MONTH

if TYPE_CHECKING:
    from breakeven.gateway.config.schema import Config
    from breakeven.gateway.reports.tuning import Money
    from breakeven.router.evaluation.tune import Traffic
    from breakeven.router.model.artifact import Artifact

_DEFAULT_CONFIG = Path("breakeven.yaml")


def tune(
    outcomes: Annotated[
        list[Path] | None,
        typer.Argument(help="Outcome rows that the router was not trained on; default: the ledger's decisions."),
    ] = None,
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="BREAKEVEN_CONFIG", help="The config file.")
    ] = _DEFAULT_CONFIG,
    teacher_share: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Send at most this share up.")] = None,
    quality: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Keep at least this share of the teacher's quality.")
    ] = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the quality floor.")] = 0.95,
    monthly_usd: Annotated[float | None, typer.Option(min=0.0, help="Spend at most this, hosting included.")] = None,
    escalation: Annotated[
        bool, typer.Option("--escalation", help="Solve --quality together with the floor of escalation.")
    ] = False,
    requests_per_month: Annotated[
        float | None, typer.Option(min=1.0, help="The traffic; default: the ledger's pace.")
    ] = None,
    artifact: Annotated[Path | None, typer.Option(help="Another artifact than the config's.")] = None,
    split: Annotated[str | None, typer.Option(help="Only rows with this split; default: dev, if any.")] = None,
    plot: Annotated[Path, typer.Option(help="Where the curve goes.")] = Path("tune.png"),
    apply: Annotated[bool, typer.Option("--apply", help="Set the threshold on the running gateway.")] = False,
    url: Annotated[str | None, typer.Option(help="The gateway, for --apply; default: the config's address.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Solve the threshold for a teacher share, a quality floor with a guarantee, or a monthly budget."""
    from breakeven.gateway.config.load import load_config
    from breakeven.gateway.reports import tuning
    from breakeven.router.model.artifact import load

    if sum(goal is not None for goal in (teacher_share, quality, monthly_usd)) != 1:
        raise ValueError("give one of --teacher-share, --quality, --monthly-usd")
    settings = load_config(config) if config.exists() or config != _DEFAULT_CONFIG or not outcomes else None
    if apply and settings is None:
        raise ValueError("--apply needs a config, which names the gateway and its admin key")
    if artifact is None and settings is not None and settings.routing.artifact is not None:
        artifact = Path(settings.routing.artifact)
    router = load(artifact)
    traffic, money = _traffic(outcomes, split, settings, router, requests_per_month)
    goal = tuning.Goal(teacher_share, quality, confidence, monthly_usd, escalation)
    novelty = settings.routing.novelty_threshold if settings is not None else 1.0
    tuned = tuning.tune(traffic, goal, router.hash, novelty, money)
    tuning.draw(tuned, traffic, plot)
    if as_json:
        typer.echo(json.dumps(tuned.to_dict(), indent=1))
    else:
        console().print(tuned.table())
        typer.echo(f"threshold {tuned.chosen.threshold:.6f} for the router {router.hash}; curve: {plot}")
    if apply:
        assert settings is not None
        tuning.apply(tuned, settings, url)
        typer.echo("set on the gateway", err=as_json)


def _traffic(
    outcomes: list[Path] | None, split: str | None, settings: Config | None, router: Artifact, requests: float | None
) -> tuple[Traffic, Money | None]:
    from breakeven.gateway.accounting.money import PICODOLLARS
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.ledger.rates import price_at
    from breakeven.gateway.reports import tuning, whatif
    from breakeven.router import outcomes as rows

    novelty = settings.routing.novelty_threshold if settings is not None else 1.0
    now = time.time_ns() // 1000
    scored, hosting, investment = [], 0.0, 0.0
    if settings is not None and (not outcomes or requests is not None):
        with read_ledger(settings, create=bool(outcomes)) as ledger:
            scored = list(ledger.scored(router.hash)) if not outcomes else []
            rates = ledger.rates()
            hosting = (rates[-1].per_hour if rates else 0) / PICODOLLARS * HOURS_A_MONTH
            investment = ledger.investment() / PICODOLLARS
    if outcomes:
        read = rows.read(outcomes, split or rows.default_split(outcomes, "dev"))
        price = price_at(settings, now) if settings is not None else None
        traffic = tuning.from_rows(read, router, novelty, price)
    elif scored:
        traffic = whatif.traffic(scored, novelty)
        span = whatif.months(scored, None, None)
        requests = requests or (len(scored) / span if span else None)
    else:
        raise ValueError(f"the ledger has no requests that the router {router.hash} scored; give outcome rows")
    money = None if requests is None else tuning.Money(requests, hosting, investment)
    return traffic, money
