"""The calls of one run of `generate`: sent directly, or through the API's batch endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from breakeven.gateway.accounting.prices import Price
from breakeven.gateway.wire.refusals import Refusals
from breakeven.models.client.batch_pool import BatchPool
from breakeven.models.client.budget import Budget, discounted
from breakeven.models.client.call_runner import Account, Stop
from breakeven.models.client.chat import Call, Chat, Reply
from breakeven.models.client.journal import Journal
from breakeven.models.client.pool import Pool
from breakeven.models.client.session import ProgressDisplay, stop_on_signals
from breakeven.models.data import dataset
from breakeven.models.data.prompts import Prompt
from breakeven.models.errors import DistillError
from breakeven.models.generate import best_of
from breakeven.models.generate.aim import targets
from breakeven.models.generate.synthesize import Synthesized, seeds_of, synthesize, synthesize_aimed


class Batching(NamedTuple):
    """How to use the batch endpoint: its `discount` in [0, 1), rows per batch, and seconds between polls."""

    discount: Decimal
    rows: int = 50_000
    poll_seconds: float = 30.0


class Settings(NamedTuple):
    """What to send and how much to spend. `prices` are those of single calls; `max_usd` is a hard limit over all runs
    into the same `out`; `synthesize`: the number of new prompts to write, and `aim` the evaluation whose losses they
    are for, None for all kinds; `best_of`: how often an answer is asked for at most, until the row's checker finds one
    right; `batch`: None to send calls one by one.
    """

    base_url: str
    model: str
    api_key: str | None
    prices: Price
    max_usd: Decimal
    out: Path
    consent: bool = False
    concurrency: int = 16
    eval_share: float = 0.1
    synthesize: int = 0
    aim: Path | None = None
    best_of: int = 1
    top_logprobs: int = 0
    max_tokens: int = 1024
    temperature: float | None = None
    limit_field: str = "max_tokens"
    keep_refusals: bool = False
    timeout_seconds: float = 120.0
    patience_seconds: float = 300.0
    batch: Batching | None = None
    forget_batches: bool = False


def check_batches(journal: Journal, settings: Settings) -> None:
    """Discard the batches in progress if the settings say so.

    Raises DistillError where this run would not fetch their answers, and so pay for the same rows again.
    """
    if settings.forget_batches:
        for batch in list(journal.batches.values()):
            journal.ended(batch, possible=sum(batch.worst.values()))
    if journal.batches and settings.batch is None:
        names = ", ".join(batch.id or f"of the upload {batch.file}" for batch in journal.batches.values())
        raise DistillError(
            f"the batch {names} is still in progress: fetch its answers with --batch, or give --forget-batches, "
            "which counts them as possibly paid and sends their rows again"
        )


def by_prompt(replies: Mapping[str, Reply]) -> dict[str, dict[int, Reply]]:
    """Replies by prompt key and output limit: a truncated answer may have been requested again with a higher limit."""
    found: dict[str, dict[int, Reply]] = {}
    for key, reply in replies.items():
        name, _, limit = key.rpartition("@")
        if limit.isdigit():
            found.setdefault(name, {})[int(limit)] = reply
    return found


class GenerationRun:
    """The calls of one run; `failures` and `given_up` as in `CallRunner`, and the fields that the teacher `refused`."""

    def __init__(self, settings: Settings, journal: Journal, budget: Budget, console: Console) -> None:
        self._settings = settings
        self._journal = journal
        self._budget = budget
        self._display = ProgressDisplay(console)
        self.failures: Counter[str] = Counter()
        self.given_up: dict[str, str] = {}
        self._refusals = Refusals()

    @property
    def refused(self) -> list[str]:
        """The options that the teacher refused, and that its answers were made without."""
        return self._refusals.omitted

    async def run(self, prompts: Sequence[Prompt]) -> tuple[Synthesized, Stop | None]:
        """Have new prompts written if the settings say so, then send all calls without an answer.

        Returns the new prompts, and why the run stopped early, or None.
        """
        s = self._settings
        async with Chat(
            s.base_url,
            s.model,
            api_key=s.api_key,
            timeout_seconds=s.timeout_seconds,
            limit_field=s.limit_field,
            refusals=self._refusals,
        ) as chat:
            if s.batch is None:
                return await self._send_directly(chat, prompts)
            return await self._in_batches(chat, prompts, s.batch)

    async def _send_directly(self, chat: Chat, prompts: Sequence[Prompt]) -> tuple[Synthesized, Stop | None]:
        pool = self._pool(chat)
        with stop_on_signals(pool):
            more = await self._synthesized(pool, prompts)
            stop = more.stop
            if stop is None:
                stop = await self._answers(pool, [*prompts, *more.prompts])
        self._add_failures(pool)
        return more, stop

    async def _in_batches(
        self, chat: Chat, prompts: Sequence[Prompt], batch: Batching
    ) -> tuple[Synthesized, Stop | None]:
        s = self._settings
        batches = BatchPool(
            chat,
            Account(self._journal, discounted(s.prices, batch.discount), self._budget),
            rows=batch.rows,
            poll_seconds=batch.poll_seconds,
            patience_seconds=s.patience_seconds,
            changed=self._show,
        )
        pool = self._pool(chat)
        # New prompts take a few calls that depend on each other's answers, so that batches do not help.
        with stop_on_signals(pool):
            more = await self._synthesized(pool, prompts)
        self._add_failures(pool)
        if more.stop is not None:
            return more, more.stop
        with stop_on_signals(batches):
            # Which prompts still need a call is only known once the batches in progress have ended.
            calls = self._calls([*prompts, *more.prompts])
            with self._display.tracking("answers", {c.key for c in calls}, self._journal, self._budget):
                stop = await batches.finish()
            if stop is None:
                stop = await self._answers(batches, [*prompts, *more.prompts])
        self._add_failures(batches)
        return more, stop

    async def _answers(self, pool: Pool | BatchPool, prompts: Sequence[Prompt]) -> Stop | None:
        """Ask for an answer to each prompt, and again where all answers are wrong; why it stopped, or None."""
        for number in range(1, self._settings.best_of + 1):
            calls = self._calls(prompts, number)
            with self._display.tracking("answers", {c.key for c in calls}, self._journal, self._budget):
                stop = await pool.run(calls)
            if stop is not None:
                return stop
        return None

    def _pool(self, chat: Chat) -> Pool:
        s = self._settings
        return Pool(
            chat,
            Account(self._journal, s.prices, self._budget),
            concurrency=s.concurrency,
            patience_seconds=s.patience_seconds,
            changed=self._show,
        )

    async def _synthesized(self, pool: Pool, prompts: Sequence[Prompt]) -> Synthesized:
        s = self._settings
        if not s.synthesize:
            return Synthesized([], 0, 0, None)
        if s.aim is not None:
            aimed_at = targets(s.aim, seeds_of(prompts, s.eval_share), s.synthesize)
            return await synthesize_aimed(pool, self._journal, prompts, aimed_at)
        return await synthesize(pool, self._journal, prompts, s.synthesize, eval_share=s.eval_share)

    def _show(self, status: str = "") -> None:
        self._display.update(self._journal, self._budget, status)

    def _add_failures(self, pool: Pool | BatchPool) -> None:
        self.failures += pool.failures
        self.given_up |= pool.given_up

    def _calls(self, prompts: Sequence[Prompt], number: int = 1) -> list[Call]:
        """A call for the answer of this number to each prompt that needs it, with the limit of its usable answer or
        else the limit of the settings.
        """
        s = self._settings
        more: dict[str, Any] = {} if s.temperature is None else {"temperature": s.temperature}
        if s.top_logprobs:
            more |= {"logprobs": True, "top_logprobs": s.top_logprobs}
        answered = by_prompt(self._journal.replies)
        calls = []
        for prompt in prompts:
            if not best_of.again(prompt, answered, number):
                continue
            name = best_of.name_of(prompt, number)
            known = answered.get(name, {})
            limit = best_of.best_limit(known)
            if limit is None or (dataset.state_of(known[limit]) == "truncated" and s.max_tokens > limit):
                limit = s.max_tokens
            calls.append(Call(f"{name}@{limit}", prompt.messages, limit, {**prompt.asked, **more}))
        return calls
