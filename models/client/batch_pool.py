"""Many calls through a batch API, without paying for a row twice or losing track of a batch.

Before a batch is created, its upload and its rows are written to the journal. A run that finds such an entry without
the batch's id, after a crash or a lost response, searches for the batch of that upload before it creates another.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from breakeven.models.client.batch_api import FINAL, BatchApi, State, row_id
from breakeven.models.client.call_runner import AGAIN, FATAL, Account, CallRunner, Stop
from breakeven.models.client.chat import Call, CallFailed, Chat, Failure, Reply
from breakeven.models.client.journal import Batch

# OpenAI accepts 200 MB for a file.
_MAX_BYTES = 100 * 2**20
_ATTEMPTS = 3
_MAX_EMPTY_BATCHES = 2
_MAX_BACKOFF_SECONDS = 60.0
_TRANSIENT = (Failure.RATE, Failure.SERVER, Failure.CONNECT, Failure.LOST)
_FORGET = "if it no longer exists, --forget-batches counts it as possibly paid and sends its rows again"

T = TypeVar("T")


class BatchPool(CallRunner):
    """Runs calls in batches of at most `rows` rows; the account's prices are those of a batch.

    `changed` is called with a short status after each poll, every `poll_seconds`. Stopping creates no more batches and
    waits for none; batches in progress continue at the API, and the next run fetches their results.
    """

    def __init__(
        self,
        chat: Chat,
        account: Account,
        *,
        rows: int = 50_000,
        poll_seconds: float = 30.0,
        patience_seconds: float = 300.0,
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(account, patience_seconds=patience_seconds)
        self._api = BatchApi(chat)
        self._rows = rows
        self._poll = poll_seconds
        self._changed = changed
        self._empty_batches = 0
        self._learned = False
        self._max_open = sys.maxsize
        for batch in self._journal.batches.values():
            self._budget.hold(sum(batch.worst.values()))

    async def finish(self) -> Stop | None:
        """Wait for the batches that earlier runs left in progress and record their answers; why it stopped early, if it
        did.
        """
        return await self._stopping_on_failure(self._finish())

    async def run(self, calls: Sequence[Call]) -> Stop | None:
        """Send the calls that have no reply in the journal yet, and record the replies there.

        Returns why it stopped early, or None once all calls were sent.
        """
        return await self._stopping_on_failure(self._run(calls))

    async def _stopping_on_failure(self, work: Awaitable[None]) -> Stop | None:
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
            await self._poll_batches()

    async def _run(self, calls: Sequence[Call]) -> None:
        by_key = {call.key: call for call in calls}
        while self._stop is None:
            left = [call for key, call in by_key.items() if not self._needs_no_call(key)]
            while left and self._stop is None and len(self._journal.batches) < self._max_open:
                lines, worst = self._next_batch(left)
                if not lines:
                    break
                await self._submit(lines, worst)
                left = left[len(lines) :]
            if not self._journal.batches:
                if left and self._stop is None:
                    self._stop_for_budget(left[0])
                return
            await self._poll_batches()

    def _needs_no_call(self, key: str) -> bool:
        """Whether a call is answered, given up, or in a batch in progress."""
        in_progress = any(key in batch.worst for batch in self._journal.batches.values())
        return in_progress or key in self._journal.replies or key in self.given_up

    def _next_batch(self, calls: Sequence[Call]) -> tuple[list[bytes], dict[str, int]]:
        """The lines of the next batch, as many calls as fit, and their reserved worst cases in picodollars."""
        lines: list[bytes] = []
        worst: dict[str, int] = {}
        size = 0
        for call in calls[: self._rows]:
            line, most = self._api.line(call), self._worst(call)
            if (lines and size + len(line) > _MAX_BYTES) or not self._budget.reserve(most):
                break
            lines.append(line)
            worst[call.key] = most
            size += len(line)
        return lines, worst

    async def _submit(self, lines: Sequence[bytes], worst: dict[str, int]) -> None:
        """Upload the lines and create a batch from them. Raises CallFailed."""
        try:
            file = await self._with_retries(partial(self._api.upload, lines))
        except CallFailed as error:
            self._budget.settle(sum(worst.values()))
            raise _with_hint(error) from None
        batch = self._journal.uploaded(file, worst)
        try:
            self._journal.begun(batch, await self._with_retries(partial(self._create, file)))
        except CallFailed as error:
            if error.kind not in _TRANSIENT:  # It was rejected; otherwise the next run searches for it.
                self._discard(batch)
            raise _with_hint(error) from None

    async def _create(self, file: str) -> str:
        try:
            return await self._api.create(file)
        except CallFailed as error:
            # The batch may have been created nevertheless.
            found = await self._api.find(file) if error.kind in (Failure.LOST, Failure.SERVER) else None
            if found is None:
                raise
            return found

    async def _recover(self, batch: Batch) -> None:
        """Find the id of a batch whose creation was not confirmed. Raises CallFailed."""
        try:
            found = await self._with_retries(partial(self._api.find, batch.file))
        except CallFailed as error:
            message = f"cannot find out whether a batch was created from the upload {batch.file}: {error}; {_FORGET}"
            raise CallFailed(error.kind, message) from None
        if found is None:
            self._discard(batch)
        else:
            self._journal.begun(batch, found)

    def _discard(self, batch: Batch) -> None:
        """Remove a batch that was never created from the journal and release its reservation."""
        self._budget.settle(sum(batch.worst.values()))
        self._journal.ended(batch)

    async def _poll_batches(self) -> None:
        """Query each batch once, collect those that have ended, and wait if none has."""
        ended = done = total = 0
        for batch in list(self._journal.batches.values()):
            name = str(batch.id)
            try:
                state = await self._with_retries(partial(self._api.state, name))
                if state.status in FINAL:
                    await self._collect(batch, state)
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

    async def _collect(self, batch: Batch, state: State) -> None:
        """Record the outcomes of a batch that has ended. Downloading them twice costs nothing."""
        names = {row_id(key): key for key in batch.worst}
        before = len(self._journal.replies)
        self._learned = False
        complete = state.status == "completed"
        for file in state.files:
            for name, outcome in await self._with_retries(partial(self._api.rows, file)):
                if (key := names.pop(name, None)) is not None:
                    self._record(batch, key, outcome, attempt=complete)
        # Rows that a batch did not process are not charged; those missing from a completed batch may be.
        none = CallFailed(
            Failure.LOST if complete else Failure.SERVER, f"no outcome in a batch that ended as {state.status}"
        )
        for key in names.values():
            self._record(batch, key, none, attempt=complete)
        self._journal.ended(batch)
        useful = self._learned or len(self._journal.replies) > before
        self._empty_batches = 0 if useful else self._empty_batches + 1
        detail = f": {state.message}" if state.message else ""
        if state.status == "failed" and self._journal.batches:
            # Probably too many tokens are enqueued: submit the next batch once fewer are in progress.
            self._max_open = len(self._journal.batches)
        elif state.status == "failed":
            self.stop("batch", f"batch {batch.id} was not accepted{detail}; try a smaller --batch-rows{AGAIN}")
        elif self._empty_batches >= _MAX_EMPTY_BATCHES:
            self.stop(
                "batch",
                f"batch {batch.id} ended as {state.status}{detail}; {_MAX_EMPTY_BATCHES} without an answer{AGAIN}",
            )

    def _record(self, batch: Batch, key: str, outcome: Reply | CallFailed, *, attempt: bool) -> None:
        """Record the outcome of one row; `attempt`: whether a failure counts towards giving the call up."""
        worst = batch.worst[key]
        if isinstance(outcome, Reply):
            self._replied(key, outcome, worst, sync=False)
            return
        self._failed(key, outcome, worst)
        self._attempts[key] += attempt
        # What a model refuses of one row it refuses of all: they are sent again without it.
        again = outcome.kind is Failure.BAD and self._api.learn(outcome)
        self._learned = self._learned or again
        if (outcome.kind is Failure.BAD and not again) or self._attempts[key] >= _ATTEMPTS:
            self.given_up[key] = str(outcome)

    async def _with_retries(self, send: Callable[[], Awaitable[T]]) -> T:
        """Repeat a request with exponential backoff while its failure is transient. Raises CallFailed."""
        begun, tries = time.monotonic(), 0
        while True:
            try:
                return await send()
            except CallFailed as error:
                wait = min(0.5 * 2.0**tries, _MAX_BACKOFF_SECONDS) if error.retry_after is None else error.retry_after
                late = time.monotonic() - begun + wait > self._patience
                if error.kind not in _TRANSIENT or late or self._stop is not None:
                    raise
                tries += 1
                await self._wait(wait)


def _with_hint(error: CallFailed) -> CallFailed:
    """The failure of a batch request; for a 404, with a hint that the API may have no batches."""
    if error.kind is not Failure.MISSING:
        return error
    return CallFailed(Failure.BAD, f"{error}: this API does not seem to support batches; leave out --batch")
