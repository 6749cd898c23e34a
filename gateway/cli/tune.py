"""The command `tune`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breakeven.gateway.cli.options import (
    DEFAULT_CONFIG,
    PLOT_SKIPPED,
    AsJson,
    ConfigPath,
    OtherArtifact,
    console,
    plot_path,
    working,
)
from breakeven.gateway.economics.periods import HOURS_A_MONTH

if TYPE_CHECKING:
    from breakeven.gateway.config.schema import Config
    from breakeven.gateway.reports.labels import Labels
    from breakeven.gateway.reports.tuning import Money
    from breakeven.router.evaluation.tune import Traffic
    from breakeven.router.model.artifact import Artifact
    from breakeven.router.progress import Progress

Outcomes = Annotated[
    list[Path] | None,
    typer.Argument(help="Files of outcome rows that the router was not trained on; default: the ledger's decisions."),
]
TeacherShare = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, help="Maximum share of requests to send to the teacher (0-1).")
]
Quality = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, help="Minimum quality relative to the teacher's, e.g. 0.95.")
]
Confidence = Annotated[float, typer.Option(min=0.5, max=0.999, help="Confidence level for --quality, e.g. 0.95.")]
MonthlyUsd = Annotated[float | None, typer.Option(min=0.0, help="Maximum cost in USD per month, hosting included.")]
Escalation = Annotated[
    bool, typer.Option("--escalation", help="With --quality: solve the escalation floor along with the threshold.")
]
RequestsPerMonth = Annotated[
    float | None, typer.Option(min=1.0, help="Requests per month; default: extrapolated from the ledger.")
]
Split = Annotated[str | None, typer.Option(help="Use only rows with this split; default: dev, if any row has it.")]
Plot = Annotated[
    Path | None, typer.Option(help="PNG file for the curve; default: tune.png if matplotlib is installed.")
]
Apply = Annotated[bool, typer.Option("--apply", help="Set the threshold on the running gateway.")]
Url = Annotated[
    str | None, typer.Option(help="Base URL of the gateway, for --apply; default: the address in the config.")
]


def tune(
    outcomes: Outcomes = None,
    config: ConfigPath = DEFAULT_CONFIG,
    teacher_share: TeacherShare = None,
    quality: Quality = None,
    confidence: Confidence = 0.95,
    monthly_usd: MonthlyUsd = None,
    escalation: Escalation = False,
    requests_per_month: RequestsPerMonth = None,
    artifact: OtherArtifact = None,
    split: Split = None,
    plot: Plot = None,
    apply: Apply = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Solve the routing threshold for a maximum teacher share, a guaranteed minimum quality, or a monthly budget."""
    from breakeven.gateway.config.load import load_config
    from breakeven.gateway.reports import tuning, tuning_plot
    from breakeven.gateway.reports.tuned_policy import apply as apply_to
    from breakeven.gateway.reports.tuning_outlook import outlook, sentences
    from breakeven.router.model.artifact import load

    if sum(goal is not None for goal in (teacher_share, quality, monthly_usd)) != 1:
        raise ValueError("give one of --teacher-share, --quality, --monthly-usd")
    picture = plot_path("--plot", plot, "tune.png")
    settings = load_config(config) if config.exists() or config != DEFAULT_CONFIG or not outcomes else None
    if apply and settings is None:
        raise ValueError("--apply needs a config file, which has the gateway's address and names its admin key")
    if artifact is None and settings is not None and settings.routing.artifact is not None:
        artifact = Path(settings.routing.artifact)
    router = load(artifact)
    if settings is not None and settings.student is not None:
        router.check_student(settings.student.model)
    with working("scoring the traffic") as advance:
        traffic, money, compared = _traffic(outcomes, split, settings, router, requests_per_month, advance)
    goal = tuning.Goal(teacher_share, quality, confidence, monthly_usd, escalation)
    novelty = settings.routing.novelty_threshold if settings is not None else 1.0
    with working("solving the threshold"):
        tuned = tuning.tune(traffic, goal, router.hash, novelty, money, compared)
        found = outlook(traffic, goal, tuned.chosen, compared)
    if picture is not None:
        tuning_plot.draw(tuned, traffic, compared, picture)
    if as_json:
        known = {} if found is None else {"outlook": found.to_dict()}
        typer.echo(json.dumps(tuned.to_dict() | known, indent=1))
    else:
        console().print(tuned.table())
        typer.echo(PLOT_SKIPPED if picture is None else f"curve: {picture}")
        typer.echo(f"threshold {tuned.chosen.threshold:.6f} for the router {router.hash}")
        unmeasured = _unmeasured(compared, without_cost=traffic.cost is None and not outcomes)
        said = [] if found is None else sentences(found, goal, tuned.chosen)
        for line in (*unmeasured, *said):
            typer.echo(line)
    if apply:
        assert settings is not None
        apply_to(tuned, settings, url)
        typer.echo("threshold set on the gateway", err=as_json)


def _unmeasured(compared: Labels | None, *, without_cost: bool) -> list[str]:
    from breakeven.gateway.reports.labels import not_measured

    said = []
    if without_cost:
        said.append("cost: not measured yet; it takes requests that this router scored and comparisons (road.sample)")
    if compared is not None and compared.missing:
        said.append(f"quality: {not_measured(compared.missing)}")
    return said


def _traffic(
    outcomes: list[Path] | None,
    split: str | None,
    settings: Config | None,
    router: Artifact,
    requests: float | None,
    progress: Progress,
) -> tuple[Traffic, Money | None, Labels | None]:
    from breakeven.gateway.accounting.money import PICODOLLARS
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.ledger.rates import price_at
    from breakeven.gateway.ledger.statements import comparisons
    from breakeven.gateway.reports import labels, tuning, whatif
    from breakeven.router import outcomes as rows

    novelty = settings.routing.novelty_threshold if settings is not None else 1.0
    now = time.time_ns() // 1000
    scored, hosting, investment, ratios, compared = [], 0.0, 0.0, None, None
    if settings is not None and (not outcomes or requests is not None):
        with read_ledger(settings, create=bool(outcomes)) as ledger:
            scored = list(ledger.scored(router.hash)) if not outcomes else []
            hosting = float(ledger.hosting(now).per_hour(now)) / PICODOLLARS * HOURS_A_MONTH
            investment = ledger.investment() / PICODOLLARS
            ratios = comparisons(ledger, now).ratios if scored else None
            compared = None if outcomes else labels.read(ledger, router, novelty)
    if outcomes:
        read = rows.read(outcomes, split or rows.default_split(outcomes, "dev"))
        price = price_at(settings, now) if settings is not None else None
        traffic = tuning.from_rows(read, router, novelty, price, progress)
    elif scored:
        traffic = whatif.traffic(scored, novelty, ratios)
        span = whatif.months(scored, None, None)
        requests = requests or (len(scored) / span if span else None)
    elif compared is not None and not compared.missing:
        # In stage observe no request is scored when it comes, but those that were compared are now.
        traffic = labels.traffic(compared)
    else:
        raise ValueError(_nothing_scored(router, compared))
    money = None if requests is None else tuning.Money(requests, hosting, investment)
    return traffic, money, compared


def _nothing_scored(router: Artifact, compared: Labels | None) -> str:
    from breakeven.gateway.reports.labels import not_measured

    said = f"the ledger has no requests that the router {router.hash} scored"
    if compared is None or not router.difficulty.ranks:
        return f"{said}; give files of outcome rows"
    needed = f"{not_measured(compared.missing)} with a stored prompt (road.sample, ledger.store_prompts)"
    return f"{said}; {needed}, or give files of outcome rows"
