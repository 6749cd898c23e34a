"""Faults of the ledger's database under load: whatever it does, answers go on and each is booked once."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import text

from breakeven.gateway.ledger.database import open_engine
from tests.attack.books import Load, caught_up, exact, gateway
from tests.attack.result import Attack, Result, Setting
from tests.attack.swallowing import Swallowing
from tests.contract.client import eventually
from tests.contract.gateway import Gateway
from tests.support.postgres import PostgresServer, running_postgres

ADMIN = {"authorization": "Bearer admin-canary"}
KEYED = {"admin": {"key_env": "T_ADMIN_KEY"}}
# A scrape answers within a second, and this machine may be busy.
SCRAPE_SECONDS = 3.0
# An admin's request is refused within 20 seconds.
ADMIN_SECONDS = 30.0


class Scrapes:
    """Reads /metrics and /readyz over and over while the context is open; `slowest` in seconds."""

    def __init__(self, found: Gateway) -> None:
        self._gateway = found
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.slowest = 0.0
        self.oldest = 0.0
        self.away = False

    def __enter__(self) -> Scrapes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._end.wait(0.3):
            started = time.monotonic()
            metrics = self._gateway.metrics()
            self.slowest = max(self.slowest, time.monotonic() - started)
            self.oldest = max(self.oldest, metrics.get("breakeven_ledger_age_seconds", 0.0))
            ready = self._gateway.get("/readyz")
            assert ready.status == 200, ready.body
            self.away = self.away or (ready.json["ledger"] == "away" and metrics["breakeven_ledger_up"] == 0)


# The fault, which lasts while the context is open.
Fault = Callable[[Gateway], contextlib.AbstractContextManager[None]]


def _attacked(name: str, url: str, setting: Setting, fault: Fault, *, seconds: float | None = None) -> Result:
    """Load before, during and after the fault, which lasts for `seconds`; then the books."""
    lasts = setting.seconds / 2 if seconds is None else seconds
    with gateway(setting.folder / "gateway", url, **KEYED) as found:
        found.environment["T_ADMIN_KEY"] = "admin-canary"
        found.start()
        with Load(found) as load, Scrapes(found) as scrapes:
            load.more(40)
            eventually(lambda: "breakeven_ledger_age_seconds" in found.metrics(), 60)
            with fault(found):
                deadline = time.monotonic() + lasts
                load.more(40)
                while time.monotonic() < deadline:
                    time.sleep(0.1)
                asked = time.monotonic()
                admin = found.get("/admin/report", ADMIN).status
                admin_took = time.monotonic() - asked
            load.more(40)
        took = caught_up(found)
        found.stop()
        books, figures = exact(_outside(url, found), load.answered)
    quick = scrapes.slowest < SCRAPE_SECONDS and admin_took < ADMIN_SECONDS
    figures |= {
        "failed": str(sum(load.failed.values())),
        "slowest scrape": f"{scrapes.slowest:.2f} s",
        "oldest figures": f"{scrapes.oldest:.1f} s",
        "admin": f"{admin} after {admin_took:.1f} s",
        "caught up after": f"{took:.1f} s",
    }
    return Result(name, books and quick and not load.failed and admin in (200, 503), figures)


def _outside(url: str, found: Gateway) -> str:
    return url if url.startswith("postgresql") else f"sqlite:///{found.folder / 'ledger.db'}"


@contextlib.contextmanager
def _frozen(server: PostgresServer) -> Iterator[None]:
    stopped = server.processes()
    for one in stopped:
        one.suspend()
    try:
        yield
    finally:
        for one in stopped:
            one.resume()


@contextlib.contextmanager
def _down(server: PostgresServer) -> Iterator[None]:
    server.control("stop")
    try:
        yield
    finally:
        server.control("start")


@contextlib.contextmanager
def _locked(url: str) -> Iterator[None]:
    engine = open_engine(url)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("LOCK TABLE requests, attempts, hourly IN ACCESS EXCLUSIVE MODE"))
        yield
    engine.dispose()


@contextlib.contextmanager
def _terminated(url: str) -> Iterator[None]:
    engine = open_engine(url)
    ask = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'ledger'"
    with engine.connect() as connection:
        for _ in range(10):
            connection.execute(text(ask))
            connection.commit()
            time.sleep(0.1)
    engine.dispose()
    yield


def frozen_server(setting: Setting) -> Result:
    """The server stops where it is, as on a machine that swaps or a paused virtual one."""
    with running_postgres() as server:
        return _attacked("frozen_server", server.database("ledger"), setting, lambda _: _frozen(server))


def stopped_server(setting: Setting) -> Result:
    """The server ends at once, and comes back."""
    with running_postgres() as server:
        return _attacked("stopped_server", server.database("ledger"), setting, lambda _: _down(server))


def terminated_connections(setting: Setting) -> Result:
    """All connections are ended by the server, ten times in a second."""
    with running_postgres() as server:
        url = server.database("ledger")
        return _attacked("terminated_connections", url, setting, lambda _: _terminated(url), seconds=0.0)


def locked_tables(setting: Setting) -> Result:
    """Somebody holds a lock on the ledger's tables."""
    with running_postgres() as server:
        url = server.database("ledger")
        return _attacked("locked_tables", url, setting, lambda _: _locked(url))


def swallowed_connections(setting: Setting) -> Result:
    """The connections that are open get no answer any more, while new ones work."""
    return _swallowed("swallowed_connections", setting, new=False)


def swallowed_network(setting: Setting) -> Result:
    """Nothing sent to the server arrives for a while, and no connection is ever closed."""
    return _swallowed("swallowed_network", setting, new=True)


def _swallowed(name: str, setting: Setting, *, new: bool) -> Result:
    with running_postgres() as server, Swallowing(server.folder / ".s.PGSQL.5432") as proxy:
        server.database("ledger")

        @contextlib.contextmanager
        def fault(_: Gateway) -> Iterator[None]:
            proxy.swallow(new=new)
            yield
            proxy.swallow(new=False)

        url = f"postgresql+psycopg://breakeven@127.0.0.1:{proxy.port}/ledger"
        return _attacked(name, url, setting, fault)


def away_at_start(setting: Setting) -> Result:
    """The gateway starts while the database is away, and books what it answered once it is there."""
    with running_postgres() as server, gateway(setting.folder / "gateway", server.database("ledger")) as found:
        url = found.config["ledger"]["url"]
        server.control("stop")
        started = time.monotonic()
        found.start()
        took = time.monotonic() - started
        ready = found.get("/readyz").json
        with Load(found) as load:
            load.more(60)
            said = found.metrics()["breakeven_ledger_up"] == 0 and ready["ledger"] == "away"
            logged = "kept in the journal" in found.log.read_text()
            server.control("start")
            load.more(20)
        caught = caught_up(found)
        up = eventually(lambda: found.get("/readyz").json["ledger"] == "up", 60)
        found.stop()
        books, figures = exact(url, load.answered)
    figures |= {"started after": f"{took:.1f} s", "caught up after": f"{caught:.1f} s", "said": str(said and logged)}
    return Result("away_at_start", books and said and logged and bool(up) and not load.failed, figures)


def locked_file(setting: Setting) -> Result:
    """Another program holds SQLite's lock to write."""

    @contextlib.contextmanager
    def fault(found: Gateway) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(found.folder / "ledger.db", isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    return _attacked("locked_file", "sqlite:///ledger.db", setting, fault)


def deleted_ledger(setting: Setting) -> Result:
    """The SQLite file is deleted with its log, under load."""

    @contextlib.contextmanager
    def fault(found: Gateway) -> Iterator[None]:
        for path in found.folder.glob("ledger.db*"):
            if path.is_file():
                path.unlink()
        yield
        eventually(lambda: found.metrics()["breakeven_ledger_remade_total"] > 0, 60)

    return _attacked("deleted_ledger", "sqlite:///ledger.db", setting, fault, seconds=1.0)


def deleted_journal(setting: Setting) -> Result:
    """While the database is away the folder of the journal is deleted, and then the gateway is killed."""
    with running_postgres() as server, gateway(setting.folder / "gateway", server.database("ledger")) as found:
        url = found.config["ledger"]["url"]
        found.start()
        with Load(found) as load:
            load.more(40)
            server.control("stop")
            load.more(40)
            shutil.rmtree(found.folder / "breakeven-journal.d")
            load.more(20)
        remade = eventually(lambda: found.metrics()["breakeven_ledger_remade_total"], 60)
        assert found.process is not None
        found.process.kill()
        found.process.wait(10)
        server.control("start")
        found.start()
        caught_up(found)
        found.stop()
        # One of each client may have been settled without its client having read the end.
        books, figures = exact(url, load.answered, unseen=load.clients)
    return Result("deleted_journal", books and remade >= 1, figures | {"made again": f"{remade:.0f}"})


def two_databases(setting: Setting) -> Result:
    """Two gateways in one folder write to two databases; both are killed, and one starts first."""
    with running_postgres() as server, contextlib.ExitStack() as stack:
        urls = [server.database("one"), server.database("two")]
        folder: Path = setting.folder / "gateway"
        found = [stack.enter_context(gateway(folder, url)) for url in urls]
        for index, one in enumerate(found):
            one.path, one.log = folder / f"config-{index}.yaml", folder / f"gateway-{index}.log"
            one._arguments[1] = str(one.path)
            one.start()
        loads = [stack.enter_context(contextlib.ExitStack()).enter_context(Load(one)) for one in found]
        for load in loads:
            load.more(40)
        server.control("stop")
        for load in loads:
            load.more(40)
            load.__exit__()
        for one in found:
            one.signal(signal.SIGKILL)
            one.wait()
        server.control("start")
        for one in found:
            one.start()
            caught_up(one)
        for one in found:
            one.stop()
        books = [exact(url, load.answered, unseen=load.clients) for url, load in zip(urls, loads, strict=True)]
    figures = {f"{name} of {index}": value for index, (_, said) in enumerate(books, 1) for name, value in said.items()}
    return Result("two_databases", all(held for held, _ in books), figures)


ATTACKS: dict[str, Attack] = {
    one.__name__: one
    for one in (
        away_at_start,
        stopped_server,
        frozen_server,
        terminated_connections,
        locked_tables,
        swallowed_connections,
        swallowed_network,
        locked_file,
        deleted_ledger,
        deleted_journal,
        two_databases,
    )
}
