"""What attacks on the accounting share: clients under load, and whether the ledger has each answer exactly once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from breakeven.gateway.ledger.database import open_engine, transaction
from tests.contract.gateway import Gateway, chat, merged
from tests.contract.scripted import ScriptedUpstream

PRICED = {"teacher": {"usd_per_million": {"input": 10, "output": 20}}}
# How long a gateway gets to catch up once its database is as before.
CATCH_UP_SECONDS = 90.0


@contextlib.contextmanager
def upstreams() -> Iterator[tuple[ScriptedUpstream, ScriptedUpstream]]:
    """A student and a teacher, which answer at once."""
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        yield student, teacher


@contextlib.contextmanager
def gateway(folder: Path, url: str = "sqlite:///ledger.db", **sections: object) -> Iterator[Gateway]:
    """A gateway with upstreams of its own and this ledger, not started."""
    folder.mkdir(exist_ok=True, parents=True)
    with upstreams() as (student, teacher):
        found = Gateway(folder, student, teacher, merged({"ledger": {"url": url}}, dict(sections)), log_level="warning")
        try:
            yield found
        finally:
            found.stop()


@dataclass
class Load:
    """Clients of a gateway while the context is open; `answered` has the ids of what was wholly answered."""

    gateway: Gateway
    clients: int = 4
    body: Callable[[int], dict[str, object]] = lambda number: chat(f"question {number}", stream=number % 2 == 0)
    answered: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(one,)) for one in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int, seconds: float = 60.0) -> None:
        """Wait until so many more are answered. Raises AssertionError where they are not in time."""
        wanted, deadline = len(self.answered) + count, time.monotonic() + seconds
        while len(self.answered) < wanted:
            assert time.monotonic() < deadline, f"{len(self.answered)} of {wanted} are answered: {dict(self.failed)}"
            time.sleep(0.02)

    def _ask(self, client: int) -> None:
        number = client
        while not self._end.wait(0.01):
            number += self.clients
            started = time.monotonic()
            try:
                answer = self.gateway.post(self.body(number))
            except (OSError, EOFError, ValueError) as error:
                self.failed[type(error).__name__] += 1
                continue
            self.waits.append(time.monotonic() - started)
            if answer.status == 200:
                self.answered.append(answer.headers["x-breakeven-request-id"])
            else:
                self.failed[str(answer.status)] += 1


def stored(url: str) -> Counter[str]:
    """How often the ledger has each request, by id."""
    engine = open_engine(url)
    try:
        with transaction(engine, write=False) as connection:
            return Counter(connection.scalars(text("SELECT request_id FROM requests")))
    finally:
        engine.dispose()


def consistent(url: str) -> bool:
    """Whether the hourly sums are those of the single requests, to the picodollar."""
    engine = open_engine(url)
    money = "sum(cost_input + cost_cached_input + cost_output)"
    try:
        with transaction(engine, write=False) as connection:
            raw = connection.execute(text(f"SELECT count(*), {money} FROM attempts")).one()
            sums = connection.execute(text(f"SELECT sum(attempts), {money} FROM hourly")).one()
            return [int(one or 0) for one in raw] == [int(one or 0) for one in sums]
    finally:
        engine.dispose()


def caught_up(found: Gateway, seconds: float = CATCH_UP_SECONDS) -> float:
    """How long it took until nothing waited for the database. Raises AssertionError where that takes longer."""
    started = time.monotonic()
    while (waiting := found.metrics()["breakeven_ledger_pending"]) > 0:
        assert time.monotonic() - started < seconds, f"{waiting:.0f} records still wait"
        time.sleep(0.2)
    return time.monotonic() - started


def exact(url: str, answered: list[str], unseen: int = 0) -> tuple[bool, dict[str, str]]:
    """Whether each answer is in the ledger once, with at most `unseen` others, and the sums agree; with figures."""
    found = stored(url)
    missing = len(set(answered) - set(found))
    twice = sum(count > 1 for count in found.values())
    more = len(found) - len(set(answered))
    agree = consistent(url)
    figures = {"answered": str(len(answered)), "missing": str(missing), "twice": str(twice)}
    if not agree:
        figures["sums"] = "differ"
    return missing == 0 and twice == 0 and agree and more <= unseen, figures
