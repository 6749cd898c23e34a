"""Comparing the student with the teacher on held-out prompts: retained quality, latency, tokens, cost and weaknesses.

Also writes the outcome rows that the router is trained on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from breakeven.gateway.accounting.money import PICODOLLARS, plain
from breakeven.gateway.accounting.prices import Price
from breakeven.gateway.wire.refusals import Refusals
from breakeven.models.client import session
from breakeven.models.client.budget import Budget
from breakeven.models.client.call_runner import Account, Stop
from breakeven.models.client.chat import Call, Chat
from breakeven.models.client.journal import Journal
from breakeven.models.client.pool import Pool
from breakeven.models.client.session import ProgressDisplay, stop_on_signals
from breakeven.models.data.rows import Example
from breakeven.models.errors import DistillError
from breakeven.models.evaluate import report as evaluation
from breakeven.models.evaluate.answered import Answered, by_calls, reference
from breakeven.models.evaluate.answered import score as score_of
from breakeven.models.evaluate.judges import panel
from breakeven.models.evaluate.rows import outcome_row
from breakeven.models.scoring import judge as judging
from breakeven.models.scoring.panel import Rule
from breakeven.models.scoring.scorers import Scorer, scorer
from breakeven.router import outcomes
from breakeven.router.files import write_atomically


class Endpoint(NamedTuple):
    """A model behind an API, and its prices."""

    base_url: str
    model: str
    api_key: str | None
    prices: Price


def endpoint(role: str, url: str | None, model: str | None, api_key: str | None, at: Price) -> Endpoint | None:
    """The endpoint of a `role` (teacher or judge) from its options; None where both URL and model are absent.

    Raises DistillError where only one of them is given.
    """
    if url is None or model is None:
        if url is not None or model is not None:
            raise DistillError(f"--{role}-url and --{role}-model go together")
        return None
    return Endpoint(url, model, api_key, at)


class Settings(NamedTuple):
    """What to measure and how.

    `out`: the output directory. `scorer`: a name that `scorers.scorer` knows, or `judge`, which needs the `judge`
    endpoint, and may have a `panel` of further ones, put together by `panel_rule`. Without a `teacher` endpoint the
    rows' answers are the teacher's; `teacher_prices` give their cost. `max_usd` limits the cost of teacher and judges
    over all runs into `out`; `hosting_usd_per_hour` is the price of the student's machine; `worst`: how many of the
    worst answers the report shows.
    """

    student: Endpoint
    out: Path
    scorer: str
    teacher: Endpoint | None = None
    judge: Endpoint | None = None
    panel: tuple[Endpoint, ...] = ()
    panel_rule: Rule = "mean"
    teacher_prices: Price = Price(0, 0, 0)
    rubric: str = judging.RUBRIC
    judge_max_tokens: int = judging.MAX_TOKENS
    max_usd: Decimal | None = None
    max_tokens: int = 1024
    temperature: float = 0.0
    concurrency: int = 8
    timeout_seconds: float = 120.0
    worst: int = 10
    hosting_usd_per_hour: float = 0.0

    @property
    def judges(self) -> tuple[Endpoint, ...]:
        """All judges."""
        return () if self.judge is None else (self.judge, *self.panel)


def evaluate(settings: Settings, examples: Sequence[Example], console: Console) -> tuple[dict[str, Any], Stop | None]:
    """Run the comparison and write outcomes.jsonl, report.json and report.md to the output directory.

    Returns the report, and why the run stopped early, or None. Raises DistillError where no row could be scored.
    Where the judges' verdicts measure nothing, the report's `fault` says so, and there is no outcomes.jsonl.
    """
    score = None if settings.scorer == "judge" else scorer(settings.scorer)
    if score is None and settings.judge is None:
        raise DistillError("--scorer judge needs --judge-url and --judge-model")
    for one in examples:
        evaluation.label(one)  # before anything is paid for
    settings.out.mkdir(parents=True, exist_ok=True)
    return session.run(_evaluate(settings, examples, score, console))


async def _evaluate(
    settings: Settings, examples: Sequence[Example], score: Scorer | None, console: Console
) -> tuple[dict[str, Any], Stop | None]:
    with contextlib.ExitStack() as stack:
        roles = ("student", "teacher", *map(_judge_role, settings.judges))
        journals = {role: stack.enter_context(Journal(settings.out / f"{role}.journal.jsonl")) for role in roles}
        limit = None if settings.max_usd is None else int(settings.max_usd * PICODOLLARS)
        spent, possible = (sum(getattr(one, name) for one in journals.values()) for name in ("spent", "possible"))
        budget = Budget(limit, spent=spent, possible=possible)
        run = _EvaluationRun(settings, journals, budget, console)
        stop = await run.answers("student", settings.student, examples)
        if settings.teacher is not None and stop is None:
            stop = await run.answers("teacher", settings.teacher, examples)
        answered = _answered(settings, examples, journals)
        if not answered:
            raise DistillError(stop.message if stop else "the student answered nothing")
        scored = [by_calls(one) for one in answered if any(one.calls())]
        answered = [one for one in answered if not any(one.calls())]
        fault = None
        if score is not None:
            scored += [score_of(one, score, settings.scorer) for one in answered]
        else:
            of_judges = [await run.judge(endpoint, answered, stop) for endpoint in settings.judges]
            stop = stop or next((one.stop for one in of_judges if one.stop is not None), None)
            names = [endpoint.model for endpoint in settings.judges]
            pairs = [one.judged_pair() for one in answered]
            judgements, run.judge_report, fault = panel(names, of_judges, pairs, settings.panel_rule)
            scored += _of_judgements(answered, judgements)
        if not scored:
            cut = run.judge_report is not None and run.judge_report["cut_off"]
            why = ": the verdicts were cut off; give a higher --judge-max-tokens" if cut else ""
            raise DistillError(stop.message if stop else f"no row could be scored{why}")
        report = evaluation.report(
            scored, worst=settings.worst, teacher_prices=settings.teacher_prices, measured=fault is None
        )
        report |= {"scorer": settings.scorer, "rows_without_score": len(examples) - len(scored)}
        # The machine's time is shared by the concurrent calls.
        hours = sum(one.student.seconds for one in scored) / settings.concurrency / 3600
        report["student"]["usd"] = f"{hours * settings.hosting_usd_per_hour:.6f}"
        report |= {"judge": run.judge_report, "fault": fault, "cost": _cost(journals)}
        _write(settings, scored, report)
        return report, stop


class _EvaluationRun:
    """The calls of one evaluation to the student, the teacher and the judge."""

    def __init__(self, settings: Settings, journals: dict[str, Journal], budget: Budget, console: Console) -> None:
        self._settings = settings
        self._journals = journals
        self._budget = budget
        self._display = ProgressDisplay(console)
        # One model may have several roles.
        self._refusals: dict[tuple[str, str], Refusals] = {}
        self.judge_report: dict[str, Any] | None = None

    async def answers(self, role: str, endpoint: Endpoint, examples: Sequence[Example]) -> Stop | None:
        """Send the examples' prompts to an endpoint; the replies are in the role's journal.

        Why it stopped early, or None.
        """
        calls = [_call(self._settings, endpoint, one) for one in examples]
        journal = self._journals[role]
        async with self._chat(endpoint) as chat:
            pool = self._pool(chat, journal, endpoint)
            with stop_on_signals(pool), self._display.tracking(role, {c.key for c in calls}, journal, self._budget):
                return await pool.run(calls)

    async def judge(self, endpoint: Endpoint, answered: Sequence[Answered], stop: Stop | None) -> judging.Judged:
        """Have a judge judge the answers; if the run has stopped (`stop`), only from the replies in the journal."""
        journal = self._journals[_judge_role(endpoint)]
        pairs = [
            judging.Pair(one.example.prompt, one.student.text, one.teacher_text(), reference(one.example))
            for one in answered
        ]
        if stop is not None:
            return judging.judged(journal, pairs, self._settings.rubric, stop)
        keys = {call.key for pair in pairs for call in judging.calls(pair, self._settings.rubric)}
        async with self._chat(endpoint) as chat:
            pool = self._pool(chat, journal, endpoint)
            with stop_on_signals(pool), self._display.tracking(f"judge {endpoint.model}", keys, journal, self._budget):
                rubric, limit = self._settings.rubric, self._settings.judge_max_tokens
                return await judging.judge(pool, journal, pairs, rubric, max_tokens=limit)

    def _chat(self, endpoint: Endpoint) -> Chat:
        known = self._refusals.setdefault((endpoint.base_url, endpoint.model), Refusals())
        seconds = self._settings.timeout_seconds
        return Chat(
            endpoint.base_url, endpoint.model, api_key=endpoint.api_key, timeout_seconds=seconds, refusals=known
        )

    def _pool(self, chat: Chat, journal: Journal, endpoint: Endpoint) -> Pool:
        changed: Callable[[], None] = lambda: self._display.update(journal, self._budget)  # noqa: E731
        concurrency = self._settings.concurrency
        return Pool(chat, Account(journal, endpoint.prices, self._budget), concurrency=concurrency, changed=changed)


def _call(settings: Settings, endpoint: Endpoint, example: Example) -> Call:
    more = {"temperature": settings.temperature, **example.asked()}
    seen = json.dumps([endpoint.model, example.prompt, settings.max_tokens, more])
    return Call(hashlib.sha256(seen.encode()).hexdigest(), example.prompt, settings.max_tokens, more)


def _answered(settings: Settings, examples: Sequence[Example], journals: dict[str, Journal]) -> list[Answered]:
    found = []
    for one in examples:
        student = journals["student"].replies.get(_call(settings, settings.student, one).key)
        teacher = None
        if settings.teacher is not None:
            teacher = journals["teacher"].replies.get(_call(settings, settings.teacher, one).key)
        if student is not None and (settings.teacher is None or teacher is not None):
            found.append(Answered(one, student, teacher))
    return found


def _judge_role(endpoint: Endpoint) -> str:
    """The name of a judge's journal: another model's verdicts must not pass for its own."""
    return f"judge-{hashlib.sha256(f'{endpoint.base_url} {endpoint.model}'.encode()).hexdigest()[:8]}"


def _of_judgements(
    answered: Sequence[Answered], judgements: Sequence[judging.Judgement | None]
) -> list[evaluation.Scored]:
    return [
        evaluation.Scored(
            one.example, one.student, one.teacher, one.teacher_text(), verdict.student_score, verdict.teacher_score
        )
        for one, verdict in zip(answered, judgements, strict=True)
        if verdict is not None
    ]


def _cost(journals: dict[str, Journal]) -> dict[str, Any]:
    spent = {"student": 0, "teacher": 0, "judge": 0}
    for role, journal in journals.items():
        spent[role.partition("-")[0]] += journal.spent
    parts = {f"{role}_usd": plain(one) for role, one in spent.items()}
    total = sum(journal.spent for journal in journals.values())
    return {**parts, "usd": plain(total), "possibly_usd": plain(sum(journal.possible for journal in journals.values()))}


def _write(settings: Settings, scored: Sequence[evaluation.Scored], report: dict[str, Any]) -> None:
    rows = settings.out / "outcomes.jsonl"
    if report["fault"] is None:
        outcomes.write(rows, [outcome_row(one, settings.student.model) for one in scored])
    else:
        rows.unlink(missing_ok=True)
    write_atomically(settings.out / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_atomically(settings.out / "report.md", evaluation.markdown(report))
