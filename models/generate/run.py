"""The asking of one run of `generate`: on the API as it is, or through its batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from breakeven.gateway.accounting.prices import Price
from breakeven.models.client.batch_pool import BatchPool
from breakeven.models.client.budget import Budget, discounted
from breakeven.models.client.chat import Call, Chat, Reply
from breakeven.models.client.journal import Journal
from breakeven.models.client.pool import Pool
from breakeven.models.client.session import Meter, stopped_by_signals
from breakeven.models.client.stops import Stop
from breakeven.models.data import dataset
from breakeven.models.data.prompts import Prompt
from breakeven.models.errors import DistillError
from breakeven.models.generate.synthesize import Synthesized, synthesize


class Batching(NamedTuple):
    """How to use the API's batches. `discount`: the share that they take off the prices."""

    discount: Decimal
    rows: int = 50_000
    poll_seconds: float = 30.0


class Settings(NamedTuple):
    """How to ask and how much to spend. `max_usd` is a hard limit over all runs into the same folder."""

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
    """Forget the batches under way where that is wished. Raises DistillError where a run would ask past them."""
    if settings.forget_batches:
        for batch in list(journal.batches.values()):
            journal.ended(batch, possible=sum(batch.worst.values()))
    if journal.batches and settings.batch is None:
        names = ", ".join(batch.id or f"of the upload {batch.file}" for batch in journal.batches.values())
        raise DistillError(
            f"answers are on their way in the batch {names}: fetch them with --batch, or give --forget-batches, "
            "which counts them as possibly paid and asks anew"
        )


def by_prompt(replies: Mapping[str, Reply]) -> dict[str, dict[int, Reply]]:
    """Prompt key -> output limit -> reply: one that was cut off may have been asked for again."""
    found: dict[str, dict[int, Reply]] = {}
    for key, reply in replies.items():
        name, _, limit = key.rpartition("@")
        if limit.isdigit():
            found.setdefault(name, {})[int(limit)] = reply
    return found


def best(answers: Mapping[int, Reply]) -> int | None:
    """The limit of the answer to use: a whole one before one that was cut off; None where there is none."""
    whole = [limit for limit, reply in answers.items() if dataset.state_of(reply) != "truncated"]
    return max(whole or answers, default=None)


class Asking:
    """The asking of one run; `failures` and `given_up` as the pools count them."""

    def __init__(self, settings: Settings, journal: Journal, budget: Budget, console: Console) -> None:
        self._settings = settings
        self._journal = journal
        self._budget = budget
        self._meter = Meter(console)
        self.failures: Counter[str] = Counter()
        self.given_up: dict[str, str] = {}

    async def ask_all(self, prompts: Sequence[Prompt]) -> tuple[Synthesized, Stop | None]:
        """Write what new prompts are wanted, then ask for all answers that are not there; why it stopped, if it did."""
        s = self._settings
        async with Chat(
            s.base_url, s.model, api_key=s.api_key, timeout_seconds=s.timeout_seconds, limit_field=s.limit_field
        ) as chat:
            if s.batch is None:
                return await self._at_once(chat, prompts)
            return await self._in_batches(chat, prompts, s.batch)

    async def _at_once(self, chat: Chat, prompts: Sequence[Prompt]) -> tuple[Synthesized, Stop | None]:
        pool = self._pool(chat)
        with stopped_by_signals(pool):
            more = await self._synthesized(pool, prompts)
            stop = more.stop
            if stop is None:
                calls = self._calls([*prompts, *more.prompts])
                with self._meter.over("answers", {c.key for c in calls}, self._journal, self._budget):
                    stop = await pool.run(calls)
        self._note(pool)
        return more, stop

    async def _in_batches(
        self, chat: Chat, prompts: Sequence[Prompt], batch: Batching
    ) -> tuple[Synthesized, Stop | None]:
        s = self._settings
        batches = BatchPool(
            chat,
            self._journal,
            discounted(s.prices, batch.discount),
            self._budget,
            rows=batch.rows,
            poll_seconds=batch.poll_seconds,
            patience_seconds=s.patience_seconds,
            changed=self._show,
        )
        pool = self._pool(chat)
        # New prompts come out of a few calls, each made of what came before: not in batches.
        with stopped_by_signals(pool):
            more = await self._synthesized(pool, prompts)
        self._note(pool)
        if more.stop is not None:
            return more, more.stop
        with stopped_by_signals(batches):
            # Which prompts still want an answer is only known when those that are on their way have come.
            calls = self._calls([*prompts, *more.prompts])
            with self._meter.over("answers", {c.key for c in calls}, self._journal, self._budget):
                stop = await batches.finish()
            calls = self._calls([*prompts, *more.prompts])
            if stop is None:
                with self._meter.over("answers", {c.key for c in calls}, self._journal, self._budget):
                    stop = await batches.run(calls)
        self._note(batches)
        return more, stop

    def _pool(self, chat: Chat) -> Pool:
        s = self._settings
        return Pool(
            chat,
            self._journal,
            s.prices,
            self._budget,
            concurrency=s.concurrency,
            patience_seconds=s.patience_seconds,
            changed=self._show,
        )

    async def _synthesized(self, pool: Pool, prompts: Sequence[Prompt]) -> Synthesized:
        s = self._settings
        if not s.synthesize:
            return Synthesized([], 0, 0, None)
        return await synthesize(pool, self._journal, prompts, s.synthesize, eval_share=s.eval_share)

    def _show(self, said: str = "") -> None:
        self._meter.show(self._journal, self._budget, said)

    def _note(self, pool: Pool | BatchPool) -> None:
        self.failures += pool.failures
        self.given_up |= pool.given_up

    def _calls(self, prompts: Sequence[Prompt]) -> list[Call]:
        s = self._settings
        more: dict[str, Any] = {} if s.temperature is None else {"temperature": s.temperature}
        if s.top_logprobs:
            more |= {"logprobs": True, "top_logprobs": s.top_logprobs}
        answered = by_prompt(self._journal.replies)
        calls = []
        for prompt in prompts:
            known = answered.get(prompt.key, {})
            limit = best(known)
            if limit is None or (dataset.state_of(known[limit]) == "truncated" and s.max_tokens > limit):
                limit = s.max_tokens
            calls.append(Call(f"{prompt.key}@{limit}", prompt.messages, limit, more))
        return calls
