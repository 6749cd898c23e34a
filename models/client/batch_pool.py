"""Many calls through a batch API: nothing is asked that is under way, and no batch is forgotten.

Before a batch is made, its upload and rows are in the journal. A run that finds such an entry without the
batch's name, after a kill or a lost answer, looks for the batch of that upload before it makes another.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from breakeven.gateway.accounting.prices import Price
from breakeven.models.client.batch_api import ENDS, BatchApi, State, row_id
from breakeven.models.client.budget import Budget
from breakeven.models.client.chat import Call, CallFailed, Chat, Failure, Reply
from breakeven.models.client.journal import Batch, Journal
from breakeven.models.client.stops import AGAIN, FATAL, Asker, Stop

# Of OpenAI's 200 MB a file.
_MOST_BYTES = 100 * 2**20
_ATTEMPTS = 3
_FRUITLESS = 2
_LONGEST = 60.0
_FLEETING = (Failure.RATE, Failure.SERVER, Failure.CONNECT, Failure.LOST)
_FORGET = "where it is gone for good, --forget-batches counts it as possibly paid and asks its rows anew"

T = TypeVar("T")


class BatchPool(Asker):
    """Runs calls in batches of at most `rows`. `prices` are those of a batch; the budget is held at their worst.

    `changed` is called with a few words after each look at the API. Stopping makes no more batches and waits for none;
    those under way go on where they are.
    """

    def __init__(
        self,
        chat: Chat,
        journal: Journal,
        prices: Price,
        budget: Budget,
        *,
        rows: int = 50_000,
        poll_seconds: float = 30.0,
        patience_seconds: float = 300.0,
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(journal, prices, budget, patience_seconds=patience_seconds)
        self._api = BatchApi(chat)
        self._rows = rows
        self._poll = poll_seconds
        self._changed = changed
        self._fruitless = 0
        self._at_once = sys.maxsize
        for batch in journal.batches.values():
            budget.hold(sum(batch.worst.values()))

    async def finish(self) -> Stop | None:
        """Wait for the batches that former runs left, and keep their answers."""
        return await self._guarded(self._finish())

    async def run(self, calls: Sequence[Call]) -> Stop | None:
        """Ask what has no reply yet; None where all was asked. Replies are in the journal, not returned."""
        return await self._guarded(self._run(calls))

    async def _guarded(self, work: Awaitable[None]) -> Stop | None:
        try:
            await work
        except CallFailed as error:
            hint = f": {FATAL[error.kind]}" if error.kind in FATAL else ""
            self.stop(error.kind, f"{error}{hint}{AGAIN}")
        return self._stop

    async def _finish(self) -> None:
        for batch in list(self._journal.batches.values()):
            if batch.id is None:
                await self._recover(batch)
        while self._journal.batches and self._stop is None:
            await self._look()

    async def _run(self, calls: Sequence[Call]) -> None:
        by_key = {call.key: call for call in calls}
        while self._stop is None:
            left = [call for key, call in by_key.items() if not self._settled(key)]
            while left and self._stop is None and len(self._journal.batches) < self._at_once:
                lines, worst = self._fill(left)
                if not lines:
                    break
                await self._submit(lines, worst)
                left = left[len(lines) :]
            if not self._journal.batches:
                if left and self._stop is None:
                    self._out_of_money(left[0])
                return
            await self._look()

    def _settled(self, key: str) -> bool:
        """Whether there is nothing to ask: answered, given up, or under way."""
        under_way = any(key in batch.worst for batch in self._journal.batches.values())
        return under_way or key in self._journal.replies or key in self.given_up

    def _fill(self, calls: Sequence[Call]) -> tuple[list[bytes], dict[str, int]]:
        """Lines of the next batch and their worst cases, which are reserved: the first calls that fit."""
        lines: list[bytes] = []
        worst: dict[str, int] = {}
        size = 0
        for call in calls[: self._rows]:
            line, most = self._api.line(call), self._worst(call)
            if (lines and size + len(line) > _MOST_BYTES) or not self._budget.reserve(most):
                break
            lines.append(line)
            worst[call.key] = most
            size += len(line)
        return lines, worst

    async def _submit(self, lines: Sequence[bytes], worst: dict[str, int]) -> None:
        try:
            file = await self._patiently(partial(self._api.upload, lines))
        except CallFailed as error:
            self._budget.settle(sum(worst.values()))
            raise _without(error) from None
        batch = self._journal.uploaded(file, worst)
        try:
            self._journal.begun(batch, await self._patiently(partial(self._create, file)))
        except CallFailed as error:
            if error.kind not in _FLEETING:  # It was refused; otherwise the next run looks for it.
                self._drop(batch)
            raise _without(error) from None

    async def _create(self, file: str) -> str:
        try:
            return await self._api.create(file)
        except CallFailed as error:
            # The batch may have been made all the same.
            found = await self._api.find(file) if error.kind in (Failure.LOST, Failure.SERVER) else None
            if found is None:
                raise
            return found

    async def _recover(self, batch: Batch) -> None:
        try:
            found = await self._patiently(partial(self._api.find, batch.file))
        except CallFailed as error:
            message = f"whether a batch was made of the upload {batch.file} cannot be found out: {error}; {_FORGET}"
            raise CallFailed(error.kind, message) from None
        if found is None:
            self._drop(batch)
        else:
            self._journal.begun(batch, found)

    def _drop(self, batch: Batch) -> None:
        """It was never made."""
        self._budget.settle(sum(batch.worst.values()))
        self._journal.ended(batch)

    async def _look(self) -> None:
        """Look at each batch once, keep what has ended, and wait."""
        ended = done = total = 0
        for batch in list(self._journal.batches.values()):
            name = str(batch.id)
            try:
                state = await self._patiently(partial(self._api.state, name))
                if state.status in ENDS:
                    await self._harvest(batch, state)
                    ended += 1
            except CallFailed as error:
                hint = f"; {_FORGET}" if error.kind is Failure.MISSING else ""
                raise CallFailed(error.kind, f"batch {name}: {error}{hint}") from None
            done, total = done + state.done, total + state.total
            self._changed(f"batch {name}: {state.status}, {done} of {total}")
            if self._stop is not None:
                return
        if not ended:
            await self._wait(self._poll)

    async def _harvest(self, batch: Batch, state: State) -> None:
        """Keep the outcomes of a batch that has ended. Fetching them twice costs nothing."""
        names = {row_id(key): key for key in batch.worst}
        before = len(self._journal.replies)
        complete = state.status == "completed"
        for file in state.files:
            for name, outcome in await self._patiently(partial(self._api.rows, file)):
                if (key := names.pop(name, None)) is not None:
                    self._keep(batch, key, outcome, attempt=complete)
        # Rows that a batch did not get to are not paid for; of one that says it is complete, they may be.
        none = CallFailed(
            Failure.LOST if complete else Failure.SERVER, f"no outcome in a batch that ended as {state.status}"
        )
        for key in names.values():
            self._keep(batch, key, none, attempt=complete)
        self._journal.ended(batch)
        self._fruitless = 0 if len(self._journal.replies) > before else self._fruitless + 1
        said = f": {state.said}" if state.said else ""
        if state.status == "failed" and self._journal.batches:
            # Perhaps too much waits there at once: the next goes out when fewer are under way.
            self._at_once = len(self._journal.batches)
        elif state.status == "failed":
            self.stop("batch", f"batch {batch.id} was not accepted{said}; perhaps a smaller --batch-rows{AGAIN}")
        elif self._fruitless >= _FRUITLESS:
            self.stop("batch", f"batch {batch.id} ended as {state.status}{said}; {_FRUITLESS} without an answer{AGAIN}")

    def _keep(self, batch: Batch, key: str, outcome: Reply | CallFailed, *, attempt: bool) -> None:
        worst = batch.worst[key]
        if isinstance(outcome, Reply):
            self._replied(key, outcome, worst, sync=False)
            return
        self._failed(key, outcome, worst)
        self._attempts[key] += attempt
        if outcome.kind is Failure.BAD or self._attempts[key] >= _ATTEMPTS:
            self.given_up[key] = str(outcome)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again where the failure may pass."""
        begun, tries = time.monotonic(), 0
        while True:
            try:
                return await ask()
            except CallFailed as error:
                wait = min(0.5 * 2.0**tries, _LONGEST) if error.retry_after is None else error.retry_after
                late = time.monotonic() - begun + wait > self._patience
                if error.kind not in _FLEETING or late or self._stop is not None:
                    raise
                tries += 1
                await self._wait(wait)


def _without(error: CallFailed) -> CallFailed:
    """The same failure; where the API knows no batches, with the way without."""
    if error.kind is not Failure.MISSING:
        return error
    return CallFailed(Failure.BAD, f"{error}: this API seems to have no batches; leave out --batch")
