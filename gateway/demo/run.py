"""Run the demo: start the processes, send the prompts, print the summary."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx2
import numpy as np
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from breakeven.gateway.demo import comparisons, stages
from breakeven.gateway.demo.figures import Checker, figures
from breakeven.gateway.demo.load_generator import Result, send_all
from breakeven.gateway.demo.processes import free_port, gateway, replay
from breakeven.gateway.demo.rows import DemoRow
from breakeven.gateway.demo.settings import Setup
from breakeven.gateway.demo.stages import Played
from breakeven.gateway.demo.summary import table
from breakeven.router.model.artifact import load
from breakeven.router.policy import Route
from breakeven.router.text import read_chat

_ADMIN_KEY_ENV = "BREAKEVEN_ADMIN_KEY"
_TIMEOUT_SECONDS = 30.0
# Of prompts like the desk's at most 1% are as novel; another language, code or a proof is.
_NOVELTY = 0.99
_UNLIKE = "Prove that there are infinitely many primes."


def run(rows: Sequence[DemoRow], setup: Setup, console: Console, check: Checker | None = None) -> dict[str, object]:
    """Run the demo on `console`, and return the figures of the summary table as JSON values.

    Unless `setup.once` it then waits for SIGINT or SIGTERM. `check` scores the answers of real upstreams; without it
    their quality is left out. Raises DemoError.
    """
    key = secrets.token_urlsafe(12)
    with tempfile.TemporaryDirectory(prefix="breakeven-demo-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        sections = {}
        for side, model, section in (
            ("student", "replayed-student", setup.student),
            ("teacher", "replayed-teacher", setup.teacher),
        ):
            if section is None:
                section = {"base_url": stack.enter_context(replay(model, side, rows, folder)), "model": model}
            sections[side] = dict(section)
        routing, said = _routing(rows, setup)
        config = _write_config(folder, {**sections, **routing}, setup)
        url = stack.enter_context(gateway(config, free_port(setup.port), folder, {_ADMIN_KEY_ENV: key}))
        console.print(f"gateway: [bold]{url}[/bold]  {said}")
        admin = httpx2.Client(base_url=url, timeout=_TIMEOUT_SECONDS, headers={"authorization": f"Bearer {key}"})
        played = _play(stack.enter_context(admin), url, rows, setup, console)
        found = figures(folder, played, setup.prices, check, live=setup.live)
        console.print(table(found))
        if setup.once:
            return found
        console.print(
            _to_try(url, key, _example([*played.after, *played.before]), setup), markup=False, highlight=False
        )
        _until_stopped()
    return found


def _to_try(url: str, key: str, body: str, setup: Setup) -> str:
    """What to do next, for people; `body` is that of a request."""
    said = [
        "\nThe gateway keeps running; stop it with Ctrl-C. What to try next:",
        f"  curl -i {url}/v1/chat/completions -H 'content-type: application/json' \\",
        f"    -d '{body}'",
    ]
    if setup.stages:
        said += [
            f'  The same with "{_UNLIKE}" goes to the teacher as novel: it is unlike the others.',
            "  (The replayed models know no answer to what was not recorded.)",
        ]
    return "\n".join(
        [
            *said,
            f"  {url}/console, with the admin key {key}",
            "    Traffic says of each request why it went where it went; Tune moves the share of the teacher.",
            f"  curl {url}/metrics",
            "  breakeven init: the same with your own models",
        ]
    )


def _routing(rows: Sequence[DemoRow], setup: Setup) -> tuple[dict[str, dict[str, object]], str]:
    """The config sections that say what is routed and compared, and a few words on them."""
    if setup.stages:
        road = comparisons.section_from_observe(len(rows), setup.floor)
        said = "stage observe: the teacher answers, and the student's answers are compared with its"
        # The prompts are ours: the router may be trained on them.
        novelty: dict[str, object] = {"novelty_threshold": _NOVELTY}
        return {"road": road, "ledger": {"store_prompts": True}, "routing": novelty}, said
    threshold, to_student = _solve(rows, setup)
    routing: dict[str, object] = {
        "threshold": threshold,
        "novelty_threshold": 1.0,
        "artifact": str(setup.artifact.resolve()) if setup.artifact is not None else None,
    }
    said = f"threshold {threshold:.4f}, router {load(setup.artifact).hash}"
    return {"road": comparisons.section(len(rows), to_student), "routing": routing}, said


def _play(admin: httpx2.Client, url: str, rows: Sequence[DemoRow], setup: Setup, console: Console) -> Played:
    """Send all prompts, and wait until what was drawn is compared."""
    counts = {"student": 0, "teacher": 0, "failed": 0}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("requests", total=len(rows))

        def done(result: Result) -> None:
            counts[result.route or "failed"] += 1
            shown = "  ".join(f"{name} {count}" for name, count in counts.items() if count or name != "failed")
            progress.update(task, advance=1, description=shown)

        def send(some: Sequence[DemoRow]) -> list[Result]:
            return send_all(url, some, done)

        played = stages.play(admin, rows, send, console.print) if setup.stages else Played([], send(rows))
    comparisons.wait(url)  # each scrape also writes all settled requests to the ledger
    return played._replace(workload=stages.workload(admin)) if setup.stages else played


def _example(results: Sequence[Result]) -> str:
    """A request body for curl: the shortest prompt that the student answered, with a recorded score of 1."""
    quotable = [p for p in results if not set(p.row.prompt) & set("'\\\n")]
    good = [p for p in quotable if p.route == Route.STUDENT and p.row.student.score == 1] or quotable
    prompt = min((p.row.prompt for p in good), key=len, default="Hello")
    return json.dumps({"messages": [{"role": "user", "content": prompt}]}, ensure_ascii=False)


def _solve(rows: Sequence[DemoRow], setup: Setup) -> tuple[float, int]:
    """The threshold, of itself or the one that sends `teacher_share` of these prompts to the teacher, and the number of
    prompts that it leaves to the student.
    """
    assess = load(setup.artifact).assess
    scores = sorted(
        (assess(read_chat([{"role": "user", "content": row.prompt}]).text).score for row in rows), reverse=True
    )
    count = min(len(scores), round(setup.teacher_share * len(scores)))
    threshold = scores[count - 1] if count else min(1.0, float(np.nextafter(scores[0], 2.0)))
    if setup.threshold is not None:
        threshold = setup.threshold
    return threshold, sum(score < threshold for score in scores)


def _write_config(folder: Path, sections: dict[str, dict[str, object]], setup: Setup) -> Path:
    prices = setup.prices
    sections["student"]["hosting_usd_per_hour"] = str(prices.hosting_per_hour)
    usd = {"input": prices.input, "cached_input": prices.cached_input, "output": prices.output}
    sections["teacher"]["usd_per_million"] = {kind: str(value) for kind, value in usd.items()}
    document = {**sections, "economics": {"investment_usd": str(prices.investment)}}
    path = folder / "breakeven.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def _until_stopped() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
